"""Whether a file of a model is damaged, as far as can be told without loading the model."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError, safe_open

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
        if not path.is_file():
            yield f"{name}: is missing"
            continue
        try:
            yield from (f"{name}: {problem}" for problem in check(path))
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            yield f"{name}: cannot be read: {error}"


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
