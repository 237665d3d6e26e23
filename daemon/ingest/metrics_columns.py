"""The columns of a metrics file as arrays; each is checked for the problems of that column."""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from daemon.core.errors import BadMetricsFile
from daemon.core.file_access import is_present, reason_of
from daemon.core.metric import name_problem
from daemon.core.series import STEP_SECONDS, Float32, Int64, as_text

SUFFIXES = (".parquet", ".csv", ".csv.gz")
FILES_OF_A_DIRECTORY = ("server_metrics.parquet", "data.parquet")
TEXT_COLUMNS = ("timestamp", "server", "metric", "profile")
# pandas writes the index of a frame as a column; it is never a metric
_INDEX_PREFIX = "__index_level_"
_MISSING = ["", "NaN", "nan"]

TIME_COLUMN = "timestamp"
# without it a mistyped year would allocate gigabytes
MAXIMUM_SPAN_DAYS = 3653
TICKS_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# the range of datetime, less a day at either end for the nearest grid time
_EARLIEST, _LATEST = -62_135_510_400, 253_402_214_400
_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*")
_WRITE_ISO = "write ISO 8601 in UTC, as in 2026-03-01T12:00:00Z"

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class MetricsTable:
    """The columns of one file; ``column(name)`` reads one of them as an Arrow chunked array of ``rows`` values."""

    path: Path
    names: tuple[str, ...]
    rows: int
    column: Callable[[str], pa.ChunkedArray]

    def bad(self, column: str, row: int, problem: str, fix: str, count: int = 1) -> BadMetricsFile:
        """Return the error of ``problem`` in ``column`` and ``row`` (0-based), the first of ``count`` such rows."""
        others = f" ({count} such rows in all)" if count > 1 else ""
        return BadMetricsFile(f"{self.path}: column {column!r}, row {row + 1}: {problem}; {fix}{others}")


@contextmanager
def opened(path: Path) -> Iterator[MetricsTable]:
    """Yield the columns of the parquet or CSV file ``path``, or of the one in the directory ``path``.

    Raises:
        BadMetricsFile: the file does not exist, cannot be read, or is neither Parquet nor CSV.
    """
    file = path
    try:
        file = _located(path)
        with file.open("rb"):
            pass
        if not file.stat().st_size:
            raise BadMetricsFile(f"{file}: is empty (0 bytes); write it again")
    except OSError as error:
        raise BadMetricsFile(f"{file}: cannot be read: {reason_of(error, 'check the path')}") from error
    with (_parquet if file.name.lower().endswith(".parquet") else _csv)(file) as table:
        if len(set(table.names)) < len(table.names):
            twice = next(name for name in table.names if table.names.count(name) > 1)
            raise BadMetricsFile(f"{file}: has two columns {twice!r}; rename or drop one")
        if not table.rows:
            raise BadMetricsFile(f"{file}: has no rows; write at least one sample")
        yield table


def has_known_suffix(path: Path) -> bool:
    """Return whether ``path`` has the suffix of a metrics file."""
    return path.name.lower().endswith(SUFFIXES)


def _located(path: Path) -> Path:
    if path.is_dir():
        found = [path / name for name in FILES_OF_A_DIRECTORY if (path / name).exists()]
        if not found:
            raise BadMetricsFile(
                f"{path}: the directory has no {' or '.join(FILES_OF_A_DIRECTORY)}; name the file itself"
            )
        return found[0]
    if not is_present(path):
        raise BadMetricsFile(f"{path}: does not exist; check the path")
    if not path.is_file():
        raise BadMetricsFile(f"{path}: is not a regular file; write the metrics to a file first")
    if not has_known_suffix(path):
        raise BadMetricsFile(f"{path}: unknown format; the name must end in {', '.join(SUFFIXES)}")
    return path


@contextmanager
def _parquet(path: Path) -> Iterator[MetricsTable]:
    # One handle for all columns: they belong together even if the file is replaced meanwhile. The handle is Arrow's
    # own, because a thread of Arrow that releases a Python file at the end of the interpreter aborts the process.
    with pa.OSFile(str(path)) as handle:
        with _readable(path, "parquet"):
            schema = pq.read_schema(handle)
            texts = [name for name in TEXT_COLUMNS if schema.names.count(name) == 1]
            handle.seek(0)
            file = pq.ParquetFile(handle, read_dictionary=texts)
            rows = file.metadata.num_rows

        def column(name: str) -> pa.ChunkedArray:
            with _readable(path, "parquet"):
                data = file.read([name]).column(name)
                # a corrupt page may decode to codes without a text, or to bytes that are not text
                data.validate(full=True)
                if len(data) != rows:
                    raise ValueError(f"column {name!r} has {len(data)} of {rows} rows")
                return data

        names = tuple(name for name in schema.names if not name.startswith(_INDEX_PREFIX))
        yield MetricsTable(path, names, rows, column)


@contextmanager
def _csv(path: Path) -> Iterator[MetricsTable]:
    with _readable(path, "CSV"):
        try:
            table = _read_csv(path)
            names = tuple(table.column_names)
        except (ValueError, pa.ArrowException):
            _refuse_line(path)
            _refuse_row(path)
            raise
    if "" in names:
        position = names.index("") + 1
        raise BadMetricsFile(f"{path}: column number {position} has no name; write the file without a row index")
    yield MetricsTable(path, names, table.num_rows, table.column)


def _read_csv(path: Path, bad_row: Callable[[csv.InvalidRow], str] | None = None) -> pa.Table:
    """Read a CSV; with ``bad_row`` without threads, because only then Arrow knows the row numbers."""
    text = pa.dictionary(pa.int32(), pa.string())
    return csv.read_csv(
        path,
        csv.ReadOptions(use_threads=bad_row is None),
        csv.ParseOptions(invalid_row_handler=bad_row),
        csv.ConvertOptions(column_types=dict.fromkeys(TEXT_COLUMNS, text), null_values=_MISSING),
    )


def _refuse_row(path: Path) -> None:
    """Raise the error of the first row with the wrong number of cells, if there is one."""
    bad: list[csv.InvalidRow] = []

    def keep(row: csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    # other problems of the file are already known
    with suppress(ValueError, pa.ArrowException):
        _read_csv(path, keep)
    if bad:
        first, others = bad[0], f" ({len(bad)} such rows in all)" if len(bad) > 1 else ""
        raise BadMetricsFile(
            # the reader counts the header as row 1
            f"{path}: row {first.number - 1} has {first.actual_columns} cells for {first.expected_columns} columns; "
            f"give every row a cell per column, empty where a sample is missing{others}"
        )


def _refuse_line(path: Path) -> None:
    """Raise the error of the first line that is not UTF-8, if there is one."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                raise BadMetricsFile(f"{path}: line {number} is not UTF-8 text; save the file as UTF-8") from None


@contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, zlib.error, pa.ArrowException) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise BadMetricsFile(
            f"{path}: is not a whole {kind} file ({reason}); it may be truncated, or of another format; write it again"
        ) from error


class Coded(NamedTuple):
    """The distinct values of a column and, for every row, the index of its value: ``(rows,)``, −1 for null."""

    values: pa.Array
    codes: Int32


class Names(NamedTuple):
    """The distinct names of a column, sorted, and the index of every row into them, −1 without a name."""

    names: tuple[str, ...]
    codes: Int32


def read_names(table: MetricsTable, column: str, *, required: bool = True) -> Names:
    """Return a column of names; if ``required``, every row must have one.

    Raises:
        BadMetricsFile: the column is not text, or a name is missing or not valid.
    """
    data = table.column(column)
    kind = value_type(data)
    if pa.types.is_null(kind) and not required:
        return Names((), np.full(table.rows, -1, np.int32))
    if not is_text(kind):
        raise table.bad(column, 0, f"{kind} is not text", "store names as strings", table.rows)
    coded = encoded(data)
    texts = [text or None for text in coded.values.to_pylist()]
    names = sorted({text for text in texts if text is not None})
    rank = {name: code for code, name in enumerate(names)}
    # the last item is for the code −1
    codes = coded.codes
    if texts != names:
        codes = np.array([-1 if text is None else rank[text] for text in texts] + [-1], np.int32)[codes]
    if required:
        refuse_null(table, column, codes, f"name the {column} in every row")
    problems = [name_problem(name) for name in names]
    refuse_values(
        table,
        column,
        codes,
        np.array([problem is not None for problem in problems], dtype=np.bool_),
        lambda code: (f"{shown(names[code])} {problems[code]}", "rename it"),
    )
    return Names(tuple(names), codes)


def read_numbers(table: MetricsTable, column: str, fix: str) -> Float32:
    """Return a column of numbers, NaN for a missing sample; ``fix`` is the fix for a text.

    Raises:
        BadMetricsFile: a value is not a number, or is infinite as a 32-bit float.
    """
    data = table.column(column)
    if pa.types.is_dictionary(data.type):
        data = data.cast(data.type.value_type)
    kind = data.type
    if pa.types.is_decimal(kind):
        data = data.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        _refuse_cells(table, column, data, fix)
        return np.full(table.rows, np.nan, np.float32)
    given = data.to_numpy()
    with np.errstate(over="ignore"):
        values: Float32 = given.astype(np.float32, copy=False)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        first = given[infinite[0]]
        problem = f"{first} is infinite" if np.isinf(first) else f"{first} is too large for a 32-bit float"
        raise table.bad(column, infinite[0], problem, "leave out values that are not measurements", len(infinite))
    return values


def value_type(column: pa.ChunkedArray) -> pa.DataType:
    """Return the type of the values of a column, dictionary-encoded or not."""
    return column.type.value_type if pa.types.is_dictionary(column.type) else column.type


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is one of the string types."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def encoded(column: pa.ChunkedArray) -> Coded:
    """Return the distinct values and the codes of a column; a dictionary-encoded column keeps its codes."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    chunks = column.unify_dictionaries().chunks
    return Coded(chunks[0].dictionary, np.concatenate([_codes(chunk) for chunk in chunks]))


def refuse_null(table: MetricsTable, column: str, codes: Int32, fix: str) -> None:
    """Raise the error of the first row without a value, if there is one."""
    if codes.min() < 0:
        rows = np.flatnonzero(codes < 0)
        raise table.bad(column, rows[0], "is empty", fix, len(rows))


def refuse_values(
    table: MetricsTable,
    column: str,
    codes: Int32,
    bad: npt.NDArray[np.bool_],
    describe: Callable[[int], tuple[str, str]],
) -> None:
    """Raise the error of the first row with a bad value, if there is one.

    Args:
        table: the file.
        column: name of the column.
        codes: index of the value of every row, −1 without a value.
        bad: ``(values,)`` whether each distinct value is rejected; values without a row are ignored.
        describe: returns the problem of a value, and the fix.
    """
    if not bad.any():
        return
    rows = np.flatnonzero(np.append(bad, False)[codes])
    if len(rows):
        problem, fix = describe(int(codes[rows[0]]))
        raise table.bad(column, rows[0], problem, fix, len(rows))


def shown(value: object) -> str:
    """Return a value for an error message: quoted, in a limited length."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _codes(chunk: pa.DictionaryArray) -> Int32:
    indices = chunk.indices.cast(pa.int32())
    codes: Int32 = (indices.fill_null(-1) if indices.null_count else indices).to_numpy()
    return codes


def _refuse_cells(table: MetricsTable, column: str, data: pa.ChunkedArray, fix: str) -> None:
    """Raise the error of the first cell that is not a number; return if all cells are empty."""
    if not is_text(data.type):
        filled = np.flatnonzero(data.is_valid().to_numpy())
        if len(filled):
            value = data[int(filled[0])].as_py()
            raise table.bad(column, filled[0], f"{shown(value)} is not a number but {data.type}", fix, len(filled))
        return
    coded = encoded(data)
    texts = coded.values.to_pylist()
    given = np.array([bool(text and text.strip()) for text in texts], dtype=np.bool_)
    wrong = given & np.array([not _is_number(text) for text in texts], dtype=np.bool_)
    refuse_values(table, column, coded.codes, wrong, lambda code: (f"{shown(texts[code])} is not a number", fix))
    # Parquet may store numbers as text: then every cell is wrong
    refuse_values(table, column, coded.codes, given, lambda code: (f"{shown(texts[code])} is text", "store numbers"))


def _is_number(text: str | None) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


class Times(NamedTuple):
    """The first timestamp, the number of grid times up to the last, and the step of every row, ``(rows,)``."""

    start: int
    columns: int
    steps: Int32


def read_times(table: MetricsTable) -> Times:
    """Return the timestamps as steps of the grid.

    Raises:
        BadMetricsFile: a value is not a time, has no time zone or is off the grid, or they span more than ten years.
    """
    column = table.column(TIME_COLUMN)
    kind = value_type(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        fix = "if these are seconds since 1970, pandas makes times of them by pd.to_datetime(…, unit='s', utc=True)"
        raise table.bad(TIME_COLUMN, 0, f"holds numbers ({kind}), not times", fix, table.rows)
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and not kind.tz):
        fix = "add the time zone; for UTC with pandas: .dt.tz_localize('UTC')"
        raise table.bad(TIME_COLUMN, 0, f"holds times without a time zone ({kind})", fix, table.rows)
    if not (is_text(kind) or pa.types.is_timestamp(kind)):
        raise table.bad(TIME_COLUMN, 0, f"holds {kind}, not times", _WRITE_ISO, table.rows)
    coded = encoded(column)
    refuse_null(table, TIME_COLUMN, coded.codes, _WRITE_ISO)
    if is_text(kind):
        return _on_grid(table, coded.codes, _parsed(table, coded), TICKS_PER_SECOND["us"])
    return _on_grid(table, coded.codes, coded.values.cast(pa.int64()).to_numpy(), TICKS_PER_SECOND[kind.unit])


def _parsed(table: MetricsTable, coded: Coded) -> Int64:
    """Return every distinct text as microseconds since 1970."""
    texts = coded.values.to_pylist()
    ticks = np.zeros(len(texts), np.int64)
    problems: dict[int, tuple[str, str]] = {}
    for code, text in enumerate(texts):
        try:
            moment = datetime.fromisoformat((text or "").strip())
        except ValueError:
            problems[code] = _no_time(text)
            continue
        if moment.tzinfo is None:
            problems[code] = (
                f"{shown(text)} has no time zone",
                "write it in UTC with a trailing Z, or with its offset",
            )
            continue
        ticks[code] = (moment - _EPOCH) // timedelta(microseconds=1)
    bad = np.zeros(len(texts), np.bool_)
    bad[list(problems)] = True
    refuse_values(table, TIME_COLUMN, coded.codes, bad, problems.__getitem__)
    # a dictionary may contain texts without a row; they must not extend the span
    ticks[np.bincount(coded.codes, minlength=len(texts)) == 0] = ticks[coded.codes[0]]
    return ticks


def _no_time(text: str | None) -> tuple[str, str]:
    if not text:
        return "is empty", _WRITE_ISO
    if _NUMBER.fullmatch(text):
        return f"{shown(text)} is a number, not a time", f"if it counts seconds since 1970, {_WRITE_ISO}"
    return f"{shown(text)} is not a time", _WRITE_ISO


def _on_grid(table: MetricsTable, codes: Int32, ticks: Int64, per_second: int) -> Times:
    """Return the step of every row from the distinct timestamps, which are ``ticks`` since 1970."""
    seconds, fraction = ticks // per_second, ticks % per_second
    refuse_values(
        table,
        TIME_COLUMN,
        codes,
        (seconds < _EARLIEST) | (seconds >= _LATEST),
        lambda code: (f"{seconds[code]} seconds since 1970 is in no year from 1 to 9999", "check the column's unit"),
    )

    def off_grid(code: int) -> tuple[str, str]:
        second = int(seconds[code])
        nearest = as_text((second + STEP_SECONDS // 2) // STEP_SECONDS * STEP_SECONDS)
        part = " and a fraction" if fraction[code] else ""
        problem = f"{as_text(second)}{part} is off the {STEP_SECONDS} s grid, whose nearest time is {nearest}"
        return problem, "use that time, or store the mean of each five minutes at their end"

    refuse_values(table, TIME_COLUMN, codes, (seconds % STEP_SECONDS != 0) | (fraction != 0), off_grid)
    first, last = int(seconds.min()), int(seconds.max())
    if last - first > MAXIMUM_SPAN_DAYS * 86_400:
        rows = [int(np.argmax(seconds[codes] == extreme)) + 1 for extreme in (first, last)]
        raise BadMetricsFile(
            f"{table.path}: column {TIME_COLUMN!r}: spans more than ten years, from {as_text(first)} in row {rows[0]} "
            f"to {as_text(last)} in row {rows[1]}; correct the one that is mistyped, or split the file"
        )
    steps = ((seconds - first) // STEP_SECONDS).astype(np.int32)[codes]
    return Times(first, (last - first) // STEP_SECONDS + 1, steps)
