"""What forewarn knows of a metric: all of it comes from the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Direction(StrEnum):
    """The side of a threshold on which a metric is bad."""

    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True)
class Thresholds:
    """Where a metric becomes a warning and where critical, in the metric's unit; None is no threshold."""

    warning: float | None = None
    critical: float | None = None


@dataclass(frozen=True)
class Metric:
    """One metric: its unit, its physical range (None is unbounded), its bad side and its thresholds.

    ``hint`` says what to look at when it is about to breach.
    """

    name: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    direction: Direction = Direction.ABOVE
    thresholds: Thresholds = Thresholds()
    profile_thresholds: Mapping[str, Thresholds] = field(default_factory=dict)
    hint: str = ""
