"""Whether a model directory is whole, and holds nothing but what a model has."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from daemon.domain.quantiles import QUANTILE_COLUMNS
from daemon.registry.damage import SERVING_CHECKS, Check, file_problems, json_object

_EPOCH_KEYS = (
    *("epoch", "train_loss", "val_loss", "learning_rate", "time_seconds", "gpu_memory_mb"),
    "samples_per_second",
)
_INFO_KEYS = (
    *("trained_at", "level", "epochs", "data_hours", "num_servers", "final_train_loss", "final_val_loss"),
    *("quantile_loss", "training_time_hours", "model_parameters", "convergence", "early_stopping"),
    *("data_fingerprint", "data_from", "data_to", "best_epoch", "device", "gpu_memory_peak_mb"),
    *("inference_latency_ms", "coverage", "skill_vs_seasonal_naive", "incident_figures", "verdict", "versions", "seed"),
)
_INFO_NUMBERS = (
    *("epochs", "data_hours", "num_servers", "final_train_loss", "final_val_loss", "training_time_hours"),
    *("model_parameters", "gpu_memory_peak_mb", "inference_latency_ms", "seed"),
)
_SAMPLE_COLUMNS = ("origin", "server", "metric", "step", "actual", *QUANTILE_COLUMNS)


def problems(folder: Path) -> list[str]:
    """Return in sentences what is wrong with the files of a model directory; none if it is whole."""
    return [*_strangers(folder), *file_problems(folder, _CHECKS)] or list(_disagreement(folder))


def _strangers(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            yield f"{path.name}: is a link; a model directory holds its files itself"
        elif path.name not in _CHECKS:
            yield f"{path.name}: does not belong to a model; take it away"


def _disagreement(folder: Path) -> Iterator[str]:
    lines = len((folder / "epochs.jsonl").read_text(encoding="utf-8").splitlines())
    told = json_object((folder / "training_info.json").read_text(encoding="utf-8"))["epochs"]
    if lines != told:
        yield f"epochs.jsonl: {lines} lines, and training_info.json says {told} epochs"


def _info(path: Path) -> Iterator[str]:
    info = json_object(path.read_text(encoding="utf-8"))
    yield from _missing(info, _INFO_KEYS)
    yield from _no_numbers(info, _INFO_NUMBERS)


def _epochs(path: Path) -> Iterator[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        record = json_object(line)
        for problem in (*_missing(record, _EPOCH_KEYS), *_no_numbers(record, _EPOCH_KEYS)):
            yield f"line {number}: {problem}"
    if not lines:
        yield "holds no epoch"


def _samples(path: Path) -> Iterator[str]:
    try:
        with pa.OSFile(str(path)) as file:
            table = pq.read_table(file)
        table.validate(full=True)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    yield from _missing(dict.fromkeys(table.column_names), _SAMPLE_COLUMNS)


def _report(path: Path) -> Iterator[str]:
    if not path.read_text(encoding="utf-8").strip():
        yield "is empty"


_CHECKS: Mapping[str, Check] = {
    **SERVING_CHECKS,
    "training_info.json": _info,
    "epochs.jsonl": _epochs,
    "samples.parquet": _samples,
    "report.html": _report,
}


def _missing(found: Mapping[str, Any], wanted: tuple[str, ...]) -> Iterator[str]:
    return (f"{key} is missing" for key in wanted if key not in found)


def _no_numbers(found: Mapping[str, Any], wanted: tuple[str, ...]) -> Iterator[str]:
    for key in wanted:
        value = found.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            yield f"{key} is {value!r}, and should be a finite number"
