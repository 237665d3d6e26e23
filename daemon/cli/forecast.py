from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

_HISTORY_HOURS = 28 * 24
_MOST_LISTED = 10


def forecast(
    data: Annotated[Path | None, typer.Option(help="Metrics file instead of the store.")] = None,
    model: Annotated[str | None, typer.Option(help="Id of a model; default is the one that serves.")] = None,
    models: Annotated[Path | None, typer.Option(help="Folder of model directories.")] = None,
    server: Annotated[str | None, typer.Option(help="Only this server.")] = None,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Forecast eight hours from the newest data."""
    import numpy as np

    from daemon.cli.data import read_input
    from daemon.cli.forecast_table import print_json, print_table
    from daemon.domain.errors import ConfigError
    from daemon.learning.climatology import Climatology
    from daemon.pipeline.forecasting import forecast_panel
    from daemon.registry.models import ModelRegistry

    given = read_input(config, data, models, _HISTORY_HOURS)
    panel, registry = given.panel, ModelRegistry(given.models)
    if server is not None:
        panel = panel.select(np.array([row for row, key in enumerate(panel.keys) if key.server == server], dtype=int))
        if not panel.keys:
            known = sorted({key.server for key in given.panel.keys})
            listed = ", ".join(known[:_MOST_LISTED]) + (", …" if len(known) > _MOST_LISTED else "")
            raise ConfigError([f"--server: no {server!r} in the history; there are: {listed}"])
    chosen = model or registry.current()
    folder = registry.path(chosen) if chosen else None
    from daemon.learning.base import forecaster_of

    forecaster = forecaster_of(folder, given.metrics, given.zone)
    made = forecast_panel(panel, panel.end, forecaster, Climatology(given.metrics))
    (print_json if json else print_table)(made)
