"""Time and memory of a training at each level on all of its data, each in its own process.

``python -m tests.benchmarks.bench_levels small`` runs one epoch of each on two servers: a check of the benchmark.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from daemon.core.levels import LEVELS, Level, LevelName
from daemon.ingest.metrics_file import write_metrics_file
from tests.benchmarks.fleets import full_fleet

SERVERS = 20
LIMIT_SECONDS = {LevelName.DEMO: 30, LevelName.VALIDATION: 180, LevelName.PRODUCTION: 360}
LIMIT_GB = 2


def main(servers: int = SERVERS, epochs: int | None = None) -> None:
    """Print a line for each level; ``epochs`` instead of the level's own make it short."""
    print(f"{servers} servers x 14 metrics; OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'left to forewarn')}")
    with tempfile.TemporaryDirectory() as folder:
        for name, limit in LIMIT_SECONDS.items():
            _measure(LEVELS[name], limit, Path(folder), servers, epochs)


def _measure(level: Level, limit: int, folder: Path, servers: int, epochs: int | None) -> None:
    file, models = folder / f"{level.name}.parquet", folder / level.name
    write_metrics_file(file, full_fleet(servers, level.data_hours))
    arguments = ["--data", str(file), "--level", level.name, "--models", str(models)]
    print(f"training at level {level.name}", file=sys.stderr, flush=True)
    seconds, memory_bytes = _run([*arguments, *(["--epochs", str(epochs)] if epochs else [])])
    info = _training_info(models)
    print(
        f"{level.name}: {info['data_hours']:.0f} h, {info['epochs']} epoch(s), "
        f"early stopping {info['early_stopping']}: trained in {info['training_time_hours'] * 3600:.0f} s "
        f"(target ≤ {limit} s), process {seconds:.0f} s, "
        f"peak memory {memory_bytes / 1e9:.2f} GB (target < {LIMIT_GB} GB)",
        flush=True,
    )


def _run(arguments: list[str]) -> tuple[float, int]:
    """Return the seconds that ``forewarn train`` took and its peak resident memory in bytes."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "daemon", "train", *arguments], stdout=subprocess.DEVNULL)
    # the peak includes this process before the exec, so this module imports nothing large
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"forewarn train {' '.join(arguments)} ended with exit code {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def _training_info(models: Path) -> dict[str, Any]:
    (file,) = models.glob("*/training_info.json")
    info: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return info


if __name__ == "__main__":
    main(2, 1) if "small" in sys.argv[1:] else main()
