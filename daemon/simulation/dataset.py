"""A simulated history as files: the metrics, the truth about the incidents, and all parameters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.core.series import DAY_SECONDS, STEP_SECONDS, Panel, ceil_to_grid, floor_to_grid
from daemon.simulation.fleet import SPAN_DAYS, Fleet
from daemon.simulation.incident import Incident, to_frame
from daemon.simulation.response import METRICS
from daemon.system.files import atomic_path

METRICS_FILE = "server_metrics.parquet"
INCIDENTS_FILE = "incidents.parquet"
PARAMETERS_FILE = "fleet.json"
# days in a row group: small enough for memory, large enough for a fast scan
CHUNK_DAYS = SPAN_DAYS
TIMESTAMP = pa.timestamp("ms", tz="UTC")
METRICS_SCHEMA = pa.schema(
    [("timestamp", TIMESTAMP), ("server", pa.string()), ("profile", pa.string())]
    + [(metric, pa.float32()) for metric in METRICS]
)
INCIDENTS_SCHEMA = pa.schema(
    [
        ("server", pa.string()),
        ("kind", pa.string()),
        ("metric", pa.string()),
        ("start", TIMESTAMP),
        ("breach", TIMESTAMP),
        ("end", TIMESTAMP),
        ("cause", pa.string()),
        ("precursor", pa.bool_()),
    ]
)


def write_simulation(
    fleet: Fleet,
    start: int,
    end: int,
    out_dir: Path,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Write ``server_metrics.parquet``, ``incidents.parquet`` and ``fleet.json`` for the span to ``out_dir``.

    The files appear when all are complete. After an interruption there is none.

    Args:
        fleet: the fleet to write.
        start: epoch seconds (UTC) of the first step.
        end: epoch seconds of the last step, included.
        out_dir: directory of the files; created if it does not exist.
        progress: called with the finished share, 0 to 1, after every chunk.

    Raises:
        OSError: a file cannot be written.
    """
    with (
        atomic_path(out_dir / PARAMETERS_FILE) as parameters,
        atomic_path(out_dir / INCIDENTS_FILE) as incidents,
        atomic_path(out_dir / METRICS_FILE) as metrics,
    ):
        truth = _write_metrics(fleet, ceil_to_grid(start), floor_to_grid(end), metrics, progress)
        table = pa.Table.from_pandas(to_frame(truth), INCIDENTS_SCHEMA, preserve_index=False)
        pq.write_table(table, incidents)
        parameters.write_text(fleet.to_json(), encoding="utf-8")


def _write_metrics(fleet: Fleet, start: int, end: int, path: Path, progress: Callable[[float], None]) -> list[Incident]:
    """Write the metrics to ``path`` and return the incidents of the span, sorted by start."""
    truth: dict[Incident, None] = {}
    with pq.ParquetWriter(path, METRICS_SCHEMA, compression="zstd") as writer:
        for first in range(start, end + 1, CHUNK_DAYS * DAY_SECONDS):
            last = min(end, first + CHUNK_DAYS * DAY_SECONDS - STEP_SECONDS)
            writer.write_table(wide_table(fleet.panel(first, last)))
            # the fleet still has these days in its cache
            truth.update(dict.fromkeys(fleet.incidents(first, last)))
            progress((last - start + STEP_SECONDS) / (end - start + STEP_SECONDS))
    return sorted(truth, key=lambda incident: (incident.start, incident.server))


def wide_table(panel: Panel) -> Any:
    """Return the panel as a wide Arrow table, sorted by time; a server without a sample at a time has no row there."""
    servers = list(dict.fromkeys(key.server for key in panel.keys))
    row_of = {server: row for row, server in enumerate(servers)}
    column_of = {metric: column for column, metric in enumerate(METRICS)}
    wide = np.full((len(METRICS), panel.steps, len(servers)), np.nan, dtype=np.float32)
    rows = [row_of[key.server] for key in panel.keys]
    wide[[column_of[key.metric] for key in panel.keys], :, rows] = panel.values
    step, row = np.nonzero(np.isfinite(wide).any(axis=0))
    server = pa.DictionaryArray.from_arrays(row.astype(np.int32), servers)
    profile = pa.DictionaryArray.from_arrays(row.astype(np.int32), [panel.profiles[name] for name in servers])
    timestamps = pa.array(panel.timestamps[step] * 1000, pa.int64()).cast(TIMESTAMP)
    columns = [pa.array(metric[step, row], from_pandas=True) for metric in wide]
    names = (server.cast(pa.string()), profile.cast(pa.string()))
    return pa.table([timestamps, *names, *columns], schema=METRICS_SCHEMA)
