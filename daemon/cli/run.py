import faulthandler
import os
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.app import ConfigOption


def check_config(file: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Check a configuration and name every problem in it; exit 2 if there is one."""
    from daemon.config.loading import load_config
    from daemon.system.scheduler import next_times

    config = load_config(file)
    if config.training.schedule is not None:
        next_times(config.training.schedule, config.zone)
    sources = ", ".join(f"{source.name} ({source.type})" for source in config.sources)
    typer.echo(f"{file}: good. {len(config.metrics)} metrics from {sources}; training level {config.training.level}.")


def demo(
    speed: Annotated[float, typer.Option(min=1, max=1000, help="Seconds of its clock per second.")] = 60,
    folder: Annotated[Path, typer.Option("--dir", help="Folder for its history and models.")] = Path("demo"),
    listen: Annotated[str, typer.Option(help="Address and port.")] = "127.0.0.1:9855",
) -> None:
    """Simulate a week of 20 servers, train at demo level, and serve: the whole way in one command.

    While it runs, POST /api/v1/scenarios lets something happen to its servers; see docs/scenarios.md.
    """
    from daemon.cli.data import require_owner
    from daemon.service.demo import run_demo

    require_owner(folder, folder / "data")
    run_demo(folder, speed, listen)


def run(config: ConfigOption = None) -> None:
    """Run the service until SIGTERM."""
    from daemon.cli.data import config_file, require_owner
    from daemon.config.loading import load_config
    from daemon.service.build import build_service
    from daemon.system.logs import configure_logs

    # the watchdog ends a tick that hangs by SIGABRT; where it hung then stands in the journal
    faulthandler.enable()
    file = config_file(config)
    loaded = load_config(file)
    require_owner(loaded.data_dir)
    configure_logs(loaded.logging.level, loaded.logging.format)
    service = build_service(loaded, file)
    service.run_until_signalled()
    if service.ticking:
        # the abandoned tick's thread may sit in a request that nothing can end; its transaction is not begun or whole
        os._exit(0)
