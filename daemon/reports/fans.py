"""Forecasts as fans, beside what then happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from daemon.domain.grid import STEPS_PER_HOUR, as_text
from daemon.domain.quantiles import MEDIAN, QUANTILE_COLUMNS, QUANTILES
from daemon.domain.scores import INTERVALS
from daemon.domain.series import Float32
from daemon.reports.charts import BLUE, axis, layout, line, numbers, shortened
from daemon.reports.page import Chart

_BLUE_RGB = "57,135,201"
_OPACITY = {"96": 0.14, "80": 0.2, "50": 0.28}


@dataclass(frozen=True)
class Fan:
    """One forecast of one series.

    Attributes:
        server: whose it is.
        metric: what is forecast.
        origin: epoch seconds (UTC).
        past: ``(steps,)`` values up to the origin and with it; may be empty.
        actual: ``(HORIZON_STEPS,)`` what then happened; NaN where it is not known.
        paths: ``(HORIZON_STEPS, quantiles)``.
        unit: of the values; empty if it is not known.
        note: what else is to be said of it.
    """

    server: str
    metric: str
    origin: int
    past: Float32
    actual: Float32
    paths: Float32
    unit: str = ""
    note: str = ""


def fan_chart(fan: Fan) -> Chart:
    """Return bands between the quantiles, the median, and the actual values before and after the origin."""
    ahead: list[float | None] = [step / STEPS_PER_HOUR for step in range(1, len(fan.actual) + 1)]
    traces: list[dict[str, Any]] = []
    edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    for name, opacity in _OPACITY.items():
        low, high = (fan.paths[:, QUANTILES.index(level)].tolist() for level in INTERVALS[name])
        traces.append({**edge, "x": ahead, "y": numbers(low)})
        band = {"fill": "tonexty", "fillcolor": f"rgba({_BLUE_RGB},{opacity})"}
        traces.append({**edge, "x": ahead, "y": numbers(high), **band})
    median = fan.paths[:, MEDIAN].tolist()
    traces.append(line("median", ahead, median, BLUE, mode="lines", showlegend=False))
    before: list[float | None] = [(step + 1 - len(fan.past)) / STEPS_PER_HOUR for step in range(len(fan.past))]
    seen = [*fan.past.tolist(), *fan.actual.tolist()]
    actual = line("actual", [*before, *ahead], seen, "@ink", mode="lines", showlegend=False)
    actual["line"] = {"color": "@ink", "width": 1.5}
    x = axis("hours after the origin (h)", zerolinecolor="@muted", tickangle=0)
    metric = shortened(fan.metric)
    y = axis(f"{metric} ({fan.unit})" if fan.unit else metric)
    note = f"From {as_text(fan.origin)}. {fan.note}".strip()
    return Chart(f"{fan.server} · {fan.metric}", [*traces, actual], layout(x, y, 260), note)


def fans_of(samples: pd.DataFrame, most: int, units: Mapping[str, str]) -> list[Fan]:
    """Return up to ``most`` forecasts of a frame of samples, of as many metrics and servers as it has.

    Args:
        samples: a row per series and step, in the form of ``samples.parquet``.
        most: how many at most.
        units: by metric.
    """
    series = {
        (str(server), str(metric)): rows.sort_values("step")
        for (server, metric), rows in samples.groupby(["server", "metric"], sort=True, observed=True)
    }
    moving = {key: float(np.nanstd(rows["actual"])) > 0 for key, rows in series.items() if rows["actual"].notna().any()}
    return [_fan(key, series[key], units.get(key[1], "")) for key in varied_choice(moving, most)]


def varied_choice(moving: dict[tuple[str, str], bool], most: int) -> list[tuple[str, str]]:
    """Return up to ``most`` of the ``(server, metric)``: the metrics in turn, each from the server least shown so far.

    Args:
        moving: whether the actual values of each vary; those that do come first.
        most: how many at most.
    """
    left = dict(moving)
    chosen: list[tuple[str, str]] = []
    while left and len(chosen) < most:
        for metric in sorted({metric for _, metric in left}):
            shown = [server for server, _ in chosen]
            offered = [key for key in left if key[1] == metric]
            taken = min(offered, key=lambda key: (not left[key], shown.count(key[0]), key))
            del left[taken]
            chosen.append(taken)
    return chosen[:most]


def _fan(key: tuple[str, str], rows: pd.DataFrame, unit: str) -> Fan:
    origin = int(pd.Timestamp(rows["origin"].iloc[0]).timestamp())
    paths = rows[list(QUANTILE_COLUMNS)].to_numpy(dtype=np.float32)
    return Fan(*key, origin, np.empty(0, np.float32), rows["actual"].to_numpy(dtype=np.float32), paths, unit)


def fan_legend(fans: Sequence[Fan]) -> str:
    """Return in a sentence what the bands and lines of ``fans`` are."""
    when = "before and after the origin" if any(len(fan.past) for fan in fans) else "after the origin"
    bands = "The bands hold 50, 80 and 96 % of what is foreseen, the blue line is the median"
    return f"{bands}; the other line is what was measured {when}."
