"""From a batch to rows of packed samples, and out again when they are too old."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
from sqlalchemy import Connection, Executable, delete, select, update

from daemon.domain.series import Samples
from daemon.store.catalogue import forget_series, register_series
from daemon.store.codec import EMPTY, SeriesIds, Tick, decode_ids, decode_values, encode, merge, split
from daemon.store.schema import insert, meta, ticks, watermarks

# A day or so: bounds the memory of a long back-fill and the parameters of a statement.
_TICKS_PER_STATEMENT = 250


def write_samples(connection: Connection, samples: Samples) -> int:
    """Merge ``samples`` into the rows of their grid times; return how many were new or changed a value."""
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
        _upsert(connection, rows)
    if total:
        connection.execute(update(meta).where(meta.c.key == "revision").values(value=revision))
    return total


def move_watermarks(connection: Connection, moved: Mapping[tuple[str, str], int]) -> None:
    """Move each watermark forward; none moves back."""
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


def read_revision(connection: Connection) -> int:
    """Return the number of the last transaction that wrote samples."""
    revision: int = connection.execute(select(meta.c.value).where(meta.c.key == "revision")).scalar_one()
    return revision


def delete_ticks(connection: Connection, before: int) -> int:
    """Delete the grid times older than ``before`` and series left empty; return how many grid times went."""
    old = ticks.c.timestamp < before
    doubtful = np.empty(0, dtype=np.int32)
    for ids in _distinct_ids(connection, select(ticks.c.series).where(old)):
        doubtful = np.union1d(doubtful, ids)
    gone: int = connection.execute(delete(ticks).where(old)).rowcount
    # Only a series that had a sample deleted can be left without any, and almost every one of those is in the
    # first row that stays. The search goes through all rows only when a series really has ended.
    for ids in _distinct_ids(connection, select(ticks.c.series).order_by(ticks.c.timestamp)):
        if not len(doubtful):
            break
        doubtful = np.setdiff1d(doubtful, ids, assume_unique=True)
    if len(doubtful):
        forget_series(connection, doubtful)
    return gone


def _chunks(arrived: Iterator[tuple[int, Tick]]) -> Iterator[list[tuple[int, Tick]]]:
    while chunk := list(islice(arrived, _TICKS_PER_STATEMENT)):
        yield chunk


def _stored(connection: Connection, timestamps: Sequence[int]) -> dict[int, Tick]:
    query = select(ticks.c.timestamp, ticks.c.series, ticks.c.value).where(ticks.c.timestamp.in_(timestamps))
    return {
        timestamp: Tick(decode_ids(ids), decode_values(values)) for timestamp, ids, values in connection.execute(query)
    }


def _upsert(connection: Connection, rows: list[dict[str, object]]) -> None:
    if not rows:
        return
    arrived = insert(connection, ticks)
    replaced = {column: arrived.excluded[column] for column in ("revision", "series", "value")}
    connection.execute(arrived.on_conflict_do_update(index_elements=[ticks.c.timestamp], set_=replaced), rows)


def _distinct_ids(connection: Connection, query: Executable) -> Iterator[SeriesIds]:
    """Yield the ids of each row of ``query``, leaving out a row that has the same as the one before."""
    last = b""
    result = connection.execute(query, execution_options={"yield_per": 64})
    try:
        for packed in result.scalars():
            if packed != last:
                last = packed
                yield decode_ids(packed)
    finally:
        result.close()
