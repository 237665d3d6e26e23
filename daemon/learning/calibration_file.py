"""``calibration.json`` of a model directory: what is done to the quantiles, and how likely breaches are.

Reading it needs no torch, so that a service without a day of history does not load it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.domain.errors import BadModel
from daemon.domain.quantiles import QUANTILES
from daemon.learning.breach.model import BreachModel

CALIBRATION_FILE = "calibration.json"


def write_calibration(folder: Path, stretching: Mapping[str, Any], breach: BreachModel) -> None:
    """Write ``calibration.json`` into ``folder``.

    Args:
        folder: of the model.
        stretching: ``stretch``, a factor per quantile, and what is on record of how it was chosen.
        breach: how likely breaches are, and the cuts.
    """
    document = {"quantiles": QUANTILES, **stretching, "breach": breach.document()}
    (folder / CALIBRATION_FILE).write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_stretch(folder: Path) -> tuple[float, ...]:
    """Return the factors in ``folder``.

    Raises:
        BadModel: the file is missing or damaged.
    """
    try:
        stretch = tuple(float(factor) for factor in _read(folder)["stretch"])
        if len(stretch) != len(QUANTILES) or not all(0 < factor < 10 for factor in stretch):
            raise ValueError(f"stretch is {stretch}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad(folder, error) from error
    return stretch


def read_breach_model(folder: Path) -> BreachModel:
    """Return how likely breaches are by what is written in ``folder``.

    Raises:
        BadModel: the file is missing or damaged.
    """
    try:
        return BreachModel.from_document(_read(folder)["breach"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad(folder, error) from error


def _read(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / CALIBRATION_FILE).read_text(encoding="utf-8"))
    return document


def _bad(folder: Path, error: Exception) -> BadModel:
    return BadModel(f"{folder / CALIBRATION_FILE}: cannot be used: {error}; train a new model or roll back")
