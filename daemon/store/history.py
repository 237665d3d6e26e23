"""The history of all samples in SQLite or PostgreSQL.

One row of the table `ticks` holds the samples of one grid time: packed series ids and packed values. The module has, in
this order: packing a row, the catalogue of series ids, reading, writing, and `SqlStore`, which runs them in
transactions. Functions that take a connection raise what SQLAlchemy raises; `SqlStore` turns it into StoreUnavailable.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Executable, bindparam, delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from daemon.core.errors import StoreUnavailable
from daemon.core.series import STEP_SECONDS, Float32, Int64, Panel, Samples, SeriesKey, ceil_to_grid, floor_to_grid
from daemon.store import schema
from daemon.store.alerts import SqlAlertRepository
from daemon.store.engine import connect, for_reading, for_writing, insert, parse, shown, unavailable, upsert
from daemon.store.schema import meta, series, servers, ticks, watermarks
from daemon.store.verification import SqlVerificationRepository

SeriesIds = npt.NDArray[np.int32]
# grid time, rows in the catalogue, values
_Row = tuple[int, SeriesIds, Float32]

# SQLite takes some 32,000 parameters in a statement; above a few hundred names, reading the whole table is as fast
_NAMES_PER_QUERY = 500
# grid times that are copied into a panel at once, so that they fit into the cache of the processor
_BLOCK_STEPS = 64
# about a day: limits the memory of a long back-fill, and the parameters of a statement
_ROWS_PER_STATEMENT = 250
_ROWS_PER_FETCH = 64

_ROWS = select(ticks.c.timestamp, ticks.c.series, ticks.c.value)


class TickRow(NamedTuple):
    """The content of a row: unique ascending series ids and their values, ``(samples,)`` each."""

    series: SeriesIds
    values: Float32


EMPTY = TickRow(np.empty(0, np.int32), np.empty(0, np.float32))


def decode_ids(packed: bytes) -> SeriesIds:
    """Return the series ids of a row, ``(samples,)``; the array is read-only."""
    return np.frombuffer(packed, dtype="<i4")


def decode_values(packed: bytes) -> Float32:
    """Return the values of a row, ``(samples,)``; the array is read-only."""
    return np.frombuffer(packed, dtype="<f4")


def encode(tick: TickRow) -> tuple[bytes, bytes]:
    """Return the columns ``series`` and ``value`` of the row of ``tick``, little-endian, 4 bytes a sample each."""
    return tick.series.astype("<i4").tobytes(), tick.values.astype("<f4").tobytes()


def merge(stored: TickRow, arrived: TickRow) -> tuple[TickRow, int]:
    """Return ``stored`` overwritten by ``arrived``, and the number of samples that are new or changed."""
    place = np.searchsorted(stored.series, arrived.series)
    known = np.zeros(len(place), dtype=np.bool_)
    inside = place < len(stored.series)
    known[inside] = stored.series[place[inside]] == arrived.series[inside]

    values = stored.values.copy()
    changed = np.count_nonzero(values[place[known]] != arrived.values[known])
    values[place[known]] = arrived.values[known]
    if known.all():
        return TickRow(stored.series, values), int(changed)
    added = ~known
    merged = TickRow(
        np.insert(stored.series, place[added], arrived.series[added]),
        np.insert(values, place[added], arrived.values[added]),
    )
    return merged, int(changed + np.count_nonzero(added))


def split(timestamps: Int64, series: SeriesIds, values: Float32) -> Iterator[tuple[int, TickRow]]:
    """Yield each grid time of a batch with its samples, oldest first; the last of two samples of a series counts.

    Args:
        timestamps: epoch seconds on the grid, ``(samples,)``.
        series: series ids, ``(samples,)``.
        values: ``(samples,)``, in the units of their metrics.
    """
    if not len(timestamps):
        return
    # one sort key instead of two: a stable sort of integers is much faster than a lexical sort,
    # and almost free on a batch that is in order
    position = (timestamps // STEP_SECONDS) * (int(series.max()) + 1) + series
    order = np.argsort(position, kind="stable")
    position = position[order]
    order = order[np.append(position[1:] != position[:-1], True)]
    timestamps, series, values = timestamps[order], series[order], values[order]
    bounds = np.flatnonzero(np.diff(timestamps)) + 1
    for start, stop in zip([0, *bounds.tolist()], [*bounds.tolist(), len(order)], strict=True):
        yield int(timestamps[start]), TickRow(series[start:stop], values[start:stop])


@dataclass(frozen=True)
class Catalogue:
    """All series of the store, sorted by server and metric.

    Attributes:
        keys: server and metric of each series.
        ids: id of each series in the database, ``(series,)``.
        profiles: profile by server, for servers that have one.
    """

    keys: tuple[SeriesKey, ...]
    ids: SeriesIds
    profiles: Mapping[str, str]

    def rows(self) -> SeriesIds:
        """Return the row in ``keys`` of every id, ``(largest id + 1,)``; -1 for an unused id."""
        rows = np.full(int(self.ids.max(initial=-1)) + 1, -1, dtype=np.int32)
        rows[self.ids] = np.arange(len(self.ids), dtype=np.int32)
        return rows

    def profiles_of(self, keys: Collection[SeriesKey]) -> dict[str, str]:
        """Return the profile of each server in ``keys`` that has one."""
        named = {key.server for key in keys}
        return {server: profile for server, profile in self.profiles.items() if server in named}


def load_catalogue(connection: Connection) -> Catalogue:
    """Return the catalogue of the store."""
    query = select(servers.c.name, series.c.metric, series.c.id).join_from(series, servers)
    # sorted here, because the database sorts by the rules of its locale
    found = sorted(connection.execute(query))
    profiles = select(servers.c.name, servers.c.profile).where(servers.c.profile.is_not(None))
    return Catalogue(
        tuple(SeriesKey(server, metric) for server, metric, _ in found),
        np.array([identifier for _, _, identifier in found], dtype=np.int32),
        dict(connection.execute(profiles).all()),
    )


def register_series(connection: Connection, samples: Samples) -> SeriesIds:
    """Add new series and servers, update profiles, and return the series id of every sample, ``(samples,)``."""
    used = np.unique(samples.series)
    keys = [samples.keys[row] for row in used]
    server_ids = _server_ids(connection, {key.server for key in keys}, samples.profiles)
    ids = _series_ids(connection, keys, server_ids)
    lookup = np.full(len(samples.keys), -1, dtype=np.int32)
    lookup[used] = [ids[key] for key in keys]
    return lookup[samples.series]


def forget_series(connection: Connection, gone: SeriesIds) -> None:
    """Delete the series ``gone`` and the servers without any series."""
    connection.execute(delete(series).where(series.c.id == bindparam("gone")), [{"gone": i} for i in gone.tolist()])
    connection.execute(delete(servers).where(servers.c.id.not_in(select(series.c.server_id))))


def _server_ids(connection: Connection, needed: set[str], profiles: Mapping[str, str]) -> dict[str, int]:
    query = select(servers.c.name, servers.c.id, servers.c.profile)
    names = needed | profiles.keys()
    if len(names) <= _NAMES_PER_QUERY:
        query = query.where(servers.c.name.in_(sorted(names)))
    known = {name: (identifier, profile) for name, identifier, profile in connection.execute(query)}
    new = [{"name": name, "profile": profiles.get(name)} for name in sorted(needed - known.keys())]
    if new:
        connection.execute(insert(connection, servers), new)
    changed = [
        {"known": known[name][0], "profile": profile}
        for name, profile in profiles.items()
        if name in known and known[name][1] != profile
    ]
    if changed:
        connection.execute(update(servers).where(servers.c.id == bindparam("known")), changed)
    if new:
        known |= {name: (i, profile) for name, i, profile in connection.execute(query)}
    return {name: known[name][0] for name in needed}


def _series_ids(
    connection: Connection, keys: Collection[SeriesKey], server_ids: Mapping[str, int]
) -> dict[SeriesKey, int]:
    names = {identifier: name for name, identifier in server_ids.items()}
    query = select(series.c.server_id, series.c.metric, series.c.id)
    if len(names) <= _NAMES_PER_QUERY:
        query = query.where(series.c.server_id.in_(sorted(names)))

    def known() -> dict[SeriesKey, int]:
        found = connection.execute(query)
        return {SeriesKey(names[server], metric): i for server, metric, i in found if server in names}

    ids = known()
    new = [{"server_id": server_ids[key.server], "metric": key.metric} for key in keys if key not in ids]
    if not new:
        return ids
    connection.execute(insert(connection, series), new)
    return known()


def read_panel(connection: Connection, start: int, end: int) -> Panel:
    """Return every series that has a sample at the grid times ``start .. end``.

    ``start`` and ``end`` are epoch seconds on the grid, both included.
    """
    known = load_catalogue(connection)
    steps = max(0, (end - start) // STEP_SECONDS + 1)
    values = np.full((len(known.keys), steps), np.nan, dtype=np.float32)
    # a row holds one time, the panel holds one series a row; a block is transposed at once
    query = _ROWS.where(ticks.c.timestamp.between(start, end)).order_by(ticks.c.timestamp)
    for block in _blocks(connection, known.rows(), query):
        block_values = np.full((len(block), len(known.keys)), np.nan, dtype=np.float32)
        for step, (_, rows, row_values) in enumerate(block):
            block_values[step, rows] = row_values
        columns = np.array([timestamp - start for timestamp, _, _ in block]) // STEP_SECONDS
        values[:, columns] = block_values.T
    keys, seen = known.keys, ~np.isnan(values).all(axis=1)
    if not seen.all():
        keys = tuple(keys[row] for row in np.flatnonzero(seen))
        values = values[seen]
    return Panel(keys, start, values, known.profiles_of(keys))


def read_changes(connection: Connection, since: int, start: int, end: int) -> Samples:
    """Return the samples of every grid time in ``start .. end`` that was written after revision ``since``.

    ``start`` and ``end`` are epoch seconds, both included; the samples are sorted by time.
    """
    known = load_catalogue(connection)
    # the sum, and the sort below, make the query planner use the index of revisions instead of that of times
    written = _ROWS.where(ticks.c.revision > since, (ticks.c.timestamp + 0).between(start, end))
    rows = [row for block in _blocks(connection, known.rows(), written) for row in block]
    rows.sort(key=itemgetter(0))
    if not rows:
        return Samples.empty()
    used = np.zeros(len(known.keys), dtype=np.bool_)
    for _, found, _ in rows:
        used[found] = True
    row_of_used = np.cumsum(used, dtype=np.int32) - 1
    keys = tuple(known.keys[row] for row in np.flatnonzero(used))
    return Samples(
        keys=keys,
        series=row_of_used[np.concatenate([found for _, found, _ in rows])],
        timestamps=np.repeat([timestamp for timestamp, _, _ in rows], [len(found) for _, found, _ in rows]),
        values=np.concatenate([row_values for _, _, row_values in rows]),
        profiles=known.profiles_of(keys),
    )


def _blocks(connection: Connection, row_of_id: SeriesIds, query: Executable) -> Iterator[list[_Row]]:
    """Yield the rows of ``query`` in blocks of _BLOCK_STEPS grid times."""
    packed, rows = b"", np.empty(0, dtype=np.int32)
    result = connection.execute(query, execution_options={"yield_per": _BLOCK_STEPS})
    for partition in result.partitions():
        block = []
        for timestamp, ids, row_values in partition:
            if ids != packed:  # almost always equal to the row before
                packed, rows = ids, row_of_id[decode_ids(ids)]
            block.append((timestamp, rows, decode_values(row_values)))
        yield block


def read_revision(connection: Connection) -> int:
    """Return the revision: the number of the last transaction that wrote samples, 0 before the first."""
    revision: int = connection.execute(select(meta.c.value).where(meta.c.key == "revision")).scalar_one()
    return revision


def write_samples(connection: Connection, samples: Samples) -> int:
    """Merge ``samples`` into the rows of their grid times; return the number of new or changed samples."""
    ids = register_series(connection, samples)
    revision = read_revision(connection) + 1
    total = 0
    for arrived in _chunks(split(samples.timestamps, ids, samples.values)):
        stored = _stored(connection, [timestamp for timestamp, _ in arrived])
        rows: list[dict[str, object]] = []
        for timestamp, tick in arrived:
            merged, changed = merge(stored.get(timestamp, EMPTY), tick)
            if changed:
                packed_ids, packed = encode(merged)
                rows.append({"timestamp": timestamp, "revision": revision, "series": packed_ids, "value": packed})
                total += changed
        upsert(connection, ticks, rows)
    if total:
        connection.execute(update(meta).where(meta.c.key == "revision").values(value=revision))
    return total


def move_watermarks(connection: Connection, moved: Mapping[tuple[str, str], int]) -> None:
    """Move each watermark of ``(source, stream)`` forward to its grid time (epoch seconds); none moves back."""
    if not moved:
        return
    rows = [{"source": source, "stream": stream, "timestamp": at} for (source, stream), at in moved.items()]
    arrived = insert(connection, watermarks)
    newer = arrived.excluded.timestamp
    statement = arrived.on_conflict_do_update(
        index_elements=[watermarks.c.source, watermarks.c.stream],
        set_={"timestamp": newer},
        where=newer > watermarks.c.timestamp,
    )
    connection.execute(statement, rows)


def delete_ticks(connection: Connection, before: int) -> int:
    """Delete the ticks before ``before`` (epoch seconds) and series without samples; return the number of ticks."""
    old = ticks.c.timestamp < before
    candidates = np.empty(0, dtype=np.int32)
    for ids in _distinct_ids(connection, select(ticks.c.series).where(old)):
        candidates = np.union1d(candidates, ids)
    deleted: int = connection.execute(delete(ticks).where(old)).rowcount
    # Only a series with a deleted sample can be empty now. The oldest row that is left has almost all of them, so the
    # search ends there, unless a series has really ended.
    for ids in _distinct_ids(connection, select(ticks.c.series).order_by(ticks.c.timestamp)):
        if not len(candidates):
            break
        candidates = np.setdiff1d(candidates, ids, assume_unique=True)
    if len(candidates):
        forget_series(connection, candidates)
    return deleted


def _chunks(arrived: Iterator[tuple[int, TickRow]]) -> Iterator[list[tuple[int, TickRow]]]:
    while chunk := list(islice(arrived, _ROWS_PER_STATEMENT)):
        yield chunk


def _stored(connection: Connection, timestamps: Sequence[int]) -> dict[int, TickRow]:
    query = _ROWS.where(ticks.c.timestamp.in_(timestamps))
    return {
        timestamp: TickRow(decode_ids(ids), decode_values(values))
        for timestamp, ids, values in connection.execute(query)
    }


def _distinct_ids(connection: Connection, query: Executable) -> Iterator[SeriesIds]:
    """Yield the series ids of each row of ``query``, except for a row that equals the row before."""
    last = b""
    result = connection.execute(query, execution_options={"yield_per": _ROWS_PER_FETCH})
    try:
        for packed in result.scalars():
            if packed != last:
                last = packed
                yield decode_ids(packed)
    finally:
        result.close()


class SqlStore:
    """A store in an SQLite file or a PostgreSQL database; safe to use from several threads and processes.

    Every method raises StoreUnavailable if the database cannot be used, and then changes nothing.

    Raises:
        StoreUnavailable: ``url`` cannot be opened, is no store, or was written by a newer version of forewarn.
    """

    def __init__(self, url: str) -> None:
        self._url = parse(url)
        self._engine = connect(self._url)
        self._readers = for_reading(self._engine)
        self._writers = for_writing(self._engine)
        # SQLite polls for its lock; threads of one process wait for each other without polling
        self._turn = Lock()
        try:
            self._open()
        except StoreUnavailable:
            self.close()
            raise

    def append(self, samples: Samples, watermarks: Mapping[tuple[str, str], int] | None = None) -> int:
        """Write ``samples`` and move the watermarks of ``(source, stream)``, all in one transaction.

        Args:
            samples: values in the units of their metrics, at grid times (epoch seconds).
            watermarks: the newest delivered grid time (epoch seconds) by source and stream.

        Returns:
            The number of new or changed samples.

        Raises:
            StoreUnavailable: nothing is written.
            ValueError: a sample is not finite or not on the grid; nothing is written.
        """
        if not np.isfinite(samples.values).all() or (samples.timestamps % STEP_SECONDS).any():
            raise ValueError("a batch for the store holds only finite samples at grid times")
        if not len(samples) and not samples.profiles and not watermarks:
            return 0
        with self._writing() as connection:
            written = write_samples(connection, samples)
            move_watermarks(connection, watermarks or {})
            return written

    def watermarks(self) -> dict[tuple[str, str], int]:
        """Return the newest delivered grid time (epoch seconds) by ``(source, stream)``."""
        with self._reading() as connection:
            rows = connection.execute(select(schema.watermarks))
            return {(source, stream): timestamp for source, stream, timestamp in rows}

    def read(self, start: int, end: int) -> Panel:
        """Return every series that has a sample at the grid times ``start .. end`` (epoch seconds, both included).

        The rows are sorted by server and metric; the columns are exactly ``start .. end``.
        """
        with self._reading() as connection:
            return read_panel(connection, ceil_to_grid(start), floor_to_grid(end))

    def span(self) -> tuple[int, int] | None:
        """Return the oldest and the newest grid time (epoch seconds) with a sample; None for an empty store."""
        with self._reading() as connection:
            times = schema.ticks.c.timestamp
            oldest, newest = connection.execute(select(func.min(times), func.max(times))).one()
            return None if oldest is None else (oldest, newest)

    def changes(self, since: int, start: int, end: int) -> tuple[Samples, int]:
        """Return the samples of every grid time in ``start .. end`` that was written after revision ``since``.

        ``start`` and ``end`` are epoch seconds, both included; an empty span returns only the revision. Revision 0 is
        before the first write. The second result is the revision for the next call. Both results belong to one state
        of the store.
        """
        with self._reading() as connection:
            return read_changes(connection, since, start, end), read_revision(connection)

    def prune(self, before: int) -> int:
        """Delete the ticks before ``before`` (epoch seconds) and series without samples; return the number of ticks."""
        with self._reading() as connection:
            oldest = connection.scalar(select(func.min(schema.ticks.c.timestamp)))
        if oldest is None or oldest >= before:
            return 0
        with self._writing() as connection:
            return delete_ticks(connection, before)

    def alert_repository(self) -> SqlAlertRepository:
        """Return the repository of alerts in the same database."""
        return SqlAlertRepository(self._reading, self._writing)

    def verification_repository(self) -> SqlVerificationRepository:
        """Return the repository of verification in the same database."""
        return SqlVerificationRepository(self._reading, self._writing)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _open(self) -> None:
        with self._reading() as connection:
            found = schema.version(connection)
        if found is None or found < schema.SCHEMA_VERSION:
            with self._writing() as connection:
                schema.create(connection)
                found = schema.version(connection)
        if found != schema.SCHEMA_VERSION:
            raise StoreUnavailable(
                f"store {shown(self._url)}: was written by a newer version of forewarn (schema {found}, this version "
                f"has schema {schema.SCHEMA_VERSION}); install the newer version again or set another store.url"
            )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._readers.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise unavailable(self._url, error) from error

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._turn, self._writers.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise unavailable(self._url, error) from error
