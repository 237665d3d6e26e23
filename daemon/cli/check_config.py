from pathlib import Path
from typing import Annotated

import typer


def check_config(file: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Check a configuration and name every problem in it; exit 2 if there is one."""
    from daemon.config.loading import load_config
    from daemon.schedule.cron import next_times

    config = load_config(file)
    if config.training.schedule is not None:
        next_times(config.training.schedule, config.zone)
    sources = ", ".join(f"{source.name} ({source.type})" for source in config.sources)
    typer.echo(f"{file}: good. {len(config.metrics)} metrics from {sources}; training level {config.training.level}.")
