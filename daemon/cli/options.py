"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Configuration file.", show_default=True)]
DEFAULT_CONFIG = Path("config.yaml")
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
