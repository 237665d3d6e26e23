"""How the samples of one grid time are packed into a row, and how a batch is merged into it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from daemon.domain.grid import STEP_SECONDS
from daemon.domain.series import Float32, Int64

SeriesIds = npt.NDArray[np.int32]


class Tick(NamedTuple):
    """The samples of one grid time: ascending ids, no two alike, and their values, both ``(samples,)``."""

    series: SeriesIds
    values: Float32


EMPTY = Tick(np.empty(0, np.int32), np.empty(0, np.float32))


def decode_ids(packed: bytes) -> SeriesIds:
    """Return the series ids of a row, ``(samples,)``, read-only."""
    return np.frombuffer(packed, dtype="<i4")


def decode_values(packed: bytes) -> Float32:
    """Return the values of a row, ``(samples,)``, read-only."""
    return np.frombuffer(packed, dtype="<f4")


def encode(tick: Tick) -> tuple[bytes, bytes]:
    """Return ``tick`` as the two columns ``series`` and ``value`` of a row."""
    return tick.series.astype("<i4").tobytes(), tick.values.astype("<f4").tobytes()


def merge(stored: Tick, arrived: Tick) -> tuple[Tick, int]:
    """Return ``stored`` overwritten by ``arrived``, and how many samples that added or changed."""
    place = np.searchsorted(stored.series, arrived.series)
    known = np.zeros(len(place), dtype=np.bool_)
    inside = place < len(stored.series)
    known[inside] = stored.series[place[inside]] == arrived.series[inside]

    values = stored.values.copy()
    changed = np.count_nonzero(values[place[known]] != arrived.values[known])
    values[place[known]] = arrived.values[known]
    if known.all():
        return Tick(stored.series, values), int(changed)
    added = ~known
    merged = Tick(
        np.insert(stored.series, place[added], arrived.series[added]),
        np.insert(values, place[added], arrived.values[added]),
    )
    return merged, int(changed + np.count_nonzero(added))


def split(timestamps: Int64, series: SeriesIds, values: Float32) -> Iterator[tuple[int, Tick]]:
    """Yield each grid time of a batch, oldest first; of two samples for one series the later counts.

    Args:
        timestamps: ``(samples,)`` epoch seconds on the grid.
        series: ``(samples,)`` series ids.
        values: ``(samples,)``.
    """
    if not len(timestamps):
        return
    # One key to sort by instead of two: the stable sort of an integer is much faster than a lexical one,
    # and almost free on a batch that comes in order.
    position = (timestamps // STEP_SECONDS) * (int(series.max()) + 1) + series
    order = np.argsort(position, kind="stable")
    position = position[order]
    order = order[np.append(position[1:] != position[:-1], True)]
    timestamps, series, values = timestamps[order], series[order], values[order]
    bounds = np.flatnonzero(np.diff(timestamps)) + 1
    for start, stop in zip([0, *bounds.tolist()], [*bounds.tolist(), len(order)], strict=True):
        yield int(timestamps[start]), Tick(series[start:stop], values[start:stop])
