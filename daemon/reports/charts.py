"""The kinds of charts in reports, in plotly's format, and what they share: colours, notes and number formats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from daemon.core.forecast import MEDIAN, QUANTILE_COLUMNS, QUANTILES
from daemon.core.scoring import INTERVALS
from daemon.core.series import STEPS_PER_HOUR, Float32, as_text
from daemon.reports.page import Chart

RATIO_NOTE = (
    "Pinball loss relative to seasonal naive, which repeats yesterday. 1 is equal, blue and below 1 is better, orange "
    "and above 1 is worse. An empty cell could not be measured."
)
RELIABILITY_NOTE = (
    "The share of actual values at or below each quantile should equal the quantile. A series that stays at one value, "
    "such as 0, equals its quantiles and so lies above the line."
)
BLUE, ORANGE, GREY = "#3987c9", "#d9782d", "#8b929b"
COLOURS = (BLUE, ORANGE, "#3a9e6e", "#9170c9", "#cf5560", "#2c9fa0", "#c4699a", "#a58a2f", GREY, "#6c5ce0")
_RATIO_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)
_DIVERGING = [[0, "#2166ac"], [0.25, "#74a9cf"], [0.5, "@paper"], [0.75, "#e8935a"], [1, "#b2401d"]]
_LARGEST_SHADE = 2.0
_LONGEST_NAME = 28
# of BLUE, and by interval
_BLUE_RGB = "57,135,201"
_OPACITY = {"96": 0.14, "80": 0.2, "50": 0.28}

Numbers = Sequence[float | None]


def label(text: str) -> str:
    """Return ``text`` escaped for plotly, which interprets some HTML tags."""
    return escape(text, quote=False)


def shortened(text: str) -> str:
    """Return ``text``, cropped to fit beside an axis."""
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


def numbers(values: Sequence[float | None]) -> list[float | None]:
    """Return ``values`` with five significant digits; None where a value is missing or not finite."""
    return [None if value is None or not math.isfinite(value) else float(f"{value:.5g}") for value in values]


def percent(share: float | None) -> str:
    """Return a share as a percentage; empty where it could not be measured."""
    return "" if share is None or not math.isfinite(share) else f"{100 * share:.1f} %"


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return an axis with a title, in the page's colours."""
    colours = {"gridcolor": "@line", "linecolor": "@line", "zerolinecolor": "@line", "tickcolor": "@line"}
    return {"title": {"text": label(title), "standoff": 10}, "automargin": True, **colours, **more}


def layout(x: dict[str, Any], y: dict[str, Any], height: int = 340, **more: Any) -> dict[str, Any]:
    """Return the layout that all charts share, with these axes."""
    return {
        "xaxis": x,
        "yaxis": y,
        "height": height,
        "margin": {"l": 10, "r": 12, "t": 10, "b": 10},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "@ink", "family": "system-ui, sans-serif", "size": 12},
        "hoverlabel": {"bgcolor": "@paper", "bordercolor": "@line", "font": {"color": "@ink"}, "namelength": -1},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        # a finger that drags wants to scroll the page
        "dragmode": False,
        **more,
    }


def line(name: str, x: Numbers, y: Numbers, colour: str, **more: Any) -> dict[str, Any]:
    """Return one line; ``more`` goes into the trace as it is."""
    trace = {"type": "scatter", "mode": "lines+markers", "name": label(name), "x": numbers(x), "y": numbers(y)}
    return {**trace, "line": {"color": colour, "width": 2}, "marker": {"color": colour, "size": 6}, **more}


def names_axis(names: Sequence[str]) -> dict[str, Any]:
    """Return a vertical axis with a place for each name, the first on top."""
    # two names with the same beginning are two places, although their cropped texts are equal
    ticks = {"tickvals": [label(name) for name in names], "ticktext": [label(shortened(name)) for name in names]}
    return axis("", type="category", autorange="reversed", ticksuffix=" ", **ticks)


def ratio_axis(title: str) -> dict[str, Any]:
    """Return a logarithmic axis whose ticks are plain ratios."""
    ticks = {"tickvals": list(_RATIO_TICKS), "ticktext": [f"{tick:g}" for tick in _RATIO_TICKS]}
    return axis(title, type="log", **ticks)


def ratio_map(title: str, rows: Mapping[str, Mapping[str, float | None]], columns: Sequence[str], note: str) -> Chart:
    """Return a heat map of ratios by row and column; 0.5 is as blue as 2 is orange."""
    names = list(rows)
    cells = [numbers([rows[name].get(column) for column in columns]) for name in names]
    shade = [[None if cell is None or cell <= 0 else math.log2(cell) for cell in row] for row in cells]
    ends = _LARGEST_SHADE
    ticks = [-2, -1, 0, 1, 2]
    trace = {
        "type": "heatmap",
        "x": list(columns),
        "y": [label(name) for name in names],
        "z": [numbers(row) for row in shade],
        "text": [["" if cell is None else f"{cell:.2f}" for cell in row] for row in cells],
        "texttemplate": "%{text}",
        "hovertemplate": "%{y}<br>%{x}: %{text}<extra></extra>",
        "zmin": -ends,
        "zmax": ends,
        "colorscale": _DIVERGING,
        "colorbar": {
            "tickvals": ticks,
            "ticktext": [f"{2.0**tick:g}" for tick in ticks],
            "outlinewidth": 0,
            "orientation": "h",
            "thickness": 8,
            "x": 0.5,
            "y": 1.01,
            "yanchor": "bottom",
        },
        "xgap": 2,
        "ygap": 2,
    }
    x = axis("horizon", type="category", showgrid=False)
    y = {**names_axis(names), "showgrid": False}
    return Chart(title, [trace], layout(x, y, 140 + 30 * max(len(names), 3)), note)


def reliability_chart(title: str, shares: Mapping[str, Mapping[str, float | None]], note: str) -> Chart:
    """Return observed against nominal shares, a line for each forecaster, beside the ideal diagonal."""
    diagonal = line("ideal", [0, 100], [0, 100], "@muted", mode="lines")
    diagonal["line"] = {"color": "@muted", "width": 1.5, "dash": "dot"}
    traces = [diagonal]
    for number, (name, observed) in enumerate(shares.items()):
        nominal = [float(level) * 100 for level in observed]
        seen = [None if share is None else share * 100 for share in observed.values()]
        traces.append(line(name, nominal, seen, COLOURS[number % len(COLOURS)]))
    x = axis("nominal share (%)", range=[-2, 102])
    return Chart(title, traces, layout(x, axis("observed share (%)", range=[-2, 102]), 420), note)


def coverage_chart(title: str, shares: Mapping[str, Mapping[str, float | None]], intervals: Sequence[str]) -> Chart:
    """Return a row of dots for each name: the share inside each interval, with a line at its nominal share."""
    names = list(shares)
    traces = []
    for number, interval in enumerate(intervals):
        inside = [shares[name].get(interval) for name in names]
        colour = COLOURS[number]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{interval} % interval",
                "x": numbers([None if share is None else share * 100 for share in inside]),
                "y": [label(name) for name in names],
                "marker": {"color": colour, "size": 10},
            }
        )
    lines = [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": float(interval),
            "x1": float(interval),
            "y0": 0,
            "y1": 1,
            "line": {"color": COLOURS[number], "width": 1.5, "dash": "dot"},
        }
        for number, interval in enumerate(intervals)
    ]
    x = axis("actual values inside (%)", range=[0, 102])
    note = "The dots should lie on the dotted line of their colour."
    return Chart(title, traces, layout(x, names_axis(names), 120 + 26 * max(len(names), 3), shapes=lines), note)


@dataclass(frozen=True, kw_only=True)
class Fan:
    """One forecast of one series.

    Attributes:
        server: name of the server.
        metric: name of the metric.
        origin: epoch seconds (UTC).
        past: ``(steps,)`` values up to the origin, included; may be empty.
        actual: ``(HORIZON_STEPS,)`` values after the origin; NaN where one is missing.
        paths: ``(HORIZON_STEPS, quantiles)``.
        unit: of the values; empty if it is not known.
        note: a sentence about it.
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
    """Return up to ``most`` forecasts of a frame of samples, spread over its metrics and servers.

    Args:
        samples: a row for each series and step, as in ``samples.parquet``.
        most: maximum number of forecasts.
        units: units by metric.
    """
    series = {
        (str(server), str(metric)): rows.sort_values("step")
        for (server, metric), rows in samples.groupby(["server", "metric"], sort=True, observed=True)
    }
    moving = {key: float(np.nanstd(rows["actual"])) > 0 for key, rows in series.items() if rows["actual"].notna().any()}
    return [_fan(key, series[key], units.get(key[1], "")) for key in varied_choice(moving, most)]


def varied_choice(moving: dict[tuple[str, str], bool], most: int) -> list[tuple[str, str]]:
    """Return up to ``most`` pairs ``(server, metric)``: the metrics in turn, each on the server chosen least so far.

    Args:
        moving: by server and metric, whether the actual values vary; those that vary come first.
        most: maximum number.
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
    server, metric = key
    return Fan(
        server=server,
        metric=metric,
        origin=origin,
        past=np.empty(0, np.float32),
        actual=rows["actual"].to_numpy(dtype=np.float32),
        paths=paths,
        unit=unit,
    )


def fan_legend(fans: Sequence[Fan]) -> str:
    """Return a sentence about the bands and lines of ``fans``."""
    when = "before and after the origin" if any(len(fan.past) for fan in fans) else "after the origin"
    bands = "The bands are the 50, 80 and 96 % intervals, the blue line is the median"
    return f"{bands}; the other line is the actual values {when}."
