"""A model directory: the record of its training, and the problems of its files."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from daemon.core.file_access import reason_of
from daemon.core.forecast import QUANTILE_COLUMNS
from daemon.core.json_records import json_object
from daemon.core.training_info import (
    EPOCHS_FILE,
    INFO_FILE,
    EpochRecord,
    TrainingInfo,
    epoch_problems,
    read_epochs,
    unusable_record,
)

SAMPLES_FILE = "samples.parquet"
SAMPLE_COLUMNS = ("origin", "server", "metric", "step", "actual", *QUANTILE_COLUMNS)


@dataclass(frozen=True)
class ModelRecord:
    """The record of a model's training.

    Attributes:
        model: id of the model.
        info: its ``training_info.json``.
        last_epoch: the last line of its ``epochs.jsonl``.
    """

    model: str
    info: TrainingInfo
    last_epoch: EpochRecord


def read_record(folder: Path) -> ModelRecord | None:
    """Return the record in a model directory; None where there is none.

    Raises:
        BadModel: a file of the record cannot be read or is damaged.
    """
    info = TrainingInfo.read(folder)
    if info is None:
        return None
    try:
        return ModelRecord(folder.name, info, read_epochs(folder)[-1])
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise unusable_record(folder, error) from error


Check = Callable[[Path], Iterable[str]]


def cannot_serve(folder: Path) -> str | None:
    """Return why a model cannot be loaded, in a sentence; None where no error is found without loading it."""
    return next(file_problems(folder, SERVING_CHECKS), None)


def file_problems(folder: Path, checks: Mapping[str, Check]) -> Iterator[str]:
    """Yield the problems of files in a model directory, a sentence each.

    Args:
        folder: the model directory.
        checks: by file name, a function that yields the problems of the file, or raises if it cannot be read.
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


def _weights(path: Path) -> Iterator[str]:
    # opening compares the header with the size of the file
    with safe_open(path, framework="numpy") as weights:
        if not weights.keys():
            yield "holds no weights"


def _json(path: Path) -> tuple[str, ...]:
    json_object(path.read_text(encoding="utf-8"))
    return ()


SERVING_CHECKS: Mapping[str, Check] = {"model.safetensors": _weights, "model.json": _json, "calibration.json": _json}


def problems(folder: Path) -> list[str]:
    """Return the problems of all files in a model directory, a sentence each."""
    return [*_unexpected_files(folder), *file_problems(folder, _CHECKS)] or list(_disagreement(folder))


def _unexpected_files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            yield f"{path.name}: is a link; a model directory holds its files itself"
        elif path.name not in _CHECKS:
            yield f"{path.name}: does not belong to a model; remove it"


def _disagreement(folder: Path) -> Iterator[str]:
    info = TrainingInfo.read(folder)
    lines = len(read_epochs(folder))
    if info is not None and lines != info.epochs:
        yield f"{EPOCHS_FILE}: {lines} lines, and {INFO_FILE} has {info.epochs} epochs"


def _info(path: Path) -> Iterable[str]:
    return TrainingInfo.problems(path.read_text(encoding="utf-8"))


def _epochs(path: Path) -> Iterator[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        yield from (f"line {number}: {problem}" for problem in epoch_problems(line))
    if not lines:
        yield "holds no epoch"


def _samples(path: Path) -> Iterator[str]:
    # imported here, as it takes half a second that only this check needs
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pa.OSFile(str(path)) as file:
            table = pq.read_table(file)
        table.validate(full=True)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    yield from (f"{column} is missing" for column in SAMPLE_COLUMNS if column not in table.column_names)


def _report(path: Path) -> Iterator[str]:
    if not path.read_text(encoding="utf-8").strip():
        yield "is empty"


_CHECKS: Mapping[str, Check] = {
    **SERVING_CHECKS,
    INFO_FILE: _info,
    EPOCHS_FILE: _epochs,
    SAMPLES_FILE: _samples,
    "report.html": _report,
}
