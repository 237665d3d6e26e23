"""Errors about bad metrics files name the file, the column, the row and the fix."""

import gzip
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.core.errors import BadMetricsFile
from daemon.core.series import Panel, SeriesKey
from daemon.ingest.metrics_file import read_metrics_file, write_metrics_file

TIME = "2026-01-05T12:00:00Z"
LONG = "timestamp,server,metric,value"
GOOD = f"{TIME},a,cpu,1"


def refusal(path: Path) -> str:
    """Return the error about a bad file, which always starts with its path."""
    with pytest.raises(BadMetricsFile) as caught:
        read_metrics_file(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def of_csv(folder: Path, *lines: str) -> str:
    """Return the error about a CSV of ``lines``."""
    path = folder / "m.csv"
    path.write_text("\n".join(lines) + "\n")
    return refusal(path)


def of_columns(folder: Path, **columns: object) -> str:
    """Return the error about a Parquet file of ``columns``; the others are valid."""
    path = folder / "m.parquet"
    times = pd.to_datetime(["2026-01-05 12:00", "2026-01-05 12:05"], utc=True)
    given = {"timestamp": times, "server": ["a", "b"], "cpu": [1.0, 2.0], **columns}
    pq.write_table(pa.table(given), path)
    return refusal(path)


def test_a_missing_file(tmp_path: Path) -> None:
    """A path that does not exist is named."""
    assert refusal(tmp_path / "no.parquet") == "does not exist; check the path"


def test_a_directory_without_metrics(tmp_path: Path) -> None:
    """A directory must hold one of two files."""
    assert "no server_metrics.parquet or data.parquet" in refusal(tmp_path)


def test_an_unknown_extension(tmp_path: Path) -> None:
    """The known ones are listed, when reading and when writing."""
    path = tmp_path / "metrics.xlsx"
    path.write_text("x")
    assert "must end in .parquet, .csv, .csv.gz" in refusal(path)
    with pytest.raises(BadMetricsFile, match=r"metrics\.xlsx: .* must end in \.parquet"):
        write_metrics_file(path, Panel((), 0, np.empty((0, 0), np.float32)))


@pytest.mark.parametrize("name", ["m.parquet", "m.csv", "m.csv.gz"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    """A file of 0 bytes is rejected."""
    (tmp_path / name).touch()
    assert refusal(tmp_path / name) == "is empty (0 bytes); write it again"


@pytest.mark.parametrize("name", ["m.parquet", "m.csv", "m.csv.gz"])
def test_a_file_without_rows(tmp_path: Path, name: str) -> None:
    """A file with columns but without rows is rejected."""
    write_metrics_file(tmp_path / name, Panel((), 0, np.empty((0, 0), np.float32)))
    assert refusal(tmp_path / name) == "has no rows; write at least one sample"


def test_a_file_whose_samples_are_all_missing(tmp_path: Path) -> None:
    """Rows without any value are rejected."""
    assert "every value is missing" in of_csv(tmp_path, LONG, f"{TIME},a,cpu,")
    assert "every value is missing" in of_columns(tmp_path, cpu=pa.nulls(2))


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99], ids=["text", "half", "nearly all"])
def test_a_parquet_file_that_is_none(tmp_path: Path, kept: float) -> None:
    """A text with that suffix, and a truncated file, are rejected."""
    frame = pd.DataFrame({"timestamp": pd.date_range(TIME, periods=999, freq="5min"), "server": "a", "cpu": 1.0})
    path = tmp_path / "m.parquet"
    frame.to_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)] or b"timestamp,server\n")
    assert re.search(r"not a whole parquet file \(.+\); it may be truncated, or of another format", refusal(path))


def test_a_parquet_file_with_a_damaged_page(tmp_path: Path) -> None:
    """A page that cannot be decoded is found when its column is read."""
    path = tmp_path / "m.parquet"
    frame = pd.DataFrame({"timestamp": pd.date_range(TIME, periods=5000, freq="5min"), "server": "a"})
    frame.assign(cpu=np.random.default_rng(0).random(5000)).to_parquet(path, compression="zstd")
    whole = bytearray(path.read_bytes())
    whole[30 : len(whole) // 2] = b"\x5a" * (len(whole) // 2 - 30)
    path.write_bytes(whole)
    assert "is not a whole parquet file" in refusal(path)


def test_a_truncated_gzip(tmp_path: Path) -> None:
    """Half of a compressed CSV is rejected, not read in part."""
    path = tmp_path / "m.csv.gz"
    lines = "".join(f"{TIME},server-{number},cpu,{number}\n" for number in range(5000))
    packed = gzip.compress(f"{LONG}\n{lines}".encode())
    path.write_bytes(packed[: len(packed) // 2])
    assert "is not a whole CSV file" in refusal(path)


def test_a_row_with_too_few_cells(tmp_path: Path) -> None:
    """The first such row, its number and how many there are."""
    text = of_csv(tmp_path, LONG, GOOD, f"{TIME},a,1", GOOD, f"{TIME},a,1")
    assert text.startswith("row 2 has 3 cells for 4 columns; ")
    assert text.endswith("(2 such rows in all)")


def test_a_text_that_is_not_utf8(tmp_path: Path) -> None:
    """The line with the first byte that is no UTF-8 is named."""
    path = tmp_path / "m.csv"
    path.write_bytes(f"{LONG}\n{GOOD}\n{TIME},caf\xe9,cpu,1\n".encode("latin-1"))
    assert refusal(path) == "line 3 is not UTF-8 text; save the file as UTF-8"
    path.write_bytes(f"timestamp,server,charge_\xe0\n{TIME},a,1\n".encode("latin-1"))
    assert refusal(path) == "line 1 is not UTF-8 text; save the file as UTF-8"


@pytest.mark.parametrize("name", ["m.parquet", "m.csv", "m.csv.gz"])
def test_a_damaged_file_is_never_another_error(tmp_path: Path, name: str) -> None:
    """A file with corrupt bytes is either rejected by its name or gives finite samples."""
    keys = tuple(SeriesKey(server, metric) for server in "ab" for metric in ("cpu", "mem"))
    values = np.random.default_rng(0).random((4, 20), np.float32)
    path = tmp_path / name
    write_metrics_file(path, Panel(keys, 0, values, {"a": "generic"}))
    whole = path.read_bytes()
    chance = random.Random(0)
    refused = []
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            assert not np.isinf(read_metrics_file(path).values).any()
        except BadMetricsFile as error:
            refused.append(str(error))
    assert len(refused) > 75
    assert all(text.startswith(f"{path}: ") for text in refused)


def test_a_missing_column(tmp_path: Path) -> None:
    """What is missing, what is there, and the likely misspelling."""
    text = of_csv(tmp_path, "Timestamp,severs,metric,value", GOOD)
    assert "has no column 'timestamp', 'server', only 'Timestamp', 'severs', 'metric', 'value'" in text
    assert "is 'Timestamp' the timestamp?" in text
    assert "is 'severs' the server?" in text
    assert "has no column 'metric'" in of_csv(tmp_path, "timestamp,server,value", f"{TIME},a,1")
    assert "separate columns by commas" in of_csv(tmp_path, LONG.replace(",", ";"), GOOD.replace(",", ";"))


def test_both_forms_in_one_file(tmp_path: Path) -> None:
    """A long file has no further columns."""
    assert "has the long form's metric and value, and also 'mem'" in of_csv(tmp_path, f"{LONG},mem", f"{GOOD},2")


def test_a_wide_file_without_metrics(tmp_path: Path) -> None:
    """There must be something to read besides the server and its profile."""
    assert "has no metric, only 'timestamp', 'server'" in of_csv(tmp_path, "timestamp,server", f"{TIME},a")


def test_columns_without_a_name_of_their_own(tmp_path: Path) -> None:
    """Two columns of one name, and a column without a name, are rejected."""
    assert "two columns 'cpu'" in of_csv(tmp_path, "timestamp,server,cpu,cpu", f"{TIME},a,1,2")
    assert "column number 1 has no name; write the file without a row index" in of_csv(
        tmp_path, f",{LONG}", f"0,{GOOD}"
    )


def test_a_text_among_the_values(tmp_path: Path) -> None:
    """The text, its row, how many there are, and what to write instead; in the long and in the wide form."""
    rows = [GOOD] * 16 + [f"{TIME},a,cpu,n/a"] + [GOOD] * 3 + [f"{TIME},a,cpu,n/a"]
    text = of_csv(tmp_path, LONG, *rows)
    assert text.startswith("column 'value', row 17: 'n/a' is not a number; leave the cell empty")
    assert text.endswith("(2 such rows in all)")
    text = of_csv(tmp_path, "timestamp,server,cpu,rack", f"{TIME},a,1,", f"{TIME},a,1,r7")
    assert text.startswith("column 'rack', row 2: 'r7' is not a number; ")
    assert "drop the column if it is no metric" in text


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["1.5", "2"], "row 1: '1.5' is text; store numbers"),
        ([None, True], "row 2: True is not a number but bool"),
        (pd.Categorical(["x", "y"]), "row 1: 'x' is not a number"),
    ],
)
def test_other_things_than_numbers_in_parquet(tmp_path: Path, values: object, problem: str) -> None:
    """Numbers stored as text, truth values and categories are not taken for numbers."""
    array = pa.array(values) if isinstance(values, list) else pa.Array.from_pandas(values)
    assert f"column 'cpu', {problem}" in of_columns(tmp_path, cpu=array)


@pytest.mark.parametrize(
    ("value", "problem"),
    [("inf", "inf is infinite"), ("-Infinity", "-inf is infinite"), ("1e39", "1e+39 is too large for a 32-bit float")],
)
def test_an_infinite_value(tmp_path: Path, value: str, problem: str) -> None:
    """Infinite values are rejected."""
    text = of_csv(tmp_path, LONG, GOOD, f"{TIME},a,cpu,{value}", f"{TIME},b,cpu,{value}")
    assert text.startswith(f"column 'value', row 2: {problem}; ")
    assert text.endswith("(2 such rows in all)")


@pytest.mark.parametrize(
    ("time", "problem"),
    [
        ("yesterday", "'yesterday' is not a time; write ISO 8601"),
        ("2026-02-30T00:00:00Z", "'2026-02-30T00:00:00Z' is not a time"),
        ("2026-01-05T12:00:00", "'2026-01-05T12:00:00' has no time zone; write it in UTC"),
        ("2026-01-05", "'2026-01-05' has no time zone"),
        ("", "is empty; write ISO 8601"),
        ("1767614400", "'1767614400' is a number, not a time; if it counts seconds since 1970"),
        ("1767614400.0", "is a number, not a time"),
        (
            "2026-01-05T12:02:29Z",
            "2026-01-05T12:02:29Z is off the 300 s grid, whose nearest time is 2026-01-05T12:00:00Z",
        ),
        ("2026-01-05T12:02:30Z", "whose nearest time is 2026-01-05T12:05:00Z"),
        ("2026-01-05T12:00:00.001Z", "2026-01-05T12:00:00Z and a fraction is off the 300 s grid"),
        ("9999-12-31T23:59:59Z", "is in no year from 1 to 9999"),
        ("0001-01-01T00:00:00+14:00", "is in no year from 1 to 9999"),
    ],
)
def test_a_bad_timestamp_in_csv(tmp_path: Path, time: str, problem: str) -> None:
    """What is wrong with it, where, how often, and how to write it."""
    text = of_csv(tmp_path, LONG, GOOD, f"{time},a,cpu,1", f"{time},b,cpu,1")
    assert text.startswith("column 'timestamp', row 2: ")
    assert problem in text
    assert text.endswith("(2 such rows in all)")


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        (pa.array([1_767_614_400] * 2), "row 1: holds numbers (int64), not times; if these are seconds since 1970"),
        (pa.array([1_767_614_400.0] * 2), "row 1: holds numbers (double), not times"),
        (pa.array([0, 1], pa.timestamp("ms")), "row 1: holds times without a time zone (timestamp[ms])"),
        (pa.array([0, 1], pa.date32()), "row 1: holds times without a time zone (date32[day])"),
        (pa.array([True, False]), "row 1: holds bool, not times"),
        (pa.array([0, None], pa.timestamp("ms", "UTC")), "row 2: is empty"),
        (
            pa.array([0, 300_001], pa.timestamp("ms", "UTC")),
            "row 2: 1970-01-01T00:05:00Z and a fraction is off the 300 s grid",
        ),
        (
            pa.array([0, 3 * 10**14], pa.timestamp("ms", "UTC")),
            "row 2: 300000000000 seconds since 1970 is in no year",
        ),
        (pa.array([None, "soon"]), "row 1: is empty"),
        (pa.array([TIME, "soon"]), "row 2: 'soon' is not a time"),
    ],
)
def test_a_bad_timestamp_in_parquet(tmp_path: Path, times: pa.Array, problem: str) -> None:
    """A column that is no instant in time is refused whole, a bad cell by its row."""
    assert f"column 'timestamp', {problem}" in of_columns(tmp_path, timestamp=times)


def test_a_span_of_more_than_ten_years(tmp_path: Path) -> None:
    """A mistyped year is refused, by both ends and their rows, before it allocates memory."""
    text = of_csv(tmp_path, LONG, GOOD, "2062-01-05T12:00:00Z,a,cpu,1", GOOD)
    assert "spans more than ten years, from 2026-01-05T12:00:00Z in row 1 to 2062-01-05T12:00:00Z in row 2" in text


@pytest.mark.parametrize("column", ["server", "metric"])
def test_a_missing_name(tmp_path: Path, column: str) -> None:
    """A row without a server or a metric is rejected."""
    bad = GOOD.replace(",a," if column == "server" else ",cpu,", ",,")
    text = of_csv(tmp_path, LONG, GOOD, bad, bad)
    assert text == f"column '{column}', row 2: is empty; name the {column} in every row (2 such rows in all)"


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a", None], "row 2: is empty"),
        (["a", " "], "row 2: ' ' is empty; rename it"),
        (["a", "b\n"], r"row 2: 'b\n' has a control character or a line break"),
        (["a", "b" * 256], "has 256 characters, more than 255"),
        ([1, 2], "row 1: int64 is not text; store names as strings"),
        (pa.nulls(2), "row 1: null is not text"),
    ],
)
def test_a_bad_server_in_parquet(tmp_path: Path, names: object, problem: str) -> None:
    """A server's name is a text of a line, not empty and not endless."""
    text = of_columns(tmp_path, server=names)
    assert text.startswith("column 'server', row ")
    assert problem in text


def test_a_bad_metric_name_of_a_wide_file(tmp_path: Path) -> None:
    """The name of a column is the name of a metric, so it must be one."""
    assert "the name of a metric has a control character" in of_columns(tmp_path, **{"cpu\t": [1.0, 2.0]})
