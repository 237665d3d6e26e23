"""``forewarn run``, ``demo`` and ``check-config``."""

import faulthandler
import os
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.app import ConfigOption
from daemon.config.schema import HttpConfig


def run(config: ConfigOption = None) -> None:
    """Run the service until SIGTERM."""
    from daemon.cli.data import config_file, require_owner
    from daemon.config.loading import load_config
    from daemon.service.build import build_service
    from daemon.system.logs import configure_logs

    # the watchdog aborts a tick that hangs; the journal then has its stack trace
    faulthandler.enable()
    file = config_file(config)
    loaded = load_config(file)
    require_owner(loaded.data_dir)
    configure_logs(loaded.logging.level, loaded.logging.format)
    service = build_service(loaded, file)
    service.run_until_signalled()
    if service.ticking:
        # the thread of the abandoned tick may hang in a request that cannot be ended; its transaction is atomic
        os._exit(0)


def demo(
    speed: Annotated[float, typer.Option(min=1, max=1000, help="Speed of the clock: its seconds per second.")] = 60,
    folder: Annotated[Path, typer.Option("--dir", help="Directory of the store and the models.")] = Path("demo"),
    listen: Annotated[str, typer.Option(help="Address and port.")] = HttpConfig().listen,
) -> None:
    """Simulate a week of 20 servers, train at demo level, and serve forecasts.

    While it runs, POST /api/v1/scenarios starts an incident on its servers; see docs/scenarios.md.
    """
    from daemon.cli.data import require_owner
    from daemon.service.demo import run_demo

    require_owner(folder, folder / "data")
    run_demo(folder, speed, listen)


def check_config(file: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Check a configuration and report every problem in it; exit 2 if there is one."""
    from daemon.config.loading import load_config
    from daemon.system.scheduler import next_times

    config = load_config(file)
    if config.training.schedule is not None:
        next_times(config.training.schedule, config.zone)
    sources = ", ".join(f"{source.name} ({source.type})" for source in config.sources)
    typer.echo(f"{file}: good. {len(config.metrics)} metrics from {sources}; training level {config.training.level}.")
