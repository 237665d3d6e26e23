"""Reading what is on record of a model."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon.domain.claims import FILE, tested
from daemon.domain.errors import BadModel
from daemon.domain.levels import LevelName
from daemon.domain.model_record import ModelRecord


def read_info(folder: Path) -> dict[str, Any] | None:
    """Return ``training_info.json`` of a model directory; None if it holds none.

    Raises:
        BadModel: it cannot be read, or is no JSON object.
    """
    try:
        info: Any = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, error) from error
    if not isinstance(info, dict):
        raise _damaged(folder, f"{FILE} holds no JSON object")
    return info


def read_record(folder: Path) -> ModelRecord | None:
    """Return the record in a model directory; None if it holds none.

    Raises:
        BadModel: a file of the record cannot be read or is damaged.
    """
    info = read_info(folder)
    if info is None:
        return None
    try:
        last: dict[str, Any] = json.loads((folder / "epochs.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        verdict: dict[str, Any] = info.get("verdict") or {}
        promoted = verdict.get("promoted")
        return ModelRecord(
            folder.name,
            LevelName(info["level"]),
            datetime.fromisoformat(info["trained_at"]).timestamp(),
            int(info["epochs"]),
            float(info["final_train_loss"]),
            float(info["final_val_loss"]),
            float(last["learning_rate"]),
            float(last["samples_per_second"]),
            float(info["training_time_hours"]) * 3600,
            None if info["quantile_loss"] is None else float(info["quantile_loss"]),
            {
                str(metric): float(ratio)
                for metric, ratio in info["skill_vs_seasonal_naive"].items()
                if ratio is not None
            },
            None if promoted is None else bool(promoted),
            tuple(str(reason) for reason in verdict.get("reasons") or ()),
            None if info.get("data_to") is None else datetime.fromisoformat(info["data_to"]).timestamp(),
            tuple(map(str, info.get("servers") or ())),
            tested(info),
        )
    except FileNotFoundError:
        return None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, what: object) -> BadModel:
    return BadModel(f"{folder}: the record of its training is damaged: {what}; train a new model")
