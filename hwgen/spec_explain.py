"""pydantic's errors of a model.yaml in our words: one per key, with its line, what was found, what is expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from hwgen.spec_yaml import Document, explain_scalar, join_path


def explain(document: Document, error: ValidationError, root: type[BaseModel]) -> None:
    """Turn pydantic's errors into ours: one per key, with its line, what was found and what is expected."""
    seen: set[str] = set()
    for item in error.errors(include_url=False):
        if item["type"] == "default_factory_not_called":
            continue  # follows from another error of the section
        location = _known_part(item["loc"], document.value, missing=item["type"] == "missing")
        path = join_path(location)
        if path in seen:
            continue  # a union complains once per member
        seen.add(path)
        context = item.get("ctx", {})
        match item["type"]:
            case "extra_forbidden":
                _unknown_key(document, path, root)
            case "missing":
                document.fail(path, "required, and not there", found=None, expected=_name_type(root, location))
            case "hwgen":
                document.fail(path, item["msg"], expected=context.get("expected"), hint=_hint(document, path))
            case _:
                expected = _expected(item, root, location)
                document.fail(path, "wrong value", expected=expected, hint=_hint(document, path))


def _known_part(location: tuple[str | int, ...], value: Any, *, missing: bool) -> tuple[str | int, ...]:
    """Drop what pydantic adds for union members: keep the steps that exist in the document, and a missing key."""
    kept: list[str | int] = []
    for index, step in enumerate(location):
        if isinstance(value, dict) and isinstance(step, str) and step != "[key]":
            if step in value:
                kept.append(step)
                value = value[step]
            elif missing and index == len(location) - 1:
                kept.append(step)
        elif isinstance(value, list) and isinstance(step, int):
            kept.append(step)
            value = value[step] if step < len(value) else None
        else:
            break
    return tuple(kept)


def _hint(document: Document, path: str) -> str | None:
    value: Any = document.value
    for step in re.findall(r"[^.\[\]]+|\[\d+\]", path):
        try:
            value = value[int(step[1:-1])] if step[0] == "[" else value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return explain_scalar(document.place(path).text, value)


def _expected(item: Any, root: type[BaseModel], location: tuple[str | int, ...]) -> str:
    context = item.get("ctx", {})
    match item["type"]:
        case "literal_error":
            return _choices(root, location) or str(context["expected"]).replace("'", "")
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            bounds = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
            return ", ".join(f"{sign} {context[key]}" for key, sign in bounds.items() if key in context)
        case "string_pattern_mismatch":
            return "package.module:function"
        case kind:
            return _name_type(root, location) or str(item["msg"] if kind else "")


TYPE_NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list: [a, b]",
    "object": "keys and values, indented under it",
    "null": "null",
}


def _field_schema(root: type[BaseModel], location: tuple[str | int, ...]) -> dict[str, Any]:
    schema = root.model_json_schema()
    at: dict[str, Any] = schema
    for step in location:
        at = _dereference(at, schema)
        if isinstance(step, int):
            at = next((option["items"] for option in (at, *at.get("anyOf", ())) if "items" in option), {})
        elif step in at.get("properties", {}):
            at = at["properties"][step]
        else:
            at = at.get("additionalProperties", {}) or {}
            at = at if isinstance(at, dict) else {}
    return _dereference(at, schema)


def _dereference(at: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in at:
        return dict(schema["$defs"][at["$ref"].rpartition("/")[2]])
    for option in at.get("anyOf", []):
        if "$ref" in option:
            return _dereference(option, schema)
    return at


def _name_type(root: type[BaseModel], location: tuple[str | int, ...]) -> str:
    schema = _field_schema(root, location)
    options = [o for o in schema.get("anyOf", [schema]) if o.get("type") != "null"]
    names: list[str] = []
    for option in options:
        if "enum" in option or "const" in option:
            names += [str(v) for v in option.get("enum", [option.get("const")])]
        elif name := TYPE_NAMES.get(option.get("type", "")):
            names.append(name)
    return " or ".join(dict.fromkeys(names))


def _choices(root: type[BaseModel], location: tuple[str | int, ...]) -> str:
    schema = _field_schema(root, location)
    options = [v for o in schema.get("anyOf", [schema]) for v in o.get("enum", [o["const"]] if "const" in o else [])]
    rest = [TYPE_NAMES[o["type"]] for o in schema.get("anyOf", []) if o.get("type") in ("boolean", "integer")]
    return ", ".join([str(v) for v in options] + rest)


def _unknown_key(document: Document, path: str, root: type[BaseModel]) -> None:
    head, _, key = path.rpartition(".")
    schema = root.model_json_schema()
    tables = {"": schema["properties"]} | {p: s for p, s in _tables(schema)}
    here = list(_field_schema(root, tuple(head.split(".")) if head else ()).get("properties", {}))
    close = difflib.get_close_matches(key, here, 1, 0.7)
    if close:
        expected = f"{close[0]}?"
    elif owners := [p for p, keys in tables.items() if key in keys]:
        expected = f"{owners[0]}.{key}?" if owners[0] else f"{key} at the top level?"
    else:
        expected = ", ".join(here)
    document.fail(path, "unknown key", expected=f"{expected}  (`hwgen schema` lists all)")


def _tables(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in schema["properties"].items():
        inner = _dereference(value, schema)
        if "properties" in inner:
            yield name, inner["properties"]
            for key, deeper in inner["properties"].items():
                if "properties" in (table := _dereference(deeper, schema)):
                    yield f"{name}.{key}", table["properties"]
