"""``forewarn forecast``: a forecast of the newest data, with its table and the JSON output."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from daemon.cli.app import ConfigOption, JsonOption, ModelOption, ModelsOption, table_console
from daemon.core.forecast import HORIZONS, QUANTILE_COLUMNS, QUANTILES, Forecast, ForecasterKind
from daemon.core.series import STEP_SECONDS, as_text

_HISTORY_HOURS = 28 * 24
_MOST_LISTED = 10


def forecast(
    data: Annotated[Path | None, typer.Option(help="Metrics file instead of the store.")] = None,
    model: ModelOption = None,
    models: ModelsOption = None,
    *,
    server: Annotated[str | None, typer.Option(help="Only this server.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Forecast eight hours from the newest data."""
    import numpy as np

    from daemon.cli.data import read_input
    from daemon.core.errors import ConfigError
    from daemon.forecasting.baselines import Climatology
    from daemon.models.registry import ModelRegistry
    from daemon.models.serving import forecast_panel

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
    from daemon.network.artifact import forecaster_of

    forecaster = forecaster_of(folder, given.metrics, given.zone)
    made = forecast_panel(panel, panel.end, forecaster, Climatology(given.metrics))
    (print_json if json else print_table)(made)


def print_table(forecast: Forecast) -> None:
    """Print the median and the 80 % interval at each of HORIZONS, a row per series."""
    made_by = sorted({kind.value for kind in forecast.kinds})
    table = Table(title=f"From {as_text(forecast.origin)}, by {', '.join(made_by)}: median (10 % to 90 %)")
    table.add_column("server")
    table.add_column("metric")
    for horizon in HORIZONS:
        table.add_column(horizon, justify="right")
    table.add_column("by")
    low, middle, high = (QUANTILES.index(level) for level in (0.1, 0.5, 0.9))
    for key, path, kind in zip(forecast.keys, forecast.paths, forecast.kinds, strict=True):
        cells = [path[step - 1] for step in HORIZONS.values()]
        shown = [f"{cell[middle]:.4g} ({cell[low]:.4g} to {cell[high]:.4g})" for cell in cells]
        table.add_row(key.server, key.metric, *shown, kind.value)
    table_console().print(table)


def print_json(forecast: Forecast) -> None:
    """Print all quantile paths as one JSON document."""
    rows = zip(forecast.keys, forecast.paths, forecast.kinds, strict=True)
    steps = range(1, (forecast.paths.shape[1] if forecast.keys else 0) + 1)
    document: dict[str, Any] = {
        "origin": as_text(forecast.origin),
        "model": forecast.model,
        "times": [as_text(forecast.origin + step * STEP_SECONDS) for step in steps],
        "forecasts": [
            {
                "server": key.server,
                "metric": key.metric,
                "source": kind.value,
                "model": forecast.model if kind is ForecasterKind.MODEL else "",
                "quantiles": {name: path[:, column].tolist() for column, name in enumerate(QUANTILE_COLUMNS)},
            }
            for key, path, kind in rows
        ],
    }
    typer.echo(json.dumps(document))
