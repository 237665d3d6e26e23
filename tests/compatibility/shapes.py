"""The names in a JSON document, a JSON schema, a metrics page or a command, and how two recordings of them differ."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet

Shape = dict[str, list[str]]
"""Key paths, list elements merged as ``[]``, each with the JSON types seen there."""

_TYPES = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    dict: "object",
    list: "array",
}
_SAMPLE = re.compile(r"^(\w+)(\{.*\})? \S+$")
_LABEL = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')


def shape_of(document: Any, data: Collection[str]) -> Shape:
    """Return the key paths of ``document``; a key in ``data`` is a value of the user's, and becomes ``*``."""
    return _merged(_walk(document, "", data))


def shape_of_lines(path: Path, data: Collection[str]) -> Shape:
    """Return the key paths of all lines of a JSON-lines file."""
    return shape_of([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()], data)


def shape_of_schema(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Shape:
    """Return the key paths that a JSON schema allows; the names of its components do not matter."""
    return _merged(_walk_schema(schema, "", components))


def columns_of(path: Path) -> Shape:
    """Return the columns of a Parquet file and their types."""
    return {field.name: [str(field.type)] for field in pyarrow.parquet.read_schema(path)}


def shape_of_metrics(text: str) -> Shape:
    """Return each metric and its type, its samples and their labels, of a page in Prometheus' text format."""
    found: Shape = {}
    family = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            found[family] = [kind]
        elif sample := _SAMPLE.match(line):
            found[f"{family}.{sample[1]}"] = ["sample"]
            found |= {f"{family}.{sample[1]}.{label}": ["label"] for label in _LABEL.findall(sample[2] or "")}
    return found


def differences(recorded: Shape, seen: Shape, exact: bool = False) -> list[str]:
    """Return what was recorded and is not seen, is seen and was not recorded, or has another type.

    What lies below a null or below an empty list or object is not known to be missing.

    Args:
        recorded: the names as they were.
        seen: the names as they are.
        exact: whether all types must be there again. A document has only some of the types that a value may have.
    """
    found = [f"{path}: missing" for path in recorded if path not in seen and not _hidden(path, seen)]
    found += [f"{path}: new" for path in seen if path not in recorded and not _hidden(path, recorded)]
    for path in recorded.keys() & seen.keys():
        before, now = (set(shape[path]) - ({"null"} if not exact else set()) for shape in (recorded, seen))
        if before != now if exact else before and not now <= before:
            found.append(f"{path}: {sorted(now)}, was {sorted(before)}")
    return sorted(found)


def _hidden(path: str, shape: Shape) -> bool:
    parents = [parent for parent in shape if path.startswith((f"{parent}.", f"{parent}[]"))]
    if not parents:
        return False
    nearest = max(parents, key=len)
    return not any(other.startswith((f"{nearest}.", f"{nearest}[]")) for other in shape)


def _walk(document: Any, path: str, data: Collection[str]) -> Iterator[tuple[str, str]]:
    yield path, _TYPES[type(document)]
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _walk(value, f"{path}.{'*' if key in data else key}", data)
    elif isinstance(document, list):
        for value in document:
            yield from _walk(value, f"{path}[]", data)


def _walk_schema(schema: Mapping[str, Any], path: str, components: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "$ref" in schema:
        yield from _walk_schema(components[schema["$ref"].rpartition("/")[2]], path, components)
        return
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _walk_schema(option, path, components)
    for value in schema.get("enum", ()):
        yield path, f"{value!r}"
    kinds = schema.get("type", ())
    for kind in (kinds,) if isinstance(kinds, str) else kinds:
        yield path, kind
    for key, inner in schema.get("properties", {}).items():
        yield from _walk_schema(inner, f"{path}.{key}", components)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _walk_schema(schema["additionalProperties"], f"{path}.*", components)
    if "items" in schema:
        yield from _walk_schema(schema["items"], f"{path}[]", components)


def _merged(found: Iterator[tuple[str, str]]) -> Shape:
    shape: dict[str, set[str]] = {}
    for path, kind in found:
        shape.setdefault(path, set()).add(kind)
    return {path: sorted(kinds) for path, kinds in sorted(shape.items())}
