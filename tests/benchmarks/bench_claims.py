"""The four levels as a user runs them: simulate, train, then ``claims`` and ``readiness`` of the model.

``python -m tests.benchmarks.bench_claims small`` trains one epoch of each on few servers: a check of the benchmark.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from daemon.core.levels import LEVELS, Level, LevelName
from daemon.simulation.spec import counts_for

SERVERS = {LevelName.LARGE: 100}
DEFAULT_SERVERS = 20
SEED = 3
FILES = {
    *("model.safetensors", "model.json", "calibration.json", "training_info.json", "epochs.jsonl"),
    *("samples.parquet", "report.html"),
}


def main(servers: int | None = None, epochs: int | None = None) -> None:
    """Print for each level what was trained, and both commands' answers as they come."""
    for name, level in LEVELS.items():
        with tempfile.TemporaryDirectory() as folder:
            _run_level(level, Path(folder), servers or SERVERS.get(name, DEFAULT_SERVERS), epochs)


def _run_level(level: Level, folder: Path, servers: int, epochs: int | None) -> None:
    fleet, models = folder / "fleet", folder / "models"
    counts = [f"--num-{profile.replace('_', '-')}={count}" for profile, count in counts_for(servers).items()]
    _forewarn("simulate", f"--hours={level.history_hours}", f"--seed={SEED}", f"--out={fleet}", *counts)
    print(f"training at level {level.name} on {servers} servers", file=sys.stderr, flush=True)
    chosen = [f"--epochs={epochs}"] if epochs else []
    code, _ = _forewarn("train", f"--level={level.name}", f"--data={fleet}", f"--models={models}", *chosen)
    (model,) = (path for path in models.iterdir() if path.is_dir() and not path.name.startswith("."))
    info = json.loads((model / "training_info.json").read_text(encoding="utf-8"))
    lines = (model / "epochs.jsonl").read_text(encoding="utf-8").splitlines()
    print(f"\n### {level.name}: {servers} servers, {info['data_hours']:.0f} h, exit code of train {code}")
    missing = sorted(FILES - {path.name for path in model.iterdir()})
    print(
        f"epochs planned {info['planned_epochs']}, run {info['epochs']}, lines in epochs.jsonl {len(lines)}, "
        f"{info['training_time_hours'] * 60:.1f} min; missing files: {', '.join(missing) or 'none'}"
    )
    for command in ("claims", "readiness"):
        code, said = _forewarn(command, f"--model={model.name}", f"--models={models}")
        print(f"\n$ forewarn {command}  (exit code {code})\n{said}", flush=True)


def _forewarn(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "daemon", *arguments], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"forewarn {' '.join(arguments)} ended with exit code {done.returncode}: {done.stderr}")
    return done.returncode, done.stdout


if __name__ == "__main__":
    main(10, 1) if "small" in sys.argv[1:] else main()
