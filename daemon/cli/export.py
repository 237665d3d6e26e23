from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import DEFAULT_CONFIG, ConfigOption

_EVERYTHING_HOURS = 24 * 9600


def export(
    file: Annotated[Path, typer.Argument(help="Metrics file to write, .parquet or .csv.")],
    hours: Annotated[
        float, typer.Option(min=0.1, max=_EVERYTHING_HOURS, help="How much, ending at the newest.")
    ] = _EVERYTHING_HOURS,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Write the history to a metrics file."""
    from daemon.cli.data import read_input
    from daemon.domain.grid import as_text
    from daemon.files.metrics_file import write_metrics_file

    panel = read_input(config, None, None, hours).panel
    write_metrics_file(file, panel)
    typer.echo(f"{file}: {len(panel.keys)} series, {as_text(panel.start)} to {as_text(panel.end)}")
