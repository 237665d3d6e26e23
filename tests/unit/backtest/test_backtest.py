import json
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from daemon.backtest.alerts import compare
from daemon.backtest.forecasts import (
    MODEL,
    REFERENCE,
    Backtest,
    ServedForecaster,
    backtest,
    backtest_document,
    example_fans,
    extremes,
    missing_text,
)
from daemon.breach.model import base_breach_model
from daemon.core.forecast import Forecast, Forecaster
from daemon.core.metric import Metric, Thresholds
from daemon.core.scoring import relative_loss, series_ratio
from daemon.core.series import Panel, SeriesKey
from daemon.forecasting.baselines import Climatology, HourOfWeek
from daemon.forecasting.point_rules import (
    PointForecaster,
    double_exponential_smoothing,
    persistence,
    point_peers,
    predict_linear,
)
from daemon.network.boosting import BoostingForecaster
from daemon.reports.backtest import BacktestDocument, ExampleSeries
from tests.panels import daily_panel

PANEL = daily_panel(3, 16)
ORIGIN = PANEL.start + 14 * 86_400
WITHOUT_SAMPLES = PANEL.start + 9 * 86_400 + 43_200
"""An origin after more than 7 days without samples in ``without_samples_for_a_week``."""
PEERS: dict[str, Forecaster] = {"hour of week": HourOfWeek(), **point_peers()}


def without_samples_for_a_week() -> Panel:
    """Return PANEL without the samples of its third to tenth day."""
    values = PANEL.values.copy()
    values[:, 2 * 288 : 10 * 288] = np.nan
    return Panel(PANEL.keys, PANEL.start, values)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_uses_nothing_after_the_origin(name: str) -> None:
    """The same past gives the same forecast, sorted and finite, for any future."""
    other = Panel(PANEL.keys, PANEL.start, PANEL.values.copy())
    other.values[:, 14 * 288 + 1 :] = 99
    made = PEERS[name].forecast(PANEL, ORIGIN)
    assert np.array_equal(made.paths, PEERS[name].forecast(other, ORIGIN).paths)
    assert np.isfinite(made.paths).all()
    assert (np.diff(made.paths, axis=-1) >= 0).all()
    assert made.keys == PANEL.keys


def test_an_origin_at_which_nothing_can_be_forecast_is_reported() -> None:
    """After a week without any sample every series is missing there; the other origins are scored as without it."""
    panel = without_samples_for_a_week()
    origins = [WITHOUT_SAMPLES, ORIGIN]
    served = ServedForecaster(None, Climatology({}))
    both, one = (
        backtest(panel, each, served, others=PEERS, on_forecast=lambda forecast: None, on_progress=lambda done: None)
        for each in (origins, origins[1:])
    )
    assert both.missing == tuple((origins[0], key) for key in panel.keys)
    assert one.missing == ()
    assert np.array_equal(both.scores.sums[MODEL].pinball, one.scores.sums[MODEL].pinball)


def test_boosting_forecasts_nothing_without_samples() -> None:
    """Without a sample in the last day the forecast has no series, and its paths have the usual shape."""
    silent = Panel(PANEL.keys, PANEL.start, np.full_like(PANEL.values, np.nan))
    made = BoostingForecaster((), ("cpu",), ZoneInfo("UTC")).forecast(silent, ORIGIN)
    assert (made.keys, made.paths.shape) == ((), (0, 96, 7))


def test_early_warning_has_no_window_at_an_origin_without_forecasts() -> None:
    """All windows are those of the other origin."""
    panel = without_samples_for_a_week()
    metrics = {key.metric: Metric(name=key.metric, thresholds=Thresholds(critical=1e6)) for key in panel.keys}
    compared = compare(
        panel,
        [WITHOUT_SAMPLES, ORIGIN],
        ServedForecaster(None, Climatology({})),
        model=base_breach_model(),
        others={"hour of week": HourOfWeek()},
        metrics=metrics,
    )
    assert compared.origins.tolist() == [ORIGIN] * len(panel.keys)
    assert {len(scores) for scores in compared.scores.values()} == {len(panel.keys)}


def test_predict_linear_is_prometheus() -> None:
    """The least-squares line over a gappy history equals numpy's."""
    values = np.array([[1, np.nan, 2, 5, 4, np.nan, 9]], dtype=np.float32)
    time = np.arange(-6, 1)
    seen = np.isfinite(values[0])
    slope, intercept = np.polyfit(time[seen], values[0, seen], 1)
    np.testing.assert_allclose(predict_linear(values)[0], intercept + slope * np.arange(1, 97), rtol=1e-5)


def test_double_exponential_smoothing_follows_a_line() -> None:
    """On a straight line level and trend are the line's."""
    values = np.arange(400, dtype=np.float32)[None]
    np.testing.assert_allclose(double_exponential_smoothing(values)[0, [0, 95]], [400, 495], rtol=0.01)


def test_persistence_takes_the_last_value_there_is() -> None:
    """The last value before a gap counts; an hour without a sample gives no forecast."""
    values = np.full((2, 12), np.nan, dtype=np.float32)
    values[0, 7] = 3
    point = persistence(values)
    assert point[0].tolist() == [3.0] * 96
    assert np.isnan(point[1]).all()
    panel = Panel(PANEL.keys[:2], PANEL.start, np.concatenate([PANEL.values[:2, :-12], values], axis=1))
    assert PointForecaster(persistence, 12).forecast(panel, panel.end).keys == PANEL.keys[:1]


def run(others: dict[str, Forecaster], panel: Panel = PANEL, made_forecasts: list[Forecast] | None = None) -> Backtest:
    origins = range(ORIGIN, panel.end - 96 * 300, 8 * 3600)
    made = made_forecasts if made_forecasts is not None else []
    return backtest(
        panel,
        origins,
        ServedForecaster(None, Climatology({})),
        others=others,
        on_forecast=made.append,
        on_progress=lambda done: None,
    )


def test_all_are_scored_on_the_same_windows() -> None:
    """All forecasters have the same count, and the relative loss of the reference is 1."""
    result = run(dict(PEERS))
    counts = {name: sums.count.sum() for name, sums in result.scores.sums.items()}
    assert len(set(counts.values())) == 1
    assert relative_loss(result.scores.sums[REFERENCE], result.scores.sums[REFERENCE]) == 1
    assert relative_loss(result.scores.sums[MODEL], result.scores.sums["predict_linear 1h"]) < 1


def test_forecasts_that_cannot_be_made_are_reported() -> None:
    """A series without a sample in the week before an origin is named in the document."""
    panel = Panel(PANEL.keys, PANEL.start, PANEL.values.copy())
    panel.values[2, 6 * 288 :] = np.nan
    made_forecasts: list[Forecast] = []
    result = run({}, panel, made_forecasts)
    assert {key for _, key in result.missing} == {PANEL.keys[2]}
    assert len(result.missing) == len(made_forecasts)
    assert "server-01 cpu" in missing_text(result.missing)
    assert missing_text(()) == ""


def test_no_value_after_the_first_origin_changes_the_scale() -> None:
    """The in-sample error that scales the losses is measured before the first origin."""
    other = Panel(PANEL.keys, PANEL.start, PANEL.values.copy())
    other.values[:, 14 * 288 + 1 :] *= 3
    assert np.array_equal(run({}).scores.scale, run({}, other).scores.scale)


def document(result: Backtest, model: str = "") -> BacktestDocument:
    return backtest_document(result, model, list(range(ORIGIN, PANEL.end - 96 * 300, 8 * 3600)))


def test_the_document_has_what_the_report_shows() -> None:
    """Reliability per forecaster, skill per metric and horizon, and series in the histogram; all of it is JSON."""
    result = run(dict(PEERS))
    made = json.loads(document(result, "id").model_dump_json(by_alias=True))
    assert (made["model"], made["tested"], made["reference"]) == ("id", MODEL, REFERENCE)
    assert set(made["forecasters"]) == {MODEL, REFERENCE, *PEERS}
    for scores in made["forecasters"].values():
        shares = list(scores["reliability"].values())
        assert len(shares) == 7
        assert shares == sorted(shares)
    sums = result.scores.sums[MODEL]
    rows = np.array([key.metric == "cpu" for key in PANEL.keys])
    expected = relative_loss(
        sums.select(rows).bucket("2h-4h"), result.scores.sums[REFERENCE].select(rows).bucket("2h-4h")
    )
    assert made["metrics"]["cpu"]["relative_loss_by_horizon"]["2h-4h"] == pytest.approx(expected)
    assert sum(made["series_relative_loss"]["counts"]) == made["series_relative_loss"]["compared"] == len(PANEL.keys)


def test_the_best_and_worst_series_are_those_of_least_and_most_loss() -> None:
    """Six series give three of each, none in both."""
    result = run({})
    made = document(result)
    ratio = series_ratio(result.scores.sums[MODEL], result.scores.sums[REFERENCE])
    named = [(entry.server, entry.metric) for entry in made.best + made.worst[::-1]]
    assert named == [tuple(PANEL.keys[row]) for row in np.argsort(ratio)]
    assert made.best[0].relative_loss == pytest.approx(ratio.min())


def test_of_equal_ratios_the_one_with_more_values_is_shown() -> None:
    """More values come first, a series without a ratio is left out, and no series is shown twice."""
    ratio = np.array([0.5, 0.5, np.nan, 2.0, 2.0, 0.5, 0.5, 2.0, 2.0])
    count = np.array([10, 40, 99, 10, 40, 20, 30, 20, 30])
    assert extremes(ratio, count) == ([1, 6, 5], [4, 8, 7])
    assert extremes(np.array([1.0]), np.array([5])) == ([0], [])
    assert extremes(np.array([np.nan]), np.array([5])) == ([], [])
    assert extremes(np.array([2.0, 1.0, 3.0]), np.ones(3)) == ([1, 0], [2])


def test_the_examples_are_the_forecasts_that_were_scored() -> None:
    """The second forecast equals that of the backtest, and the observed values stand beside it."""
    made_forecasts: list[Forecast] = []
    result = run({}, PANEL, made_forecasts)
    origins = [forecast.origin for forecast in made_forecasts]
    made = backtest_document(result, "", origins)
    fans = example_fans(
        made, result, ServedForecaster(None, Climatology({})), origins, {"cpu": Metric(name="cpu", unit="%")}
    )
    for entry, fan in zip([*made.best, *made.worst], [*fans["best"], *fans["worst"]], strict=True):
        key = SeriesKey(entry.server, entry.metric)
        then = next(forecast for forecast in made_forecasts if forecast.origin == fan.origin)
        row = PANEL.keys.index(key)
        assert np.array_equal(fan.paths, then.paths[then.keys.index(key)])
        assert np.array_equal(
            fan.actual, PANEL.between(fan.origin + 300, fan.origin + 28_800).values[row], equal_nan=True
        )
        assert np.array_equal(fan.past[-1:], PANEL.between(fan.origin, fan.origin).values[row], equal_nan=True)
        assert fan.unit == ("%" if key.metric == "cpu" else "")
        assert f"{entry.relative_loss:.3f} over {entry.values}" in fan.note


def test_an_example_has_the_most_observed_values_and_a_forecast() -> None:
    """An origin without a forecast or before a gap is not shown."""
    panel = Panel(PANEL.keys, PANEL.start, np.nan_to_num(PANEL.values, nan=50.0))
    panel.values[0, 15 * 288 :] = np.nan
    panel.values[1, 6 * 288 :] = np.nan
    panel.values[1, 15 * 288 + 10] = 1
    made_forecasts: list[Forecast] = []
    result = run({}, panel, made_forecasts)
    origins = [forecast.origin for forecast in made_forecasts]
    made = backtest_document(result, "", origins)
    first_two = tuple(
        ExampleSeries(server=key.server, metric=key.metric, relative_loss=1.0, values=1) for key in panel.keys[:2]
    )
    shown = made.model_copy(update={"best": first_two, "worst": ()})
    fans = example_fans(shown, result, ServedForecaster(None, Climatology({})), origins, {})["best"]
    assert np.isfinite(fans[0].actual).all()
    assert (fans[1].origin, panel.keys[1]) not in set(result.missing)
