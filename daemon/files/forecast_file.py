"""Forecast files: a row per origin, server, metric and step, with its quantiles."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.domain.forecast import Forecast
from daemon.domain.grid import HORIZON_STEPS
from daemon.domain.quantiles import QUANTILE_COLUMNS
from daemon.files.atomic import atomic_path

_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("origin", pa.timestamp("ms", tz="UTC")),
        ("server", _TEXT),
        ("metric", _TEXT),
        ("step", pa.int16()),
        *((name, pa.float32()) for name in QUANTILE_COLUMNS),
    ]
)


class ForecastWriter:
    """Appends forecasts to a file that is being written."""

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
            pa.array(origin, type=SCHEMA.field("origin").type),
            pa.DictionaryArray.from_arrays(row, pa.array([key.server for key in forecast.keys])),
            pa.DictionaryArray.from_arrays(row, pa.array([key.metric for key in forecast.keys])),
            pa.array(np.tile(np.arange(1, HORIZON_STEPS + 1, dtype=np.int16), count)),
            *(pa.array(forecast.paths[:, :, column].ravel()) for column in range(len(QUANTILE_COLUMNS))),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))


@contextmanager
def forecast_file(path: Path) -> Iterator[ForecastWriter]:
    """Yield a writer of ``path``; the file takes its place when all is written."""
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        yield ForecastWriter(writer)
