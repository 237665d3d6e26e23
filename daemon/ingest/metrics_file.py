"""Reads metrics files (Parquet or CSV, long or wide) into panels; writes metrics files and forecast files."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from daemon.core.errors import BadMetricsFile
from daemon.core.forecast import QUANTILE_COLUMNS, Forecast
from daemon.core.metric import name_problem
from daemon.core.series import HORIZON_STEPS, Float32, Panel, SeriesKey, as_text
from daemon.ingest.metrics_columns import (
    SUFFIXES,
    Int32,
    MetricsTable,
    Names,
    Times,
    has_known_suffix,
    opened,
    read_names,
    read_numbers,
    read_times,
    shown,
)
from daemon.system.files import atomic_path

_FORMS = (
    "a metrics file has the columns timestamp, server, metric, value[, profile], "
    "or timestamp, server[, profile] and one column per metric"
)
_NOT_METRICS = frozenset({"timestamp", "server", "profile"})
_PIECE = 1 << 20
# limits the memory of a CSV that is written: its text is far larger than the dictionary codes
_CSV_ROWS = 1 << 17
_TIMESTAMP = pa.timestamp("ms", tz="UTC")
_TEXT = pa.dictionary(pa.int32(), pa.string())
FORECAST_SCHEMA = pa.schema(
    [
        ("origin", _TIMESTAMP),
        ("server", _TEXT),
        ("metric", _TEXT),
        ("step", pa.int16()),
        *((name, pa.float32()) for name in QUANTILE_COLUMNS),
    ]
)


class ForecastWriter:
    """Appends forecasts to a Parquet file."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer

    def add(self, forecast: Forecast) -> None:
        """Append every path of ``forecast``."""
        count = len(forecast.keys)
        if not count:
            return
        row = pa.array(np.repeat(np.arange(count, dtype=np.int32), HORIZON_STEPS))
        origin = np.full(count * HORIZON_STEPS, forecast.origin * 1000, dtype="datetime64[ms]")
        columns = [
            pa.array(origin, type=FORECAST_SCHEMA.field("origin").type),
            pa.DictionaryArray.from_arrays(row, pa.array([key.server for key in forecast.keys])),
            pa.DictionaryArray.from_arrays(row, pa.array([key.metric for key in forecast.keys])),
            pa.array(np.tile(np.arange(1, HORIZON_STEPS + 1, dtype=np.int16), count)),
            *(pa.array(forecast.paths[:, :, column].ravel()) for column in range(len(QUANTILE_COLUMNS))),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=FORECAST_SCHEMA))


@contextmanager
def forecast_file(path: Path) -> Iterator[ForecastWriter]:
    """Yield a writer of ``path``; the file appears when it is complete."""
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, FORECAST_SCHEMA) as writer:
        yield ForecastWriter(writer)


def write_metrics_file(path: Path, panel: Panel) -> None:
    """Write the finite values of ``panel`` to ``path`` atomically, in the long form, series after series.

    Parquet has ``timestamp`` (milliseconds, UTC), dictionary-encoded ``server`` and ``metric``, float32 ``value``
    and, if there are profiles, ``profile``; CSV has the same columns. A panel without finite values gives no rows.

    Args:
        path: ends in ``.parquet``, ``.csv`` or ``.csv.gz``.
        panel: the series.

    Raises:
        BadMetricsFile: the suffix of ``path`` is not a known format.
    """
    if not has_known_suffix(path):
        raise BadMetricsFile(f"{path}: unknown format; the name must end in {', '.join(SUFFIXES)}")
    name = path.name.lower()
    with atomic_path(path) as temporary:
        if name.endswith(".parquet"):
            pq.write_table(_long_table(panel, pa.array(panel.timestamps * 1000).cast(_TIMESTAMP)), temporary)
            return
        table = _long_table(panel, pa.array(as_text(int(time)) for time in panel.timestamps))
        compression = "gzip" if name.endswith(".gz") else None
        with (
            pa.output_stream(temporary, compression=compression) as sink,
            csv.CSVWriter(sink, table.schema) as writer,
        ):
            for batch in table.to_batches(max_chunksize=_CSV_ROWS):
                writer.write(batch)


def _long_table(panel: Panel, timestamps: pa.Array) -> pa.Table:
    series, steps = np.nonzero(np.isfinite(panel.values))
    columns = {
        "timestamp": pa.DictionaryArray.from_arrays(steps.astype(np.int32), timestamps),
        "server": _names([key.server for key in panel.keys], series),
        "metric": _names([key.metric for key in panel.keys], series),
        "value": pa.array(panel.values[series, steps]),
    }
    if panel.profiles:
        columns["profile"] = _names([panel.profiles.get(key.server) for key in panel.keys], series)
    if not pa.types.is_string(timestamps.type):
        columns["timestamp"] = columns["timestamp"].dictionary_decode()
    return pa.table(columns)


def _names(of_series: list[str | None], series: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.DictionaryArray:
    """Return the name of each sample, given the name of each series; None is null."""
    names = pa.array(of_series, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(names.indices.take(pa.array(series)), names.dictionary)


def read_metrics_file(path: Path) -> Panel:
    """Return the samples of a metrics file as a panel from its first to its last timestamp, sorted by key.

    Series without samples are left out; of two samples for the same series and time, the later row applies.

    Args:
        path: a ``.parquet``, ``.csv`` or ``.csv.gz`` file, long or wide, or a directory that contains
            ``server_metrics.parquet`` or ``data.parquet``.

    Raises:
        BadMetricsFile: the file does not exist or has another form; names the file, the column, the row and the fix.
    """
    with opened(path) as table:
        metrics = _metrics(table)
        times = read_times(table)
        servers = read_names(table, "server")
        keys, values = _wide(table, metrics, times, servers) if metrics else _long(table, times, servers)
        if not keys:
            raise BadMetricsFile(f"{table.path}: has no sample, every value is missing; write at least one")
        profiles = _profiles(table, servers) if "profile" in table.names else {}
    known = {key.server for key in keys}
    return Panel(keys, times.start, values, {server: name for server, name in profiles.items() if server in known})


def _metrics(table: MetricsTable) -> list[str]:
    """Return the metric columns of a wide file, sorted; empty for a long file."""
    names = table.names
    long = {"metric", "value"} & set(names)
    missing = [name for name in ("timestamp", "server", *(("metric", "value") if long else ())) if name not in names]
    others = sorted(name for name in names if name not in _NOT_METRICS | {"metric", "value"})
    if missing:
        raise BadMetricsFile(_missing(table, missing, others))
    if long and others:
        raise BadMetricsFile(
            f"{table.path}: has the long form's metric and value, and also {_listed(others)}; "
            f"drop one or the other: {_FORMS}"
        )
    if not long and not others:
        raise BadMetricsFile(f"{table.path}: has no metric, only {_listed(names)}; {_FORMS}")
    for name in others:
        problem = name_problem(name)
        if problem:
            raise BadMetricsFile(f"{table.path}: column {shown(name)}: the name of a metric {problem}; rename it")
    return others


def _missing(table: MetricsTable, missing: list[str], others: list[str]) -> str:
    names = {name.strip().lower(): name for name in reversed(others)}
    hints = [
        f"is {names[found[0]]!r} the {name}?" for name in missing if (found := get_close_matches(name, names, 1, 0.6))
    ]
    if len(table.names) == 1 and any(mark in table.names[0] for mark in ";\t|"):
        hints.append("separate columns by commas")
    hinted = "".join(f"; {hint}" for hint in hints)
    return f"{table.path}: has no column {_listed(missing)}, only {_listed(table.names)}{hinted}; {_FORMS}"


def _listed(names: Iterable[str], at_most: int = 20) -> str:
    quoted = [shown(name) for name in names]
    return ", ".join(quoted[:at_most]) + (f" and {len(quoted) - at_most} more" if len(quoted) > at_most else "")


def _long(table: MetricsTable, times: Times, servers: Names) -> tuple[tuple[SeriesKey, ...], Float32]:
    metrics = read_names(table, "metric")
    given = read_numbers(table, "value", "leave the cell empty where a sample is missing")
    width = np.int32 if len(servers.names) * len(metrics.names) < 2**31 else np.int64
    pairs = np.multiply(servers.codes, len(metrics.names), dtype=width)
    pairs += metrics.codes
    steps, seen = times.steps, np.isfinite(given)
    if not seen.all():
        pairs, steps, given = pairs[seen], steps[seen], given[seen]
    # by hash, which needs neither a sort of all rows nor a table of all possible pairs
    encoding = pa.array(pairs).dictionary_encode()
    present: npt.NDArray[np.int64] = encoding.dictionary.to_numpy()
    order = np.argsort(present)
    row_of = np.empty(len(order), np.int32)
    row_of[order] = np.arange(len(order), dtype=np.int32)
    values = np.full((len(present), times.columns), np.nan, np.float32)
    _scatter(values, row_of[encoding.indices.to_numpy()], steps, given)
    keys = (divmod(int(pair), len(metrics.names)) for pair in present[order])
    return tuple(SeriesKey(servers.names[server], metrics.names[metric]) for server, metric in keys), values


def _wide(
    table: MetricsTable, metrics: list[str], times: Times, servers: Names
) -> tuple[tuple[SeriesKey, ...], Float32]:
    fix = "leave the cell empty where a sample is missing, or drop the column if it is no metric"
    columns = [read_numbers(table, metric, fix) for metric in metrics]
    present = np.zeros((len(servers.names), len(metrics)), np.bool_)
    for column, given in enumerate(columns):
        present[servers.codes[np.isfinite(given)], column] = True
    row_of = (np.cumsum(present, dtype=np.int32) - 1).reshape(present.shape).astype(np.int32)
    values = np.full((int(present.sum()), times.columns), np.nan, np.float32)
    for column, given in enumerate(columns):
        seen = np.isfinite(given)
        _scatter(values, row_of[servers.codes[seen], column], times.steps[seen], given[seen])
    return tuple(SeriesKey(servers.names[server], metrics[metric]) for server, metric in np.argwhere(present)), values


def _scatter(values: Float32, rows: Int32, steps: Int32, given: Float32) -> None:
    # NumPy assigns in order, so the later one of two samples at one place stays; it converts the indices to 64 bit,
    # which needs little memory piece by piece
    for first in range(0, len(given), _PIECE):
        piece = slice(first, first + _PIECE)
        values[rows[piece], steps[piece]] = given[piece]


def _profiles(table: MetricsTable, servers: Names) -> dict[str, str]:
    """Return the profile of each server that has one; the last row with a profile applies."""
    profiles = read_names(table, "profile", required=False)
    latest = np.full(len(servers.names), -1, np.int32)
    named = profiles.codes >= 0
    latest[servers.codes if named.all() else servers.codes[named]] = profiles.codes[named]
    return {servers.names[server]: profiles.names[latest[server]] for server in np.flatnonzero(latest >= 0)}
