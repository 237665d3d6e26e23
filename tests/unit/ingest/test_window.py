import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.series import Samples, SeriesKey
from daemon.ingest.window import RecentHistory
from tests.fakes.store import FakeStore
from tests.panels import START

STEPS = 12
KEYS = (SeriesKey("a", "cpu"), SeriesKey("b", "cpu"), SeriesKey("b", "mem"))

one_sample = st.tuples(st.integers(0, 2), st.integers(-15, 20), st.integers(0, 100))


def batch(rows: list[tuple[int, int, int]], now: int) -> Samples:
    return Samples(
        keys=KEYS,
        series=np.array([row for row, _, _ in rows], dtype=np.int32),
        timestamps=np.array([now + step * 300 for _, step, _ in rows], dtype=np.int64),
        values=np.array([value for _, _, value in rows], dtype=np.float32),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(one_sample, max_size=6), min_size=1, max_size=12), st.sampled_from([1, 3, 100]))
def test_following_the_changes_equals_a_full_read(ticks: list[list[tuple[int, int, int]]], apart: int) -> None:
    """Late samples, samples ahead of the clock, new and vanished series: the panel always equals the store."""
    store = FakeStore()
    window = RecentHistory(store, STEPS)
    for tick, rows in enumerate(ticks):
        now = START + tick * apart * 300
        store.append(batch(rows, now))
        panel = window.until(now)
        followed = {
            (key, step): value
            for key, row in zip(panel.keys, panel.between(now - (STEPS - 1) * 300, now).values, strict=True)
            for step, value in enumerate(row)
            if np.isfinite(value)
        }
        read = store.read(now - (STEPS - 1) * 300, now)
        expected = {
            (key, step): value
            for key, row in zip(read.keys, read.values, strict=True)
            for step, value in enumerate(row)
            if np.isfinite(value)
        }
        assert followed == expected


def test_series_that_left_the_window_are_dropped() -> None:
    """Servers that come and go do not pile up in memory."""
    store = FakeStore()
    window = RecentHistory(store, STEPS)
    store.append(batch([(0, 0, 1)], START))
    assert len(window.until(START).keys) == 1
    store.append(batch([(1, 0, 1)], START + 2 * 86_400))
    assert window.until(START + 2 * 86_400).keys == (KEYS[1],)
