"""The figures of a backtest for a terminal, and as a document."""

import json
import math
from collections.abc import Mapping
from typing import Any

import typer
from rich.table import Table

from daemon.cli.tables import table_console
from daemon.domain.scores import BUCKETS


def print_table(document: Mapping[str, Any]) -> None:
    """Print one table of forecasters, best first, and one of metrics."""
    console = table_console()
    tested = document["model"] or "baseline"
    title = f"{tested} from {document['origins']} origins, {document['from']} to {document['to']}"
    table = Table(title=title)
    for name in ("forecaster", "rel. loss", "scaled pinball", "WQL", "MASE", "50 %", "80 %", "96 %", *BUCKETS):
        table.add_column(name, justify="left" if name == "forecaster" else "right")
    for name, scores in sorted(document["forecasters"].items(), key=lambda item: item[1]["relative_loss"] or math.inf):
        cells = [scores["relative_loss"], scores["scaled_pinball"], scores["weighted_quantile_loss"], scores["mase"]]
        covered = [f"{share:.1%}" if share is not None else "" for share in scores["coverage"].values()]
        horizons = scores["relative_loss_by_horizon"].values()
        table.add_row(name, *map(_cell, cells), *covered, *map(_cell, horizons))
    console.print(table)
    metrics = Table(title=f"{document['tested']} by metric, pinball loss relative to {document['reference']}")
    for name in ("metric", "rel. loss", "80 %"):
        metrics.add_column(name, justify="left" if name == "metric" else "right")
    for name, scores in document["metrics"].items():
        share = scores["coverage"]["80"]
        metrics.add_row(name, _cell(scores["relative_loss"]), "" if share is None else f"{share:.1%}")
    console.print(metrics)
    if document["missing"]:
        typer.echo(document["missing_text"], err=True)


def print_json(document: Mapping[str, Any]) -> None:
    """Print the figures as one document."""
    typer.echo(json.dumps(document, allow_nan=False))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
