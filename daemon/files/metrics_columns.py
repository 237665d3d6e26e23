"""From the columns of a metrics file to arrays, each checked for what that column alone can have wrong."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.domain.names import name_problem
from daemon.domain.series import Float32
from daemon.files.metrics_table import MetricsTable

Int32 = npt.NDArray[np.int32]


class Coded(NamedTuple):
    """A column as its distinct values and, for every row, the index of its value: ``(rows,)``, −1 where null."""

    values: pa.Array
    codes: Int32


class Names(NamedTuple):
    """A column of names: the distinct ones, sorted, and every row's index into them, −1 where there is none."""

    names: tuple[str, ...]
    codes: Int32


def read_names(table: MetricsTable, column: str, *, required: bool = True) -> Names:
    """Return a column of names; where ``required``, every row must have one.

    Raises:
        BadMetricsFile: it does not hold text, or a name is missing or cannot be one.
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
    # The last item serves the code −1.
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
    """Return a column of numbers, NaN where a sample is missing; ``fix`` is what to do about a text.

    Raises:
        BadMetricsFile: it holds something else than numbers, or one that is infinite as a 32-bit float.
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
        raise table.bad(column, infinite[0], problem, "leave out what is no measurement", len(infinite))
    return values


def value_type(column: pa.ChunkedArray) -> pa.DataType:
    """Return the type of a column's values, whether or not they are dictionary-encoded."""
    return column.type.value_type if pa.types.is_dictionary(column.type) else column.type


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is one of the string types."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def encoded(column: pa.ChunkedArray) -> Coded:
    """Return a column as its distinct values and codes; a dictionary-encoded one keeps its codes."""
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
    """Raise the error of the first row whose value is one of those that are ``bad``, if there is one.

    Args:
        table: the file.
        column: name of the column.
        codes: the value of every row, −1 where there is none.
        bad: ``(values,)`` which of the distinct values are refused; one that no row has does no harm.
        describe: returns the problem of a value, and the fix.
    """
    if not bad.any():
        return
    rows = np.flatnonzero(np.append(bad, False)[codes])
    if len(rows):
        problem, fix = describe(int(codes[rows[0]]))
        raise table.bad(column, rows[0], problem, fix, len(rows))


def shown(value: object) -> str:
    """Return a value as an error message shows it: quoted, and not endless."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _codes(chunk: pa.DictionaryArray) -> Int32:
    indices = chunk.indices.cast(pa.int32())
    codes: Int32 = (indices.fill_null(-1) if indices.null_count else indices).to_numpy()
    return codes


def _refuse_cells(table: MetricsTable, column: str, data: pa.ChunkedArray, fix: str) -> None:
    """Raise the error of the first cell that is no number; return where all are empty."""
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
    # In parquet a number may be stored as text: then it is every cell that is wrong.
    refuse_values(table, column, coded.codes, given, lambda code: (f"{shown(texts[code])} is text", "store numbers"))


def _is_number(text: str | None) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True
