"""Writing a panel as a metrics file in the long form."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from daemon.domain.errors import BadMetricsFile
from daemon.domain.grid import as_text
from daemon.domain.series import Panel
from daemon.files.atomic import atomic_path
from daemon.files.metrics_table import SUFFIXES, has_known_suffix

_TIMESTAMP = pa.timestamp("ms", tz="UTC")
# Bounds the memory of a CSV being written, whose texts are far larger than the codes that they come from.
_CSV_ROWS = 1 << 17


def write_metrics_file(path: Path, panel: Panel) -> None:
    """Write the finite values of ``panel`` to ``path``, whole or not at all: long form, series after series.

    Parquet has ``timestamp`` (milliseconds, UTC), dictionary-encoded ``server`` and ``metric``, float32 ``value``
    and, if any is known, ``profile``; CSV the same columns. A panel without a finite value makes a file without rows.

    Args:
        path: ends in ``.parquet``, ``.csv`` or ``.csv.gz``.
        panel: what to write.

    Raises:
        BadMetricsFile: the name of ``path`` says no known format.
    """
    if not has_known_suffix(path):
        raise BadMetricsFile(f"{path}: the name says no known format; it must end in {', '.join(SUFFIXES)}")
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
    """Return the name of every sample, given the name of every series; None is null."""
    names = pa.array(of_series, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(names.indices.take(pa.array(series)), names.dictionary)
