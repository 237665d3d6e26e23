"""What every store has in common, the fake included."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.core.series import STEP_SECONDS, Samples, SeriesKey
from daemon.ingest.ports import Store
from daemon.store.history import SqlStore
from tests.fakes.store import FakeStore
from tests.integration.postgresql import postgresql_server  # noqa: F401

T0 = 1_767_225_600
CPU, MEMORY, OTHER = SeriesKey("a", "cpu"), SeriesKey("a", "memory"), SeriesKey("b", "cpu")

Model = dict[tuple[int, SeriesKey], float]


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Return an empty store of each kind."""
    empty: Store
    if request.param == "fake":
        empty = FakeStore()
    elif request.param == "sqlite":
        empty = SqlStore(f"sqlite:///{tmp_path}/history.db")
    else:
        empty = SqlStore(request.getfixturevalue("postgresql_server").new_database())
    yield empty
    empty.close()


def at(step: int) -> int:
    """Return the time of a grid step."""
    return T0 + step * STEP_SECONDS


def batch(*rows: tuple[int, SeriesKey, float], **profiles: str) -> Samples:
    """Return a batch of (step, series, value) in that order."""
    keys = tuple(dict.fromkeys(key for _, key, _ in rows))
    return Samples(
        keys=keys,
        series=np.array([keys.index(key) for _, key, _ in rows], dtype=np.int32),
        timestamps=np.array([at(step) for step, _, _ in rows], dtype=np.int64),
        values=np.array([value for _, _, value in rows], dtype=np.float32),
        profiles=profiles,
    )


def as_model(samples: Samples) -> Model:
    """Return the samples as a dict."""
    rows = zip(samples.timestamps.tolist(), samples.series.tolist(), samples.values.tolist(), strict=True)
    return {((timestamp - T0) // STEP_SECONDS, samples.keys[row]): value for timestamp, row, value in rows}


def contents(store: Store, first: int = 0, last: int = 600) -> Model:
    """Return what the store holds as a dict."""
    return as_model(Samples.from_panel(store.read(at(first), at(last))))


def test_new_store_is_empty(store: Store) -> None:
    """A new store has no series, no watermark and revision 0."""
    panel = store.read(at(0), at(3))
    assert (panel.keys, panel.start, panel.values.shape) == ((), at(0), (0, 4))
    assert store.watermarks() == {}
    samples, revision = store.changes(0, at(0), at(3))
    assert (len(samples), revision) == (0, 0)


def test_read_returns_what_was_appended(store: Store) -> None:
    """The panel has sorted series, exactly the requested columns, and NaN for a missing sample."""
    assert store.append(batch((2, OTHER, 3.5), (0, MEMORY, 2.0), (1, CPU, 1.0))) == 3
    panel = store.read(at(0), at(3))
    assert panel.keys == (CPU, MEMORY, OTHER)
    assert panel.start == at(0)
    assert panel.values.dtype == np.float32
    assert panel.values.flags.c_contiguous
    nan = np.nan
    np.testing.assert_array_equal(
        panel.values, np.array([[nan, 1, nan, nan], [2, nan, nan, nan], [nan, nan, 3.5, nan]], np.float32)
    )


def test_read_leaves_out_series_without_samples_in_the_range(store: Store) -> None:
    """A series outside the range is not in the panel, and an empty range has no columns."""
    store.append(batch((0, CPU, 1), (5, OTHER, 2)))
    assert store.read(at(4), at(6)).keys == (OTHER,)
    assert store.read(at(1), at(4)).keys == ()
    assert store.read(at(3), at(2)).values.shape == (0, 0)


def test_a_range_off_the_grid_takes_the_grid_times_inside(store: Store) -> None:
    """Bounds between grid times move inwards."""
    store.append(batch((0, CPU, 0), (1, CPU, 1), (2, CPU, 2)))
    panel = store.read(at(0) + 1, at(2) - 1)
    assert (panel.start, panel.values.tolist()) == (at(1), [[1.0]])


def test_the_later_of_two_values_counts(store: Store) -> None:
    """A value that comes twice counts once, in a batch and between batches."""
    assert store.append(batch((0, CPU, 1), (0, CPU, 2), (0, CPU, 3))) == 1
    assert contents(store) == {(0, CPU): 3}
    assert store.append(batch((0, CPU, 4), (0, MEMORY, 1))) == 2
    assert store.append(batch((0, CPU, 4), (0, MEMORY, 5))) == 1
    assert contents(store) == {(0, CPU): 4, (0, MEMORY): 5}


def test_a_repeated_batch_changes_nothing(store: Store) -> None:
    """Appending the same batch again counts nothing and makes no revision."""
    store.append(batch((0, CPU, 1), (1, OTHER, 0)))
    _, revision = store.changes(0, at(0), at(1))
    assert store.append(batch((0, CPU, 1), (1, OTHER, 0))) == 0
    assert store.changes(revision, at(0), at(1))[1] == revision


def test_late_samples_join_their_grid_time(store: Store) -> None:
    """A late sample changes no other sample of its grid time."""
    store.append(batch((0, MEMORY, 2), (1, MEMORY, 5)))
    store.append(batch((0, OTHER, 3), (0, CPU, 1)))
    assert contents(store) == {(0, CPU): 1, (0, MEMORY): 2, (0, OTHER): 3, (1, MEMORY): 5}


def test_series_without_a_sample_in_the_batch_do_not_appear(store: Store) -> None:
    """A key without a sample makes no series."""
    both = batch((0, CPU, 1), (1, OTHER, 2))
    store.append(both.where(both.timestamps == at(0)))
    assert contents(store) == {(0, CPU): 1}


def test_long_unordered_batch(store: Store) -> None:
    """A back-fill of more than a day, of many servers and out of order, is stored completely."""
    generator = np.random.default_rng(3)
    keys = tuple(SeriesKey(f"s{number}", "cpu") for number in range(40))
    order = generator.permutation(40 * 500)
    steps = (order // 40).astype(np.int64)
    backfill = Samples(
        keys=keys,
        series=(order % 40).astype(np.int32),
        timestamps=T0 + steps * STEP_SECONDS,
        values=generator.random(20_000, np.float32),
    )
    assert store.append(backfill) == 20_000
    assert contents(store) == as_model(backfill)


def test_more_servers_than_parameters_of_a_statement(store: Store) -> None:
    """The store accepts a batch of very many servers, and a second one with new servers among them."""
    many = [SeriesKey(f"s{number}", "cpu") for number in range(1500)]
    assert store.append(batch(*((0, key, 1) for key in many[:1200]))) == 1200
    assert store.append(batch(*((0, key, 1) for key in many))) == 300
    assert len(store.read(at(0), at(0)).keys) == 1500


def test_watermarks_only_move_forward(store: Store) -> None:
    """A watermark keeps the newest time of its stream, with samples or without."""
    store.append(batch((0, CPU, 1)), {("p", "cpu"): at(5), ("p", "memory"): at(1)})
    store.append(Samples.empty(), {("p", "cpu"): at(3), ("p", "memory"): at(2), ("q", "cpu"): at(0)})
    assert store.watermarks() == {("p", "cpu"): at(5), ("p", "memory"): at(2), ("q", "cpu"): at(0)}


def test_span_is_the_oldest_and_newest_grid_time(store: Store) -> None:
    """The span follows appends and prunes, and is None for an empty store."""
    assert store.span() is None
    store.append(batch((3, CPU, 1), (7, CPU, 1)))
    assert store.span() == (at(3), at(7))
    store.prune(at(5))
    assert store.span() == (at(7), at(7))


def test_profiles_follow_the_batches(store: Store) -> None:
    """The newest profile of a server counts; a batch without one leaves it; servers without samples are ignored."""
    store.append(batch((0, CPU, 1), (0, OTHER, 1), a="database", absent="web_api"))
    assert store.read(at(0), at(0)).profiles == {"a": "database"}
    store.append(batch((1, OTHER, 1), a="generic", b="web_api"))
    store.append(batch((2, CPU, 1)))
    assert store.read(at(0), at(2)).profiles == {"a": "generic", "b": "web_api"}
    assert store.read(at(2), at(2)).profiles == {"a": "generic"}
    assert store.changes(0, at(2), at(2))[0].profiles == {"a": "generic"}


def test_changes_are_what_was_written_since(store: Store) -> None:
    """The answer has all samples of exactly those grid times that were written since the revision."""
    store.append(batch((1, CPU, 3)))
    store.append(batch((0, CPU, 1), (0, OTHER, 2)))
    samples, first = store.changes(0, at(0), at(9))
    assert as_model(samples) == {(0, CPU): 1, (0, OTHER): 2, (1, CPU): 3}
    assert samples.timestamps.dtype == np.int64
    assert np.all(np.diff(samples.timestamps) >= 0)

    store.append(batch((0, CPU, 7), (2, MEMORY, 4)))
    samples, second = store.changes(first, at(0), at(9))
    assert second > first
    assert samples.keys == (CPU, MEMORY, OTHER)
    assert as_model(samples) == {(0, CPU): 7, (0, OTHER): 2, (2, MEMORY): 4}
    assert as_model(store.changes(first, at(1), at(2))[0]) == {(2, MEMORY): 4}
    assert len(store.changes(second, at(0), at(9))[0]) == 0


def test_an_empty_range_asks_for_the_revision(store: Store) -> None:
    """A caller that reads the panel can first request the revision to continue from."""
    store.append(batch((0, CPU, 1)))
    samples, revision = store.changes(0, at(1), at(0))
    assert len(samples) == 0
    assert revision == store.changes(0, at(0), at(0))[1]


def test_prune_deletes_the_old_and_series_left_empty(store: Store) -> None:
    """Prune deletes the samples before the time, series without samples, and profiles of servers without series."""
    rows = [(0, CPU, 1.0), (1, CPU, 2.0), (3, CPU, 3.0), (0, OTHER, 4.0), (2, MEMORY, 6.0)]
    store.append(batch(*rows, a="generic", b="database"))
    assert store.prune(at(2)) == 2
    assert store.prune(at(2)) == 0
    assert contents(store) == {(2, MEMORY): 6, (3, CPU): 3}
    assert store.append(batch((4, OTHER, 5))) == 1
    assert contents(store) == {(2, MEMORY): 6, (3, CPU): 3, (4, OTHER): 5}
    assert store.read(at(0), at(9)).profiles == {"a": "generic"}


def test_prune_everything(store: Store) -> None:
    """A store without samples keeps its watermarks and accepts new samples."""
    store.append(batch((0, CPU, 1), (1, OTHER, 2)), {("p", "cpu"): at(1)})
    assert store.prune(at(2)) == 2
    assert contents(store) == {}
    assert store.watermarks() == {("p", "cpu"): at(1)}
    store.append(batch((2, CPU, 3)))
    assert contents(store) == {(2, CPU): 3}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused(store: Store, value: float) -> None:
    """The store rejects the whole batch, watermarks included."""
    with pytest.raises(ValueError, match="finite samples at grid times"):
        store.append(batch((0, CPU, 1), (1, CPU, value)), {("p", "cpu"): at(1)})
    assert contents(store) == {}
    assert store.watermarks() == {}


def test_a_time_off_the_grid_is_refused(store: Store) -> None:
    """The store rejects a batch with a timestamp between grid times."""
    good = batch((0, CPU, 1))
    with pytest.raises(ValueError, match="finite samples at grid times"):
        store.append(Samples(keys=good.keys, series=good.series, timestamps=good.timestamps + 1, values=good.values))
    assert contents(store) == {}


def test_threads_share_a_store(store: Store) -> None:
    """Concurrent writers of the same grid times lose nothing, and readers never see half a batch."""
    pair = (SeriesKey("pair", "left"), SeriesKey("pair", "right"))

    def push(thread: int) -> None:
        for step in range(10):
            store.append(batch((step, SeriesKey(f"s{thread}", "cpu"), thread)))
            store.append(batch(*((99, key, thread * 10 + step) for key in pair)))
            both = store.read(at(99), at(99)).select([0, 1])
            assert both.keys == pair
            assert both.values[0] == both.values[1]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(push, range(6)))
    found = contents(store, 0, 9)
    assert found == {(step, SeriesKey(f"s{n}", "cpu")): n for step in range(10) for n in range(6)}


keys_of_model = st.sampled_from(
    [SeriesKey(server, metric) for server in ("a", "B", "ü", "a b") for metric in ("x", "X", "y")]
)
rows_of_model = st.tuples(st.integers(0, 6), keys_of_model, st.integers(-2, 2).map(float))
operations = st.lists(
    st.one_of(st.lists(rows_of_model, min_size=1, max_size=12), st.integers(0, 7)), min_size=1, max_size=8
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=operations)
def test_any_sequence_of_batches_equals_a_dict(
    store: Store, operations: list[list[tuple[int, SeriesKey, float]] | int]
) -> None:
    """After any batches and prunes, in any order, the store and its changes equal a dict."""
    # A database per example would take most of the time; an empty store has only its revision left.
    store.prune(at(7))
    _, revision = store.changes(0, at(1), at(0))
    model: Model = {}
    followed: Model = {}
    for operation in operations:
        if isinstance(operation, int):
            old = {step for step, _ in model if step < operation}
            assert store.prune(at(operation)) == len(old)
            model = {place: value for place, value in model.items() if place[0] not in old}
            followed = {place: value for place, value in followed.items() if place[0] not in old}
        else:
            latest = {(step, key): value for step, key, value in operation}
            changed = sum(model.get(place) != value for place, value in latest.items())
            assert store.append(batch(*operation)) == changed
            model |= latest
            samples, revision = store.changes(revision, at(0), at(6))
            followed |= as_model(samples)
        assert contents(store, 0, 6) == model
        assert followed == model
    assert store.read(at(0), at(6)).keys == tuple(sorted({key for _, key in model}))
