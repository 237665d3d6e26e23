"""What a breach is: three consecutive steps past a threshold, after two hours without a breach.

Also the records of this room that others read: monitored thresholds, risks and decision thresholds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from daemon.core.forecast import Forecast
from daemon.core.metric import Direction, Metric, Thresholds
from daemon.core.series import HORIZON_STEPS, STEPS_PER_HOUR, Bool, Float32, Panel, SeriesKey

BREACH_STEPS = 3
CLEAR_STEPS = 2 * STEPS_PER_HOUR
ONSET_STEPS = CLEAR_STEPS + BREACH_STEPS - 1
"""Number of steps before a breach that decide whether it is an onset."""

Number = TypeVar("Number", np.float32, np.float64, np.bool_)


def past(values: Float32, threshold: npt.ArrayLike, direction: Direction = Direction.ABOVE) -> Bool:
    """Return which values lie at the threshold or on its bad side; NaN does not."""
    with np.errstate(invalid="ignore"):
        limit = np.asarray(threshold)
        bad: Bool = values >= limit if direction is Direction.ABOVE else values <= limit
    return bad


def breached(bad: Bool) -> Bool:
    """Return which of ``(series, steps)`` belong to a breach: to at least BREACH_STEPS consecutive bad steps."""
    starts = _held(bad)
    inside = starts.copy()
    for later in range(1, BREACH_STEPS):
        inside[:, later:] |= starts[:, :-later]
    return inside


def onsets(bad: Bool) -> Bool:
    """Return the onsets in ``(series, steps)``: BREACH_STEPS consecutive bad steps after CLEAR_STEPS without a breach.

    One or two bad steps are no breach and do not delay the next onset. The time before the first column counts as
    clear, so onsets are exact from column ONSET_STEPS on.
    """
    inside = np.cumsum(np.pad(breached(bad), ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    columns = np.arange(bad.shape[1])
    clear: Bool = inside[:, columns] == inside[:, np.maximum(columns - CLEAR_STEPS, 0)]
    return _held(bad) & clear


def _held(bad: Bool) -> Bool:
    held = np.zeros_like(bad)
    runs = longest_held(bad)
    held[:, : runs.shape[1]] = runs
    return held


def first_onset(before: Bool, after: Bool) -> npt.NDArray[np.intp]:
    """Return the step of the first onset, ``(series,)``; 1 is the first step of ``after``, 0 is no onset.

    Args:
        before: ``(series, ONSET_STEPS)``, bad steps up to the origin.
        after: ``(series, steps)``, bad steps after the origin.
    """
    starts = onsets(np.concatenate([before, after], axis=1))[:, before.shape[1] :]
    return np.where(starts.any(axis=1), starts.argmax(axis=1) + 1, 0)


def longest_held(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return the minimum over each run of BREACH_STEPS, by its first step, ``(..., steps − BREACH_STEPS + 1)``."""
    held = values[..., : values.shape[-1] - BREACH_STEPS + 1]
    for later in range(1, BREACH_STEPS):
        held = np.minimum(held, values[..., later : later + held.shape[-1]])
    return held


def first_crossing(path: Float32, thresholds: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the first step of the first breach of ``path``, ``(series,)``; 1 is the first step, 0 is no breach.

    Args:
        path: ``(series, steps)``, sign-normalised: high is bad.
        thresholds: ``(series,)``, sign-normalised.
    """
    held = longest_held(path[:, :HORIZON_STEPS]) >= np.asarray(thresholds)[:, None]
    return np.where(held.any(axis=1), held.argmax(axis=1) + 1, 0)


class Severity(StrEnum):
    """Severity of a threshold; ``info`` is sent for an alert whose precision is below the target."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class MonitoredThreshold(NamedTuple):
    """One threshold of one series.

    Attributes:
        key: the series.
        severity: warning or critical.
        threshold: value in the metric's unit.
        direction: the side of the threshold that is bad.
        profile: profile of the server.
    """

    key: SeriesKey
    severity: Severity
    threshold: float
    direction: Direction
    profile: str


@dataclass(frozen=True, kw_only=True)
class Risk:
    """The risk of one threshold of one series at a tick.

    Attributes:
        monitored: the threshold.
        probability: of an onset within 8 h, 0 to 1; None if the series has no recent sample.
        breached: whether the newest BREACH_STEPS samples are past the threshold.
        value: newest sample in the metric's unit; None without a recent one.
        earlier: sample 6 h before it; None if it is missing.
        median_seconds: time until the median path breaches the threshold; None if it does not.
        early_seconds: time until the path of the bad tail's 90th percentile does; None if it does not.
        peak: worst value of the median path within 8 h and the 80 % interval there: low, median, high.
        peak_seconds: time until the peak.
        seen_days: number of days of ``same_hour_history`` with an onset in the same hours.
        same_hour_history: number of days with samples in the same hours and no active breach before them.
    """

    monitored: MonitoredThreshold
    probability: float | None
    breached: bool
    value: float | None = None
    earlier: float | None = None
    median_seconds: int | None = None
    early_seconds: int | None = None
    peak: tuple[float, float, float] | None = None
    peak_seconds: int | None = None
    seen_days: int = 0
    same_hour_history: int = 0

    @property
    def breach_seconds(self) -> int | None:
        """Time until the median path breaches, or else the 90th percentile's path; None if neither does."""
        return self.early_seconds if self.median_seconds is None else self.median_seconds


@dataclass(frozen=True, kw_only=True)
class DecisionThreshold:
    """The probability from which on an alert is raised, for one metric and severity.

    Attributes:
        probability: 0 to 1; an alert is raised at or above it.
        precision: share of the windows at or above it that a breach followed, on ``chosen_on``; None if unknown.
        recall: share of the windows followed by a breach that are at or above it; None if unknown.
        reached: whether the target precision is reached.
        chosen_on: name of the set of windows that it was chosen on.
        windows: number of windows at or above it there.
    """

    probability: float
    precision: float | None
    recall: float | None
    reached: bool
    chosen_on: str
    windows: int


def monitored_thresholds(key: SeriesKey, profile: str, metrics: Mapping[str, Metric]) -> Iterator[MonitoredThreshold]:
    """Yield the thresholds of the series ``key``; one of ``profile`` replaces the general one of the same severity."""
    metric = metrics.get(key.metric)
    if metric is None:
        return
    own = metric.profile_thresholds.get(profile)
    for severity in (Severity.WARNING, Severity.CRITICAL):
        general = getattr(metric.thresholds, severity.value)
        threshold = getattr(own, severity.value, None) if own is not None else None
        threshold = general if threshold is None else threshold
        if threshold is not None:
            yield MonitoredThreshold(key, severity, float(threshold), metric.direction, profile)


def thresholded(metrics: Mapping[str, Metric]) -> frozenset[str]:
    """Return the names of the metrics that have a threshold, a general one or one of a profile."""
    return frozenset(
        name
        for name, metric in metrics.items()
        if any(each.warning is not None or each.critical is not None for each in _thresholds(metric))
    )


def _thresholds(metric: Metric) -> tuple[Thresholds, ...]:
    return (metric.thresholds, *metric.profile_thresholds.values())


class RiskModel(Protocol):
    """A model of breach probabilities and of the decision thresholds of alerts."""

    def risks(self, forecast: Forecast, panel: Panel, monitored: Sequence[MonitoredThreshold]) -> tuple[Risk, ...]:
        """Return the risk of each of ``monitored`` at the origin of ``forecast``, using no column after it."""
        ...

    def decision_threshold(self, metric: str, severity: Severity) -> DecisionThreshold:
        """Return the decision threshold of alerts for one metric and severity."""
        ...
