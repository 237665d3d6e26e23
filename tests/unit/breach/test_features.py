import numpy as np
import pytest

from daemon.breach.features import (
    LEADING_INDICATORS,
    LONGEST_STEPS,
    Trend,
    exceedance,
    later_crossing,
    leading_indicators,
    steady_rise,
)
from daemon.core.forecast import QUANTILES

WITHOUT_BREACH = np.array([True])
LEVELS = np.array([0, 10, 25, 50, 75, 90, 100], np.float32)


def line(steps_to_threshold: float, noise: float = 0.0, slope: float = 0.1) -> np.ndarray[tuple[int, ...], np.dtype]:
    """Return a window that rises by ``slope`` per step and reaches the threshold at this step after the origin."""
    time = np.arange(1.0 - LONGEST_STEPS, 1.0)
    scatter = np.random.default_rng(0).normal(0, noise, LONGEST_STEPS)
    return (slope * (time - steps_to_threshold) + scatter)[None]


def test_the_time_to_the_threshold() -> None:
    """A line that reaches it in 4 h needs half of the 8 h; a falling or level line never reaches it."""
    assert Trend.of(line(48), 6).soon == pytest.approx(np.log(2))
    assert Trend.of(line(192), 24).soon == pytest.approx(np.log(1 / 2))
    assert Trend.of(line(-5), 6).soon == pytest.approx(1.5)
    assert Trend.of(-line(48), 6).soon == pytest.approx(-3)
    assert Trend.of(np.full((1, LONGEST_STEPS), -2.0), 6).soon == pytest.approx(-3)


def test_missing_values_leave_the_line_as_it_is() -> None:
    """Half of the values give the same line; five or none give a level one without a warning."""
    values = line(48)
    values[:, ::2] = np.nan
    assert Trend.of(values, 6).soon == pytest.approx(np.log(2))
    values[:, :-5] = np.nan
    assert Trend.of(values, 6).soon == pytest.approx(-3)
    assert Trend.of(np.full_like(values, np.nan), 6).soon == pytest.approx(-3)


def test_noise_makes_a_rise_less_steady() -> None:
    """The rise is relative to the residual deviation."""
    clean, noisy, loud = (Trend.of(line(48, noise), 3).steady[0] for noise in (0.0, 0.5, 20.0))
    assert clean == 3
    assert noisy == pytest.approx(np.log(3.6 / 0.5), abs=0.3)
    assert loud < 0


def test_a_steady_rise_needs_both_trends_and_no_breach_before() -> None:
    """A rise of the last three hours only, or to a threshold that was breached before, scores 0."""
    rising = line(24)
    assert steady_rise(Trend.of(rising, 3), Trend.of(rising, 12), WITHOUT_BREACH)[0] > 1
    assert steady_rise(Trend.of(rising, 3), Trend.of(rising, 12), ~WITHOUT_BREACH)[0] == 0
    late = np.where(np.arange(LONGEST_STEPS) < LONGEST_STEPS - 36, -line(24)[:, ::-1], rising)
    both = Trend.of(late, 3), Trend.of(late, 12)
    assert later_crossing(*both)[0] == min(both[0].soon[0], both[1].soon[0])
    assert steady_rise(*both, WITHOUT_BREACH)[0] < 0.5


def test_leading_indicators_do_not_depend_on_the_unit() -> None:
    """A series and its threshold in another unit have the same indicators; without samples they are finite."""
    random = np.random.default_rng(0)
    history = np.cumsum(random.normal(0.05, 1, (3, 300)), axis=1).astype(np.float32)
    paths = np.sort(random.normal(10, 5, (3, 96, 7)), axis=-1).astype(np.float32)
    limit = history.max(axis=1) + 5
    found = leading_indicators(history, paths, limit)
    assert found.shape == (3, len(LEADING_INDICATORS))
    assert leading_indicators(1000 * history, 1000 * paths, 1000 * limit) == pytest.approx(found, rel=1e-3, abs=1e-3)
    assert np.isfinite(leading_indicators(np.full_like(history, np.nan), paths, limit)).all()


def test_leading_indicators_of_a_rise() -> None:
    """Halfway to the threshold half of the distance is left, and the trend has the time until it is reached."""
    history = np.concatenate([np.full(200, 40.0), np.linspace(40, 60, 100)])[None].astype(np.float32)
    found = dict(
        zip(
            LEADING_INDICATORS,
            leading_indicators(history, np.full((1, 96, 7), 60, np.float32), np.array([80], np.float32))[0],
            strict=True,
        )
    )
    assert found["distance left from the mean of 15 min"] == pytest.approx(0.5, abs=0.01)
    assert found["distance left from highest of 6 h"] == pytest.approx(0.5, abs=0.01)
    # 20 to go at 0.2 a step are 100 steps, a little more than the forecast's 96
    assert found["nearness of the trend of 3 h"] == pytest.approx(np.log(96 / 100), abs=0.02)
    assert found["how far the path's 0.5 quantile gets past it"] == pytest.approx(-0.5, abs=0.01)


def paths(windows: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.broadcast_to(LEVELS, (windows, 96, 7)).copy()


@pytest.mark.parametrize(("level", "value"), list(zip(QUANTILES, LEVELS.tolist(), strict=True)))
def test_at_a_quantile_it_is_the_quantiles_own(level: float, value: float) -> None:
    """P(value ≥ q) is one minus the level of q."""
    assert exceedance(paths(), np.array([value], np.float32))[0, 0] == pytest.approx(1 - level, abs=1e-6)


def test_it_never_rises_with_the_threshold() -> None:
    """From far below to far above it falls from 1 to 0, without a jump at the outermost quantiles."""
    thresholds = np.linspace(-50, 200, 500, dtype=np.float32)
    chance = exceedance(paths(500), thresholds)[:, 0]
    assert (np.diff(chance) <= 1e-9).all()
    assert np.abs(np.diff(chance)).max() < 0.02
    assert chance[0] > 0.99
    assert chance[-1] < 1e-4


def test_a_path_without_spread_is_a_step() -> None:
    """A constant path is past a threshold at or below it, and not past a higher one."""
    flat = np.full((2, 96, 7), 100, np.float32)
    chance = exceedance(flat, np.array([100, 100.5], np.float32))
    assert chance[0].min() > 0.97
    assert chance[1].max() < 1e-6
