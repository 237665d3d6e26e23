"""Validates YAML text against a schema and reports every problem at once, each with key path, value and fix."""

import difflib
import os
import re
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from daemon.core.errors import ConfigError
from daemon.core.file_access import reason_of

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_SECRET = re.compile("password|token|header|basic_auth_users", re.IGNORECASE)
_QUOTED = re.compile("'[^']*'")
_SHOWN = 80
_Model = TypeVar("_Model", bound=BaseModel)


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that rejects duplicate keys: YAML forbids them, PyYAML accepts them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_text(path: Path, fix: str) -> str:
    """Return the text of a configuration file.

    Raises:
        ConfigError: the file cannot be read; the text ends with ``fix``.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {reason_of(error, fix)}"]) from error


def validated(model: type[_Model], text: str, name: str, expected: str) -> _Model:
    """Return ``text`` as a ``model``, with environment variables replaced.

    Args:
        model: the schema.
        text: YAML.
        name: name of the text in errors.
        expected: keys of such a file, for the error about a text that is not a mapping.

    Raises:
        ConfigError: the text is not YAML, or does not match the schema; contains every problem.
    """
    try:
        raw = yaml.load(text, _UniqueKeyLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError([f"{name}: not YAML: {_yaml_problem(error)}"]) from None
    except (ValueError, TypeError) as error:
        raise ConfigError([f"{name}: not YAML: a date or a key cannot be read; quote it"]) from error
    if not isinstance(raw, dict):
        raise ConfigError([f"{name}: expected {expected}, found {_kind(raw)}"])
    problems: list[str] = []
    filled = _with_environment(raw, "", problems)
    config: _Model | None = None
    try:
        config = model.model_validate(filled)
    except ValidationError as error:
        problems += [_problem(model, dict(item), raw) for item in error.errors(include_url=False)]
    if problems or config is None:
        raise ConfigError([f"{name}: {problem}" for problem in problems])
    return config


def with_absolute_paths(config: _Model, folder: Path) -> _Model:
    """Return ``config`` with every path in it resolved against ``folder``."""

    def resolved(value: Any) -> Any:
        if isinstance(value, Path):
            return folder / value.expanduser()
        if isinstance(value, BaseModel):
            changes = {name: resolved(item) for name, item in value}
            return value.model_copy(update=changes)
        if isinstance(value, list):
            return [resolved(item) for item in value]
        return value

    absolute: _Model = resolved(config)
    return absolute


def _with_environment(value: Any, where: str, problems: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _with_environment(item, _joined(where, key), problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_environment(item, _joined(where, index), problems) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        variable = match.group(1)
        if variable not in os.environ:
            problems.append(f"{where}: ${{{variable}}} is not set; export {variable} or write the value itself")
        return os.environ.get(variable, "")

    return _VARIABLE.sub(replace, value)


def _yaml_problem(error: yaml.YAMLError) -> str:
    """Return the problem and its place, without the text of the line: it may contain a password."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    problem = " ".join(text for text in (error.context, error.problem) if text)
    if isinstance(error, yaml.composer.ComposerError) or "for the tag" in problem:
        problem = f"{_QUOTED.sub('…', problem)}; quote a value that begins with * or !"
    mark = error.problem_mark or error.context_mark
    return problem if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def _written(raw: Any, location: Iterable[str | int]) -> Any:
    """Return the value at ``location`` before environment variables are replaced; None if there is none."""
    for part in location:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


def _problem(model: type[BaseModel], error: dict[str, Any], raw: Any) -> str:
    location: tuple[str | int, ...] = error["loc"]
    where = _joined("", *_without_tags(location))
    if error["type"] == "extra_forbidden":
        known = _keys_at(model, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(known))}"
        return f"{where}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{where}: missing; add it"
    message = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    if error["type"] == "union_tag_invalid":
        where, given = f"{where}.type", error["ctx"]["tag"]
        message = f"should be one of {error['ctx']['expected_tags']}"
    if isinstance(given, dict | list | BaseModel):
        return f"{where}: {message}" if where else message
    if any(_SECRET.search(str(part)) for part in location):
        return f"{where}: {message[0].lower()}{message[1:]} (the value is not shown)"
    written = _written(raw, _without_tags(location))
    if isinstance(written, str) and _VARIABLE.search(written):
        given = written
    if isinstance(given, str) and (location[-1] == "url" or "://" in given):
        given = _without_credentials(given)
    choices = error.get("ctx", {}).get("expected_tags") or error.get("ctx", {}).get("expected")
    close = difflib.get_close_matches(str(given), re.findall(r"'([^']+)'", str(choices)), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{where}: {_shown(given)}: {message[0].lower()}{message[1:]}{hint}"


def _without_tags(location: tuple[str | int, ...]) -> Iterator[str | int]:
    # pydantic adds the value of the discriminator after the index in a list of tagged unions
    for position, part in enumerate(location):
        if not (position == 2 and location[0] == "sources"):
            yield part


def _keys_at(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    types: list[Any] = [model]
    for part in location:
        types = [inner for kind in types for inner in _inside(kind, part)]
    return [name for kind in types for name in getattr(kind, "model_fields", {})]


def _inside(kind: Any, part: str | int) -> Iterator[Any]:
    if get_origin(kind) is Annotated:
        yield from _inside(get_args(kind)[0], part)
    elif get_origin(kind) in (Union, UnionType):
        for option in get_args(kind):
            fields = getattr(option, "model_fields", {})
            if "type" in fields and get_args(fields["type"].annotation) == (part,):
                yield option
            elif "type" not in fields:
                yield from _inside(option, part)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        if part in kind.model_fields:
            yield kind.model_fields[str(part)].annotation
    elif get_args(kind):
        yield get_args(kind)[-1]


def _joined(where: str, *parts: str | int) -> str:
    for part in parts:
        where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
    return where


def _kind(value: Any) -> str:
    return "nothing" if value is None else "a list" if isinstance(value, list) else "something else"


def _without_credentials(url: str) -> str:
    """Return a text, which may be a malformed URL, without the part that may be a password."""
    before, at, rest = url.partition("?")[0].rpartition("@")
    scheme = f"{before.partition('://')[0]}://" if "://" in before else ""
    return f"{scheme}…@{rest}" if at else rest


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
