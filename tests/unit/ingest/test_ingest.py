import numpy as np
import pytest

from daemon.core.errors import SourceUnavailable, StoreUnavailable
from daemon.core.series import Panel, Samples, SeriesKey
from daemon.ingest.ingest import Ingest
from tests.fakes.source import FakeSource, FakeTelemetry
from tests.fakes.store import FakeStore
from tests.panels import START, daily_panel

DAY = 86_400
PANEL = daily_panel(2, 4, missing=0)


class Rig:
    """An ingest over one source and a store."""

    def __init__(self, *sources: FakeSource, metrics: tuple[str, ...] = ("cpu", "mem")) -> None:
        self.store, self.telemetry, self.sources = FakeStore(), FakeTelemetry(), sources
        self.ingest = Ingest(
            sources=sources, store=self.store, metrics=metrics, retention_seconds=10 * DAY, telemetry=self.telemetry
        )

    def stored(self) -> Panel:
        return self.store.read(PANEL.start, PANEL.end)


def test_first_run_back_fills_and_the_next_fetches_only_what_is_new() -> None:
    """A new source is fetched as far back as it reaches; then one grid time per tick."""
    source = FakeSource("s", PANEL, backfill_seconds=2 * DAY)
    rig = Rig(source)
    at = PANEL.start + 3 * DAY
    (state,) = rig.ingest.run(at)
    assert state.healthy
    assert state.newest == at
    assert rig.stored().between(at - 2 * DAY, at).values.shape[1] == 577
    assert np.isfinite(rig.stored().between(at - 2 * DAY, at).values).all()
    source.asked.clear()
    rig.ingest.run(at + 300)
    assert source.asked == [("cpu", at + 300, at + 300), ("mem", at + 300, at + 300)]


def test_a_gap_is_filled_after_an_outage() -> None:
    """Half an hour without the source loses nothing once it is back."""
    source = FakeSource("s", PANEL)
    rig = Rig(source)
    at = PANEL.start + 2 * DAY
    rig.ingest.run(at)
    source.down = SourceUnavailable("http://p:9090: connection refused")
    for step in range(1, 7):
        (state,) = rig.ingest.run(at + step * 300)
        assert not state.healthy
        assert "connection refused" in state.error
        assert state.newest == at
    assert rig.telemetry.counts["failed", "s", ""] == 6
    source.down = None
    rig.ingest.run(at + 7 * 300)
    assert np.isfinite(rig.stored().between(at - DAY, at + 7 * 300).values).all()


def test_one_bad_stream_stops_no_other() -> None:
    """A rejected query is counted and named; the other metrics are fetched, and it catches up later."""
    source = FakeSource("s", PANEL)
    source.rejected = {"cpu"}
    rig = Rig(source)
    at = PANEL.start + 2 * DAY
    (state,) = rig.ingest.run(at)
    assert state.failed_streams == {"cpu": "cpu: bad query"}
    assert state.newest is None
    assert {key.metric for key in rig.stored().keys} == {"mem"}
    source.rejected = set()
    rig.ingest.run(at + 300)
    assert np.isfinite(rig.stored().between(at - DAY + 300, at + 300).values).all()


def test_one_bad_source_stops_no_other() -> None:
    """A source that fails does not affect the others."""
    bad, good = FakeSource("bad", PANEL), FakeSource("good", PANEL)
    bad.down = SourceUnavailable("gone")
    states = Rig(bad, good).ingest.run(PANEL.start + DAY)
    assert [state.healthy for state in states] == [False, True]


def test_late_samples_inside_the_overlap_are_taken() -> None:
    """Samples that were late at a tick are fetched again."""
    source = FakeSource("s", PANEL, overlap_seconds=600)
    rig = Rig(source)
    at = PANEL.start + DAY
    rig.ingest.run(at)
    source.asked.clear()
    rig.ingest.run(at + 300)
    assert source.asked[0] == ("cpu", at - 300, at + 300)


def test_an_empty_stream_is_counted_and_shown() -> None:
    """A query without samples is not an error, but it is counted."""
    rig = Rig(FakeSource("s", PANEL))
    (state,) = rig.ingest.run(PANEL.end + 5 * DAY)
    assert state.empty_streams == ("cpu", "mem")
    assert rig.telemetry.counts["empty", "s", "cpu"] >= 1


def test_metrics_that_are_not_configured_are_refused_and_counted() -> None:
    """Only configured metrics reach the store."""
    rig = Rig(FakeSource("s", PANEL), metrics=("mem",))
    rig.ingest.run(PANEL.start + DAY)
    assert {key.metric for key in rig.stored().keys} == {"mem"}
    assert rig.telemetry.counts["rejected", "s", "unknown_metric"] == 2 * 289


def test_nothing_older_than_retention_is_fetched() -> None:
    """A source with a backfill of a year does not fill a store that keeps days."""
    source = FakeSource("s", PANEL, backfill_seconds=365 * DAY)
    rig = Rig(source)
    rig.ingest.run(PANEL.start + DAY)
    assert min(start for _, start, _ in source.asked) == PANEL.start - 9 * DAY


def test_a_store_that_fails_moves_no_watermark() -> None:
    """A tick that could not be written is fetched again."""
    source = FakeSource("s", PANEL)
    rig = Rig(source)
    at = PANEL.start + DAY
    rig.ingest.run(at)
    rig.store.failure = StoreUnavailable("disk full")
    with pytest.raises(StoreUnavailable, match="disk full"):
        rig.ingest.run(at + 300)
    rig.store.failure = None
    assert rig.store.watermarks() == {("s", "cpu"): at, ("s", "mem"): at}
    rig.ingest.run(at + 300)
    assert np.isfinite(rig.stored().between(at, at + 300).values).all()


def test_fetching_ends_early_when_the_service_stops() -> None:
    """A long backfill does not delay the stop; written samples stay."""
    source = FakeSource("s", PANEL, backfill_seconds=4 * DAY)
    store, asked = FakeStore(), iter([False, False, True, True])
    Ingest(
        sources=[source],
        store=store,
        metrics=("cpu", "mem"),
        retention_seconds=10 * DAY,
        telemetry=FakeTelemetry(),
        stopping=lambda: next(asked),
    ).run(PANEL.end)
    reached = set(store.watermarks().values())
    assert len(reached) == 1
    assert reached.pop() < PANEL.end


def test_pushed_samples_are_stored_before_they_are_acknowledged() -> None:
    """Accepting returns once the samples are in the store, and counts only what was new."""
    rig = Rig()
    key = SeriesKey("a", "cpu")
    samples = Samples(
        keys=(key,),
        series=np.zeros(2, np.int32),
        timestamps=np.array([START, START + 300]),
        values=np.array([1, 2], dtype=np.float32),
    )
    assert rig.ingest.accept("push", samples) == 2
    assert rig.ingest.accept("push", samples) == 0
    assert rig.store.span() == (START, START + 300)
