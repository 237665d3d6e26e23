"""Early signs of a breach: where the last day has brought a value, how fast it moves, and where the path ends.

Distances are to the threshold, once as a share of the way to it from the day's median, and once in steps of the size
that the series usually takes; so they mean the same for a disk and for a queue.
"""

import warnings

import numpy as np

from daemon.domain.grid import STEPS_PER_DAY, STEPS_PER_HOUR
from daemon.domain.quantiles import QUANTILES
from daemon.domain.series import Float32, Float64
from daemon.learning.breach.trends import Trend

_MEANS = {"15 min": 3, "1 h": 12, "3 h": 36, "12 h": 144}
_HOURS = (1, 2, 3, 6, 12, 24)
_QUANTILES = (0.1, 0.5, 0.9, 0.98)
_LEVELS = ("highest of 6 h", "lowest of 6 h", "highest of 24 h")
_SMALLEST = 1e-6

SIGNS = (
    *(f"way left from {name}" for name in (*(f"the mean of {span}" for span in _MEANS), *_LEVELS)),
    *(f"usual steps left from {name}" for name in (*(f"the mean of {span}" for span in _MEANS), *_LEVELS)),
    *(f"{name} of the trend of {hours} h" for hours in _HOURS for name in ("nearness", "steadiness")),
    *(f"how far the path's {level:g} quantile gets past it" for level in _QUANTILES),
)


def signs(history: Float32, paths: Float32, thresholds: Float32) -> Float64:
    """Return ``(windows, SIGNS)``; what is not known is 0.

    Args:
        history: ``(windows, steps)``, at least a day, turned so that high is bad, the origin last; NaN is missing.
        paths: ``(windows, HORIZON_STEPS, quantiles)``, turned likewise.
        thresholds: ``(windows,)``, turned likewise.
    """
    day = history[:, -STEPS_PER_DAY:].astype(np.float64)
    limit = thresholds.astype(np.float64)
    six_hours = day[:, -6 * STEPS_PER_HOUR :]
    with warnings.catch_warnings():
        # of nothing there is no mean: it is NaN, as it should be
        warnings.simplefilter("ignore", RuntimeWarning)
        reached = [np.nanmean(day[:, -steps:], axis=1) for steps in _MEANS.values()]
        reached += [np.nanmax(six_hours, axis=1), np.nanmin(six_hours, axis=1), np.nanmax(day, axis=1)]
        way = np.abs(limit - np.nanmedian(day, axis=1)) + _SMALLEST
        usual_step = np.nanmean(np.abs(np.diff(day, axis=1)), axis=1) + _SMALLEST
    trends = [Trend.of((day - limit[:, None]) / way[:, None], hours) for hours in _HOURS]
    columns = [(limit - level) / way for level in reached]
    columns += [np.arcsinh((limit - level) / usual_step) for level in reached]
    columns += [column for trend in trends for column in (trend.soon, trend.steady)]
    columns += [(paths[..., QUANTILES.index(level)].max(axis=1) - limit) / way for level in _QUANTILES]
    return np.asarray(np.nan_to_num(np.stack(columns, axis=1), posinf=0.0, neginf=0.0))
