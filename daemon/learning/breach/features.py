"""What the probability of a breach is learned from: the quantile path, the past of the threshold, and the last hours.

Numbers that any threshold of any series has, so that one set of weights serves all of them.
"""

import numpy as np

from daemon.domain.breach import longest_held
from daemon.domain.grid import STEPS_PER_HOUR, STEPS_PER_WEEK
from daemon.domain.series import Float32, Float64
from daemon.learning.breach.exceedance import exceedance
from daemon.learning.breach.past_days import HISTORY_STEPS, PastDays
from daemon.learning.breach.signs import SIGNS, signs
from daemon.learning.breach.trends import LONGEST_STEPS, Trend, soonest_of_both, steady_rise

PRECEDENTS = (
    "likeliest run of the path",
    "share of the quiet days whose same hours saw a breach",
    "hours since the last breach",
    "share of the last day past the threshold",
    "distance of the threshold from the week's median",
    "breach in the same hours a week ago",
    "likeliest run after the first 4 hours",
    "breach in the same hours yesterday",
    "how soon the trends of 6 and of 24 hours reach the threshold",
    "steady rise of 3 and of 12 hours to a threshold without a breach",
)
FEATURES = (*PRECEDENTS, *SIGNS)
_LATER_STEP = 48
_LEAST = 1e-4
_SMALLEST = 1e-6
_WEEK_STRIDE = 6


def features(history: Float32, paths: Float32, thresholds: Float32, days: PastDays) -> Float64:
    """Return ``(windows, FEATURES)``.

    Args:
        history: ``(windows, HISTORY_STEPS)``, turned so that high is bad, the origin last; NaN is missing.
        paths: ``(windows, HORIZON_STEPS, quantiles)``, turned likewise.
        thresholds: ``(windows,)``, turned likewise.
        days: what the days before saw of the thresholds.
    """
    runs = longest_held(exceedance(paths, thresholds))
    share = ((days.began & days.quiet).sum(axis=1) + 0.2) / (days.quiet.sum(axis=1) + 1)
    median, spread = _middle(history)
    recent = (history[:, -LONGEST_STEPS:].astype(np.float64) - thresholds[:, None]) / spread[:, None]
    of_3, of_6, of_12, of_24 = (Trend.of(recent, hours) for hours in (3, 6, 12, 24))
    unprecedented = days.hours_since >= HISTORY_STEPS / STEPS_PER_HOUR
    columns = [
        _logit(runs.max(axis=1)),
        np.log(share),
        np.log1p(days.hours_since),
        np.log(days.share_of_day + 1e-3),
        np.arcsinh(np.nan_to_num((thresholds - median) / spread, nan=0.0)),
        days.began[:, 6],
        _logit(runs[:, _LATER_STEP:].max(axis=1)),
        days.began[:, 0],
        soonest_of_both(of_6, of_24),
        steady_rise(of_3, of_12, unprecedented),
    ]
    return np.concatenate([np.stack(columns, axis=1), signs(history, paths, thresholds)], axis=1)


def _middle(history: Float32) -> tuple[Float32, Float32]:
    """Return the last week's median and mean distance from it, ``(windows,)`` each."""
    week = np.sort(history[:, ::-1][:, :STEPS_PER_WEEK:_WEEK_STRIDE], axis=1)
    count = np.isfinite(week).sum(axis=1)
    median = np.take_along_axis(week, (np.maximum(count, 1) // 2)[:, None], axis=1)
    spread = np.nansum(np.abs(week - median), axis=1) / np.maximum(count, 1)
    return median[:, 0], np.maximum(spread, _SMALLEST).astype(np.float32)


def _logit(probability: Float64) -> Float64:
    bounded = np.clip(probability, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(bounded / (1 - bounded)))
