"""From rows of packed samples to a panel or a batch."""

from collections.abc import Iterator
from operator import itemgetter

import numpy as np
from sqlalchemy import Connection, Executable, select

from daemon.domain.grid import STEP_SECONDS
from daemon.domain.series import Float32, Panel, Samples
from daemon.store.catalogue import load_catalogue
from daemon.store.codec import SeriesIds, decode_ids, decode_values
from daemon.store.schema import ticks

_BLOCK_STEPS = 64
_ROWS = select(ticks.c.timestamp, ticks.c.series, ticks.c.value)

# Grid time, rows in the catalogue, values.
_Row = tuple[int, SeriesIds, Float32]


def read_panel(connection: Connection, start: int, end: int) -> Panel:
    """Return every series with a sample at the grid times ``start .. end`` (both on the grid)."""
    known = load_catalogue(connection)
    steps = max(0, (end - start) // STEP_SECONDS + 1)
    values = np.full((len(known.keys), steps), np.nan, dtype=np.float32)
    # Rows come by time, the panel lies by series; what is turned at once fits the processor's cache.
    wanted = _ROWS.where(ticks.c.timestamp.between(start, end)).order_by(ticks.c.timestamp)
    for block in _blocks(connection, known.rows(), wanted):
        turned = np.full((len(block), len(known.keys)), np.nan, dtype=np.float32)
        for step, (_, rows, row_values) in enumerate(block):
            turned[step, rows] = row_values
        columns = np.array([timestamp - start for timestamp, _, _ in block]) // STEP_SECONDS
        values[:, columns] = turned.T
    keys, seen = known.keys, ~np.isnan(values).all(axis=1)
    if not seen.all():
        keys = tuple(keys[row] for row in np.flatnonzero(seen))
        values = values[seen]
    return Panel(keys, start, values, known.profiles_of(keys))


def read_changes(connection: Connection, since: int, start: int, end: int) -> Samples:
    """Return the samples of every grid time in ``start .. end`` that was written after revision ``since``."""
    known = load_catalogue(connection)
    # The sum, and sorting here, make the planner take the few new revisions instead of all the grid times.
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
        keys,
        row_of_used[np.concatenate([found for _, found, _ in rows])],
        np.repeat([timestamp for timestamp, _, _ in rows], [len(found) for _, found, _ in rows]),
        np.concatenate([row_values for _, _, row_values in rows]),
        known.profiles_of(keys),
    )


def _blocks(connection: Connection, row_of_id: SeriesIds, query: Executable) -> Iterator[list[_Row]]:
    """Yield the result of ``query``, a few grid times at a time."""
    packed, rows = b"", np.empty(0, dtype=np.int32)
    result = connection.execute(query, execution_options={"yield_per": _BLOCK_STEPS})
    for partition in result.partitions():
        block = []
        for timestamp, ids, row_values in partition:
            if ids != packed:  # almost always the same series as in the row before
                packed, rows = ids, row_of_id[decode_ids(ids)]
            block.append((timestamp, rows, decode_values(row_values)))
        yield block
