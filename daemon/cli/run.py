import faulthandler
import os

from daemon.cli.options import DEFAULT_CONFIG, ConfigOption


def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the service until SIGTERM."""
    from daemon.config.loading import load_config
    from daemon.service.build import build_service
    from daemon.service.logs import configure_logs

    # the watchdog ends a tick that hangs by SIGABRT; where it hung then stands in the journal
    faulthandler.enable()
    loaded = load_config(config)
    configure_logs(loaded.logging.level, loaded.logging.format)
    service = build_service(loaded, config)
    service.run_until_signalled()
    if service.ticking:
        # the abandoned tick's thread may sit in a request that nothing can end; its transaction is not begun or whole
        os._exit(0)
