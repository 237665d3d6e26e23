"""What the same hours of the days before saw of a threshold."""

from dataclasses import dataclass

import numpy as np

from daemon.domain.breach import QUIET_STEPS, breached, onsets, past
from daemon.domain.grid import HORIZON_STEPS, STEPS_PER_DAY, STEPS_PER_HOUR
from daemon.domain.series import Bool, Float32, Float64

DAYS = 27
HISTORY_STEPS = (DAYS + 1) * STEPS_PER_DAY
_KNOWN_SHARE = 0.5


@dataclass(frozen=True)
class PastDays:
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
    def of(cls, history: Float32, thresholds: Float32) -> "PastDays":
        """Look back from the last column of ``history``.

        Args:
            history: ``(windows, HISTORY_STEPS)``, turned so that high is bad; NaN is missing.
            thresholds: ``(windows,)``, turned likewise.
        """
        count = len(history)
        seen = [np.isfinite(history[:, _hours(day)]).mean(axis=1) > _KNOWN_SHARE for day in range(1, DAYS + 1)]
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
            quiet[some, day - 1] &= ~inside[:, hours.start - QUIET_STEPS : hours.start].any(axis=1)
            began[some, day - 1] = begins[:, hours].any(axis=1)
        steps_since = begins[:, ::-1].argmax(axis=1) + 1
        hours_since[some] = np.where(begins.any(axis=1), steps_since, HISTORY_STEPS) / STEPS_PER_HOUR
        share[some] = bad[:, -STEPS_PER_DAY:].mean(axis=1)
        return cls(quiet, began, hours_since, share)


def _hours(day: int) -> slice:
    start = HISTORY_STEPS - day * STEPS_PER_DAY
    return slice(start, start + HORIZON_STEPS)
