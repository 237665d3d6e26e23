"""When a metric breaches its threshold."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import HORIZON_STEPS, STEPS_PER_HOUR
from daemon.domain.metric import Direction
from daemon.domain.series import Bool, Float32

BREACH_STEPS = 3
QUIET_STEPS = 2 * STEPS_PER_HOUR
ONSET_STEPS = QUIET_STEPS + BREACH_STEPS - 1
"""How many steps before it decide whether a breach is a new one."""

Number = TypeVar("Number", np.float32, np.float64, np.bool_)


def past(values: Float32, threshold: npt.ArrayLike, direction: Direction = Direction.ABOVE) -> Bool:
    """Return which values lie on the bad side of ``threshold`` or on it; a missing one does not."""
    with np.errstate(invalid="ignore"):
        limit = np.asarray(threshold)
        bad: Bool = values >= limit if direction is Direction.ABOVE else values <= limit
    return bad


def breached(bad: Bool) -> Bool:
    """Return which of ``(series, steps)`` belong to a breach: to BREACH_STEPS bad in a row."""
    begins = _held(bad)
    inside = begins.copy()
    for later in range(1, BREACH_STEPS):
        inside[:, later:] |= begins[:, :-later]
    return inside


def onsets(bad: Bool) -> Bool:
    """Return where in ``(series, steps)`` a breach begins: BREACH_STEPS bad in a row, QUIET_STEPS after the last one.

    A step or two past the threshold are no breach, and so do not put off the next. What was before the first column is
    taken as quiet; what is ONSET_STEPS after it is exact.
    """
    inside = np.cumsum(np.pad(breached(bad), ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    columns = np.arange(bad.shape[1])
    quiet: Bool = inside[:, columns] == inside[:, np.maximum(columns - QUIET_STEPS, 0)]
    return _held(bad) & quiet


def _held(bad: Bool) -> Bool:
    held = np.zeros_like(bad)
    runs = longest_held(bad)
    held[:, : runs.shape[1]] = runs
    return held


def first_onset(before: Bool, after: Bool) -> npt.NDArray[np.intp]:
    """Return the step (1 is the first of ``after``) at which the first breach begins; 0 where none does.

    Args:
        before: ``(series, ONSET_STEPS)`` what was bad up to the origin.
        after: ``(series, steps)`` what is bad after it.
    """
    begins = onsets(np.concatenate([before, after], axis=1))[:, before.shape[1] :]
    return np.where(begins.any(axis=1), begins.argmax(axis=1) + 1, 0)


def longest_held(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return at each step what the values reach for BREACH_STEPS from there on, ``(..., steps − BREACH_STEPS + 1)``."""
    held = values[..., : values.shape[-1] - BREACH_STEPS + 1]
    for later in range(1, BREACH_STEPS):
        held = np.minimum(held, values[..., later : later + held.shape[-1]])
    return held


def first_crossing(path: Float32, thresholds: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the step (1 is the first) from which ``path`` ``(series, steps)`` breaches; 0 where it never does.

    Args:
        path: turned so that high is bad.
        thresholds: ``(series,)``, turned likewise.
    """
    held = longest_held(path[:, :HORIZON_STEPS]) >= np.asarray(thresholds)[:, None]
    return np.where(held.any(axis=1), held.argmax(axis=1) + 1, 0)
