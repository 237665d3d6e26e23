"""What forewarn knows of a metric: all of it comes from the configuration."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from daemon.core.series import Float32, Panel


def is_calendar_day(text: str) -> bool:
    """Return whether ``text`` is a day that some year has, as MM-DD."""
    try:
        return f"{date.fromisoformat(f'2024-{text}'):%m-%d}" == text
    except ValueError:
        return False


MAXIMUM_LENGTH = 255
# Controls, lone surrogates and line separators: some store, log or exposition format chokes on each of them.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def name_problem(name: str) -> str | None:
    """Return what is wrong with ``name``, or None: not blank, at most 255 characters, none of them a control."""
    if not name or name.isspace():
        return "is empty"
    if len(name) > MAXIMUM_LENGTH:
        return f"has {len(name)} characters, more than {MAXIMUM_LENGTH}"
    # Nearly every name is printable, which is quick to see.
    if not name.isprintable() and any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in name):
        return "has a control character or a line break"
    return None


class Direction(StrEnum):
    """The side of a threshold on which a metric is bad."""

    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True)
class Thresholds:
    """Where a metric becomes a warning and where critical, in the metric's unit; None is no threshold."""

    warning: float | None = None
    critical: float | None = None


@dataclass(frozen=True, kw_only=True)
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


_UNKNOWN = Metric(name="")


def bounds(panel: Panel, metrics: Mapping[str, Metric]) -> tuple[Float32, Float32]:
    """Return the lowest and highest possible value of each series, two arrays ``(series,)``.

    The configured range, where there is one; else a series that was never negative is floored at 0.
    """
    known = [metrics.get(key.metric, _UNKNOWN) for key in panel.keys]
    negative: npt.NDArray[np.bool_] = np.any(panel.values < 0, axis=1)
    minimum = [
        metric.minimum if metric.minimum is not None else -np.inf if below else 0.0
        for metric, below in zip(known, negative, strict=True)
    ]
    maximum = [metric.maximum if metric.maximum is not None else np.inf for metric in known]
    return np.array(minimum, dtype=np.float32), np.array(maximum, dtype=np.float32)
