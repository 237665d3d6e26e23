"""The recent history in memory, kept up to date with the store by what changed."""

import numpy as np

from daemon.core.series import STEP_SECONDS, STEPS_PER_DAY, Float32, Panel, Samples, SeriesKey
from daemon.ingest.ports import Store

_AHEAD_STEPS = 12
_SLACK_STEPS = STEPS_PER_DAY


class RecentHistory:
    """A panel of the last ``steps`` grid times, whoever wrote them.

    The panel lies in a buffer with room for a day, so that a tick writes its own samples and moves nothing.
    """

    def __init__(self, store: Store, steps: int) -> None:
        self._store = store
        self._steps = steps
        self._revision = 0
        self._buffer: Panel | None = None
        self._more_to_come = False

    def until(self, at: int) -> Panel:
        """Return the panel of the grid times up to ``at``, and of the hour after it for what was pushed already.

        It is a view that the next call changes.
        """
        start, end = at - (self._steps - 1) * STEP_SECONDS, at + _AHEAD_STEPS * STEP_SECONDS
        if self._buffer is None or start < self._buffer.start or self._more_to_come:
            # the revision first: what is written between the two calls is then read twice, never missed
            _, self._revision = self._store.changes(0, 1, 0)
            self._buffer = self._store.read(start, end + _SLACK_STEPS * STEP_SECONDS)
        else:
            if end > self._buffer.end:
                self._buffer = _moved(self._buffer, start, end + _SLACK_STEPS * STEP_SECONDS)
            changed, self._revision = self._store.changes(self._revision, start, self._buffer.end)
            self._buffer = _merged(self._buffer, changed)
        # what lies further ahead is not in the buffer and will not be among the changes again
        span = self._store.span()
        self._more_to_come = span is not None and span[1] > self._buffer.end
        return self._buffer.between(start, end)


def _moved(buffer: Panel, start: int, end: int) -> Panel:
    """Return the buffer's columns from ``start`` on, with room until ``end``, without series that have none left."""
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
