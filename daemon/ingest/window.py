"""The recent history in memory; each tick reads only the changes from the store."""

import numpy as np

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Float32, Panel, Samples, SeriesKey
from daemon.ingest.ports import Store

_AHEAD_STEPS = 12
_SLACK_STEPS = STEPS_PER_DAY


class RecentHistory:
    """A panel of the last ``steps`` grid times, with the writes of other processes.

    The buffer has room for one more day, so that most ticks write their samples without moving the rest.
    """

    def __init__(self, store: Store, steps: int) -> None:
        self._store = store
        self._steps = steps
        self._revision = 0
        self._buffer: Panel | None = None
        self._more_to_come = False

    def until(self, at: int) -> Panel:
        """Return the panel of the grid times up to ``at``, and of one hour more for samples pushed early.

        It is a view, which the next call changes.
        """
        start, end = at - (self._steps - 1) * STEP_SECONDS, at + _AHEAD_STEPS * STEP_SECONDS
        if self._buffer is None or start < self._buffer.start or self._more_to_come:
            # the revision first: a write between the two calls is then read twice, but never missed
            _, self._revision = self._store.changes(0, 1, 0)
            self._buffer = self._store.read(start, end + _SLACK_STEPS * STEP_SECONDS)
        else:
            if end > self._buffer.end:
                self._buffer = _moved(self._buffer, start, end + _SLACK_STEPS * STEP_SECONDS)
            changed, self._revision = self._store.changes(self._revision, start, self._buffer.end)
            self._buffer = _merged(self._buffer, changed)
        # samples further ahead are not in the buffer, and the changes will not contain them again
        span = self._store.span()
        self._more_to_come = span is not None and span[1] > self._buffer.end
        return self._buffer.between(start, end)


def _moved(buffer: Panel, start: int, end: int) -> Panel:
    """Return the columns from ``start``, with room up to ``end``, without series that have no sample left."""
    kept = buffer.between(start, buffer.end)
    used = np.flatnonzero(np.isfinite(kept.values).any(axis=1))
    return kept.select(used).between(start, end)


def _merged(buffer: Panel, changed: Samples) -> Panel:
    if not len(changed):
        return buffer
    row_of: dict[SeriesKey, int] = {key: row for row, key in enumerate(buffer.keys)}
    rows = np.array([row_of.setdefault(key, len(row_of)) for key in changed.keys], dtype=np.intp)
    values: Float32 = buffer.values
    if len(row_of) > len(buffer.keys):
        fresh = np.full((len(row_of) - len(buffer.keys), buffer.steps), np.nan, dtype=np.float32)
        values = np.concatenate([values, fresh])
    values[rows[changed.series], (changed.timestamps - buffer.start) // STEP_SECONDS] = changed.values
    return Panel(tuple(row_of), buffer.start, values, {**buffer.profiles, **changed.profiles})
