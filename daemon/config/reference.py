"""Renders ``docs/configuration.md``: the table of every configuration key."""

import json
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from daemon.config.schema import Config
from daemon.config.section import RESTART

_HEAD = """\
# Configuration

The configuration is one YAML file. `forewarn check-config FILE` reports every problem in it at once. `config.yaml` in
the root of the repository is a commented example that works without changes. `${NAME}` is replaced by the environment
variable NAME, which must be set. Paths are relative to the file.

A reload (SIGHUP or `POST /-/reload`) applies every key except those that need a restart; a reload that changes one of
these is rejected, and the running configuration stays.

This table is rendered from `daemon/config/schema.py` by `make docs`; a test fails when the two differ.

| key | type | default | meaning |
| --- | --- | --- | --- |
"""
_NEEDS_RESTART = "**Needs a restart.**"


def render() -> str:
    """Return the document."""
    return _HEAD + "".join(_rows(Config, "", needs_restart=False))


def keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Yield the path of every key that has a value, sections left out."""
    for path, _, inner in _fields(model, prefix):
        if inner:
            for each in inner:
                yield from keys(each, path)
        else:
            yield path


def _rows(model: type[BaseModel], prefix: str, *, needs_restart: bool) -> Iterator[str]:
    for path, field, inner in _fields(model, prefix):
        marked = needs_restart or field.json_schema_extra == RESTART
        meaning = " ".join(filter(None, [_escaped(field.description or ""), _NEEDS_RESTART if marked else ""]))
        yield f"| `{path}` | {_type(field.annotation)} | {_default(field)} | {meaning} |\n"
        for each in inner:
            yield from _rows(each, path, needs_restart=marked)


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo, list[type[BaseModel]]]]:
    for name, field in model.model_fields.items():
        path = f"{prefix}.{name}" if prefix else name
        inner = list(_models(field.annotation))
        if len(inner) > 1:
            for each in inner:
                kind = get_args(each.model_fields["type"].annotation)[0]
                yield f"{path}[{kind}]", field, [each]
        else:
            origin = get_origin(field.annotation)
            yield path + ("[]" if origin is list else ".NAME" if origin is dict else ""), field, inner


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        if not isinstance(part, FieldInfo):
            yield from _models(part)


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in parts if part is not NoneType))
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (list, tuple):
        return "list"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "section" if origin is None else "mapping"
    names = {str: "text", int: "integer", float: "number", bool: "yes or no"}
    return names.get(
        annotation, {"Path": "path", "HttpUrl": "URL", "SecretStr": "secret"}.get(annotation.__name__, "text")
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined or isinstance(field.default, BaseModel):
        return ""
    if field.default is None:
        return "none"
    return f"`{_escaped(json.dumps(field.default, default=str))}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
