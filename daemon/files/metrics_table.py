"""A metrics file as columns by name, before anyone asks what they hold."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from daemon.domain.errors import BadMetricsFile

SUFFIXES = (".parquet", ".csv", ".csv.gz")
FILES_OF_A_DIRECTORY = ("server_metrics.parquet", "data.parquet")
TEXT_COLUMNS = ("timestamp", "server", "metric", "profile")
# pandas writes the index of a frame along; it is never a metric.
_INDEX_PREFIX = "__index_level_"
_MISSING = ["", "NaN", "nan"]


@dataclass(frozen=True)
class MetricsTable:
    """The columns of one file; ``column(name)`` reads one as an Arrow chunked array of ``rows`` values."""

    path: Path
    names: tuple[str, ...]
    rows: int
    column: Callable[[str], pa.ChunkedArray]

    def bad(self, column: str, row: int, problem: str, fix: str, count: int = 1) -> BadMetricsFile:
        """Return the error that row ``row`` (0-based), the first of ``count`` such, has ``problem`` in ``column``."""
        others = f" ({count} such rows in all)" if count > 1 else ""
        return BadMetricsFile(f"{self.path}: column {column!r}, row {row + 1}: {problem}; {fix}{others}")


@contextmanager
def opened(path: Path) -> Iterator[MetricsTable]:
    """Yield the columns of the parquet or CSV file ``path``, or of the one in the directory ``path``.

    Raises:
        BadMetricsFile: it is not there, cannot be read, or is neither parquet nor CSV.
    """
    file = path
    try:
        file = _located(path)
        with file.open("rb"):
            pass
        if not file.stat().st_size:
            raise BadMetricsFile(f"{file}: is empty (0 bytes); write it again")
    except OSError as error:
        raise BadMetricsFile(f"{file}: cannot be read: {error.strerror}; check the path and its permissions") from error
    with (_parquet if file.name.lower().endswith(".parquet") else _csv)(file) as table:
        if len(set(table.names)) < len(table.names):
            twice = next(name for name in table.names if table.names.count(name) > 1)
            raise BadMetricsFile(f"{file}: has two columns {twice!r}; rename or drop one")
        if not table.rows:
            raise BadMetricsFile(f"{file}: has no rows; write at least one sample")
        yield table


def has_known_suffix(path: Path) -> bool:
    """Return whether ``path`` is named as a metrics file is."""
    return path.name.lower().endswith(SUFFIXES)


def _located(path: Path) -> Path:
    if path.is_dir():
        found = [path / name for name in FILES_OF_A_DIRECTORY if (path / name).exists()]
        if not found:
            raise BadMetricsFile(
                f"{path}: the directory has no {' or '.join(FILES_OF_A_DIRECTORY)}; name the file itself"
            )
        return found[0]
    if not path.exists():
        raise BadMetricsFile(f"{path}: does not exist; check the path")
    if not path.is_file():
        raise BadMetricsFile(f"{path}: is not a regular file; write the metrics to a file first")
    if not has_known_suffix(path):
        raise BadMetricsFile(f"{path}: the name says no known format; it must end in {', '.join(SUFFIXES)}")
    return path


@contextmanager
def _parquet(path: Path) -> Iterator[MetricsTable]:
    # One handle for all columns: should the file be replaced meanwhile, they still belong together. It is Arrow's own,
    # as a thread of Arrow's that let go of a Python file while the interpreter ends would abort the process.
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
                # A damaged page may decode to codes without a text, or to bytes that are none.
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
    """Read a CSV; rows are only counted, and their numbers told to ``bad_row``, by a reader without threads."""
    text = pa.dictionary(pa.int32(), pa.string())
    return csv.read_csv(
        path,
        csv.ReadOptions(use_threads=bad_row is None),
        csv.ParseOptions(invalid_row_handler=bad_row),
        csv.ConvertOptions(column_types=dict.fromkeys(TEXT_COLUMNS, text), null_values=_MISSING),
    )


def _refuse_row(path: Path) -> None:
    """Raise the error of the first row that has the wrong number of cells, if there is one."""
    bad: list[csv.InvalidRow] = []

    def keep(row: csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    # What else is wrong with the file is known already.
    with suppress(ValueError, pa.ArrowException):
        _read_csv(path, keep)
    if bad:
        first, others = bad[0], f" ({len(bad)} such rows in all)" if len(bad) > 1 else ""
        raise BadMetricsFile(
            # The header is row 1 to the reader.
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
            f"{path}: is not a whole {kind} file ({reason}); it may be cut off or of another format: write it again"
        ) from error
