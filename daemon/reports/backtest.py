"""The document of a backtest, as ``forewarn backtest --json`` prints it, and the HTML report made of it."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field

from daemon.core.scoring import BUCKETS, INTERVALS, Accuracy
from daemon.reports.charts import (
    BLUE,
    COLOURS,
    GREY,
    RATIO_NOTE,
    RELIABILITY_NOTE,
    Fan,
    axis,
    coverage_chart,
    fan_chart,
    fan_legend,
    layout,
    line,
    numbers,
    percent,
    ratio_axis,
    ratio_map,
    reliability_chart,
)
from daemon.reports.page import Chart, Charts, Part, Section, Table, render_page

_HOW_TO_READ = (
    "Relative loss is pinball loss over that of {reference}, as the geometric mean over series: below 1 is better. "
    "Scaled pinball and MASE are in units of the error of repeating yesterday before the first origin; WQL is twice "
    "the pinball loss over the sum of the actual values. All forecasters are scored on the same windows."
)


class RatioHistogram(BaseModel):
    """Number of series by their pinball loss relative to the reference.

    Attributes:
        edges: of the bins, ascending; the outer bins hold all ratios beyond.
        counts: number of series in each bin.
        better: number of series with a ratio below 1.
        compared: number of series with a ratio.
    """

    model_config = ConfigDict(frozen=True)

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    better: int
    compared: int


class ExampleSeries(BaseModel):
    """One of the best or the worst series, its relative loss and the number of its scored values."""

    model_config = ConfigDict(frozen=True)

    server: str
    metric: str
    relative_loss: float
    values: int


class BacktestDocument(BaseModel):
    """The figures of a backtest; NaN, in JSON null, where one cannot be measured.

    Attributes:
        model: id of the tested model; empty for the base network or the baseline.
        tested: name of the tested forecaster in ``forecasters``.
        reference: name of the forecaster that losses are relative to.
        origins: number of origins.
        first_origin: in JSON ``from``.
        last_origin: in JSON ``to``.
        series: number of series.
        forecasters: accuracy of each forecaster.
        metrics: accuracy of the tested forecaster on each metric.
        series_relative_loss: histogram of the relative loss of the tested forecaster by series.
        best: series with the lowest relative loss, the lowest first.
        worst: series with the highest relative loss, the highest first.
        missing: number of forecasts that the tested forecaster could not make.
        missing_text: the same as a sentence; empty if there are none.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    tested: str
    reference: str
    origins: int
    first_origin: str = Field(serialization_alias="from")
    last_origin: str = Field(serialization_alias="to")
    series: int
    forecasters: dict[str, Accuracy]
    metrics: dict[str, Accuracy]
    series_relative_loss: RatioHistogram
    best: tuple[ExampleSeries, ...]
    worst: tuple[ExampleSeries, ...]
    missing: int
    missing_text: str


def ranked(forecasters: Mapping[str, Accuracy]) -> list[tuple[str, Accuracy]]:
    """Return the forecasters by relative loss, the best first; those without one come last."""
    return sorted(forecasters.items(), key=lambda item: (math.isnan(item[1].relative_loss), item[1].relative_loss))


def render_backtest_report(document: BacktestDocument, fans: Mapping[str, Sequence[Fan]]) -> str:
    """Return the report of a backtest as one self-contained HTML page.

    Args:
        document: the figures of the backtest.
        fans: forecasts of the ``best`` and the ``worst`` series.
    """
    tested = document.model or "the base network, as no model serves"
    sections = [
        Section("Forecasters", _forecasters(document)),
        Section("Calibration", _calibration(document)),
        Section("Skill", _skill(document)),
        Section("Series", _series(document)),
        *(_examples(kind, fans.get(kind, ())) for kind in ("best", "worst")),
    ]
    subtitle = f"forewarn, from {document.origins} origins, {document.first_origin} to {document.last_origin}"
    return render_page(f"Backtest of {tested}", f"{subtitle}, {document.series:,} series", sections)


def _forecasters(document: BacktestDocument) -> list[Part]:
    columns = (
        "forecaster",
        "relative loss",
        "scaled pinball",
        "WQL",
        "MASE",
        *(f"{name} % held" for name in INTERVALS),
    )
    rows = []
    for name, found in ranked(document.forecasters):
        losses = (found.relative_loss, found.scaled_pinball, found.weighted_quantile_loss, found.mase)
        rows.append([name, *map(_figure, losses), *(percent(found.coverage[each]) for each in INTERVALS)])
    missing = document.missing_text or "Every forecast could be made."
    return [_HOW_TO_READ.format(reference=document.reference), Table(columns, rows), missing.rstrip(".") + "."]


def _calibration(document: BacktestDocument) -> list[Part]:
    shares = {name: found.reliability for name, found in _tested_first(document)}
    metrics = {name: found.coverage for name, found in document.metrics.items()}
    return [
        reliability_chart("Reliability of the quantiles, by forecaster", shares, RELIABILITY_NOTE),
        coverage_chart(f"Coverage of the intervals of {document.tested} by metric", metrics, tuple(INTERVALS)),
    ]


def _skill(document: BacktestDocument) -> list[Part]:
    traces = []
    for number, (name, found) in enumerate(_tested_first(document)):
        trace = line(name, [], list(found.relative_loss_by_horizon.values()), COLOURS[number % len(COLOURS)])
        width = 4 if name == document.tested else 1.5
        traces.append({**trace, "x": list(BUCKETS), "line": {**trace["line"], "width": width}})
    ratio = f"pinball loss over that of {document.reference} (ratio)"
    chart = Chart(
        "Relative loss by horizon, by forecaster",
        traces,
        layout(axis("horizon", type="category"), ratio_axis(ratio), 420),
        f"Below 1 is better than {document.reference}, which repeats yesterday.",
    )
    rows = {name: found.relative_loss_by_horizon for name, found in document.metrics.items()}
    title = f"Relative loss of {document.tested} by metric and horizon"
    return [chart, ratio_map(title, rows, tuple(BUCKETS), RATIO_NOTE)]


def _series(document: BacktestDocument) -> list[Part]:
    found = document.series_relative_loss
    if not found.compared:
        return ["No series could be compared."]
    middles = [math.sqrt(low * high) for low, high in pairwise(found.edges)]
    trace = {
        "type": "bar",
        "x": numbers([math.log2(middle) for middle in middles]),
        "y": list(found.counts),
        "marker": {"color": [BLUE if middle < 1 else GREY for middle in middles]},
        "hovertemplate": "%{text}: %{y} series<extra></extra>",
        "text": [f"{low:.2f} to {high:.2f}" for low, high in pairwise(found.edges)],
        "textposition": "none",
    }
    ticks = [-2, -1, 0, 1, 2]
    names = ["≤ 0.25", "0.5", "1", "2", "≥ 4"]
    x = axis(f"pinball loss over that of {document.reference} (ratio)", tickvals=ticks, ticktext=names)
    title = f"Number of series by relative loss of {document.tested}"
    share = found.better / found.compared
    note = f"{found.better:,} of {found.compared:,} series ({percent(share)}) lie below 1, which is better."
    return [Chart(title, [trace], layout(x, axis("series (count)"), 300, bargap=0.05), note)]


def _examples(kind: str, fans: Sequence[Fan]) -> Section:
    title = f"The {len(fans)} {kind} series" if fans else f"The {kind} series"
    if not fans:
        return Section(title, ["None: too few series could be compared."])
    return Section(title, [f"By relative loss. {fan_legend(fans)}", Charts([fan_chart(fan) for fan in fans])])


def _tested_first(document: BacktestDocument) -> list[tuple[str, Accuracy]]:
    """Return the ranked forecasters with the tested one first, so that it has the same colour in every report."""
    return sorted(ranked(document.forecasters), key=lambda item: item[0] != document.tested)


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else ""
