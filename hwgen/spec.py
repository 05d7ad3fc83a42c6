"""model.yaml in, `ModelSpec` out: reading, completing, validating, and writing it back with every default.

All errors of a file are reported at once, each with its line. The keys themselves are in `spec_model.py`, rules
over several keys in `spec_checks.py`, YAML's own traps in `spec_yaml.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import hwgen
from hwgen.errors import ErrorList
from hwgen.spec_checks import check
from hwgen.spec_explain import explain
from hwgen.spec_model import DataSection, LayerSpec, ModelSpec
from hwgen.spec_yaml import Document, apply_override, read_yaml

__all__ = ["DataSection", "LayerSpec", "ModelSpec", "complete", "json_schema", "load_spec", "resolved_yaml"]


def load_spec(path: Path | str, overrides: Sequence[str] = (), *, files: bool = True) -> ModelSpec:
    """Read, complete and validate a model.yaml.

    Parameters
    ----------
    path : Path
    overrides : texts as ``hardware.clock_period_ns=3``, applied before validation
    files : whether the files it names must be there

    Raises
    ------
    ErrorList
        With every error of the file.
    """
    path = Path(path)
    document = read_yaml(path)
    complete(document, overrides)
    spec: ModelSpec | None = None
    try:
        spec = ModelSpec.model_validate(document.value)
    except ValidationError as error:
        explain(document, error, ModelSpec)
    check(document, path.absolute().parent if files else None)
    if document.errors or spec is None:
        raise ErrorList(sorted(document.errors, key=_line_order))
    spec._file = path
    spec._places = {p: place.where for p, place in document.places.items()}
    return spec


def complete(document: Document, overrides: Sequence[str] = ()) -> None:
    """Bring a parsed model.yaml into the form that `ModelSpec` validates."""
    if not isinstance(document.value.get("model"), dict):
        document.value.setdefault("model", {})
    _normalise_layers(document)
    for option in overrides:
        apply_override(document, option)
    _fill_name(document)
    for section, value in list(document.value.items()):
        if value is None and section in ModelSpec.model_fields and section != "data":
            del document.value[section]  # `train:` with nothing under it


def _line_order(error: Any) -> int:
    match = re.search(r":(\d+)(:|$)", error.where or "")
    return int(match.group(1)) if match else 1 << 30


def _normalise_layers(document: Document) -> None:
    """Turn ``- QDense: {units: 64}`` into kind, arguments and line, moving the places of its keys along."""
    layers = document.value["model"].get("layers") if isinstance(document.value["model"], dict) else None
    if not isinstance(layers, list):
        return
    for index, item in enumerate(layers):
        path = f"model.layers[{index}]"
        place = document.place(path)
        line = int(place.where.rpartition(":")[2]) if path in document.places else 0
        if isinstance(item, str):
            layers[index] = {"kind": item, "args": {}, "line": line}
            continue
        pair = list(item.items()) if isinstance(item, dict) else []
        kind, args = pair[0] if len(pair) == 1 else (None, None)
        if not isinstance(kind, str) or not isinstance(args, dict | None):
            hint = "the arguments of a layer are indented further than its class" if len(pair) > 1 else None
            document.fail(path, "not a layer", expected="- QDense: {name: fc1, units: 64}", hint=hint)
            layers[index] = {"kind": "?", "args": {}, "line": line}
            continue
        layers[index] = {"kind": kind, "args": args or {}, "line": line}
        prefix = f"{path}.{kind}."
        for old in [p for p in document.places if p.startswith(prefix)]:
            document.places[f"{path}.{old[len(prefix) :]}"] = document.places[old]


def _fill_name(document: Document) -> None:
    """Default ``model.name``: the stem of the brought file, else of the YAML."""
    model = document.value.get("model")
    if isinstance(model, dict) and model.get("name") is None:
        source = model.get("file")
        model["name"] = Path(source if isinstance(source, str) else document.file).stem


def resolved_yaml(spec: ModelSpec, folder: Path | None = None) -> str:
    """Return `spec` as YAML with every default written out; it is itself buildable.

    Parameters
    ----------
    spec : ModelSpec
    folder : Path, optional
        The build folder the text is for; ``base`` and ``outputs.dir`` are written so that building the text from
        there gives the same build in the same place.
    """
    value = spec.model_dump(mode="python")
    if folder is not None:
        value["base"] = _relative(spec.base_dir, folder)
        value["outputs"]["dir"] = _relative(folder, spec.base_dir)
    if spec.model.layers is not None:
        value["model"]["layers"] = [{layer.kind: layer.args or None} for layer in spec.model.layers]
    banner = f"# Written by hwgen {hwgen.__version__}: every default filled in. `hwgen build` takes this file too.\n"
    return banner + str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None))


def _relative(target: Path, start: Path) -> str:
    return Path(os.path.relpath(target.absolute(), start.absolute())).as_posix()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of model.yaml, for editors."""
    schema = ModelSpec.model_json_schema()
    layer: dict[str, Any] = {
        "description": "a Keras or QKeras class with its own arguments: `QDense: {name: fc1, units: 64}`",
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": {"anyOf": [{"type": "object"}, {"type": "null"}]},
            },
        ],
    }
    schema["$defs"]["LayerSpec"] = layer
    schema["$defs"]["ModelSection"]["required"] = []
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "hwgen model.yaml, version 1"}
