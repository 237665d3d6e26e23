import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.forecast import Forecaster, ForecasterKind, empirical_quantiles
from daemon.core.metric import Metric
from daemon.core.series import Panel, SeriesKey
from daemon.forecasting.baselines import Climatology, SeasonalNaive
from daemon.forecasting.evaluation import evaluate
from tests.panels import START, daily_panel

METRICS = {"cpu": Metric(name="cpu", minimum=0, maximum=100), "mem": Metric(name="mem", minimum=10, maximum=60)}


@pytest.mark.parametrize("forecaster", [Climatology(METRICS), SeasonalNaive(METRICS)])
def test_nothing_after_the_origin_is_used(forecaster: Forecaster) -> None:
    """The same past gives the same forecast, whatever the future."""
    panel = daily_panel()
    origin = panel.start + 1500 * 300
    other = Panel(panel.keys, panel.start, panel.values.copy())
    other.values[:, 1501:] = 99
    assert np.array_equal(forecaster.forecast(panel, origin).paths, forecaster.forecast(other, origin).paths)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.99), st.integers(1, 2400))
def test_paths_are_sorted_and_in_range(seed: int, missing: float, steps: int) -> None:
    """However much is missing and however short the history, quantiles do not cross and stay in range."""
    panel = daily_panel(2, 9, seed, missing)
    panel = Panel(panel.keys, panel.start, panel.values[:, :steps])
    made = Climatology(METRICS).forecast(panel, panel.end)
    assert np.isfinite(made.paths).all()
    assert (np.diff(made.paths, axis=-1) >= 0).all()
    for key, paths in zip(made.keys, made.paths, strict=True):
        assert paths.min() >= (METRICS[key.metric].minimum or 0)
        assert paths.max() <= (METRICS[key.metric].maximum or 100)


def test_every_series_with_history_is_served_and_named() -> None:
    """An hour of history is enough; a series without any is left out; all rows say baseline."""
    panel = daily_panel(2)
    panel.values[0, :-12] = np.nan
    panel.values[1] = np.nan
    made = Climatology({}).forecast(panel, panel.end)
    assert made.keys == (panel.keys[0], *panel.keys[2:])
    assert set(made.kinds) == {ForecasterKind.BASELINE}


def test_climatology_knows_the_hour() -> None:
    """On a pure daily rhythm the median follows it."""
    panel = daily_panel(1, 8, missing=0)
    steps = np.arange(panel.steps)
    panel.values[:] = (50 + 30 * np.sin(2 * np.pi * steps / 288)).astype(np.float32)
    made = Climatology({}).forecast(panel, panel.start + 2100 * 300)
    truth = 50 + 30 * np.sin(2 * np.pi * (2100 + np.arange(1, 97)) / 288)
    assert np.abs(made.paths[0, :, 3] - truth).max() < 3


def test_a_series_never_negative_is_floored_at_zero() -> None:
    """Without a configured range, a series that was never below 0 is not forecast below it."""
    values = np.abs(np.random.default_rng(0).normal(0, 1, (1, 2400))).astype(np.float32)
    panel = Panel((SeriesKey("a", "x"),), START, values)
    assert SeasonalNaive({}).forecast(panel, panel.end).paths.min() >= 0


def test_empirical_quantiles_are_numpys() -> None:
    """Quantiles of what is there equal numpy's."""
    values = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    values[:, ::3] = np.nan
    expected = np.nanquantile(values, (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98), axis=1).T
    np.testing.assert_allclose(empirical_quantiles(values), expected, atol=1e-5)


def test_evaluation_ranks_and_measures() -> None:
    """Seasonal naive against itself is exactly 1; its intervals cover about what they say."""
    panel = daily_panel(6, 12)
    start = panel.start + 9 * 86_400
    same = evaluate(SeasonalNaive({}), panel, start, panel.end)
    assert same.skill == pytest.approx({"cpu": 1.0, "mem": 1.0})
    assert 0.5 < same.coverage["80"] < 1
    assert same.quantile_loss > 0
    assert same.origins == 16
