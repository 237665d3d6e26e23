"""The checklist of a model, by what its directory holds."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from daemon.domain.readiness import EPOCHS_FILE, SAMPLES_FILE, Readiness, Recorded, readiness
from daemon.registry.models import ModelRegistry
from daemon.registry.standing import Standing, info_of


def readiness_of(registry: ModelRegistry, standing: Standing) -> Readiness:
    """Return the checklist of the model; where there is none, no line of it passes.

    Raises:
        BadModel: the record of its training is damaged, or there is none.
    """
    if standing.model is None:
        return readiness({}, Recorded())
    folder = registry.path(standing.model)
    samples, with_actual = _samples(folder / SAMPLES_FILE)
    return readiness(info_of(registry, standing.model), Recorded(_epochs(folder / EPOCHS_FILE), samples, with_actual))


def _epochs(path: Path) -> int | None:
    """Return how many epochs have both losses; None where the file is not to be read."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, RecursionError):
        return None
    return sum(all(_number(line, key) for key in ("train_loss", "val_loss")) for line in lines)


def _number(line: Any, key: str) -> bool:
    value = line.get(key) if isinstance(line, dict) else None
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _samples(path: Path) -> tuple[int, int] | tuple[None, None]:
    """Return how many sample predictions there are, and how many with the actual value; None where not to be read."""
    try:
        with pa.OSFile(str(path)) as file:
            actual = pq.read_table(file, columns=["actual"]).column("actual")
        return len(actual), pc.sum(pc.is_finite(actual)).as_py() or 0
    except (OSError, KeyError, pa.ArrowException):
        return None, None
