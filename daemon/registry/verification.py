"""Whether a model directory is whole, and holds nothing but what a model has."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = (
    "model.safetensors",
    "model.json",
    "calibration.json",
    "training_info.json",
    "epochs.jsonl",
    "samples.parquet",
    "report.html",
)
_EPOCH_KEYS = {"epoch", "train_loss", "val_loss", "learning_rate", "time_seconds", "gpu_memory_mb"}
_INFO_KEYS = {
    *("trained_at", "level", "epochs", "data_hours", "num_servers", "final_train_loss", "final_val_loss"),
    *("quantile_loss", "training_time_hours", "model_parameters", "convergence", "early_stopping"),
    *("data_fingerprint", "data_from", "data_to", "best_epoch", "device", "gpu_memory_peak_mb"),
    *("inference_latency_ms", "coverage", "skill_vs_seasonal_naive", "incident_figures", "verdict", "versions", "seed"),
}


def problems(folder: Path) -> list[str]:
    """Return in sentences what is wrong with the files of a model directory; none if it is whole."""
    return [*_files(folder), *_records(folder)]


def _files(folder: Path) -> Iterator[str]:
    for name in FILES:
        if not (folder / name).is_file():
            yield f"{name}: is missing"
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            yield f"{path.name}: is a link; a model directory holds its files itself"
        elif path.name not in FILES:
            yield f"{path.name}: does not belong to a model; take it away"


def _records(folder: Path) -> Iterator[str]:
    try:
        info: dict[str, Any] = json.loads((folder / "training_info.json").read_text(encoding="utf-8"))
        yield from (f"training_info.json: {key} is missing" for key in sorted(_INFO_KEYS - set(info)))
        epochs = (folder / "epochs.jsonl").read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(epochs, 1):
            yield from (f"epochs.jsonl: line {number}: {key} is missing" for key in _EPOCH_KEYS - set(json.loads(line)))
        if len(epochs) != info.get("epochs"):
            yield f"epochs.jsonl: {len(epochs)} lines, and training_info.json says {info.get('epochs')} epochs"
    except FileNotFoundError:
        return  # said above
    except (OSError, ValueError, TypeError) as error:
        yield f"training_info.json or epochs.jsonl: cannot be read: {error}"
