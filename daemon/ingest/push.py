"""Pushed metrics as a source: ``parse_push`` accepts or rejects each record and each value of a body separately."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import numpy as np

from daemon.config.sources import PushConfig
from daemon.core.errors import BadPush, QueryRejected
from daemon.core.metric import name_problem
from daemon.core.series import STEP_SECONDS, Samples, SeriesKey, as_text

FORMS = (
    'a record is {"timestamp", "server", "metric", "value"}, {"timestamp", "server", "<metric>": number, …} '
    'or {"timestamp", "server", "metrics": {"<metric>": number, …}}'
)
_COMMON = frozenset({"timestamp", "server", "profile", "metric", "value", "metrics"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# the nearest grid time of a datetime at either end of its range may not exist
_YEARS = (2, 9998)
_STEP = timedelta(seconds=STEP_SECONDS)
_WRITE_ISO = "write ISO 8601 in UTC, as in 2026-03-01T12:00:00Z"
_FLOAT32_MAXIMUM = float(np.finfo(np.float32).max)
_SHOWN = 60

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Rejection:
    """A part of a push that was not stored.

    Attributes:
        index: position of the record, from 0.
        field: the field of the record; empty for the record as a whole.
        reason: one machine-readable word, as in ``off_grid``.
        detail: text with the value and the fix.
    """

    index: int
    field: str
    reason: str
    detail: str


@dataclass(frozen=True)
class PushResult:
    """The samples of a push, and its rejected parts."""

    samples: Samples
    rejected: tuple[Rejection, ...]


class Refusal(Exception):
    """One field is rejected; ``reason`` is one machine-readable word, ``detail`` names the value and the fix."""

    def __init__(self, field: str, reason: str, detail: str) -> None:
        super().__init__(field, reason, detail)
        self.field, self.reason, self.detail = _safe(field), reason, detail


class Measurement(NamedTuple):
    """One value of a record, its metric, and the field that contains it."""

    field: str
    metric: str
    value: object


def grid_time(value: object) -> int:
    """Return the epoch seconds of a timestamp on the grid, however old it is."""
    if value is None:
        raise Refusal("timestamp", "missing_field", f"the record has no timestamp; {_WRITE_ISO}")
    if not isinstance(value, str):
        raise Refusal("timestamp", "wrong_type", f"{shown(value)} is not a string; {_WRITE_ISO}")
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
        raise Refusal("server", "wrong_type", f"{shown(value)} is not a string; write the server's name in quotes")
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
        raise Refusal("profile", "wrong_type", f"{shown(value)} is not a string; write the profile in quotes")
    problem = name_problem(value)
    if problem:
        raise Refusal("profile", "bad_name", f"the profile {shown(value)} {problem}; name one, or leave it out")
    return value


def wide_measurements(record: Mapping[str, Any]) -> list[Measurement]:
    """Return the measurements of a wide record: every field that no other form uses."""
    return [Measurement(field, field, value) for field, value in record.items() if field not in _COMMON]


def long_measurements(record: Mapping[str, Any]) -> list[Measurement]:
    """Return the measurement of a long record: ``metric`` and ``value``; none if it has neither."""
    if "metric" not in record and "value" not in record:
        return []
    metric = record.get("metric")
    if metric is None or "value" not in record:
        missing = "metric" if metric is None else "value"
        raise Refusal(missing, "missing_field", f"the record has no {missing}; {FORMS}")
    if not isinstance(metric, str):
        raise Refusal("metric", "wrong_type", f"{shown(metric)} is not a string; write the metric's name in quotes")
    return [Measurement("value", metric, record["value"])]


def nested_measurements(record: Mapping[str, Any]) -> list[Measurement]:
    """Return the measurements of a nested record: ``metrics``; none if it has no such field."""
    metrics = record.get("metrics", {})
    if not isinstance(metrics, dict):
        raise Refusal("metrics", "wrong_type", f"{shown(metrics)} is not an object of metrics and numbers; {FORMS}")
    return [Measurement(f"metrics.{metric}", metric, value) for metric, value in metrics.items()]


def number(field: str, value: object) -> float | None:
    """Return a value that fits into a 32-bit float; None for a missing sample."""
    if value is None:
        return None
    # true is an int in Python, but a mistake in a push
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
    """Reject a timestamp that is before ``oldest`` or more than a grid step after ``now``."""
    if timestamp > now + STEP_SECONDS:
        detail = f"{as_text(timestamp)} is after {as_text(now)}, the time here; check the sender's clock and time zone"
        raise Refusal("timestamp", "in_the_future", detail)
    if timestamp < oldest:
        detail = f"{as_text(timestamp)} is before {as_text(oldest)}, the oldest time that is stored; import older ones"
        raise Refusal("timestamp", "too_old", detail)


def shown(value: object) -> str:
    """Return a JSON value for a message, in a limited length."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, int) and value.bit_length() > 64:
        # Python does not print an integer of thousands of digits
        return f"an integer of {value.bit_length()} bits"
    return json.dumps(value, default=repr) if not isinstance(value, str) else f"'{_safe(value)}'"


def _safe(text: str) -> str:
    """Return a text that UTF-8 can encode, in a readable length."""
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return short.encode("utf-8", "backslashreplace").decode()


def parse_push(document: object, now: int, metrics: Collection[str], oldest: int) -> PushResult:
    """Return the valid samples of a push, in the order of the document, and a rejection for every other part.

    A bad timestamp or server rejects its record, a bad value only itself; null is a missing sample, not an error.
    Of two samples for the same series and time, the later one applies.

    Args:
        document: parsed JSON: a list of records, or an object with the list as ``records``. A record is long, wide
            or nested.
        now: epoch seconds (UTC); a sample may be up to one grid step after it.
        metrics: names of the configured metrics.
        oldest: epoch seconds (UTC) of the oldest sample that is stored.

    Raises:
        BadPush: ``document`` is neither a list nor such an object.
    """
    records = document.get("records") if isinstance(document, dict) else document
    if not isinstance(records, list):
        found = "an object without a list as records" if isinstance(document, dict) else shown(document)
        raise BadPush(f'the body is {found}; send a list of records, or {{"records": [...]}}, where {FORMS}')
    batch = _Batch(now, frozenset(metrics), oldest)
    for index, record in enumerate(records):
        batch.add(index, record)
    return batch.result()


class _Batch:
    """Collects the samples and rejections of one push."""

    def __init__(self, now: int, metrics: frozenset[str], oldest: int) -> None:
        self._now, self._metrics, self._oldest = now, metrics, oldest
        self._rows: dict[SeriesKey, int] = {}
        self._samples: list[tuple[int, int, float]] = []
        self._profiles: dict[str, str] = {}
        self._rejected: list[Rejection] = []

    def result(self) -> PushResult:
        series, timestamps, values = zip(*self._samples, strict=True) if self._samples else ((), (), ())
        samples = Samples(
            keys=tuple(self._rows),
            series=np.array(series, np.int32),
            timestamps=np.array(timestamps, np.int64),
            values=np.array(values, np.float32),
            profiles=self._profiles,
        )
        return PushResult(samples, tuple(self._rejected))

    def add(self, index: int, record: Any) -> None:
        if not isinstance(record, dict):
            self._rejected.append(Rejection(index, "", "wrong_type", f"the record is {shown(record)}; {FORMS}"))
            return
        timestamp = self._attempt(index, self._timestamp, record)
        server = self._attempt(index, server_name, record.get("server"))
        if timestamp is None or server is None:
            return
        forms = (long_measurements, nested_measurements, wide_measurements)
        found = [self._attempt(index, form, record) for form in forms]
        if found == [[], [], []]:
            self._rejected.append(Rejection(index, "metric", "missing_field", f"the record has no metric; {FORMS}"))
        taken = [self._take(index, timestamp, server, one) for part in found if part for one in part]
        profile = self._attempt(index, profile_name, record.get("profile"))
        if profile and any(taken):
            self._profiles[server] = profile

    def _take(self, index: int, timestamp: int, server: str, measured: Measurement) -> bool:
        value = self._attempt(index, self._value, measured)
        if value is None:
            return False
        row = self._rows.setdefault(SeriesKey(server, measured.metric), len(self._rows))
        self._samples.append((row, timestamp, value))
        return True

    def _timestamp(self, record: dict[str, object]) -> int:
        timestamp = grid_time(record.get("timestamp"))
        refuse_untimely(timestamp, self._now, self._oldest)
        return timestamp

    def _value(self, measured: Measurement) -> float | None:
        if measured.metric not in self._metrics:
            field = "metric" if measured.field == "value" else measured.field
            detail = f"the metric {shown(measured.metric)} is not configured; add it under metrics:, or leave it out"
            raise Refusal(field, "unknown_metric", detail)
        return number(measured.field, measured.value)

    def _attempt(self, index: int, step: Callable[..., _Result], argument: object) -> _Result | None:
        """Return the result of ``step``; None, and a rejection is recorded, if it raises one."""
        try:
            return step(argument)
        except Refusal as refusal:
            self._rejected.append(Rejection(index, refusal.field, refusal.reason, refusal.detail))
            return None


class PushSource:
    """Pushed metrics behind the `Source` port: they arrive by themselves, so there is nothing to fetch."""

    def __init__(self, config: PushConfig) -> None:
        self._name = config.name

    @property
    def name(self) -> str:
        """The name from the configuration."""
        return self._name

    @property
    def streams(self) -> tuple[str, ...]:
        """None: the samples arrive by themselves."""
        return ()

    @property
    def backfill_seconds(self) -> int:
        """0: there is nothing to fetch."""
        return 0

    @property
    def overlap_seconds(self) -> int:
        """0: there is no watermark."""
        return 0

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Reject the request: there is no stream.

        Raises:
            QueryRejected: always.
        """
        raise QueryRejected(f"source {self._name!r} has no stream {stream!r}: metrics are pushed to it")

    def close(self) -> None:
        """Do nothing: the senders hold the connections."""
