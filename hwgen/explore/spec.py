"""explore.yaml in, `Plan` out: read, checked against the model.yaml it starts from, every error with its line."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from hwgen.cost.estimate import Estimate
from hwgen.errors import ErrorList, HwgenError, SpecError
from hwgen.explore.space import Axis, label, set_key, split_key
from hwgen.spec import ModelSpec, complete, load_spec
from hwgen.spec_base import Count, Section
from hwgen.spec_explain import explain
from hwgen.spec_yaml import Document, read_yaml

FIGURES = ("accuracy", "latency_us", "interval_us", *(field.name for field in fields(Estimate)))
"""What an objective may be. `accuracy` is the network's metric, whatever it is; cost is predicted from the plan."""

NOT_EXPLORED = {
    "version": "it names the format of the file",
    "base": "paths would mean other files",
    "data": "trials are compared on the same samples",
    "train.seed": "it chooses the samples that trials are compared on",
    "train.weights": "every trial is trained as it says",
    "compress.weights": "every trial is compressed as it says",
    "model.name": "it changes nothing but names",
    "verify": "a trial is not simulated; `hwgen build` of a point of the front is",
    "outputs": "a trial writes nothing but its figures",
}
"""Keys that no axis may set, and why."""

RANGE_KEYS = ("low", "high", "step", "log", "text")


class ExploreSpec(Section):
    """Every key of explore.yaml."""

    version: Literal[1] = 1
    base: str = Field(description="the model.yaml to start from, relative to this file")
    trials: Count = 40
    seed: int = Field(default=0, ge=0)
    batch: Count = Field(default=4, description="trials that are asked for before any of them is judged")
    sampler: Literal["tpe", "random"] = "tpe"
    measured_on: Literal["validation", "test"] = "validation"
    space: dict[str, Any] = Field(min_length=1)
    objectives: dict[str, Literal["min", "max"]] | None = Field(default=None, min_length=1)


@dataclass(frozen=True)
class Plan:
    """A checked explore.yaml with what it starts from.

    Parameters
    ----------
    file : explore.yaml as it was named
    spec : its keys
    axes : the space
    objectives : figure to ``min`` or ``max``; empty: the default, which needs the metric (`search.default_objectives`)
    base : the model.yaml to start from, as plain values, without the weights that trials would not train
    model : the same, validated
    lines : place of each objective, for messages
    """

    file: Path
    spec: ExploreSpec
    axes: tuple[Axis, ...]
    objectives: dict[str, str]
    base: dict[str, Any]
    model: ModelSpec
    lines: dict[str, str]


def load_plan(path: Path | str) -> Plan:
    """Read and check an explore.yaml and the model.yaml that it names.

    Raises
    ------
    ErrorList, HwgenError
        With every error of the file, each with its line.
    """
    path = Path(path)
    document = read_yaml(path)
    spec: ExploreSpec | None = None
    try:
        spec = ExploreSpec.model_validate(document.value)
    except ValidationError as error:
        explain(document, error, ExploreSpec)
    space = document.value.get("space")
    axes = [_axis(document, str(name), said) for name, said in space.items()] if isinstance(space, dict) else []
    _check_twice(document, [axis for axis in axes if axis])
    _check_objectives(document)
    _stop(document)
    assert spec is not None
    model_file = path.parent / spec.base
    if not model_file.is_file():
        document.fail("base", "there is no such model.yaml", found=str(model_file), expected="a path from this file")
        _stop(document)
    known = tuple(axis for axis in axes if axis is not None)
    base = read_yaml(model_file)
    model = load_spec(model_file)
    _drop_weights(base.value, known)
    for axis in known:
        _check_axis(document, axis, base)
    _stop(document)
    lines = {name: document.place(f"objectives.{name}").where for name in spec.objectives or {}}
    return Plan(path, spec, known, dict(spec.objectives or {}), base.value, model, lines)


def trial_document(plan: Plan, values: dict[str, Any]) -> dict[str, Any]:
    """Return the model.yaml of a trial as plain values.

    Parameters
    ----------
    values : axis name to value
    """
    document = copy.deepcopy(plan.base)
    for axis in plan.axes:
        for key in axis.keys:
            set_key(document, key, values[axis.name], axis.where)
    return document


def _stop(document: Document) -> None:
    if document.errors:
        raise ErrorList(sorted(document.errors, key=_line))


def _line(error: HwgenError) -> int:
    match = re.search(r":(\d+)(:|$)", error.where or "")
    return int(match.group(1)) if match else 1 << 30


def _axis(document: Document, name: str, said: Any) -> Axis | None:
    """Return one line of `space`; what is wrong with it is recorded."""
    path, before = f"space.{name}", len(document.errors)
    keys = tuple(key.strip() for key in name.split(","))
    for key in keys:
        if split_key(key) is None:
            document.fail(path, "not a key of model.yaml", found=key, expected="as hardware.reuse_factor")
        refused = next((k for k in NOT_EXPLORED if key == k or key.startswith(f"{k}.")), None)
        if refused:
            document.fail(path, f"{refused} cannot be explored: {NOT_EXPLORED[refused]}", found=key)
    where = f"{document.place(path).where}: {path}"
    axis: Axis | None
    if isinstance(said, list):
        axis = _choices(document, name, keys, where, said)
    elif isinstance(said, dict):
        axis = _range(document, name, keys, where, said)
    else:
        expected = "a list of values, or {low: 1, high: 8}"
        document.fail(path, "neither a list of values nor a range", expected=expected)
        return None
    return axis if len(document.errors) == before else None


def _choices(document: Document, name: str, keys: tuple[str, ...], where: str, said: list[Any]) -> Axis:
    path, labels = f"space.{name}", [label(value) for value in said]
    if not said:
        document.fail(path, "no values", found="[]", expected="at least one")
    for at, text in enumerate(labels):
        if text in labels[:at]:
            document.fail(f"{path}[{at}]", "the same value twice", found=text, expected="one of them")
    return Axis(name, keys, where, choices=tuple(said))


def _range(document: Document, name: str, keys: tuple[str, ...], where: str, said: dict[str, Any]) -> Axis | None:
    path, before = f"space.{name}", len(document.errors)
    for key in said:
        if key not in RANGE_KEYS:
            document.fail(f"{path}.{key}", "unknown key", expected=", ".join(RANGE_KEYS))
    for key in ("low", "high"):
        if not _number(said.get(key)):
            place = f"{path}.{key}" if key in said else path
            document.fail(place, f"a range needs a number as `{key}`", found=repr(said.get(key)), expected="a number")
    step, log, text = said.get("step"), said.get("log", False), said.get("text")
    if step is not None and not (_number(step) and step > 0):
        document.fail(f"{path}.step", "wrong value", expected="a number > 0")
    if not isinstance(log, bool):
        document.fail(f"{path}.log", "wrong value", expected="true or false")
    if text is not None and not (isinstance(text, str) and text.count("{}") == 1):
        document.fail(f"{path}.text", "wrong value", expected="a text with one {} for the number")
    if len(document.errors) > before:
        return None
    low, high = said["low"], said["high"]
    if low >= high:
        document.fail(path, "the range is empty", found=f"low {low}, high {high}", expected="low < high")
    elif step is not None and step > high - low:
        document.fail(f"{path}.step", "wider than the range", expected=f"at most {high - low:g}")
    if log and (step is not None or low <= 0):
        document.fail(f"{path}.log", "a logarithmic range starts above 0 and has no step", expected="log: false")
    return Axis(name, keys, where, low=low, high=high, step=step, log=log, text=text)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_twice(document: Document, axes: list[Axis]) -> None:
    seen: dict[str, Axis] = {}
    for axis in axes:
        for key in axis.keys:
            over = next((k for k in seen if k == key or key.startswith((f"{k}.", f"{k}["))), None)
            if over is not None:
                found = f"{key}, which {seen[over].where} sets"
                document.fail(f"space.{axis.name}", "set twice", found=found, expected="one axis for a key")
            seen[key] = axis


def _check_objectives(document: Document) -> None:
    said = document.value.get("objectives")
    for name in said if isinstance(said, dict) else ():
        if name not in FIGURES:
            document.fail(f"objectives.{name}", "no such figure", found=str(name), expected=", ".join(FIGURES))


def _drop_weights(base: dict[str, Any], axes: tuple[Axis, ...]) -> None:
    """Take out committed weights that would stand in for what an axis changes.

    Only the hardware is explored: both stay. Compression too: `train.weights` stays.
    """
    sections = {key.split(".")[0] for axis in axes for key in axis.keys}
    for section, harmless in (("compress", {"hardware"}), ("train", {"hardware", "compress"})):
        if not sections <= harmless and isinstance(base.get(section), dict):
            base[section].pop("weights", None)


def _check_axis(document: Document, axis: Axis, base: Document) -> None:
    """Refuse an axis with a key or a value that model.yaml knows nothing of, before any trial runs."""
    for value in axis.ends():
        trial = Document(base.file, copy.deepcopy(base.value))
        try:
            for key in axis.keys:
                set_key(trial.value, key, value, axis.where)
        except SpecError as error:
            document.errors.append(error)
            return
        for wrong in _errors_at(trial, axis.keys):
            document.errors.append(
                SpecError(wrong.what, where=axis.where, found=label(value), expected=wrong.expected, hint=wrong.hint)
            )
            return


def _errors_at(trial: Document, keys: tuple[str, ...]) -> list[HwgenError]:
    """Return what is wrong with the values of `keys` themselves, whatever the other keys say."""
    try:
        complete(trial)
        ModelSpec.model_validate(trial.value)
    except ValidationError as error:
        explain(trial, error, ModelSpec)
    places = [(error.where or "").rpartition(": ")[2] for error in trial.errors]
    own = [any(place == key or place.startswith((f"{key}.", f"{key}[")) for key in keys) for place in places]
    return [error for error, mine in zip(trial.errors, own, strict=True) if mine]
