"""The five-minute grid, time series on it as samples (long form) and panels (one row per series), and their servers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

STEP_SECONDS = 300
STEPS_PER_HOUR = 3600 // STEP_SECONDS
STEPS_PER_DAY = 24 * STEPS_PER_HOUR
STEPS_PER_WEEK = 7 * STEPS_PER_DAY
HORIZON_STEPS = 96
DAY_SECONDS = STEPS_PER_DAY * STEP_SECONDS
WEEK_SECONDS = STEPS_PER_WEEK * STEP_SECONDS
HORIZON_SECONDS = HORIZON_STEPS * STEP_SECONDS


def floor_to_grid(epoch_seconds: float) -> int:
    """Return the newest grid time (epoch seconds, UTC) that is not after ``epoch_seconds``."""
    return int(epoch_seconds // STEP_SECONDS) * STEP_SECONDS


def ceil_to_grid(epoch_seconds: float) -> int:
    """Return the oldest grid time (epoch seconds, UTC) that is not before ``epoch_seconds``."""
    return -int(-epoch_seconds // STEP_SECONDS) * STEP_SECONDS


def as_datetime(epoch_seconds: int) -> datetime:
    """Return ``epoch_seconds`` as an aware UTC datetime."""
    return datetime.fromtimestamp(epoch_seconds, UTC)


def as_text(epoch_seconds: int) -> str:
    """Return ``epoch_seconds`` in ISO 8601 with a trailing Z, as the API and the logs show it."""
    return as_datetime(epoch_seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> int:
    """Return the epoch seconds of an ISO 8601 time with a time zone.

    Raises:
        ValueError: ``text`` is not an ISO 8601 time, or has no time zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write ISO 8601 in UTC, as in 2026-03-01T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it in UTC, as in 2026-03-01T12:00:00Z")
    return int(moment.timestamp())


Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

GENERIC_PROFILE = "generic"


class SeriesKey(NamedTuple):
    """The identity of one time series."""

    server: str
    metric: str


@dataclass(frozen=True)
class Panel:
    """Series on a common span of the grid, one row each.

    Attributes:
        keys: identity of each row, unique.
        start: epoch seconds (UTC) of column 0, on the grid.
        values: ``(series, steps)`` float32; NaN is a missing sample.
        profiles: profile by server, for servers that have one.
    """

    keys: tuple[SeriesKey, ...]
    start: int
    values: Float32
    profiles: Mapping[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Number of columns."""
        return int(self.values.shape[1])

    @property
    def end(self) -> int:
        """Epoch seconds of the last column; ``start - 300`` without columns."""
        return self.start + (self.steps - 1) * STEP_SECONDS

    @property
    def timestamps(self) -> Int64:
        """Epoch seconds of every column, ``(steps,)``."""
        return self.start + np.arange(self.steps, dtype=np.int64) * STEP_SECONDS

    def between(self, start: int, end: int) -> "Panel":
        """Return the columns ``start .. end`` (epoch seconds, both included); NaN outside of the panel.

        If the panel has all of them, the values are not copied.
        """
        steps = max(0, (end - start) // STEP_SECONDS + 1)
        if start >= self.start and end <= self.end:
            offset = (start - self.start) // STEP_SECONDS
            return Panel(self.keys, start, self.values[:, offset : offset + steps], self.profiles)
        values = np.full((len(self.keys), steps), np.nan, dtype=np.float32)
        offset = (start - self.start) // STEP_SECONDS
        source = slice(max(0, offset), max(0, min(self.steps, offset + steps)))
        if source.stop > source.start:
            values[:, source.start - offset : source.stop - offset] = self.values[:, source]
        return Panel(self.keys, start, values, self.profiles)

    def select(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> "Panel":
        """Return the panel of ``rows``, in that order; all rows in their order are not copied."""
        chosen = np.asarray(rows, dtype=np.intp)
        if np.array_equal(chosen, np.arange(len(self.keys))):
            return self
        return Panel(tuple(self.keys[i] for i in chosen), self.start, self.values[chosen], self.profiles)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """A batch of finite samples on the grid, in order of arrival; of two at one place, the later applies.

    Attributes:
        keys: the series of the batch.
        series: ``(samples,)`` index into ``keys``.
        timestamps: ``(samples,)`` epoch seconds (UTC), on the grid.
        values: ``(samples,)`` float32, finite.
        profiles: profile by server, where the source names one.
    """

    keys: tuple[SeriesKey, ...]
    series: npt.NDArray[np.int32]
    timestamps: Int64
    values: Float32
    profiles: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def empty(cls) -> "Samples":
        """Return a batch without samples."""
        return cls(
            keys=(), series=np.empty(0, np.int32), timestamps=np.empty(0, np.int64), values=np.empty(0, np.float32)
        )

    @classmethod
    def from_panel(cls, panel: Panel) -> "Samples":
        """Return the finite values of ``panel``, ordered by time."""
        steps, series = np.nonzero(np.isfinite(panel.values.T))
        return cls(
            keys=panel.keys,
            series=series.astype(np.int32),
            timestamps=panel.start + steps.astype(np.int64) * STEP_SECONDS,
            values=panel.values[series, steps],
            profiles=panel.profiles,
        )

    @classmethod
    def concatenate(cls, batches: Iterable["Samples"]) -> "Samples":
        """Return the batches as one, in their order."""
        index: dict[SeriesKey, int] = {}
        profiles: dict[str, str] = {}
        series, parts = [], [part for part in batches if len(part)]
        for part in parts:
            rows = np.array([index.setdefault(key, len(index)) for key in part.keys], dtype=np.int32)
            series.append(rows[part.series])
            profiles.update(part.profiles)
        if not parts:
            return cls.empty()
        return cls(
            keys=tuple(index),
            series=np.concatenate(series),
            timestamps=np.concatenate([part.timestamps for part in parts]),
            values=np.concatenate([part.values for part in parts]),
            profiles=profiles,
        )

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Samples":
        """Return the samples for which ``chosen`` is true; the keys stay."""
        return Samples(
            keys=self.keys,
            series=self.series[chosen],
            timestamps=self.timestamps[chosen],
            values=self.values[chosen],
            profiles=self.profiles,
        )


class ProfileRules:
    """Ordered rules; the first whose pattern matches in the server's name gives the profile."""

    def __init__(self, rules: Iterable[tuple[str, str]]) -> None:
        """Compile ``(pattern, profile)`` pairs."""
        self._rules = [(re.compile(pattern), profile) for pattern, profile in rules]

    def of(self, server: str) -> str | None:
        """Return the profile of ``server``; None if no rule matches."""
        return next((profile for pattern, profile in self._rules if pattern.search(server)), None)

    def completed(self, panel: Panel) -> Panel:
        """Return ``panel`` with a profile also for servers whose source gives none, if a rule matches."""
        ruled = {server: self.of(server) for server in {key.server for key in panel.keys} - panel.profiles.keys()}
        found = {server: profile for server, profile in ruled.items() if profile is not None}
        return replace(panel, profiles={**panel.profiles, **found}) if found else panel


class DataState(StrEnum):
    """Whether a server has enough recent data: ``cold`` is less than a day of history, ``stale`` no recent sample."""

    KNOWN = "known"
    COLD = "cold"
    STALE = "stale"


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """One server as of a tick.

    Attributes:
        name: id of the server.
        profile: its kind.
        state: of its data.
        metrics: names of its metrics, sorted.
        newest: epoch seconds of its newest sample.
    """

    name: str
    profile: str
    state: DataState
    metrics: tuple[str, ...]
    newest: int
