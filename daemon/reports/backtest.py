"""The report of a backtest."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from daemon.core.scoring import BUCKETS, INTERVALS
from daemon.reports.charts import (
    BLUE,
    COLOURS,
    GREY,
    Fan,
    axis,
    coverage_chart,
    fan_chart,
    fan_legend,
    layout,
    line,
    numbers,
    ratio_axis,
    ratio_map,
    reliability_chart,
)
from daemon.reports.page import Chart, Charts, Part, Section, Table, render_page
from daemon.reports.training import RATIO_NOTE, RELIABILITY_NOTE, percent

_HOW_TO_READ = (
    "Relative loss is pinball loss over that of {reference}, as the geometric mean over series: below 1 is better. "
    "Scaled pinball and MASE are in units of the error of repeating yesterday before the first origin; WQL is twice "
    "the pinball loss over the sum of the actual values. All forecasters are scored on the same windows."
)

Document = Mapping[str, Any]


def render_backtest_report(document: Document, fans: Mapping[str, Sequence[Fan]]) -> str:
    """Return the report of a backtest as one HTML page that needs no network.

    Args:
        document: the figures of the backtest.
        fans: forecasts of the ``best`` and the ``worst`` series.
    """
    tested = document["model"] or "the baseline, as no model serves"
    sections = [
        Section("Forecasters", _forecasters(document)),
        Section("Calibration", _calibration(document)),
        Section("Skill", _skill(document)),
        Section("Series", _series(document)),
        *(_examples(kind, fans.get(kind, ())) for kind in ("best", "worst")),
    ]
    subtitle = f"forewarn, from {document['origins']} origins, {document['from']} to {document['to']}"
    return render_page(f"Backtest of {tested}", f"{subtitle}, {document['series']:,} series", sections)


def _forecasters(document: Document) -> list[Part]:
    columns = (
        "forecaster",
        "relative loss",
        "scaled pinball",
        "WQL",
        "MASE",
        *(f"{name} % held" for name in INTERVALS),
    )
    rows = []
    for name, scores in _ranked(document):
        losses = (scores[key] for key in ("relative_loss", "scaled_pinball", "weighted_quantile_loss", "mase"))
        rows.append([name, *map(_figure, losses), *(percent(scores["coverage"][each]) for each in INTERVALS)])
    missing = document["missing_text"] or "Every forecast could be made."
    return [_HOW_TO_READ.format(reference=document["reference"]), Table(columns, rows), missing.rstrip(".") + "."]


def _calibration(document: Document) -> list[Part]:
    shares = {name: scores["reliability"] for name, scores in _tested_first(document)}
    metrics = {name: scores["coverage"] for name, scores in document["metrics"].items()}
    return [
        reliability_chart("Reliability of the quantiles, by forecaster", shares, RELIABILITY_NOTE),
        coverage_chart(f"Coverage of the intervals of {document['tested']} by metric", metrics, tuple(INTERVALS)),
    ]


def _skill(document: Document) -> list[Part]:
    traces = []
    for number, (name, scores) in enumerate(_tested_first(document)):
        trace = line(name, [], list(scores["relative_loss_by_horizon"].values()), COLOURS[number % len(COLOURS)])
        width = 4 if name == document["tested"] else 1.5
        traces.append({**trace, "x": list(BUCKETS), "line": {**trace["line"], "width": width}})
    ratio = f"pinball loss over that of {document['reference']} (ratio)"
    chart = Chart(
        "Relative loss by horizon, by forecaster",
        traces,
        layout(axis("horizon", type="category"), ratio_axis(ratio), 420),
        f"Below 1 is better than {document['reference']}, which repeats yesterday.",
    )
    rows = {name: scores["relative_loss_by_horizon"] for name, scores in document["metrics"].items()}
    title = f"Relative loss of {document['tested']} by metric and horizon"
    return [chart, ratio_map(title, rows, tuple(BUCKETS), RATIO_NOTE)]


def _series(document: Document) -> list[Part]:
    found = document["series_relative_loss"]
    if not found["compared"]:
        return ["No series could be compared."]
    edges = found["edges"]
    middles = [math.sqrt(low * high) for low, high in pairwise(edges)]
    trace = {
        "type": "bar",
        "x": numbers([math.log2(middle) for middle in middles]),
        "y": found["counts"],
        "marker": {"color": [BLUE if middle < 1 else GREY for middle in middles]},
        "hovertemplate": "%{text}: %{y} series<extra></extra>",
        "text": [f"{low:.2f} to {high:.2f}" for low, high in pairwise(edges)],
        "textposition": "none",
    }
    ticks = [-2, -1, 0, 1, 2]
    names = ["≤ 0.25", "0.5", "1", "2", "≥ 4"]
    x = axis(f"pinball loss over that of {document['reference']} (ratio)", tickvals=ticks, ticktext=names)
    title = f"How many series have which relative loss of {document['tested']}"
    share = found["better"] / found["compared"]
    note = f"{found['better']:,} of {found['compared']:,} series ({percent(share)}) lie below 1, which is better."
    return [Chart(title, [trace], layout(x, axis("series (count)"), 300, bargap=0.05), note)]


def _examples(kind: str, fans: Sequence[Fan]) -> Section:
    title = f"The {len(fans)} {kind} series" if fans else f"The {kind} series"
    if not fans:
        return Section(title, ["There is none: too few series could be compared."])
    return Section(title, [f"By relative loss. {fan_legend(fans)}", Charts([fan_chart(fan) for fan in fans])])


def _ranked(document: Document) -> list[tuple[str, Mapping[str, Any]]]:
    scored = document["forecasters"].items()
    return sorted(scored, key=lambda item: math.inf if item[1]["relative_loss"] is None else item[1]["relative_loss"])


def _tested_first(document: Document) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the forecasters by rank, but the tested one first, so that it has the same colour in every report."""
    return sorted(_ranked(document), key=lambda item: item[0] != document["tested"])


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
