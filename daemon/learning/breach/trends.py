"""Whether the last hours rise towards a threshold, and how steadily.

For breaches without a precedent: of a disk that fills, neither the past days nor a network that has seen such a disk
emptied every time say what the line through its last hours says.
"""

from dataclasses import dataclass

import numpy as np

from daemon.domain.grid import HORIZON_STEPS, STEPS_PER_DAY, STEPS_PER_HOUR
from daemon.domain.series import Bool, Float64

LONGEST_STEPS = STEPS_PER_DAY
_LATEST, _SOONEST = -3.0, 1.5
_LEAST_STEADY, _MOST_STEADY = -2.0, 3.0
_KNOWN_SHARE, _FEWEST = 0.25, 3
_SMALLEST, _LEVEL = 1e-3, 1e-9


@dataclass(frozen=True)
class Trend:
    """A straight line through the last hours.

    Attributes:
        soon: ``(windows,)`` logarithm of the forecast's 8 h over the time in which the line reaches the threshold.
        steady: ``(windows,)`` logarithm of how far the line rises or falls over how far the values lie from it.
    """

    soon: Float64
    steady: Float64

    @classmethod
    def of(cls, values: Float64, hours: int) -> "Trend":
        """Fit the line to the last ``hours``; where too little of them is known it is level.

        Args:
            values: ``(windows, steps)`` above the threshold, in units of the series' spread, the origin last; NaN is
                missing.
            hours: at most those of ``values``.
        """
        steps = hours * STEPS_PER_HOUR
        recent, time = values[:, -steps:], np.arange(1.0 - steps, 1.0)
        known = np.isfinite(recent)
        count = known.sum(axis=1)
        level, middle = (_mean(each, known, count) for each in (recent, np.broadcast_to(time, recent.shape)))
        away = np.where(known, time - middle[:, None], 0)
        beside = np.where(known, recent - level[:, None], 0)
        slope = (away * beside).sum(axis=1) / np.maximum((away**2).sum(axis=1), _SMALLEST)
        slope[count < max(_FEWEST, _KNOWN_SHARE * steps)] = 0
        left = beside - slope[:, None] * away
        residual = np.sqrt((left**2).sum(axis=1) / np.maximum(count - 2, 1))
        below = slope * middle - level
        rising = slope > _LEVEL
        soon = np.full(len(values), _LATEST)
        soon[rising] = np.log(HORIZON_STEPS / np.maximum(below[rising] / slope[rising], 1))
        steady = np.log((np.abs(slope) * steps + _SMALLEST) / (residual + _SMALLEST))
        return cls(np.clip(soon, _LATEST, _SOONEST), np.clip(steady, _LEAST_STEADY, _MOST_STEADY))


def soonest_of_both(first: Trend, second: Trend) -> Float64:
    """Return ``(windows,)`` how soon the later of two trends reaches the threshold."""
    return np.minimum(first.soon, second.soon)


def steady_rise(first: Trend, second: Trend, unprecedented: Bool) -> Float64:
    """Return ``(windows,)`` how soon and how steadily both trends reach a threshold that saw no breach; 0 elsewhere.

    Args:
        first: the trend of some hours.
        second: the trend of others.
        unprecedented: ``(windows,)`` whether the history knows no breach.
    """
    soon = np.maximum(soonest_of_both(first, second) + 1, 0)
    steady = np.clip(np.minimum(first.steady, second.steady) + 0.7, 0, 2)
    return unprecedented * soon * steady


def _mean(values: Float64, known: Bool, count: np.ndarray[tuple[int, ...], np.dtype[np.int_]]) -> Float64:
    mean: Float64 = np.where(known, values, 0).sum(axis=1) / np.maximum(count, 1)
    return mean
