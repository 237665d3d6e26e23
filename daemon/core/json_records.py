"""Reading records from JSON text that another version, a full disk or a person may have changed."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


class Record(BaseModel):
    """A record of strict types; it ignores unknown keys, because a later version may write them."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", populate_by_name=True)


def _known(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Measured = Annotated[float | None, BeforeValidator(_known)]
"""A figure; None, and null in JSON, where it could not be measured."""

Finite = Annotated[float, Field(allow_inf_nan=False)]

LATER = "later"
"""Marks a key, in the annotation of its field, that records of earlier versions lack."""


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object that ``text`` holds.

    Raises:
        ValueError: it holds none, or a number in it is not finite.
    """
    document = json.loads(text, parse_constant=_refuse)
    if not isinstance(document, dict):
        raise ValueError(f"a JSON object is expected, not {text[:40]!r}")
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def readable_json(text: str, change: Callable[[dict[str, Any]], dict[str, Any]] = lambda document: document) -> bytes:
    """Return the JSON object in ``text`` as UTF-8, with ``?`` for each half of a surrogate pair.

    Args:
        text: from a file.
        change: turns a document of an earlier version into one of this version.

    Raises:
        ValueError: it holds no JSON object.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError(f"a JSON object is expected, not {text[:40]!r}")
    return json.dumps(change(document), ensure_ascii=False).encode("utf-8", "replace")


def problems_of(error: ValidationError) -> Iterator[str]:
    """Yield the problems of a record, a sentence for each key."""
    for problem in error.errors(include_url=False):
        key = ".".join(map(str, problem["loc"])) or "the record"
        if problem["type"] == "missing":
            yield f"{key} is missing"
        elif problem["type"] in {"int_type", "float_type", "finite_number"}:
            yield f"{key} is {problem['input']!r}, and should be a finite number"
        else:
            yield f"{key} is {problem['input']!r:.80}: {problem['msg']}"
