"""The figures of a backtest for a terminal, and as a document."""

import json
import math
from typing import Any

import numpy as np
import typer
from rich.table import Table

from daemon.cli.tables import table_console
from daemon.domain.grid import as_text
from daemon.domain.scores import (
    BUCKETS,
    Sums,
    bucket,
    coverage,
    mase,
    relative_loss,
    scaled_pinball,
    weighted_quantile_loss,
)
from daemon.pipeline.backtest import MODEL, REFERENCE, Backtest, missing_text


def print_table(result: Backtest, model: str, origins: list[int]) -> None:
    """Print one table of forecasters, best first, and one of metrics."""
    document = figures(result, model, origins)
    console = table_console()
    title = f"{model or 'baseline'} from {len(origins)} origins, {document['from']} to {document['to']}"
    table = Table(title=title)
    for name in ("forecaster", "rel. loss", "scaled pinball", "WQL", "MASE", "50 %", "80 %", "96 %", *BUCKETS):
        table.add_column(name, justify="left" if name == "forecaster" else "right")
    for name, scores in sorted(document["forecasters"].items(), key=lambda item: item[1]["relative_loss"] or math.inf):
        cells = [scores["relative_loss"], scores["scaled_pinball"], scores["weighted_quantile_loss"], scores["mase"]]
        covered = [f"{share:.1%}" if share is not None else "" for share in scores["coverage"].values()]
        horizons = scores["relative_loss_by_horizon"].values()
        table.add_row(name, *map(_cell, cells), *covered, *map(_cell, horizons))
    console.print(table)
    metrics = Table(title=f"{MODEL} by metric, pinball loss relative to {REFERENCE}")
    for name in ("metric", "rel. loss", "80 %"):
        metrics.add_column(name, justify="left" if name == "metric" else "right")
    for name, scores in document["metrics"].items():
        metrics.add_row(name, _cell(scores["relative_loss"]), f"{scores['coverage']['80'] or 0:.1%}")
    console.print(metrics)
    if document["missing"]:
        typer.echo(document["missing_text"], err=True)


def print_json(result: Backtest, model: str, origins: list[int]) -> None:
    """Print the figures as one document."""
    typer.echo(json.dumps(figures(result, model, origins)))


def figures(result: Backtest, model: str, origins: list[int]) -> dict[str, Any]:
    """Return all figures; None where one cannot be computed."""
    reference, keys = result.scores.sums[REFERENCE], result.scores.panel.keys
    of_metric = {name: np.array([key.metric == name for key in keys]) for name in sorted({key.metric for key in keys})}
    ours = result.scores.sums[MODEL]
    document: dict[str, Any] = {
        "model": model,
        "origins": len(origins),
        "from": as_text(origins[0]),
        "to": as_text(origins[-1]),
        "series": len(keys),
        "forecasters": {
            name: _figures(sums, reference, result.scores.scale) for name, sums in result.scores.sums.items()
        },
        "metrics": {
            name: _figures(ours.select(rows), reference.select(rows), result.scores.scale[rows])
            for name, rows in of_metric.items()
        },
        "missing": len(result.missing),
        "missing_text": missing_text(result.missing),
    }
    return document


def _figures(sums: Sums, reference: Sums, scale: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> dict[str, Any]:
    return {
        "relative_loss": _known(relative_loss(sums, reference)),
        "scaled_pinball": _known(scaled_pinball(sums, scale)),
        "weighted_quantile_loss": _known(weighted_quantile_loss(sums)),
        "mase": _known(mase(sums, scale)),
        "coverage": {name: _known(share) for name, share in coverage(sums).items()},
        "relative_loss_by_horizon": {
            name: _known(relative_loss(bucket(sums, name), bucket(reference, name))) for name in BUCKETS
        },
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
