"""The timestamps of a metrics file: with a zone, on the grid, and not a lifetime apart."""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from daemon.domain.errors import BadMetricsFile
from daemon.domain.grid import STEP_SECONDS, as_text
from daemon.domain.series import Int64
from daemon.files.metrics_columns import Coded, Int32, encoded, is_text, refuse_null, refuse_values, shown, value_type
from daemon.files.metrics_table import MetricsTable

COLUMN = "timestamp"
# A mistyped year would otherwise allocate gigabytes of nothing.
MAXIMUM_SPAN_DAYS = 3653
TICKS_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a datetime can show, with a day to spare on either side for a nearest grid time.
_EARLIEST, _LATEST = -62_135_510_400, 253_402_214_400
_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*")
_WRITE_ISO = "write ISO 8601 in UTC, as in 2026-03-01T12:00:00Z"


class Times(NamedTuple):
    """The timestamps: the first, the number of grid times up to the last, and every row's step, ``(rows,)``."""

    start: int
    columns: int
    steps: Int32


def read_times(table: MetricsTable) -> Times:
    """Return the timestamps as steps of the grid.

    Raises:
        BadMetricsFile: one is no time, has no zone or is off the grid, or they span more than ten years.
    """
    column = table.column(COLUMN)
    kind = value_type(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        fix = "if these are seconds since 1970, pandas makes times of them by pd.to_datetime(…, unit='s', utc=True)"
        raise table.bad(COLUMN, 0, f"holds numbers ({kind}), not times", fix, table.rows)
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and not kind.tz):
        fix = "give it the zone that it is in; for UTC pandas does so by .dt.tz_localize('UTC')"
        raise table.bad(COLUMN, 0, f"holds times without a time zone ({kind})", fix, table.rows)
    if not (is_text(kind) or pa.types.is_timestamp(kind)):
        raise table.bad(COLUMN, 0, f"holds {kind}, not times", _WRITE_ISO, table.rows)
    coded = encoded(column)
    refuse_null(table, COLUMN, coded.codes, _WRITE_ISO)
    if is_text(kind):
        return _on_grid(table, coded.codes, _parsed(table, coded), TICKS_PER_SECOND["us"])
    return _on_grid(table, coded.codes, coded.values.cast(pa.int64()).to_numpy(), TICKS_PER_SECOND[kind.unit])


def _parsed(table: MetricsTable, coded: Coded) -> Int64:
    """Return the microseconds since 1970 of every distinct text."""
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
    refuse_values(table, COLUMN, coded.codes, bad, problems.__getitem__)
    # A dictionary may hold texts that no row has; they must not stretch the span.
    ticks[np.bincount(coded.codes, minlength=len(texts)) == 0] = ticks[coded.codes[0]]
    return ticks


def _no_time(text: str | None) -> tuple[str, str]:
    if not text:
        return "is empty", _WRITE_ISO
    if _NUMBER.fullmatch(text):
        return f"{shown(text)} is a number, not a time", f"if it counts seconds since 1970, {_WRITE_ISO}"
    return f"{shown(text)} is not a time", _WRITE_ISO


def _on_grid(table: MetricsTable, codes: Int32, ticks: Int64, per_second: int) -> Times:
    """Return the step of every row, given the distinct timestamps as ``ticks`` since 1970."""
    seconds, fraction = ticks // per_second, ticks % per_second
    refuse_values(
        table,
        COLUMN,
        codes,
        (seconds < _EARLIEST) | (seconds >= _LATEST),
        lambda code: (f"{seconds[code]} seconds since 1970 is in no year from 1 to 9999", "check the column's unit"),
    )

    def off_grid(code: int) -> tuple[str, str]:
        second = int(seconds[code])
        nearest = as_text((second + STEP_SECONDS // 2) // STEP_SECONDS * STEP_SECONDS)
        part = " and a fraction" if fraction[code] else ""
        problem = f"{as_text(second)}{part} is off the {STEP_SECONDS} s grid, whose nearest time is {nearest}"
        return problem, "move it there, or store the mean of every five minutes at their end"

    refuse_values(table, COLUMN, codes, (seconds % STEP_SECONDS != 0) | (fraction != 0), off_grid)
    first, last = int(seconds.min()), int(seconds.max())
    if last - first > MAXIMUM_SPAN_DAYS * 86_400:
        rows = [int(np.argmax(seconds[codes] == extreme)) + 1 for extreme in (first, last)]
        raise BadMetricsFile(
            f"{table.path}: column {COLUMN!r}: spans more than ten years, from {as_text(first)} in row {rows[0]} to "
            f"{as_text(last)} in row {rows[1]}; correct the one that is mistyped, or split the file"
        )
    steps = ((seconds - first) // STEP_SECONDS).astype(np.int32)[codes]
    return Times(first, (last - first) // STEP_SECONDS + 1, steps)
