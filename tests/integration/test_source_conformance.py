"""What every source of metrics has in common, the fake included."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from daemon.config.sources import FleetConfig, PrometheusConfig, PushConfig, ReplayConfig, SimulatorConfig
from daemon.core.errors import QueryRejected, SourceUnavailable
from daemon.core.series import STEP_SECONDS, Samples, SeriesKey, floor_to_grid
from daemon.ingest.metrics_file import write_metrics_file
from daemon.ingest.ports import Source
from daemon.ingest.prometheus import PrometheusSource
from daemon.ingest.push import PushSource
from daemon.ingest.replay import ReplaySource, SimulatorSource
from tests.fakes.source import FakeSource
from tests.panels import START, daily_panel
from tests.servers.history import node_history, write_history
from tests.servers.processes import free_port
from tests.servers.prometheus import RunningPrometheus

STEPS = 24
PULLED = ("fake", "simulator", "replay", "prometheus")
QUERIES = {
    "load": "avg by (instance) (avg_over_time(node_load1[5m]))",
    "waiting": 'avg by (instance) (avg_over_time(node_tcp_connection_states{state="close_wait"}[5m]))',
}


@dataclass(frozen=True)
class Rig:
    """A source that has samples, and what a test knows about it.

    Attributes:
        make: returns one more source of the same configuration.
        start: epoch seconds of a grid time from which it has samples for ``STEPS`` steps.
        oldest: epoch seconds of its oldest sample; None where it goes back without end.
        unreachable: returns a source of the kind that cannot be reached; None where there is no such thing.
    """

    make: Callable[[], Source]
    start: int
    oldest: int | None
    unreachable: Callable[[], Source] | None = None

    @property
    def end(self) -> int:
        """The last of the ``STEPS`` grid times."""
        return self.start + (STEPS - 1) * STEP_SECONDS


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningPrometheus, int]]:
    """A Prometheus with six hours of two servers, and the time of the oldest sample."""
    server = RunningPrometheus(folder=tmp_path_factory.mktemp("prometheus"))
    history = node_history(["web-1:9100", "db-1:9100"], floor_to_grid(time.time() - 300), days=0.25)
    write_history(history, server.data)
    with server:
        yield server, int(history.times[0])


@pytest.fixture(params=PULLED)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    """Return a source of each kind that is asked for samples."""
    panel = daily_panel(servers=2, days=1)
    match request.param:
        case "fake":
            return Rig(lambda: FakeSource("main", panel), START, START, unreachable_fake)
        case "simulator":
            servers = FleetConfig(**dict.fromkeys(FleetConfig.model_fields, 0) | {"database": 1, "web_api": 1})
            config = SimulatorConfig(name="main", type="simulator", servers=servers, backfill_hours=24)
            return Rig(lambda: SimulatorSource(config), START, None)
        case "replay":
            path = tmp_path / "metrics.parquet"
            write_metrics_file(path, panel)
            config = ReplayConfig(name="main", type="replay", path=path, backfill_hours=24)
            return Rig(lambda: ReplaySource(config), START, START)
        case _:
            server, oldest = request.getfixturevalue("prometheus")
            first = floor_to_grid(oldest)
            return Rig(
                lambda: prometheus_source(server.url, 30),
                first + 2 * STEP_SECONDS,
                first,
                lambda: prometheus_source(f"http://127.0.0.1:{free_port()}", 1),
            )


def prometheus_source(url: str, deadline_seconds: int) -> PrometheusSource:
    """Return a source of the two queries at ``url``."""
    config = {"name": "main", "type": "prometheus", "url": url, "queries": QUERIES}
    return PrometheusSource(PrometheusConfig.model_validate(config | {"deadline_seconds": deadline_seconds}))


def unreachable_fake() -> FakeSource:
    """Return a fake source that is down."""
    source = FakeSource("main", daily_panel(servers=2, days=1))
    source.down = SourceUnavailable("source main: down")
    return source


@pytest.fixture
def source(rig: Rig) -> Iterator[Source]:
    """Return the source, closed at the end."""
    made = rig.make()
    yield made
    made.close()


def values(samples: Samples) -> dict[tuple[SeriesKey, int], float]:
    """Return the samples by series and time; no two of a batch are of the same series and time."""
    rows = zip(samples.series.tolist(), samples.timestamps.tolist(), samples.values.tolist(), strict=True)
    found = {(samples.keys[row], timestamp): value for row, timestamp, value in rows}
    assert len(found) == len(samples)
    return found


def everything(source: Source, start: int, end: int) -> dict[tuple[SeriesKey, int], float]:
    """Return the samples of all streams; no two streams deliver the same series."""
    streams = [values(source.fetch(stream, start, end)) for stream in source.streams]
    found = {key: value for stream in streams for key, value in stream.items()}
    assert len(found) == sum(map(len, streams))
    return found


def test_the_name_and_the_streams_are_stable(rig: Rig, source: Source) -> None:
    """A source has the configured name and at least one stream, each once; another one of the configuration too."""
    assert source.name == "main"
    assert source.streams
    assert len(set(source.streams)) == len(source.streams)
    source.fetch(source.streams[0], rig.start, rig.end)
    other = rig.make()
    assert (other.name, other.streams) == (source.name, source.streams)
    assert (other.backfill_seconds, other.overlap_seconds) == (source.backfill_seconds, source.overlap_seconds)
    other.close()


def test_the_spans_are_whole_numbers_of_seconds(source: Source) -> None:
    """The longest gap to fill and the overlap are seconds, none of them negative."""
    assert isinstance(source.backfill_seconds, int)
    assert source.backfill_seconds > 0
    assert isinstance(source.overlap_seconds, int)
    assert 0 <= source.overlap_seconds < source.backfill_seconds


def test_every_stream_delivers_finite_samples_at_grid_times_inside_the_range(rig: Rig, source: Source) -> None:
    """Two servers have samples; every time is on the grid and in the range, and both ends are included."""
    for stream in source.streams:
        samples = source.fetch(stream, rig.start, rig.end)
        assert {key.server for key in samples.keys} == {samples.keys[row].server for row in samples.series}
        assert len({key.server for key in samples.keys}) == 2
        assert (samples.series.dtype, samples.timestamps.dtype, samples.values.dtype) == (
            np.int32,
            np.int64,
            np.float32,
        )
        assert np.isfinite(samples.values).all()
        assert not (samples.timestamps % STEP_SECONDS).any()
        assert (samples.timestamps.min(), samples.timestamps.max()) == (rig.start, rig.end)


def test_a_fetch_of_one_grid_time_delivers_that_time(rig: Rig, source: Source) -> None:
    """A range whose ends are equal has the samples of that time."""
    at = rig.start + STEP_SECONDS
    whole = everything(source, rig.start, rig.end)
    expected = {key: value for key, value in whole.items() if key[1] == at}
    assert expected
    assert everything(source, at, at) == expected


def test_a_range_that_ends_before_it_starts_is_empty(rig: Rig, source: Source) -> None:
    """A fetch of no grid time delivers no sample and raises nothing."""
    assert everything(source, rig.end, rig.start) == {}


def test_a_repeated_fetch_delivers_the_same(rig: Rig, source: Source) -> None:
    """The past does not change: the same source and another one of the configuration deliver the same samples."""
    first = everything(source, rig.start, rig.end)
    assert len(first) > STEPS
    assert everything(source, rig.start, rig.end) == first
    other = rig.make()
    assert everything(other, rig.start, rig.end) == first
    other.close()


def test_parts_of_a_range_together_are_the_whole(rig: Rig, source: Source) -> None:
    """Two fetches that follow each other deliver what one fetch over both delivers."""
    middle = rig.start + STEPS // 3 * STEP_SECONDS
    parts = everything(source, rig.start, middle) | everything(source, middle + STEP_SECONDS, rig.end)
    assert parts == everything(source, rig.start, rig.end)


def test_there_is_nothing_before_the_oldest_sample(rig: Rig, source: Source) -> None:
    """A range that starts earlier delivers what there is; a simulator goes back without end."""
    early = rig.start - 10 * 86_400
    times = {timestamp for _, timestamp in everything(source, early, rig.end)}
    assert max(times) == rig.end
    if rig.oldest is None:
        assert min(times) == early
    else:
        assert rig.oldest <= min(times) <= rig.start
        assert everything(source, early, early + 86_400) == {}


def test_a_profile_belongs_to_a_server_of_the_batch(rig: Rig, source: Source) -> None:
    """A source that knows profiles names them for servers that it delivers."""
    samples = source.fetch(source.streams[0], rig.start, rig.end)
    assert set(samples.profiles) <= {key.server for key in samples.keys}


def test_a_stream_that_does_not_exist_is_rejected(rig: Rig, source: Source) -> None:
    """The error names the stream, and the streams that exist are still served."""
    with pytest.raises(QueryRejected, match="no_such_stream"):
        source.fetch("no_such_stream", rig.start, rig.end)
    assert len(source.fetch(source.streams[0], rig.start, rig.end)) > 0


def test_an_outage_is_reported_as_one(rig: Rig, source: Source) -> None:
    """An unreachable source raises the documented error with its name; a source inside the process has no outage."""
    if rig.unreachable is None:
        assert isinstance(source, SimulatorSource | ReplaySource)
        return
    unreachable = rig.unreachable()
    assert (unreachable.name, unreachable.streams) == (source.name, source.streams)
    with pytest.raises(SourceUnavailable, match="main: "):
        unreachable.fetch(source.streams[0], rig.start, rig.end)
    unreachable.close()


def test_a_source_can_be_closed_twice(rig: Rig, source: Source) -> None:
    """A second close is harmless, and so is a close of a source that was never asked."""
    source.fetch(source.streams[0], rig.start, rig.end)
    source.close()
    source.close()
    unused = rig.make()
    unused.close()
    unused.close()
    assert (unused.name, unused.streams) == (source.name, source.streams)


def test_a_fetch_after_the_close_delivers_the_same_or_is_an_outage(rig: Rig, source: Source) -> None:
    """A source that holds a connection refuses with the documented error; one without has nothing to lose."""
    expected = values(source.fetch(source.streams[0], rig.start, rig.end))
    source.close()
    if isinstance(source, SimulatorSource | ReplaySource):
        assert values(source.fetch(source.streams[0], rig.start, rig.end)) == expected
        return
    with pytest.raises(SourceUnavailable, match="source main: "):
        source.fetch(source.streams[0], rig.start, rig.end)


def test_a_push_source_has_no_stream_and_rejects_every_fetch() -> None:
    """Pushed samples do not come through the port: what the port requires of the rest still holds."""
    source: Source = PushSource(PushConfig(name="main", type="push"))
    assert (source.name, source.streams, source.backfill_seconds, source.overlap_seconds) == ("main", (), 0, 0)
    for _ in range(2):
        with pytest.raises(QueryRejected, match="source 'main' has no stream 'cpu'"):
            source.fetch("cpu", START, START)
        source.close()
