"""What a good metrics file means."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.core.series import STEP_SECONDS, Panel, SeriesKey, parse_time
from daemon.ingest.metrics_file import read_metrics_file, write_metrics_file
from daemon.simulation.dataset import write_simulation
from daemon.simulation.fleet import Fleet
from daemon.simulation.spec import FleetSpec

NOON = parse_time("2026-01-05T12:00:00Z")
NAN = np.nan

LONG = """timestamp,server,metric,value,profile
2026-01-05T12:05:00Z,web-2,cpu,2.5,
2026-01-05 12:00:00+00:00,web-1,mem,40,web_api
2026-01-05T13:10:00+01:00,web-1,cpu,1e1,web_api
2026-01-05T12:00:00Z,web-1,cpu,,web_api
"""
WIDE = """timestamp,server,profile,mem,cpu
2026-01-05T12:05:00Z,web-2,,,2.5
2026-01-05T12:00:00Z,web-1,web_api,40,NaN
2026-01-05T12:10:00Z,web-1,web_api,,10
"""


def read(folder: Path, text: str) -> Panel:
    """Return what a CSV with ``text`` holds."""
    path = folder / "metrics.csv"
    path.write_text(text)
    return read_metrics_file(path)


@pytest.mark.parametrize("text", [LONG, WIDE], ids=["long", "wide"])
def test_long_and_wide_say_the_same(tmp_path: Path, text: str) -> None:
    """Either form becomes the panel from the first to the last time, sorted by key, gaps missing, times in UTC."""
    panel = read(tmp_path, text)
    assert panel.keys == (SeriesKey("web-1", "cpu"), SeriesKey("web-1", "mem"), SeriesKey("web-2", "cpu"))
    assert (panel.start, panel.profiles) == (NOON, {"web-1": "web_api"})
    assert panel.values.dtype == np.float32
    np.testing.assert_array_equal(panel.values, [[NAN, NAN, 10], [40, NAN, NAN], [NAN, 2.5, NAN]])


def test_the_later_of_two_rows_wins(tmp_path: Path) -> None:
    """A sample that comes twice counts as the later row says; a missing one is no sample and overrides nothing."""
    row = "2026-01-05T12:00:00Z,a,cpu,"
    panel = read(tmp_path, f"timestamp,server,metric,value\n{row}1\n{row}3\n{row}2\n{row}\n")
    np.testing.assert_array_equal(panel.values, [[2]])


def test_the_last_profile_wins_and_an_empty_one_is_none(tmp_path: Path) -> None:
    """A server has the profile that its last row with one names."""
    rows = [("a", "generic"), ("a", "database"), ("a", ""), ("b", "")]
    lines = [f"2026-01-05T12:00:00Z,{server},1,{profile}" for server, profile in rows]
    assert read(tmp_path, "\n".join(["timestamp,server,cpu,profile", *lines])).profiles == {"a": "database"}


def test_a_series_without_a_sample_is_no_series(tmp_path: Path) -> None:
    """A metric that a server never has gives no row, nor does a server that has only missing samples a profile."""
    lines = ["2026-01-05T12:00:00Z,a,generic,1,", "2026-01-05T12:05:00Z,b,generic,,"]
    panel = read(tmp_path, "\n".join(["timestamp,server,profile,cpu,gpu", *lines]))
    assert panel.keys == (SeriesKey("a", "cpu"),)
    assert panel.profiles == {"a": "generic"}
    assert panel.steps == 2


def test_names_that_look_like_missing_values_or_numbers_are_names(tmp_path: Path) -> None:
    """A server may be called nan, null, 17 or true."""
    lines = [f"2026-01-05T12:00:00Z,{server},1" for server in ("nan", "null", "17", "true")]
    panel = read(tmp_path, "\n".join(["timestamp,server,cpu", *lines]))
    assert [key.server for key in panel.keys] == ["17", "nan", "null", "true"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_every_unit_and_zone_of_a_timestamp_is_the_same_instant(tmp_path: Path, unit: str, zone: str) -> None:
    """A parquet timestamp is an instant, whatever its resolution and the zone it is shown in."""
    times = pa.array([NOON, NOON + 300]).cast(pa.timestamp("s", tz="UTC")).cast(pa.timestamp(unit, tz=zone))
    pq.write_table(pa.table({"timestamp": times, "server": ["a", "a"], "cpu": [1.0, 2.0]}), tmp_path / "m.parquet")
    panel = read_metrics_file(tmp_path / "m.parquet")
    assert (panel.start, panel.values.tolist()) == (NOON, [[1.0, 2.0]])


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.uint32(), pa.string())],
)
def test_names_may_be_strings_or_categories_over_many_row_groups(tmp_path: Path, kind: pa.DataType) -> None:
    """Row groups may have different dictionaries, with entries that no row uses."""
    names = ["c", "a", "b", "a"]
    frame = pa.table(
        {
            "timestamp": pa.array([NOON] * 4).cast(pa.timestamp("s", tz="UTC")),
            "server": pa.array(names, pa.string()).cast(kind),
            "metric": pa.array(["m"] * 4, pa.string()).cast(kind),
            "value": [1, 2, 3, 4],
        }
    )
    pq.write_table(frame, tmp_path / "m.parquet", row_group_size=1)
    panel = read_metrics_file(tmp_path / "m.parquet")
    assert [key.server for key in panel.keys] == ["a", "b", "c"]
    np.testing.assert_array_equal(panel.values[:, 0], [4, 3, 1])


def test_unused_categories_are_not_held_against_a_file(tmp_path: Path) -> None:
    """A category that no row uses may be empty, or a time long ago."""
    time = "2026-01-05T12:00:00Z"
    frame = pd.DataFrame(
        {
            "timestamp": pd.Categorical([time, time], categories=["1066-01-01T00:00:00Z", time]),
            "server": pd.Categorical(["a", "b"], categories=["", "b", "a", "unused"]),
            "cpu": [1, 2],
        }
    )
    frame.to_parquet(tmp_path / "m.parquet")
    panel = read_metrics_file(tmp_path / "m.parquet")
    assert (panel.start, panel.steps, panel.keys) == (NOON, 1, (SeriesKey("a", "cpu"), SeriesKey("b", "cpu")))


@pytest.mark.parametrize("kind", [pa.int16(), pa.uint64(), pa.float16(), pa.float64(), pa.decimal128(12, 2)])
def test_any_number_is_a_value(tmp_path: Path, kind: pa.DataType) -> None:
    """Integers, floats of any width and decimals are values; null is missing."""
    times = pa.array([NOON, NOON + 300]).cast(pa.timestamp("s", tz="UTC"))
    values = pa.array([3, None], pa.int32()).cast(kind)
    pq.write_table(pa.table({"timestamp": times, "server": ["a", "a"], "cpu": values}), tmp_path / "m.parquet")
    np.testing.assert_array_equal(read_metrics_file(tmp_path / "m.parquet").values, [[3, NAN]])


def test_an_index_that_pandas_wrote_is_no_metric(tmp_path: Path) -> None:
    """A filtered frame keeps its index in parquet; it must not be forecast."""
    times = pd.to_datetime([NOON, NOON], unit="s", utc=True)
    frame = pd.DataFrame({"timestamp": times, "server": ["a", "b"], "cpu": [1.0, 2.0]}, index=[7, 3])
    frame.to_parquet(tmp_path / "m.parquet")
    assert {key.metric for key in read_metrics_file(tmp_path / "m.parquet").keys} == {"cpu"}


@pytest.mark.parametrize("name", ["server_metrics.parquet", "data.parquet"])
def test_a_directory_stands_for_the_file_in_it(tmp_path: Path, name: str) -> None:
    """The directory that simulate writes, or a data set's, can be named itself."""
    panel = Panel((SeriesKey("a", "cpu"),), NOON, np.ones((1, 2), np.float32))
    write_metrics_file(tmp_path / name, panel)
    assert read_metrics_file(tmp_path).keys == panel.keys


def test_a_simulated_history_is_a_metrics_file(tmp_path: Path) -> None:
    """What simulate writes is the fleet's own panel again, gaps and profiles included."""
    fleet = Fleet(FleetSpec(counts={"ml_compute": 1, "generic": 1}, missing_rate=0.2))
    write_simulation(fleet, NOON, NOON + 40 * STEP_SECONDS, tmp_path)
    panel, truth = read_metrics_file(tmp_path), fleet.panel(NOON, NOON + 40 * STEP_SECONDS)
    rows = [truth.keys.index(key) for key in panel.keys]
    assert (len(rows), panel.profiles) == (len(truth.keys), truth.profiles)
    np.testing.assert_array_equal(panel.between(truth.start, truth.end).values, truth.values[rows])


def test_a_metric_may_begin_with_anothers_name(tmp_path: Path) -> None:
    """A dot in a column's name is no path into a nested column."""
    times = pa.array([NOON]).cast(pa.timestamp("s", tz="UTC"))
    columns = {"timestamp": times, "server": ["a"], "cpu": [1.0], "cpu.user": [2.0], "server.rank": [3]}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    panel = read_metrics_file(tmp_path / "m.parquet")
    assert [key.metric for key in panel.keys] == ["cpu", "cpu.user", "server.rank"]
    assert panel.values[:, 0].tolist() == [1, 2, 3]


def test_the_written_parquet_has_the_documented_columns(tmp_path: Path) -> None:
    """Long form: milliseconds in UTC, categories, float32, and only the finite values, series after series."""
    values = np.array([[1, NAN], [np.inf, 2]], np.float32)
    panel = Panel((SeriesKey("a", "cpu"), SeriesKey("b", "cpu")), NOON, values, {"b": "generic"})
    write_metrics_file(tmp_path / "m.parquet", panel)
    frame = pd.read_parquet(tmp_path / "m.parquet")
    assert [str(kind) for kind in frame.dtypes] == [
        "datetime64[ms, UTC]",
        "category",
        "category",
        "float32",
        "category",
    ]
    assert frame["server"].tolist() == ["a", "b"]
    assert frame["value"].tolist() == [1, 2]
    assert frame["timestamp"].tolist() == [
        pd.Timestamp(NOON, unit="s", tz="UTC"),
        pd.Timestamp(NOON + 300, unit="s", tz="UTC"),
    ]
    assert frame["profile"].isna().tolist() == [True, False]


def test_the_written_csv_is_the_readable_form(tmp_path: Path) -> None:
    """CSV has ISO times in UTC and the shortest digits that give the value back; no profile, no column."""
    panel = Panel((SeriesKey("a", "cpu"),), NOON, np.array([[0.1]], np.float32))
    write_metrics_file(tmp_path / "m.csv", panel)
    text = (tmp_path / "m.csv").read_text()
    assert text == '"timestamp","server","metric","value"\n"2026-01-05T12:00:00Z","a","cpu",0.1\n'
    assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]
