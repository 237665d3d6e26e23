"""A forecast for a terminal, and as a document."""

import json
from typing import Any

import typer
from rich.table import Table

from daemon.cli.tables import table_console
from daemon.domain.forecast import Forecast, ForecastSource
from daemon.domain.grid import STEP_SECONDS, as_text
from daemon.domain.quantiles import QUANTILE_COLUMNS, QUANTILES

_HORIZONS = {"30m": 6, "1h": 12, "2h": 24, "4h": 48, "8h": 96}


def print_table(forecast: Forecast) -> None:
    """Print the median and the 80 % interval at five horizons, a row per series."""
    made_by = sorted({source.value for source in forecast.sources})
    table = Table(title=f"From {as_text(forecast.origin)}, by {', '.join(made_by)}: median (10 % to 90 %)")
    table.add_column("server")
    table.add_column("metric")
    for horizon in _HORIZONS:
        table.add_column(horizon, justify="right")
    table.add_column("by")
    low, middle, high = (QUANTILES.index(level) for level in (0.1, 0.5, 0.9))
    for key, path, source in zip(forecast.keys, forecast.paths, forecast.sources, strict=True):
        cells = [path[step - 1] for step in _HORIZONS.values()]
        shown = [f"{cell[middle]:.4g} ({cell[low]:.4g} to {cell[high]:.4g})" for cell in cells]
        table.add_row(key.server, key.metric, *shown, source.value)
    table_console().print(table)


def print_json(forecast: Forecast) -> None:
    """Print one document with every quantile path in full."""
    rows = zip(forecast.keys, forecast.paths, forecast.sources, strict=True)
    steps = range(1, (forecast.paths.shape[1] if forecast.keys else 0) + 1)
    document: dict[str, Any] = {
        "origin": as_text(forecast.origin),
        "model": forecast.model,
        "times": [as_text(forecast.origin + step * STEP_SECONDS) for step in steps],
        "forecasts": [
            {
                "server": key.server,
                "metric": key.metric,
                "source": source.value,
                "model": forecast.model if source is ForecastSource.MODEL else "",
                "quantiles": {name: path[:, column].tolist() for column, name in enumerate(QUANTILE_COLUMNS)},
            }
            for key, path, source in rows
        ],
    }
    typer.echo(json.dumps(document))
