"""When a metric breaches its threshold."""

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import STEPS_PER_HOUR
from daemon.domain.metric import Direction
from daemon.domain.series import Float32

BREACH_STEPS = 3
QUIET_STEPS = 2 * STEPS_PER_HOUR


def past(values: Float32, threshold: float, direction: Direction) -> npt.NDArray[np.bool_]:
    """Return which values lie on the bad side of ``threshold`` or on it; a missing one does not."""
    with np.errstate(invalid="ignore"):
        bad: npt.NDArray[np.bool_] = values >= threshold if direction is Direction.ABOVE else values <= threshold
    return bad


def breaches(values: Float32, threshold: float, direction: Direction) -> npt.NDArray[np.bool_]:
    """Return which rows of ``(series, steps)`` have at least BREACH_STEPS consecutive values past ``threshold``."""
    bad = past(values, threshold, direction)
    run = bad[:, : values.shape[1] - BREACH_STEPS + 1].copy()
    for later in range(1, BREACH_STEPS):
        run &= bad[:, later : later + run.shape[1]]
    found: npt.NDArray[np.bool_] = np.any(run, axis=1)
    return found
