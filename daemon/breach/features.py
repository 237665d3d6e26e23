"""What the probability of a breach is learned from: the quantile path, the past of the threshold, and the last hours.

Numbers that any threshold of any series has, so that one set of weights serves all of them.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from daemon.breach.definition import CLEAR_STEPS, breached, longest_held, onsets, past
from daemon.core.forecast import QUANTILES
from daemon.core.series import HORIZON_STEPS, STEPS_PER_DAY, STEPS_PER_HOUR, STEPS_PER_WEEK, Bool, Float32, Float64

_QUANTILE_LEVELS = np.asarray(QUANTILES)
_TAIL = 1 - QUANTILES[-1]
# the last two quantiles of an exponential tail lie so many of its scales apart
_TAIL_SCALES = np.log((1 - QUANTILES[-2]) / _TAIL)
_SMALLEST = 1e-6
_MOST_SCALES = 50.0


def exceedance(paths: Float32, thresholds: Float32) -> Float64:
    """Return P(value ≥ threshold) at each step, ``(windows, steps)``.

    Linear between the quantiles; beyond the outermost ones the tails are exponential, their scale that of the last two.

    Args:
        paths: ``(windows, steps, quantiles)``, sorted.
        thresholds: ``(windows,)``.
    """
    quantiles = paths.astype(np.float64)
    threshold = thresholds.astype(np.float64)[:, None]
    lower = np.clip((quantiles <= threshold[..., None]).sum(-1) - 1, 0, len(_QUANTILE_LEVELS) - 2)
    low, high = (np.take_along_axis(quantiles, (lower + up)[..., None], -1)[..., 0] for up in (0, 1))
    share = np.where(high > low, (threshold - low) / np.where(high > low, high - low, 1), 1.0)
    inside = 1 - (
        _QUANTILE_LEVELS[lower] + np.clip(share, 0, 1) * (_QUANTILE_LEVELS[lower + 1] - _QUANTILE_LEVELS[lower])
    )
    above = _TAIL * _decay(threshold - quantiles[..., -1], quantiles[..., -1] - quantiles[..., -2])
    below = 1 - _TAIL * _decay(quantiles[..., 0] - threshold, quantiles[..., 1] - quantiles[..., 0])
    beyond = np.where(threshold > quantiles[..., -1], above, inside)
    return np.where(threshold <= quantiles[..., 0], below, beyond)


def _decay(distance: Float64, between: Float64) -> Float64:
    scale = np.maximum(between / _TAIL_SCALES, _SMALLEST)
    decayed: Float64 = np.exp(-np.clip(distance / scale, 0, _MOST_SCALES))
    return decayed


DAYS = 27
HISTORY_STEPS = (DAYS + 1) * STEPS_PER_DAY
_HISTORY_KNOWN_SHARE = 0.5


@dataclass(frozen=True)
class SameHourHistory:
    """The history of thresholds before an origin.

    Attributes:
        quiet: ``(windows, DAYS)`` whether the same 8 hours, so many days ago (1 first), are known and began quiet.
        began: ``(windows, DAYS)`` whether a breach began in them.
        hours_since: ``(windows,)`` since the last breach began, at most those of the history.
        share_of_day: ``(windows,)`` of the last day's steps that were past the threshold.
    """

    quiet: Bool
    began: Bool
    hours_since: Float64
    share_of_day: Float64

    @classmethod
    def of(cls, history: Float32, thresholds: Float32) -> "SameHourHistory":
        """Look back from the last column of ``history``.

        Args:
            history: ``(windows, HISTORY_STEPS)``, turned so that high is bad; NaN is missing.
            thresholds: ``(windows,)``, turned likewise.
        """
        count = len(history)
        seen = [np.isfinite(history[:, _hours(day)]).mean(axis=1) > _HISTORY_KNOWN_SHARE for day in range(1, DAYS + 1)]
        known = np.stack(seen, axis=1) if count else np.zeros((0, DAYS), dtype=bool)
        quiet, began = known.copy(), np.zeros_like(known)
        hours_since = np.full(count, HISTORY_STEPS / STEPS_PER_HOUR)
        share = np.zeros(count)
        # most thresholds were never reached, and there is nothing to look for
        some = np.flatnonzero(np.fmax.reduce(history, axis=1, initial=-np.inf) >= thresholds)
        bad = past(history[some], thresholds[some, None])
        begins, inside = onsets(bad), breached(bad)
        for day in range(1, DAYS + 1):
            hours = _hours(day)
            quiet[some, day - 1] &= ~inside[:, hours.start - CLEAR_STEPS : hours.start].any(axis=1)
            began[some, day - 1] = begins[:, hours].any(axis=1)
        steps_since = begins[:, ::-1].argmax(axis=1) + 1
        hours_since[some] = np.where(begins.any(axis=1), steps_since, HISTORY_STEPS) / STEPS_PER_HOUR
        share[some] = bad[:, -STEPS_PER_DAY:].mean(axis=1)
        return cls(quiet, began, hours_since, share)


def _hours(day: int) -> slice:
    start = HISTORY_STEPS - day * STEPS_PER_DAY
    return slice(start, start + HORIZON_STEPS)


LONGEST_STEPS = STEPS_PER_DAY
_LATEST, _SOONEST = -3.0, 1.5
_LEAST_STEADY, _MOST_STEADY = -2.0, 3.0
_KNOWN_SHARE, _FEWEST = 0.25, 3
_SMALLEST_RISE, _LEVEL = 1e-3, 1e-9


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
        slope = (away * beside).sum(axis=1) / np.maximum((away**2).sum(axis=1), _SMALLEST_RISE)
        slope[count < max(_FEWEST, _KNOWN_SHARE * steps)] = 0
        left = beside - slope[:, None] * away
        residual = np.sqrt((left**2).sum(axis=1) / np.maximum(count - 2, 1))
        below = slope * middle - level
        rising = slope > _LEVEL
        soon = np.full(len(values), _LATEST)
        soon[rising] = np.log(HORIZON_STEPS / np.maximum(below[rising] / slope[rising], 1))
        steady = np.log((np.abs(slope) * steps + _SMALLEST_RISE) / (residual + _SMALLEST_RISE))
        return cls(np.clip(soon, _LATEST, _SOONEST), np.clip(steady, _LEAST_STEADY, _MOST_STEADY))


def later_crossing(first: Trend, second: Trend) -> Float64:
    """Return ``(windows,)`` how soon the later of two trends reaches the threshold."""
    return np.minimum(first.soon, second.soon)


def steady_rise(first: Trend, second: Trend, unprecedented: Bool) -> Float64:
    """Return ``(windows,)`` how soon and how steadily both trends reach a threshold that saw no breach; 0 elsewhere.

    Args:
        first: the trend of some hours.
        second: the trend of others.
        unprecedented: ``(windows,)`` whether the history knows no breach.
    """
    soon = np.maximum(later_crossing(first, second) + 1, 0)
    steady = np.clip(np.minimum(first.steady, second.steady) + 0.7, 0, 2)
    return unprecedented * soon * steady


def _mean(values: Float64, known: Bool, count: np.ndarray[tuple[int, ...], np.dtype[np.int_]]) -> Float64:
    mean: Float64 = np.where(known, values, 0).sum(axis=1) / np.maximum(count, 1)
    return mean


_MEANS = {"15 min": 3, "1 h": 12, "3 h": 36, "12 h": 144}
_HOURS = (1, 2, 3, 6, 12, 24)
_QUANTILES = (0.1, 0.5, 0.9, 0.98)
_LEVELS = ("highest of 6 h", "lowest of 6 h", "highest of 24 h")

LEADING_INDICATORS = (
    *(f"way left from {name}" for name in (*(f"the mean of {span}" for span in _MEANS), *_LEVELS)),
    *(f"usual steps left from {name}" for name in (*(f"the mean of {span}" for span in _MEANS), *_LEVELS)),
    *(f"{name} of the trend of {hours} h" for hours in _HOURS for name in ("nearness", "steadiness")),
    *(f"how far the path's {level:g} quantile gets past it" for level in _QUANTILES),
)


def leading_indicators(history: Float32, paths: Float32, thresholds: Float32) -> Float64:
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


RECURRENCE_FEATURES = (
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
FEATURES = (*RECURRENCE_FEATURES, *LEADING_INDICATORS)
_LATER_STEP = 48
_LEAST = 1e-4
_WEEK_STRIDE = 6


def features(history: Float32, paths: Float32, thresholds: Float32, days: SameHourHistory) -> Float64:
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
        later_crossing(of_6, of_24),
        steady_rise(of_3, of_12, unprecedented),
    ]
    return np.concatenate([np.stack(columns, axis=1), leading_indicators(history, paths, thresholds)], axis=1)


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
