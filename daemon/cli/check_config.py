from pathlib import Path
from typing import Annotated

import typer


def check_config(file: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Check a configuration and name every problem in it; exit 2 if there is one."""
    from daemon.config.loading import load_config

    config = load_config(file)
    sources = ", ".join(f"{source.name} ({source.type})" for source in config.sources)
    typer.echo(f"{file}: good. {len(config.metrics)} metrics from {sources}; training level {config.training.level}.")
