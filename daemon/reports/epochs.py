"""How training went, epoch by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

from daemon.domain.claims import measured
from daemon.reports.charts import BLUE, ORANGE, axis, layout, line
from daemon.reports.page import Chart, Charts, Part, Table

_MOST_TICKS = 10
_COLUMNS = {
    "train_loss": ("training loss", "{:.4f}"),
    "val_loss": ("validation loss", "{:.4f}"),
    "learning_rate": ("learning rate", "{:.2g}"),
    "time_seconds": ("time (s)", "{:.1f}"),
    "gpu_memory_mb": ("GPU memory (MB)", "{:,.0f}"),
    "samples_per_second": ("windows/s", "{:,.0f}"),
}

Epochs = Sequence[Mapping[str, Any]]


def losses(info: Mapping[str, Any], epochs: Epochs) -> list[Part]:
    """Return the curves of both losses, with the epoch whose weights were kept."""
    if len(epochs) < 2:
        return [f"A curve needs two epochs; on record: {len(epochs)}."]
    x = [_ordinal(record) for record in epochs]
    train = line("training", x, [measured(record, "train_loss") for record in epochs], ORANGE)
    validation = line("validation", x, [measured(record, "val_loss") for record in epochs], BLUE)
    traces = [train, validation]
    kept = measured(info, "best_epoch")
    for record in (record for record in epochs if kept is not None and measured(record, "epoch") == kept):
        name = f"best epoch, {_ordinal(record):.0f}"
        mark = line(name, [_ordinal(record)], [measured(record, "val_loss")], BLUE, mode="markers")
        mark["marker"] = {"color": "@ink", "size": 14, "symbol": "star", "line": {"color": "@paper", "width": 1}}
        traces.append(mark)
    y = axis("weighted pinball loss (no unit)")
    note = "The weights of the best epoch are kept. Training and validation part where the model starts to overfit."
    return [Chart("Loss by epoch", traces, layout(_epoch_axis(epochs), y), note)]


def epoch_figures(epochs: Epochs) -> list[Part]:
    """Return learning rate, time and GPU memory of each epoch, and all figures as a table."""
    rows = [
        [f"{_ordinal(record):.0f}", *(_cell(record, key, form) for key, (_, form) in _COLUMNS.items())]
        for record in epochs
    ]
    table = Table(("epoch", *(title for title, _ in _COLUMNS.values())), rows)
    if len(epochs) < 2:
        return [table]
    charts = [
        _per_epoch("Learning rate at the end of each epoch", epochs, "learning_rate", "learning rate (no unit)"),
        _per_epoch("Time of each epoch", epochs, "time_seconds", "time (s)"),
    ]
    if any(measured(record, "gpu_memory_mb") for record in epochs):
        charts.append(_per_epoch("Peak GPU memory so far", epochs, "gpu_memory_mb", "memory (MB)"))
        return [Charts(charts), table]
    return [Charts(charts), "No GPU was used, so there is no GPU memory to show.", table]


def _per_epoch(title: str, epochs: Epochs, key: str, unit: str) -> Chart:
    y = [measured(record, key) for record in epochs]
    trace = line(title, [_ordinal(record) for record in epochs], y, BLUE, showlegend=False)
    return Chart(title, [trace], layout(_epoch_axis(epochs), axis(unit, rangemode="tozero"), 240))


def _epoch_axis(epochs: Epochs) -> dict[str, Any]:
    return axis("epoch", tick0=1, dtick=1 + len(epochs) // _MOST_TICKS, tickangle=0)


def _ordinal(record: Mapping[str, Any]) -> float:
    """Return an epoch's number as people count, from 1."""
    return (measured(record, "epoch") or 0) + 1


def _cell(record: Mapping[str, Any], key: str, form: str) -> str:
    number = measured(record, key)
    return "" if number is None else form.format(number)
