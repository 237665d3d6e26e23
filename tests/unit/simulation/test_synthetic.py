import numpy as np

from daemon.core.series import STEPS_PER_DAY
from daemon.simulation.synthetic import synthetic


def test_synthetic_series_follow_from_their_seed() -> None:
    """Equal seeds give equal series, different seeds different ones."""
    first, again, other = (synthetic(seed, 20, 3).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not any(np.array_equal(one, two) for one, two in zip(first, other, strict=True))


def test_synthetic_series_are_finite_and_bounded() -> None:
    """Every value is finite and at most 100 in absolute value."""
    panel = synthetic(3, 200, 9)
    assert panel.values.shape == (200, 9 * STEPS_PER_DAY)
    assert np.isfinite(panel.values).all()
    assert np.abs(panel.values).max() <= 100.001


def test_synthetic_series_are_of_many_kinds() -> None:
    """Some have a daily rhythm and some do not, some are mostly idle, some have few distinct values."""
    values = synthetic(4, 300, 14).values
    rhythm = np.array([_correlation(series[STEPS_PER_DAY:], series[:-STEPS_PER_DAY]) for series in values])
    assert (rhythm > 0.7).mean() > 0.1
    assert (rhythm < 0.2).mean() > 0.1
    idle = (values == values.min(axis=1, keepdims=True)).mean(axis=1)
    assert (idle > 0.3).mean() > 0.03
    distinct = np.array([len(np.unique(series)) for series in values])
    assert (distinct < 100).mean() > 0.03


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return 0.0 if one.std() == 0 or other.std() == 0 else float(np.corrcoef(one, other)[0, 1])
