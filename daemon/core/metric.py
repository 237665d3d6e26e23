"""A metric as the configuration describes it: names, unit, range, thresholds. Nothing in the code knows one by name."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from daemon.core.series import Float32, Panel

MAXIMUM_LENGTH = 255
# Controls, lone surrogates and line separators: each of them breaks some store, log or exposition format.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def is_calendar_day(text: str) -> bool:
    """Return whether ``text`` is a day of the calendar, as MM-DD; 02-29 is one."""
    try:
        return f"{date.fromisoformat(f'2024-{text}'):%m-%d}" == text
    except ValueError:
        return False


def name_problem(name: str) -> str | None:
    """Return why ``name`` is invalid; None if it is not blank, has at most 255 characters and no control character."""
    if not name or name.isspace():
        return "is empty"
    if len(name) > MAXIMUM_LENGTH:
        return f"has {len(name)} characters, more than {MAXIMUM_LENGTH}"
    # nearly every name is printable, and that check is fast
    if not name.isprintable() and any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in name):
        return "has a control character or a line break"
    return None


class Direction(StrEnum):
    """The side of a threshold on which a metric is bad."""

    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True)
class Thresholds:
    """Values at which a metric becomes a warning and critical, in the metric's unit; None is no threshold."""

    warning: float | None = None
    critical: float | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A configured metric.

    Attributes:
        name: identifies it in files, labels and the API.
        display_name: its name in sentences; empty for ``name``.
        unit: for people; ``1`` is a plain number.
        minimum: lowest possible value; None is unbounded.
        maximum: highest possible value; None is unbounded.
        direction: the bad side of its thresholds.
        thresholds: for servers whose profile has none.
        profile_thresholds: by profile.
        hint: what to check when a breach is predicted.
    """

    name: str
    display_name: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    direction: Direction = Direction.ABOVE
    thresholds: Thresholds = Thresholds()
    profile_thresholds: Mapping[str, Thresholds] = field(default_factory=dict)
    hint: str = ""

    @property
    def title(self) -> str:
        """The metric's name in sentences."""
        return self.display_name or self.name


_UNKNOWN = Metric(name="")


def bounds(panel: Panel, metrics: Mapping[str, Metric]) -> tuple[Float32, Float32]:
    """Return the lowest and highest possible value of each series, two arrays ``(series,)``.

    The bounds are the configured range. Without a configured minimum, a series that was never negative has minimum 0.
    """
    known = [metrics.get(key.metric, _UNKNOWN) for key in panel.keys]
    negative: npt.NDArray[np.bool_] = np.any(panel.values < 0, axis=1)
    minimum = [
        metric.minimum if metric.minimum is not None else -np.inf if below else 0.0
        for metric, below in zip(known, negative, strict=True)
    ]
    maximum = [metric.maximum if metric.maximum is not None else np.inf for metric in known]
    return np.array(minimum, dtype=np.float32), np.array(maximum, dtype=np.float32)
