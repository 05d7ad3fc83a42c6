"""`model.builder` with `model.args`: the user's function, or one of `hwgen.zoo`, is called."""

from __future__ import annotations

import difflib
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from hwgen.errors import ErrorList, HwgenError, ModelError
from hwgen.spec_yaml import join_path
from hwgen.train.env import import_keras
from hwgen.train.imports import import_reference

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec

ARGS = "model.args"


def call_builder(spec: ModelSpec, offers: Mapping[str, Callable[[], Any]]) -> keras.Model:
    """Return the model of `model.builder`.

    Parameters
    ----------
    spec : ModelSpec
    offers : by name, what the function is given if it has such a parameter and `model.args` does not say it

    Raises
    ------
    ModelError, ErrorList
        If an argument does not fit the function's parameters, or the function returns no model.
    """
    keras = import_keras()
    where = f"{spec.line_of('model.builder')}: model.builder"
    reference = str(spec.model.builder)
    function = import_reference(reference, spec.base_dir, where, ModelError)
    args = checked_args(spec, function)
    try:
        parameters = inspect.signature(function).parameters
        given = {name: offers[name]() for name in parameters if name in offers and name not in args}
        model = function(**given, **args)
    except HwgenError as error:
        raise _placed(spec, error) from error
    except Exception as error:
        text = f"the builder {reference} failed: {type(error).__name__}: {error}"
        hint = f"arguments it may ask for: {', '.join(offers)}, and those of {ARGS}"
        raise ModelError(text, where=where, hint=hint) from error
    if not isinstance(model, keras.Model):
        found = type(model).__name__
        raise ModelError(f"the builder {reference} returned no model", where=where, found=found, expected="keras.Model")
    if not model.built or not model.inputs:
        hint = "begin with keras.Input(shape)"
        raise ModelError(
            f"the model of {reference} has no input shape", where=where, expected="a built model", hint=hint
        )
    return model


def _placed(spec: ModelSpec, error: HwgenError) -> HwgenError:
    """Return a builder's own refusal of a key of `model` with its line."""
    if not (error.where or "").startswith("model."):
        return error
    where = f"{spec.line_of(str(error.where))}: {error.where}"
    return ModelError(error.what, where=where, found=error.found, expected=error.expected, hint=error.hint)


def checked_args(spec: ModelSpec, function: Callable[..., Any]) -> dict[str, Any]:
    """Return `model.args` as the function's annotations have them: lists as tuples, mappings as dataclasses.

    A parameter without an annotation that can be resolved takes its value as it is written.

    Raises
    ------
    ErrorList
        With file, line and key of every argument that the function does not have, or has as another type.
    """
    parameters = inspect.signature(function).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    result: dict[str, Any] = {}
    errors: list[HwgenError] = []
    for name, value in spec.model.args.items():
        if name not in named and not open_ended:
            close = difflib.get_close_matches(name, named, 1)
            errors.append(
                ModelError(
                    f"{spec.model.builder} has no argument {name}",
                    where=f"{spec.line_of(f'{ARGS}.{name}')}: {ARGS}.{name}",
                    expected=f"{close[0]}?" if close else f"one of {', '.join(named)}",
                )
            )
            continue
        kind = _annotation(function, name)
        if kind is inspect.Parameter.empty:
            result[name] = value
            continue
        try:
            result[name] = TypeAdapter(kind).validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            errors += _explained(spec, name, value, error)
    if errors:
        raise ErrorList(errors)
    return result


def _annotation(function: Callable[..., Any], name: str) -> Any:
    """Return a parameter's type, or `Parameter.empty` where there is none or its names are not known at run time."""
    target = inspect.unwrap(function)
    written = getattr(target, "__annotations__", {}).get(name, inspect.Parameter.empty)
    if written is inspect.Parameter.empty:
        return written
    holder = types.SimpleNamespace(__annotations__={name: written})
    try:
        return typing.get_type_hints(holder, getattr(target, "__globals__", {}), include_extras=True)[name]
    except NameError:
        return inspect.Parameter.empty


def _explained(spec: ModelSpec, name: str, value: Any, error: ValidationError) -> list[HwgenError]:
    """Return one error for each place of an argument that is wrong."""
    found: dict[str, HwgenError] = {}
    for item in error.errors(include_url=False):
        steps: list[str | int] = []
        at = value
        for step in item["loc"]:  # what pydantic adds for the members of a union is no step of the value
            inside = isinstance(at, dict) and step in at
            if not inside and not (isinstance(at, list) and isinstance(step, int) and step < len(at)):
                break
            at = at[step]
            steps.append(step)
        path = join_path((*ARGS.split("."), name, *steps))
        message = item["msg"]
        if item["type"] == "unexpected_keyword_argument":
            path, message = f"{path}.{item['loc'][-1]}", "no such key"
        if path not in found:
            where = f"{spec.line_of(path)}: {path}"
            found[path] = ModelError("wrong value", where=where, found=repr(at), expected=_lower(message))
    return list(found.values())


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
