"""What one pushed record says, field by field, or why a field is refused."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from daemon.domain.grid import STEP_SECONDS, as_text
from daemon.domain.names import name_problem

FORMS = (
    'a record is {"timestamp", "server", "metric", "value"}, {"timestamp", "server", "<metric>": number, …} '
    'or {"timestamp", "server", "metrics": {"<metric>": number, …}}'
)
_COMMON = frozenset({"timestamp", "server", "profile", "metric", "value", "metrics"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A datetime at either end of its range has no neighbour to name.
_YEARS = (2, 9998)
_STEP = timedelta(seconds=STEP_SECONDS)
_WRITE_ISO = "write ISO 8601 in UTC, as in 2026-03-01T12:00:00Z"
_FLOAT32_MAXIMUM = float(np.finfo(np.float32).max)
_SHOWN = 60


class Refusal(Exception):
    """One field is not taken: which, the reason as one machine word, and for people the value and the fix."""

    def __init__(self, field: str, reason: str, detail: str) -> None:
        super().__init__(field, reason, detail)
        self.field, self.reason, self.detail = _safe(field), reason, detail


class Measurement(NamedTuple):
    """One value of a record and the field that it stands in."""

    field: str
    metric: str
    value: object


def grid_time(value: object) -> int:
    """Return the epoch seconds of a timestamp; whether they are in time is not its matter."""
    if value is None:
        raise Refusal("timestamp", "missing_field", f"the record has no timestamp; {_WRITE_ISO}")
    if not isinstance(value, str):
        raise Refusal("timestamp", "wrong_type", f"{shown(value)} is not a text; {_WRITE_ISO}")
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise Refusal("timestamp", "bad_timestamp", f"{shown(value)} is not a time; {_WRITE_ISO}") from None
    if not _YEARS[0] <= moment.year <= _YEARS[1]:
        raise Refusal("timestamp", "bad_timestamp", f"{shown(value)} is in no plausible year; {_WRITE_ISO}")
    if moment.tzinfo is None:
        raise Refusal("timestamp", "no_timezone", f"{shown(value)} has no time zone; add a Z if it is in UTC")
    steps, rest = divmod(moment - _EPOCH, _STEP)
    if rest:
        nearest = (_EPOCH + (steps + (2 * rest >= _STEP)) * _STEP).isoformat()
        detail = f"{shown(value)} is off the {STEP_SECONDS} s grid; the nearest grid time is {nearest}"
        raise Refusal("timestamp", "off_grid", detail)
    return steps * STEP_SECONDS


def server_name(value: object) -> str:
    """Return the name of a server."""
    if value is None:
        raise Refusal("server", "missing_field", f"the record has no server; {FORMS}")
    if not isinstance(value, str):
        raise Refusal("server", "wrong_type", f"{shown(value)} is not a text; write the server's name in quotes")
    problem = name_problem(value)
    if problem:
        reason = "bad_name" if value.strip() else "empty_server"
        raise Refusal("server", reason, f"the server {shown(value)} {problem}; send the name of the host")
    return value


def profile_name(value: object) -> str | None:
    """Return the name of a profile; None where there is none."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refusal("profile", "wrong_type", f"{shown(value)} is not a text; write the profile in quotes")
    problem = name_problem(value)
    if problem:
        raise Refusal("profile", "bad_name", f"the profile {shown(value)} {problem}; name one, or leave it out")
    return value


def wide_measurements(record: Mapping[str, Any]) -> list[Measurement]:
    """Return what the fields of a record that are no part of the other forms measure."""
    return [Measurement(field, field, value) for field, value in record.items() if field not in _COMMON]


def long_measurements(record: Mapping[str, Any]) -> list[Measurement]:
    """Return what ``metric`` and ``value`` of a record say; nothing if it has neither."""
    if "metric" not in record and "value" not in record:
        return []
    metric = record.get("metric")
    if metric is None or "value" not in record:
        missing = "metric" if metric is None else "value"
        raise Refusal(missing, "missing_field", f"the record has no {missing}; {FORMS}")
    if not isinstance(metric, str):
        raise Refusal("metric", "wrong_type", f"{shown(metric)} is not a text; write the metric's name in quotes")
    return [Measurement("value", metric, record["value"])]


def nested_measurements(record: Mapping[str, Any]) -> list[Measurement]:
    """Return what ``metrics`` of a record says; nothing if it has none."""
    metrics = record.get("metrics", {})
    if not isinstance(metrics, dict):
        raise Refusal("metrics", "wrong_type", f"{shown(metrics)} is not an object of metrics and numbers; {FORMS}")
    return [Measurement(f"metrics.{metric}", metric, value) for metric, value in metrics.items()]


def number(field: str, value: object) -> float | None:
    """Return a value as a number that a 32-bit float can hold; None where the sample is missing."""
    if value is None:
        return None
    # To Python true is an int; to whoever sends it, it is a slip.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(
            field, "not_a_number", f"{shown(value)} is not a number; send a number, or null where it is missing"
        )
    if isinstance(value, float) and math.isnan(value):
        raise Refusal(field, "not_a_number", "NaN is not a number; send null where a sample is missing")
    if abs(value) > _FLOAT32_MAXIMUM:
        finite = isinstance(value, int) or math.isfinite(value)
        problem = "is too large for a 32-bit float" if finite else "is infinite"
        raise Refusal(field, "infinite", f"{shown(value)} {problem}; send null where there is no measurement")
    return float(value)


def refuse_untimely(timestamp: int, now: int, oldest: int) -> None:
    """Refuse a timestamp that is before ``oldest`` or more than a grid step after ``now``."""
    if timestamp > now + STEP_SECONDS:
        detail = f"{as_text(timestamp)} is after {as_text(now)}, the time here; check the sender's clock and time zone"
        raise Refusal("timestamp", "in_the_future", detail)
    if timestamp < oldest:
        detail = f"{as_text(timestamp)} is before {as_text(oldest)}, the oldest that is kept; import such in a file"
        raise Refusal("timestamp", "too_old", detail)


def shown(value: object) -> str:
    """Return a JSON value as a message shows it: short, whatever it is."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, int) and value.bit_length() > 64:
        # Python refuses to print an integer of very many digits.
        return f"an integer of {value.bit_length()} bits"
    return json.dumps(value, default=repr) if not isinstance(value, str) else f"'{_safe(value)}'"


def _safe(text: str) -> str:
    """Return a text without what no UTF-8 answer can carry, cut to a readable length."""
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return cut.encode("utf-8", "backslashreplace").decode()
