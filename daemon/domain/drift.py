"""Whether the servers behave as they did when the model was trained."""

import numpy as np

from daemon.domain.grid import STEP_SECONDS, STEPS_PER_DAY, STEPS_PER_WEEK
from daemon.domain.series import Float32, Panel

_DAY_SECONDS = STEPS_PER_DAY * STEP_SECONDS
_WEEK_SECONDS = STEPS_PER_WEEK * STEP_SECONDS
# on real servers a quarter of the series at most is so far from the week before, and a third of those a day later
_FAR = 0.5
_LEAST_SAMPLES = STEPS_PER_DAY // 4


def drifted_share(panel: Panel, trained_until: int, at: int) -> float | None:
    """Return the share of series whose last day is distributed unlike the last week that the model was trained on.

    Unlike is a two-sample Kolmogorov-Smirnov distance (Smirnov, 1948) above 0.5. Where that week is older than
    ``panel``, the oldest week of it stands in.

    Args:
        panel: the history.
        trained_until: epoch seconds of the newest sample that the model was trained on.
        at: epoch seconds of the newest sample there is.

    Returns:
        0 to 1; None where no series has samples of both, or the day is not past that week.
    """
    end = max(trained_until, panel.start + _WEEK_SECONDS - STEP_SECONDS)
    if at - end < _DAY_SECONDS:
        return None
    week = panel.between(end - _WEEK_SECONDS + STEP_SECONDS, end).values
    day = panel.between(at - _DAY_SECONDS + STEP_SECONDS, at).values
    distances = [_distance(*pair) for pair in zip(week, day, strict=True)]
    known = [distance for distance in distances if distance is not None]
    return sum(distance > _FAR for distance in known) / len(known) if known else None


def _distance(week: Float32, day: Float32) -> float | None:
    """Return the largest difference of two empirical distribution functions."""
    week, day = np.sort(week[np.isfinite(week)]), np.sort(day[np.isfinite(day)])
    if min(len(week), len(day)) < _LEAST_SAMPLES:
        return None
    places = np.unique(np.concatenate([week, day]))
    shares = [np.searchsorted(each, places, side="right") / len(each) for each in (week, day)]
    return float(np.abs(shares[0] - shares[1]).max())
