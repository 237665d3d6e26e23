"""Packing, merging and splitting of grid times."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.series import STEP_SECONDS
from daemon.store.history import EMPTY, TickRow, decode_ids, decode_values, encode, merge, split

values = st.floats(width=32, allow_nan=False, allow_infinity=False)
contents = st.dictionaries(st.integers(0, 12), values)


def tick_of(model: dict[int, float]) -> TickRow:
    """Return the tick that holds ``model``."""
    ids = sorted(model)
    return TickRow(np.array(ids, np.int32), np.array([model[i] for i in ids], np.float32))


def model_of(tick: TickRow) -> dict[int, float]:
    """Return ``tick`` as a dict."""
    return dict(zip(tick.series.tolist(), tick.values.tolist(), strict=True))


@given(model=contents)
def test_decoding_undoes_encoding(model: dict[int, float]) -> None:
    """A row has four bytes for an id and four for a value; decoding returns the tick."""
    packed_ids, packed_values = encode(tick_of(model))
    assert len(packed_ids) == len(packed_values) == 4 * len(model)
    assert model_of(TickRow(decode_ids(packed_ids), decode_values(packed_values))) == model


def test_a_row_is_little_endian() -> None:
    """The bytes do not depend on the byte order of the machine."""
    assert encode(TickRow(np.array([258], ">i4"), np.array([1.0], ">f4"))) == (
        b"\x02\x01\0\0",
        b"\0\0\x80\x3f",
    )


@given(stored=contents, arrived=contents)
def test_merging_equals_a_dict_update(stored: dict[int, float], arrived: dict[int, float]) -> None:
    """The arrived value wins, ids stay sorted, and only new and changed samples are counted."""
    merged, changed = merge(tick_of(stored), tick_of(arrived))
    assert model_of(merged) == stored | arrived
    assert np.all(np.diff(merged.series) > 0)
    assert changed == sum(stored.get(i) != value for i, value in arrived.items())


def test_merging_leaves_its_inputs() -> None:
    """Merging does not change the stored tick."""
    stored = tick_of({1: 1.0, 2: 2.0})
    merge(stored, tick_of({2: 5.0}))
    assert model_of(stored) == {1: 1.0, 2: 2.0}


@given(rows=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4), values)))
def test_splitting_keeps_the_last_of_each_series_and_time(rows: list[tuple[int, int, float]]) -> None:
    """Grid times are in order, each with sorted series; only repeated samples are dropped."""
    times = np.array([step * STEP_SECONDS for step, _, _ in rows], np.int64)
    ids = np.array([i for _, i, _ in rows], np.int32)
    found = list(split(times, ids, np.array([value for _, _, value in rows], np.float32)))
    expected: dict[int, dict[int, float]] = {}
    for step, i, value in rows:
        expected.setdefault(step * STEP_SECONDS, {})[i] = value
    assert [time for time, _ in found] == sorted(expected)
    assert {time: model_of(tick) for time, tick in found} == expected
    assert all(np.all(np.diff(tick.series) > 0) for _, tick in found)


def test_merging_into_nothing() -> None:
    """The first samples of a grid time are all new."""
    merged, changed = merge(EMPTY, tick_of({3: 1.0, 7: 0.0}))
    assert (model_of(merged), changed) == ({3: 1.0, 7: 0.0}, 2)
