from zoneinfo import ZoneInfo

import numpy as np
import pytest

from daemon.domain.forecast import Forecast
from daemon.domain.ports import Forecaster
from daemon.domain.scores import relative_loss
from daemon.domain.series import Panel
from daemon.learning.climatology import Climatology
from daemon.learning.peers.boosting import fit_boosting
from daemon.learning.peers.hour_of_week import HourOfWeek
from daemon.learning.peers.points import (
    PointForecaster,
    double_exponential_smoothing,
    persistence,
    point_peers,
    predict_linear,
)
from daemon.pipeline.backtest import MODEL, REFERENCE, Backtest, ServedForecaster, backtest, missing_text
from tests.panels import daily_panel

PANEL = daily_panel(3, 16)
ORIGIN = PANEL.start + 14 * 86_400
PEERS = {"hour of week": HourOfWeek(), **point_peers()}


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_uses_nothing_after_the_origin(name: str) -> None:
    """The same past gives the same forecast, sorted and finite, whatever the future."""
    other = Panel(PANEL.keys, PANEL.start, PANEL.values.copy())
    other.values[:, 14 * 288 + 1 :] = 99
    made = PEERS[name].forecast(PANEL, ORIGIN)
    assert np.array_equal(made.paths, PEERS[name].forecast(other, ORIGIN).paths)
    assert np.isfinite(made.paths).all()
    assert (np.diff(made.paths, axis=-1) >= 0).all()
    assert made.keys == PANEL.keys


def test_boosting_learns_from_the_past_only() -> None:
    """LightGBM beats seasonal naive on a daily rhythm, and what comes after an origin changes nothing."""
    pytest.importorskip("lightgbm", reason="LightGBM is missing: pip install 'forewarn[bench]'")
    peer = fit_boosting(PANEL.between(PANEL.start, ORIGIN), ZoneInfo("UTC"), trees=60)
    other = Panel(PANEL.keys, PANEL.start, PANEL.values.copy())
    other.values[:, 14 * 288 + 1 :] = 99
    assert np.array_equal(peer.forecast(PANEL, ORIGIN).paths, peer.forecast(other, ORIGIN).paths)
    result = run({"boosting": peer})
    assert relative_loss(result.scores.sums["boosting"], result.scores.sums[REFERENCE]) < 1


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
    """A gap at the end is bridged; an hour without a sample gives no forecast."""
    values = np.full((2, 12), np.nan, dtype=np.float32)
    values[0, 7] = 3
    point = persistence(values)
    assert point[0].tolist() == [3.0] * 96
    assert np.isnan(point[1]).all()
    panel = Panel(PANEL.keys[:2], PANEL.start, np.concatenate([PANEL.values[:2, :-12], values], axis=1))
    assert PointForecaster(persistence, 12).forecast(panel, panel.end).keys == PANEL.keys[:1]


def run(others: dict[str, Forecaster], panel: Panel = PANEL, kept: list[Forecast] | None = None) -> Backtest:
    origins = range(ORIGIN, panel.end - 96 * 300, 8 * 3600)
    made = kept if kept is not None else []
    return backtest(panel, origins, ServedForecaster(None, Climatology({})), others, made.append, lambda done: None)


def test_all_are_scored_on_the_same_windows() -> None:
    """The counts of every forecaster are alike, and the reference against itself is 1."""
    result = run(dict(PEERS))
    counts = {name: sums.count.sum() for name, sums in result.scores.sums.items()}
    assert len(set(counts.values())) == 1
    assert relative_loss(result.scores.sums[REFERENCE], result.scores.sums[REFERENCE]) == 1
    assert relative_loss(result.scores.sums[MODEL], result.scores.sums["predict_linear 1h"]) < 1


def test_forecasts_that_cannot_be_made_are_reported() -> None:
    """A series without a sample in the week before an origin is named, not skipped silently."""
    panel = Panel(PANEL.keys, PANEL.start, PANEL.values.copy())
    panel.values[2, 6 * 288 :] = np.nan
    kept: list[Forecast] = []
    result = run({}, panel, kept)
    assert {key for _, key in result.missing} == {PANEL.keys[2]}
    assert len(result.missing) == len(kept)
    assert "server-01 cpu" in missing_text(result.missing)
    assert missing_text(()) == ""


def test_no_value_after_the_first_origin_changes_the_scale() -> None:
    """The in-sample error that scales the losses is measured before the first origin."""
    other = Panel(PANEL.keys, PANEL.start, PANEL.values.copy())
    other.values[:, 14 * 288 + 1 :] *= 3
    assert np.array_equal(run({}).scores.scale, run({}, other).scores.scale)
