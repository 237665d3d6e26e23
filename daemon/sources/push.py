"""Metrics that others send: the body of ``POST /api/v1/metrics``, each record and value judged on its own."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from daemon.domain.errors import BadPush, QueryRejected
from daemon.domain.series import Samples, SeriesKey
from daemon.sources.push_record import (
    FORMS,
    Measurement,
    Refusal,
    grid_time,
    long_measurements,
    nested_measurements,
    number,
    profile_name,
    refuse_untimely,
    server_name,
    shown,
    wide_measurements,
)

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Rejection:
    """What of a push was not taken.

    Attributes:
        index: position of the record, from 0.
        field: the field of the record; empty if it is the record as a whole.
        reason: one machine word, as in ``off_grid``.
        detail: the value and the fix, for people.
    """

    index: int
    field: str
    reason: str
    detail: str


@dataclass(frozen=True)
class PushResult:
    """The samples that a push brought, and what of it was rejected."""

    samples: Samples
    rejected: tuple[Rejection, ...]


class PushSource:
    """What others push, behind the `Source` port: there is nothing to ask it for."""

    def __init__(self, name: str, backfill_seconds: int = 0) -> None:
        self._name = name
        self._backfill_seconds = backfill_seconds

    @property
    def name(self) -> str:
        """The name from the configuration."""
        return self._name

    @property
    def streams(self) -> tuple[str, ...]:
        """None: the samples come by themselves."""
        return ()

    @property
    def backfill_seconds(self) -> int:
        """How far before now a gap would be worth asking for."""
        return self._backfill_seconds

    @property
    def overlap_seconds(self) -> int:
        """Nothing: there is no watermark to ask before."""
        return 0

    def fetch(self, stream: str, start: int, end: int) -> Samples:
        """Refuse: there is no stream.

        Raises:
            QueryRejected: always.
        """
        raise QueryRejected(f"source {self._name!r} has no stream {stream!r}: it takes what is pushed to it")

    def close(self) -> None:
        """Release nothing: whoever pushes holds the connection."""


def parse_push(document: object, now: int, metrics: Collection[str], oldest: int) -> PushResult:
    """Return the good samples of a push, in the order sent, and the reason for everything else in it.

    A bad timestamp or server costs its record, a bad value only itself; null is a missing sample and no fault.
    Of two samples for the same series and time the later counts.

    Args:
        document: parsed JSON: a list of records, or an object that has one as ``records``. A record is long, wide
            or nested.
        now: epoch seconds (UTC); a sample may be up to one grid step after it.
        metrics: names of the configured metrics.
        oldest: epoch seconds (UTC) of the oldest sample that is kept.

    Raises:
        BadPush: ``document`` is neither.
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
    """The samples and rejections so far."""

    def __init__(self, now: int, metrics: frozenset[str], oldest: int) -> None:
        self._now, self._metrics, self._oldest = now, metrics, oldest
        self._rows: dict[SeriesKey, int] = {}
        self._samples: list[tuple[int, int, float]] = []
        self._profiles: dict[str, str] = {}
        self._rejected: list[Rejection] = []

    def result(self) -> PushResult:
        series, timestamps, values = zip(*self._samples, strict=True) if self._samples else ((), (), ())
        samples = Samples(
            tuple(self._rows),
            np.array(series, np.int32),
            np.array(timestamps, np.int64),
            np.array(values, np.float32),
            self._profiles,
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
            detail = f"no metric {shown(measured.metric)} is configured; add it to the configuration, or leave it out"
            raise Refusal(field, "unknown_metric", detail)
        return number(measured.field, measured.value)

    def _attempt(self, index: int, step: Callable[..., _Result], argument: object) -> _Result | None:
        """Return what ``step`` makes of ``argument``; None, and a rejection noted, if it refuses."""
        try:
            return step(argument)
        except Refusal as refusal:
            self._rejected.append(Rejection(index, refusal.field, refusal.reason, refusal.detail))
            return None
