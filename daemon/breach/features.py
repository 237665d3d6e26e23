"""Features of a threshold at an origin: from the quantile paths, the threshold's history, and the last hours.

Every feature is dimensionless and defined for any threshold of any series, so one set of weights serves all of them.
All inputs are sign-normalised: high is bad.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from daemon.breach.definition import CLEAR_STEPS, breached, longest_held, onsets, past
from daemon.core.forecast import QUANTILES
from daemon.core.series import HORIZON_STEPS, STEPS_PER_DAY, STEPS_PER_HOUR, STEPS_PER_WEEK, Bool, Float32, Float64

DAYS = 27
"""Past days of the same-hour history."""

HISTORY_STEPS = (DAYS + 1) * STEPS_PER_DAY
LONGEST_STEPS = STEPS_PER_DAY
"""Steps of the longest trend."""

_MEANS = {"15 min": 3, "1 h": 12, "3 h": 36, "12 h": 144}
_HOURS = (1, 2, 3, 6, 12, 24)
_QUANTILES = (0.1, 0.5, 0.9, 0.98)
_LEVELS = ("highest of 6 h", "lowest of 6 h", "highest of 24 h")

RECURRENCE_FEATURES = (
    "most probable run of the path",
    "share of the clear days with a breach in the same hours",
    "hours since the last breach",
    "share of the last day past the threshold",
    "distance of the threshold from the week's median",
    "breach in the same hours a week ago",
    "most probable run after the first 4 hours",
    "breach in the same hours yesterday",
    "how soon the trends of 6 and of 24 hours reach the threshold",
    "steady rise of 3 and of 12 hours to a threshold without a breach",
)
LEADING_INDICATORS = (
    *(f"distance left from {name}" for name in (*(f"the mean of {span}" for span in _MEANS), *_LEVELS)),
    *(f"usual steps left from {name}" for name in (*(f"the mean of {span}" for span in _MEANS), *_LEVELS)),
    *(f"{name} of the trend of {hours} h" for hours in _HOURS for name in ("nearness", "steadiness")),
    *(f"how far the path's {level:g} quantile gets past it" for level in _QUANTILES),
)
FEATURES = (*RECURRENCE_FEATURES, *LEADING_INDICATORS)

_QUANTILE_LEVELS = np.asarray(QUANTILES)
_TAIL = 1 - QUANTILES[-1]
# distance of the last two quantiles of an exponential tail, in units of its scale
_TAIL_SCALES = np.log((1 - QUANTILES[-2]) / _TAIL)
_SMALLEST = 1e-6
_MOST_SCALES = 50.0

_HISTORY_KNOWN_SHARE = 0.5
_LATEST, _SOONEST = -3.0, 1.5
_LEAST_STEADY, _MOST_STEADY = -2.0, 3.0
_KNOWN_SHARE, _FEWEST = 0.25, 3
_SMALLEST_RISE, _LEVEL = 1e-3, 1e-9
_LATER_STEP = 48
_LEAST = 1e-4
_WEEK_STRIDE = 6


def exceedance(paths: Float32, thresholds: Float32) -> Float64:
    """Return P(value ≥ threshold) at each step, ``(windows, steps)``.

    The distribution function is linear between the quantiles. Beyond the outermost quantile the tail is exponential;
    its scale follows from the two outermost quantiles.

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


@dataclass(frozen=True)
class SameHourHistory:
    """The history of thresholds before an origin; column k of the days is k + 1 days ago.

    Attributes:
        clear: ``(windows, DAYS)``, whether the same 8 hours of that day have samples and no active breach before them.
        onset: ``(windows, DAYS)``, whether they have an onset.
        hours_since: ``(windows,)``, hours since the last onset; those of the whole history if there is none.
        share_of_day: ``(windows,)``, share of the last day's steps past the threshold, 0 to 1.
    """

    clear: Bool
    onset: Bool
    hours_since: Float64
    share_of_day: Float64

    @classmethod
    def of(cls, history: Float32, thresholds: Float32) -> "SameHourHistory":
        """Return the history of ``thresholds`` before the last column of ``history``.

        Args:
            history: ``(windows, HISTORY_STEPS)``, sign-normalised; NaN is missing.
            thresholds: ``(windows,)``, sign-normalised.
        """
        count = len(history)
        seen = [np.isfinite(history[:, _hours(day)]).mean(axis=1) > _HISTORY_KNOWN_SHARE for day in range(1, DAYS + 1)]
        known = np.stack(seen, axis=1) if count else np.zeros((0, DAYS), dtype=bool)
        clear, onset = known.copy(), np.zeros_like(known)
        hours_since = np.full(count, HISTORY_STEPS / STEPS_PER_HOUR)
        share = np.zeros(count)
        # most thresholds were never reached, so there is nothing to search
        some = np.flatnonzero(np.fmax.reduce(history, axis=1, initial=-np.inf) >= thresholds)
        bad = past(history[some], thresholds[some, None])
        starts, inside = onsets(bad), breached(bad)
        for day in range(1, DAYS + 1):
            hours = _hours(day)
            clear[some, day - 1] &= ~inside[:, hours.start - CLEAR_STEPS : hours.start].any(axis=1)
            onset[some, day - 1] = starts[:, hours].any(axis=1)
        steps_since = starts[:, ::-1].argmax(axis=1) + 1
        hours_since[some] = np.where(starts.any(axis=1), steps_since, HISTORY_STEPS) / STEPS_PER_HOUR
        share[some] = bad[:, -STEPS_PER_DAY:].mean(axis=1)
        return cls(clear, onset, hours_since, share)


def _hours(day: int) -> slice:
    start = HISTORY_STEPS - day * STEPS_PER_DAY
    return slice(start, start + HORIZON_STEPS)


@dataclass(frozen=True)
class Trend:
    """A least-squares line through the last hours.

    Attributes:
        soon: ``(windows,)``, logarithm of 8 h over the time until the line reaches the threshold.
        steady: ``(windows,)``, logarithm of the line's rise or fall over the residual deviation.
    """

    soon: Float64
    steady: Float64

    @classmethod
    def of(cls, values: Float64, hours: int) -> "Trend":
        """Fit the line to the last ``hours``; with too few samples its slope is 0.

        Args:
            values: ``(windows, steps)`` up to the origin, above the threshold, in units of the series' spread; NaN is
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
    """Return ``soon`` of the trend that reaches the threshold later, ``(windows,)``."""
    return np.minimum(first.soon, second.soon)


def steady_rise(first: Trend, second: Trend, without_breach: Bool) -> Float64:
    """Return a score of a soon and steady rise of both trends, ``(windows,)``; 0 for a threshold with a breach before.

    Args:
        first: the trend of one span.
        second: the trend of another span.
        without_breach: ``(windows,)``, whether the history has no breach.
    """
    soon = np.maximum(later_crossing(first, second) + 1, 0)
    steady = np.clip(np.minimum(first.steady, second.steady) + 0.7, 0, 2)
    return without_breach * soon * steady


def _mean(values: Float64, known: Bool, count: np.ndarray[tuple[int, ...], np.dtype[np.int_]]) -> Float64:
    mean: Float64 = np.where(known, values, 0).sum(axis=1) / np.maximum(count, 1)
    return mean


def leading_indicators(history: Float32, paths: Float32, thresholds: Float32) -> Float64:
    """Return ``(windows, LEADING_INDICATORS)``; one that cannot be computed is 0.

    Args:
        history: ``(windows, steps)`` up to the origin, at least a day, sign-normalised; NaN is missing.
        paths: ``(windows, HORIZON_STEPS, quantiles)``, sign-normalised.
        thresholds: ``(windows,)``, sign-normalised.
    """
    day = history[:, -STEPS_PER_DAY:].astype(np.float64)
    limit = thresholds.astype(np.float64)
    six_hours = day[:, -6 * STEPS_PER_HOUR :]
    with warnings.catch_warnings():
        # the mean of nothing is NaN here, not a mistake
        warnings.simplefilter("ignore", RuntimeWarning)
        reached = [np.nanmean(day[:, -steps:], axis=1) for steps in _MEANS.values()]
        reached += [np.nanmax(six_hours, axis=1), np.nanmin(six_hours, axis=1), np.nanmax(day, axis=1)]
        distance = np.abs(limit - np.nanmedian(day, axis=1)) + _SMALLEST
        usual_step = np.nanmean(np.abs(np.diff(day, axis=1)), axis=1) + _SMALLEST
    trends = [Trend.of((day - limit[:, None]) / distance[:, None], hours) for hours in _HOURS]
    columns = [(limit - level) / distance for level in reached]
    columns += [np.arcsinh((limit - level) / usual_step) for level in reached]
    columns += [column for trend in trends for column in (trend.soon, trend.steady)]
    columns += [(paths[..., QUANTILES.index(level)].max(axis=1) - limit) / distance for level in _QUANTILES]
    return np.asarray(np.nan_to_num(np.stack(columns, axis=1), posinf=0.0, neginf=0.0))


def features(history: Float32, paths: Float32, thresholds: Float32, days: SameHourHistory) -> Float64:
    """Return ``(windows, FEATURES)``.

    Args:
        history: ``(windows, HISTORY_STEPS)`` up to the origin, sign-normalised; NaN is missing.
        paths: ``(windows, HORIZON_STEPS, quantiles)``, sign-normalised.
        thresholds: ``(windows,)``, sign-normalised.
        days: the same-hour history of the thresholds.
    """
    runs = longest_held(exceedance(paths, thresholds))
    share = ((days.onset & days.clear).sum(axis=1) + 0.2) / (days.clear.sum(axis=1) + 1)
    median, spread = _middle(history)
    recent = (history[:, -LONGEST_STEPS:].astype(np.float64) - thresholds[:, None]) / spread[:, None]
    of_3, of_6, of_12, of_24 = (Trend.of(recent, hours) for hours in (3, 6, 12, 24))
    without_breach = days.hours_since >= HISTORY_STEPS / STEPS_PER_HOUR
    columns = [
        _logit(runs.max(axis=1)),
        np.log(share),
        np.log1p(days.hours_since),
        np.log(days.share_of_day + 1e-3),
        np.arcsinh(np.nan_to_num((thresholds - median) / spread, nan=0.0)),
        days.onset[:, 6],
        _logit(runs[:, _LATER_STEP:].max(axis=1)),
        days.onset[:, 0],
        later_crossing(of_6, of_24),
        steady_rise(of_3, of_12, without_breach),
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
