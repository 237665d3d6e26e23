"""Reading what is on record of a model."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError, safe_open

from daemon.core.errors import BadModel
from daemon.core.file_access import reason_of
from daemon.core.forecast import QUANTILE_COLUMNS
from daemon.core.levels import LEVELS, Level, LevelName

FILE = "training_info.json"


def level_of(info: Mapping[str, Any]) -> Level:
    """Return the training level that ``info`` names.

    Raises:
        BadModel: it is none of the four.
    """
    name = info.get("level")
    if name not in tuple(LevelName):
        raise BadModel(f"{FILE}: level is {name!r}; it must be one of {', '.join(LevelName)}: train the model again")
    return LEVELS[LevelName(name)]


def measured(info: Mapping[str, Any], *path: str) -> float | None:
    """Return the number at ``path``; None where it is absent, null or not finite."""
    value: Any = info
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def tested(info: Mapping[str, Any]) -> bool:
    """Say whether the figures come from a test span that neither training nor the choice of the epoch saw."""
    held_out = info.get("held_out")
    span = held_out.get("span") if isinstance(held_out, Mapping) else info.get("measured_on")
    return bool(span == "test")


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """The part of ``training_info.json`` and ``epochs.jsonl`` that the service shows.

    Attributes:
        model: id of the model.
        level: the training level, which says what may be claimed of it.
        trained_at: epoch seconds (UTC).
        epochs: passes that were made.
        train_loss: of the last epoch.
        validation_loss: of the epoch whose weights were kept.
        learning_rate: at the end of the last epoch.
        samples_per_second: training windows per second in the last epoch.
        duration_seconds: of the whole training.
        quantile_loss: scaled pinball loss on held-out time; None where it could not be measured.
        promoted: what the gate decided; None where no verdict is on record.
        reasons: the gate's, in sentences.
        trained_until: epoch seconds of the newest sample that it was trained on; None where that is not on record.
        servers: those that it was trained on; none where that is not on record.
        tested: whether its figures come from a test span that neither training nor the choice of the epoch saw.
        skill: by metric, pinball loss relative to seasonal naive's on held-out time.
    """

    model: str
    level: LevelName
    trained_at: float
    epochs: int
    train_loss: float
    validation_loss: float
    learning_rate: float
    samples_per_second: float
    duration_seconds: float
    quantile_loss: float | None
    skill: Mapping[str, float]
    promoted: bool | None = None
    reasons: tuple[str, ...] = ()
    trained_until: float | None = None
    servers: tuple[str, ...] = ()
    tested: bool = False


Check = Callable[[Path], Iterable[str]]


def cannot_serve(folder: Path) -> str | None:
    """Return in a sentence why a model surely cannot be loaded to serve; None where only loading it could tell."""
    return next(file_problems(folder, SERVING_CHECKS), None)


def file_problems(folder: Path, checks: Mapping[str, Check]) -> Iterator[str]:
    """Yield in sentences what is wrong with files of a model directory.

    Args:
        folder: the model directory.
        checks: by a file's name, what says in words what is wrong with it, or raises where it cannot be read.
    """
    for name, check in checks.items():
        path = folder / name
        try:
            if not path.is_file():
                yield f"{name}: is missing"
                continue
            # safetensors calls every file that it cannot open missing
            with path.open("rb"):
                pass
            yield from (f"{name}: {problem}" for problem in check(path))
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            yield f"{name}: cannot be read: {reason_of(error)}"


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object that ``text`` holds.

    Raises:
        ValueError: it holds none, or a number in it is not finite.
    """
    made = json.loads(text, parse_constant=_refuse)
    if not isinstance(made, dict):
        raise ValueError(f"a JSON object is expected, not {text[:40]!r}")
    return made


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _weights(path: Path) -> Iterator[str]:
    # opening compares what the header says with the size of the file
    with safe_open(path, framework="numpy") as weights:
        if not weights.keys():
            yield "holds no weights"


def _json(path: Path) -> tuple[str, ...]:
    json_object(path.read_text(encoding="utf-8"))
    return ()


SERVING_CHECKS: Mapping[str, Check] = {"model.safetensors": _weights, "model.json": _json, "calibration.json": _json}

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
    return [*_unexpected_files(folder), *file_problems(folder, _CHECKS)] or list(_disagreement(folder))


def _unexpected_files(folder: Path) -> Iterator[str]:
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
    import pyarrow as pa  # noqa: PLC0415 - it imports pandas, which commands without samples do not need
    import pyarrow.parquet as pq  # noqa: PLC0415 - likewise

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


def read_info(folder: Path) -> dict[str, Any] | None:
    """Return ``training_info.json`` of a model directory; None if it holds none.

    Raises:
        BadModel: it cannot be read, or is no JSON object.
    """
    try:
        info: Any = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(folder, error) from error
    except (ValueError, RecursionError) as error:
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
            model=folder.name,
            level=LevelName(info["level"]),
            trained_at=datetime.fromisoformat(info["trained_at"]).timestamp(),
            epochs=int(info["epochs"]),
            train_loss=float(info["final_train_loss"]),
            validation_loss=float(info["final_val_loss"]),
            learning_rate=float(last["learning_rate"]),
            samples_per_second=float(last["samples_per_second"]),
            duration_seconds=float(info["training_time_hours"]) * 3600,
            quantile_loss=None if info["quantile_loss"] is None else float(info["quantile_loss"]),
            skill={
                str(metric): float(ratio)
                for metric, ratio in info["skill_vs_seasonal_naive"].items()
                if ratio is not None
            },
            promoted=None if promoted is None else bool(promoted),
            reasons=tuple(str(reason) for reason in verdict.get("reasons") or ()),
            trained_until=None if info.get("data_to") is None else datetime.fromisoformat(info["data_to"]).timestamp(),
            servers=tuple(map(str, info.get("servers") or ())),
            tested=tested(info),
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(folder, error) from error
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise _damaged(folder, error) from error


def _unreadable(folder: Path, error: OSError) -> BadModel:
    return BadModel(f"{folder}: the record of its training cannot be read: {reason_of(error)}")


def _damaged(folder: Path, what: object) -> BadModel:
    return BadModel(f"{folder}: the record of its training is damaged: {what}; train a new model")
