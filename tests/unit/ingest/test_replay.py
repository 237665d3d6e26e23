from pathlib import Path

import numpy as np
import pytest

from daemon.core.errors import BadMetricsFile, QueryRejected
from daemon.core.series import STEP_SECONDS, Panel, SeriesKey
from daemon.ingest.metrics_file import write_metrics_file
from daemon.ingest.ports import Source
from daemon.ingest.replay import ReplaySource

NOON = 1_767_614_400  # 2026-01-05T12:00:00Z
LAST = NOON + 5 * STEP_SECONDS


@pytest.fixture
def panel() -> Panel:
    """Two servers, six steps, one sample lost."""
    values = np.arange(12, dtype=np.float32).reshape(2, 6)
    values[0, 3] = np.nan
    return Panel((SeriesKey("a", "cpu"), SeriesKey("b", "cpu")), NOON, values, {"a": "generic"})


@pytest.fixture
def source(panel: Panel, tmp_path: Path) -> ReplaySource:
    """The panel as a file, replayed."""
    write_metrics_file(tmp_path / "m.parquet", panel)
    return ReplaySource("file", tmp_path / "m.parquet", backfill_seconds=3600)


def test_it_is_a_source_of_one_stream_with_an_end(source: ReplaySource) -> None:
    """The adapter has what the port asks for, and tells what the file spans."""
    port: Source = source
    assert (port.name, port.streams, port.backfill_seconds, port.overlap_seconds) == ("file", ("file",), 3600, 0)
    assert (source.first, source.last) == (NOON, LAST)
    port.close()


def test_it_delivers_what_the_file_has_in_the_span(source: ReplaySource, panel: Panel) -> None:
    """The samples of the span come with profiles, both ends included; a missing one does not arrive."""
    samples = source.fetch("file", NOON + 2 * STEP_SECONDS, NOON + 4 * STEP_SECONDS)
    assert len(samples) == 5
    assert samples.profiles == {"a": "generic"}
    np.testing.assert_array_equal(samples.to_panel().values, panel.values[:, 2:5])


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        (0, NOON - STEP_SECONDS, 0),
        (0, NOON, 2),
        (0, 1 << 40, 11),
        (LAST, LAST + 300 * STEP_SECONDS, 2),
        (LAST + STEP_SECONDS, 1 << 40, 0),
    ],
)
def test_outside_the_file_there_is_nothing(source: ReplaySource, start: int, end: int, count: int) -> None:
    """Times before and after the file's are empty, however far the span reaches."""
    assert len(source.fetch("file", start, end)) == count


def test_replayed_piece_by_piece_nothing_is_lost_or_doubled(source: ReplaySource, panel: Panel) -> None:
    """A tick at a time gives the same samples as all at once."""
    ticks = [source.fetch("file", time, time).values for time in range(NOON, LAST + 1, STEP_SECONDS)]
    np.testing.assert_array_equal(np.concatenate(ticks), source.fetch("file", NOON, LAST).values)


def test_a_bad_file_is_an_error_at_once(tmp_path: Path) -> None:
    """Making the source already says what is wrong with its file."""
    (tmp_path / "m.csv").write_text("timestamp,server,cpu\n2026-01-05T12:01:00Z,a,1\n")
    with pytest.raises(BadMetricsFile, match=r"m\.csv: column 'timestamp', row 1: .* off the 300 s grid"):
        ReplaySource("file", tmp_path / "m.csv", 0)


def test_an_unknown_stream_is_refused(source: ReplaySource) -> None:
    """Asking for a stream that it does not have names both."""
    with pytest.raises(QueryRejected, match=r"'file' has no stream 'cpu', only 'file'"):
        source.fetch("cpu", NOON, NOON)
