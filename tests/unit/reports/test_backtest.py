import math
from typing import Any

import numpy as np

from daemon.core.forecast import QUANTILES
from daemon.core.scoring import BUCKETS, Accuracy
from daemon.reports.backtest import BacktestDocument, RatioHistogram, render_backtest_report
from daemon.reports.charts import Fan
from tests.pages import Page


def scores(loss: float) -> Accuracy:
    return Accuracy(
        relative_loss=loss,
        scaled_pinball=0.2,
        weighted_quantile_loss=0.1,
        mase=math.nan,
        coverage={"50": 0.51, "80": 0.79, "96": math.nan},
        reliability={str(level): level for level in QUANTILES},
        relative_loss_by_horizon=dict.fromkeys(BUCKETS, loss),
    )


DOCUMENT = BacktestDocument(
    model="20260201T030405Z-abcdef12",
    tested="forewarn",
    reference="seasonal naive, day",
    origins=6,
    first_origin="2026-01-13T00:00:00Z",
    last_origin="2026-01-14T16:00:00Z",
    series=1234,
    forecasters={
        "persistence": scores(0.9),
        "forewarn": scores(0.65),
        "seasonal naive, day": scores(1.0),
        "silent": scores(math.nan),
        "LightGBM": scores(0.6),
    },
    metrics={"cpu": scores(0.5), "<b>": scores(1.5)},
    series_relative_loss=RatioHistogram(edges=(0.25, 0.5, 1.0, 2.0, 4.0), counts=(1, 5, 3, 1), better=6, compared=10),
    best=(),
    worst=(),
    missing=0,
    missing_text="",
)


def fan(server: str) -> Fan:
    paths = np.tile(np.arange(7, dtype=np.float32), (96, 1))
    past, actual = np.zeros(144, np.float32), np.ones(96, np.float32)
    return Fan(
        server=server,
        metric="cpu",
        origin=1_768_262_400,
        past=past,
        actual=actual,
        paths=paths,
        unit="%",
        note="Relative loss 0.500 over 96 values.",
    )


def page(**changes: Any) -> Page:
    fans = {"best": [fan("a"), fan("b")], "worst": [fan("</script><i>c")]}
    return Page(render_backtest_report(DOCUMENT.model_copy(update=changes), fans))


def test_the_forecasters_are_a_table_best_first() -> None:
    """One that could not be compared is last, and what is unknown is an empty cell."""
    made = page()
    names = [cell for cell in made.cells if cell in DOCUMENT.forecasters]
    assert names == ["LightGBM", "forewarn", "persistence", "seasonal naive, day", "silent"]
    row = made.cells[made.cells.index("forewarn") :][:8]
    assert row == ["forewarn", "0.650", "0.200", "0.100", "", "51.0 %", "79.0 %", ""]


def test_the_pictures_are_all_there() -> None:
    """Reliability, coverage, skill by horizon and by metric, the histogram, and a fan per example."""
    made = page()
    assert len(made.charts) == 5 + 3
    reliability, coverage, horizon, metrics, histogram = made.charts[:5]
    assert [trace["name"] for trace in reliability["traces"][1:3]] == ["forewarn", "LightGBM"]
    assert coverage["traces"][0]["y"] == metrics["traces"][0]["y"] == ["cpu", "&lt;b&gt;"]
    assert horizon["traces"][0]["x"] == list(BUCKETS)
    assert horizon["traces"][0]["y"] == [0.65] * 5
    assert horizon["layout"]["yaxis"]["type"] == "log"
    assert histogram["traces"][0]["y"] == [1, 5, 3, 1]
    assert histogram["traces"][0]["x"] == [-1.5, -0.5, 0.5, 1.5]
    assert "6 of 10 series (60.0 %) lie below 1" in made.text


def test_the_examples_have_their_scores() -> None:
    """Each fan has its past, its origin and its relative loss; a hostile name stays text."""
    made = page()
    assert "From 2026-01-13T00:00:00Z. Relative loss 0.500 over 96 values." in made.text
    assert "</script><i>c · cpu" in made.text
    assert "i" not in made.tags
    assert made.charts[5]["traces"][-1]["x"][0] < 0
    assert {"The 2 best series", "The 1 worst series"} <= set(made.text.splitlines())


def test_what_could_not_be_forecast_is_named() -> None:
    """And so is that no model serves, and that nothing could be compared."""
    made = page(missing=3, missing_text="3 forecasts could not be made; the first is x", model="")
    assert "3 forecasts could not be made; the first is x." in made.text
    assert "Backtest of the base network, as no model serves" in made.text
    none = DOCUMENT.series_relative_loss.model_copy(update={"compared": 0})
    empty = Page(render_backtest_report(DOCUMENT.model_copy(update={"series_relative_loss": none}), {}))
    assert "No series could be compared." in empty.text
    assert len(empty.charts) == 4
