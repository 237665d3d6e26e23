"""What a forecast says of thresholds: how likely each is to be passed, and when."""

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
    quiet: Bool = inside[:, columns] == inside[:, np.maximum(columns - CLEAR_STEPS, 0)]
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


class Severity(StrEnum):
    """How bad it is to pass a threshold; ``info`` is an alert whose precision is below the target."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class MonitoredThreshold(NamedTuple):
    """One threshold of one series."""

    key: SeriesKey
    severity: Severity
    threshold: float
    direction: Direction
    profile: str


@dataclass(frozen=True, kw_only=True)
class Risk:
    """What is known of one threshold of one series as of a tick.

    Attributes:
        monitored: the threshold.
        probability: that a breach begins within 8 h, 0 to 1; None while the series has no recent sample.
        breached: whether the newest samples are past the threshold, as many as make a breach.
        value: the newest sample; None while there is no recent one.
        earlier: the sample of 6 h before it; None if there is none.
        median_seconds: until the median path passes the threshold; None where it does not.
        early_seconds: until the path of the bad tail's 90th percentile does; None where it does not.
        peak: the worst of the median path within 8 h, with the ends of the 80 % interval there: low, median, high.
        peak_seconds: until that.
        seen_days: on how many of the past days that were quiet before it the same hours saw a breach begin.
        same_hour_history: how many such days there are.
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
        """Seconds until the breach by the median path, or else by the 90th percentile's; None if neither does."""
        return self.early_seconds if self.median_seconds is None else self.median_seconds


@dataclass(frozen=True, kw_only=True)
class DecisionThreshold:
    """From which probability on an alert is raised for one metric and severity.

    Attributes:
        probability: raise at or above it.
        precision: share of the windows at or above it that a breach followed, where it was chosen; None if unknown.
        recall: share of the windows followed by a breach that are at or above it; None if unknown.
        reached: whether the precision is the target's at least.
        chosen_on: what it was chosen on, in words.
        windows: how many windows were at or above it there.
    """

    probability: float
    precision: float | None
    recall: float | None
    reached: bool
    chosen_on: str
    windows: int


def monitored_thresholds(key: SeriesKey, profile: str, metrics: Mapping[str, Metric]) -> Iterator[MonitoredThreshold]:
    """Yield the thresholds that a server of ``profile`` has for the series ``key``."""
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
    """Return the names of the metrics that have a threshold, be it for one profile only."""
    return frozenset(
        name
        for name, metric in metrics.items()
        if any(each.warning is not None or each.critical is not None for each in _thresholds(metric))
    )


def _thresholds(metric: Metric) -> tuple[Thresholds, ...]:
    return (metric.thresholds, *metric.profile_thresholds.values())


class RiskModel(Protocol):
    """Something that knows how likely thresholds are to be passed."""

    def risks(self, forecast: Forecast, panel: Panel, monitored: Sequence[MonitoredThreshold]) -> tuple[Risk, ...]:
        """Return what is known of each of ``monitored`` at the origin of ``forecast``, using no column after it."""
        ...

    def cut(self, metric: str, severity: Severity) -> DecisionThreshold:
        """Return from which probability on an alert is raised."""
        ...
