from pathlib import Path

import numpy as np
import pytest

from daemon.config.sources import ReplayConfig
from daemon.core.errors import BadMetricsFile, QueryRejected
from daemon.core.series import STEP_SECONDS, Panel, SeriesKey
from daemon.ingest.metrics_file import write_metrics_file
from daemon.ingest.ports import Source
from daemon.ingest.replay import ReplaySource
from tests.panels import panel_of

NOON = 1_767_614_400  # 2026-01-05T12:00:00Z
LAST = NOON + 5 * STEP_SECONDS


def configured(path: Path) -> ReplayConfig:
    """Return the configuration of a replay of ``path``."""
    return ReplayConfig.model_validate({"name": "file", "type": "replay", "path": path, "backfill_hours": 1})


@pytest.fixture
def panel() -> Panel:
    """Two servers, six steps, one missing sample."""
    values = np.arange(12, dtype=np.float32).reshape(2, 6)
    values[0, 3] = np.nan
    return Panel((SeriesKey("a", "cpu"), SeriesKey("b", "cpu")), NOON, values, {"a": "generic"})


@pytest.fixture
def source(panel: Panel, tmp_path: Path) -> ReplaySource:
    """A replay of the panel from a file."""
    write_metrics_file(tmp_path / "m.parquet", panel)
    return ReplaySource(configured(tmp_path / "m.parquet"))


def test_it_is_a_source_of_one_stream(source: ReplaySource) -> None:
    """The name and the backfill come from the configuration."""
    port: Source = source
    assert (port.name, port.streams, port.backfill_seconds, port.overlap_seconds) == ("file", ("file",), 3600, 0)
    port.close()


def test_it_delivers_the_samples_of_the_span(source: ReplaySource, panel: Panel) -> None:
    """The samples of the span come with profiles, both ends included; a missing one is left out."""
    samples = source.fetch("file", NOON + 2 * STEP_SECONDS, NOON + 4 * STEP_SECONDS)
    assert len(samples) == 5
    assert samples.profiles == {"a": "generic"}
    np.testing.assert_array_equal(panel_of(samples).values, panel.values[:, 2:5])


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
def test_outside_the_file_there_are_no_samples(source: ReplaySource, start: int, end: int, count: int) -> None:
    """A span before or after the file has no samples; a longer span has those of the file."""
    assert len(source.fetch("file", start, end)) == count


def test_a_replay_in_pieces_has_each_sample_once(source: ReplaySource, panel: Panel) -> None:
    """One tick at a time gives the same samples as one fetch."""
    ticks = [source.fetch("file", time, time).values for time in range(NOON, LAST + 1, STEP_SECONDS)]
    np.testing.assert_array_equal(np.concatenate(ticks), source.fetch("file", NOON, LAST).values)


def test_a_bad_file_is_an_error_at_once(tmp_path: Path) -> None:
    """The constructor raises the error about the file."""
    (tmp_path / "m.csv").write_text("timestamp,server,cpu\n2026-01-05T12:01:00Z,a,1\n")
    with pytest.raises(BadMetricsFile, match=r"m\.csv: column 'timestamp', row 1: .* off the 300 s grid"):
        ReplaySource(configured(tmp_path / "m.csv"))


def test_an_unknown_stream_is_refused(source: ReplaySource) -> None:
    """The error names the stream and the one that exists."""
    with pytest.raises(QueryRejected, match=r"'file' has no stream 'cpu', only 'file'"):
        source.fetch("cpu", NOON, NOON)
