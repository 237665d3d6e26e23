"""A store in memory."""

from collections.abc import Mapping
from threading import Lock

import numpy as np

from daemon.core.errors import StoreUnavailable
from daemon.core.series import STEP_SECONDS, Panel, Samples, SeriesKey, ceil_to_grid, floor_to_grid


class FakeStore:
    """Implement the ``Store`` port; passes the same conformance suite as the real one.

    Attributes:
        failure: error that every call raises; None while the store works.
        closed: whether ``close`` was called.
    """

    def __init__(self) -> None:
        self.failure: StoreUnavailable | None = None
        self.closed = False
        self._ticks: dict[int, dict[SeriesKey, np.float32]] = {}
        self._revisions: dict[int, int] = {}
        self._revision = 0
        self._servers: set[str] = set()
        self._profiles: dict[str, str] = {}
        self._watermarks: dict[tuple[str, str], int] = {}
        self._lock = Lock()

    def append(self, samples: Samples, watermarks: Mapping[tuple[str, str], int] | None = None) -> int:
        """Write the batch and return how many samples were new or changed a value."""
        if not np.isfinite(samples.values).all() or (samples.timestamps % STEP_SECONDS).any():
            raise ValueError("a batch for the store holds only finite samples at grid times")
        with self._lock:
            self._fail()
            rows = zip(samples.timestamps.tolist(), samples.series.tolist(), samples.values, strict=True)
            latest = {(timestamp, samples.keys[row]): value for timestamp, row, value in rows}
            changed = {
                (timestamp, key): value
                for (timestamp, key), value in latest.items()
                if self._ticks.get(timestamp, {}).get(key) != value
            }
            self._revision += bool(changed)
            for (timestamp, key), value in changed.items():
                self._ticks.setdefault(timestamp, {})[key] = value
                self._revisions[timestamp] = self._revision
            self._servers |= {samples.keys[row].server for row in np.unique(samples.series)}
            self._profiles |= {name: profile for name, profile in samples.profiles.items() if name in self._servers}
            for stream, timestamp in (watermarks or {}).items():
                self._watermarks[stream] = max(timestamp, self._watermarks.get(stream, timestamp))
            return len(changed)

    def watermarks(self) -> dict[tuple[str, str], int]:
        """Return the newest grid time of each stream."""
        with self._lock:
            self._fail()
            return dict(self._watermarks)

    def read(self, start: int, end: int) -> Panel:
        """Return every series that has a sample in the range, sorted."""
        with self._lock:
            self._fail()
            start, end = ceil_to_grid(start), floor_to_grid(end)
            found = {timestamp: tick for timestamp, tick in self._ticks.items() if start <= timestamp <= end}
            keys = self._keys(found)
            values = np.full((len(keys), max(0, (end - start) // STEP_SECONDS + 1)), np.nan, dtype=np.float32)
            for timestamp, tick in found.items():
                for row, key in enumerate(keys):
                    values[row, (timestamp - start) // STEP_SECONDS] = tick.get(key, np.nan)
            return Panel(keys, start, values, self._profiles_of(keys))

    def span(self) -> tuple[int, int] | None:
        """Return the oldest and the newest grid time that has a sample."""
        with self._lock:
            self._fail()
            return (min(self._ticks), max(self._ticks)) if self._ticks else None

    def changes(self, since: int, start: int, end: int) -> tuple[Samples, int]:
        """Return the samples of the grid times written after ``since``, and the revision to ask from next."""
        with self._lock:
            self._fail()
            found = {
                timestamp: tick
                for timestamp, tick in sorted(self._ticks.items())
                if start <= timestamp <= end and self._revisions[timestamp] > since
            }
            keys = self._keys(found)
            row_of = {key: row for row, key in enumerate(keys)}
            rows = [(row_of[key], timestamp, tick[key]) for timestamp, tick in found.items() for key in tick]
            samples = Samples(
                keys=keys,
                series=np.array([row for row, _, _ in rows], dtype=np.int32),
                timestamps=np.array([timestamp for _, timestamp, _ in rows], dtype=np.int64),
                values=np.array([value for _, _, value in rows], dtype=np.float32),
                profiles=self._profiles_of(keys),
            )
            return samples, self._revision

    def prune(self, before: int) -> int:
        """Delete the grid times older than ``before`` and servers left without a sample."""
        with self._lock:
            self._fail()
            gone = [timestamp for timestamp in self._ticks if timestamp < before]
            for timestamp in gone:
                del self._ticks[timestamp], self._revisions[timestamp]
            keys = self._keys(self._ticks)
            self._servers = {key.server for key in keys}
            self._profiles = self._profiles_of(keys)
            return len(gone)

    def close(self) -> None:
        """Record that the store was closed."""
        self.closed = True

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    @staticmethod
    def _keys(ticks: Mapping[int, Mapping[SeriesKey, np.float32]]) -> tuple[SeriesKey, ...]:
        return tuple(sorted({key for tick in ticks.values() for key in tick}))

    def _profiles_of(self, keys: tuple[SeriesKey, ...]) -> dict[str, str]:
        named = {key.server for key in keys}
        return {server: profile for server, profile in self._profiles.items() if server in named}
