import numpy as np
import pytest

from daemon.breach.features import LONGEST_STEPS, Trend, later_crossing, steady_rise

WITHOUT_BREACH = np.array([True])


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
