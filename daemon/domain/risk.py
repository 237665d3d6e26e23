"""What a forecast says of thresholds: how likely each is to be passed, and when."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from daemon.domain.metric import Direction, Metric, Thresholds
from daemon.domain.series import SeriesKey


class Severity(StrEnum):
    """How bad it is to pass a threshold; ``info`` is an alert whose precision is below the target."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Watch(NamedTuple):
    """One threshold of one series."""

    key: SeriesKey
    severity: Severity
    threshold: float
    direction: Direction
    profile: str


@dataclass(frozen=True)
class Risk:
    """What is known of one threshold of one series as of a tick.

    Attributes:
        watch: the threshold.
        probability: that a breach begins within 8 h, 0 to 1; None while the series has no recent sample.
        breached: whether the newest samples are past the threshold, as many as make a breach.
        value: the newest sample; None while there is no recent one.
        earlier: the sample of 6 h before it; None if there is none.
        median_seconds: until the median path passes the threshold; None where it does not.
        early_seconds: until the path of the bad tail's 90th percentile does; None where it does not.
        peak: the worst of the median path within 8 h, with the ends of the 80 % interval there: low, median, high.
        peak_seconds: until that.
        seen_days: on how many of the past days that were quiet before it the same hours saw a breach begin.
        past_days: how many such days there are.
    """

    watch: Watch
    probability: float | None
    breached: bool
    value: float | None = None
    earlier: float | None = None
    median_seconds: int | None = None
    early_seconds: int | None = None
    peak: tuple[float, float, float] | None = None
    peak_seconds: int | None = None
    seen_days: int = 0
    past_days: int = 0

    @property
    def breach_seconds(self) -> int | None:
        """Seconds until the breach by the median path, or else by the 90th percentile's; None if neither does."""
        return self.early_seconds if self.median_seconds is None else self.median_seconds


@dataclass(frozen=True)
class Cut:
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


def watches(key: SeriesKey, profile: str, metrics: Mapping[str, Metric]) -> Iterator[Watch]:
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
            yield Watch(key, severity, float(threshold), metric.direction, profile)


def thresholded(metrics: Mapping[str, Metric]) -> frozenset[str]:
    """Return the names of the metrics that have a threshold, be it for one profile only."""
    return frozenset(
        name
        for name, metric in metrics.items()
        if any(each.warning is not None or each.critical is not None for each in _thresholds(metric))
    )


def _thresholds(metric: Metric) -> tuple[Thresholds, ...]:
    return (metric.thresholds, *metric.profile_thresholds.values())
