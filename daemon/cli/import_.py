from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import DEFAULT_CONFIG, ConfigOption


def import_(
    file: Annotated[Path, typer.Argument(help="Metrics file to read, .parquet or .csv.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take a metrics file into the history."""
    from daemon.config.loading import load_config
    from daemon.domain.series import Samples
    from daemon.files.metrics_file import read_metrics_file
    from daemon.store.sql_store import SqlStore

    loaded = load_config(config)
    panel = read_metrics_file(file)
    known = panel.select([row for row, key in enumerate(panel.keys) if key.metric in loaded.metrics])
    strange = sorted({key.metric for key in panel.keys} - set(loaded.metrics))
    store = SqlStore(loaded.store_url)
    try:
        written = store.append(Samples.from_panel(known))
    finally:
        store.close()
    typer.echo(f"{file}: {written} samples new or changed")
    if strange:
        typer.echo(f"left out, as they are not under metrics: in {config}: {', '.join(strange)}", err=True)
