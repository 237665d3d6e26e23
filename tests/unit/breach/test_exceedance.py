import numpy as np
import pytest

from daemon.breach.features import exceedance
from daemon.core.forecast import QUANTILES

LEVELS = np.array([0, 10, 25, 50, 75, 90, 100], np.float32)


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
