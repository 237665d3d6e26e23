"""Metrics files: parquet or CSV, long or wide, read into a panel and written from one."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.domain.errors import BadMetricsFile
from daemon.domain.names import name_problem
from daemon.domain.series import Float32, Panel, SeriesKey
from daemon.files.metrics_columns import Int32, Names, read_names, read_numbers, shown
from daemon.files.metrics_table import MetricsTable, opened
from daemon.files.metrics_times import Times, read_times
from daemon.files.metrics_writing import write_metrics_file

__all__ = ["read_metrics_file", "write_metrics_file"]

_FORMS = (
    "a metrics file has the columns timestamp, server, metric, value[, profile], "
    "or timestamp, server[, profile] and one column per metric"
)
_PIECE = 1 << 20
_NOT_METRICS = frozenset({"timestamp", "server", "profile"})


def read_metrics_file(path: Path) -> Panel:
    """Return the samples of a metrics file as a panel from its first timestamp to its last, sorted by key.

    A series is there if it has a sample; of two samples for the same series and time the later row counts.

    Args:
        path: a ``.parquet``, ``.csv`` or ``.csv.gz`` file, long or wide, or a directory that holds
            ``server_metrics.parquet`` or ``data.parquet``.

    Raises:
        BadMetricsFile: it is not there or not of that form; names the file, the column, the row and the fix.
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
    """Return the metric columns of a wide file, sorted; none if the file is long."""
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
    # By hash: neither a sort of all rows nor a table of all possible pairs.
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
    # NumPy assigns in order, so of two samples at one place the later stays. It wants 64-bit indices: piece by
    # piece they cost no memory.
    for first in range(0, len(given), _PIECE):
        piece = slice(first, first + _PIECE)
        values[rows[piece], steps[piece]] = given[piece]


def _profiles(table: MetricsTable, servers: Names) -> dict[str, str]:
    """Return the profile of each server that has one; the last row that names it counts."""
    profiles = read_names(table, "profile", required=False)
    latest = np.full(len(servers.names), -1, np.int32)
    named = profiles.codes >= 0
    latest[servers.codes if named.all() else servers.codes[named]] = profiles.codes[named]
    return {servers.names[server]: profiles.names[latest[server]] for server in np.flatnonzero(latest >= 0)}
