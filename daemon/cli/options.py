"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Configuration file.", show_default=True)]
DEFAULT_CONFIG = Path("config.yaml")
ModelsOption = Annotated[
    Path | None, typer.Option("--models", help="Folder of model directories; default from the config.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Id of a model; default is the one that serves.", metavar="ID")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
