"""Model files: `.keras` out; `.keras` and `.h5` in, with everything doubtful refused before it is loaded."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import ModelError, OutputError
from hwgen.train.inspect import corrupt, named_in, read_config, refuse_code
from hwgen.train.legacy import is_old, load_rebuilt
from hwgen.train.unwrap import unwrap_config

if TYPE_CHECKING:
    import keras

NOTES = "hwgen.json"
"""A member of hwgen's own `.keras` files: what training measured."""


def save_model(model: keras.Model, path: Path, notes: dict[str, Any] | None = None) -> None:
    """Write a model as `.keras`, the same bytes for the same model (no time stamps).

    Parameters
    ----------
    model : keras.Model
    path : Path
        Replaced atomically.
    notes : dict, optional
        JSON values kept inside the file; `read_notes` gives them back.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            first, final = Path(folder) / "model.keras", Path(folder) / "final.keras"
            model.save(first)
            _repack(first, final, notes or {})
            final.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path.name}: {error.strerror or error}",
            where=str(path.parent),
            hint="free some space or choose another folder with --out; a build resumes where it stopped",
        ) from error


def load_model(path: Path, *, trust: bool = False, where: str | None = None) -> keras.Model:
    """Load a `.keras` or `.h5` file (QKeras 0.9 or qkeras-v3), pruning wrappers stripped, not compiled.

    Parameters
    ----------
    path : Path
    trust : bool
        Whether code in the file, or code that it names, may run.
    where : str, optional
        The line and key that named the file, for messages.

    Raises
    ------
    ModelError
        If the file is missing, corrupt, of another framework, would run code (without `trust`), has layers that
        neither Keras nor QKeras knows, or weights that are not finite.
    """
    with named_in(where, path):
        model = _load(path, trust)
        _refuse_not_finite(model, path)
    return model


def _load(path: Path, trust: bool) -> keras.Model:
    config = read_config(path)
    if not trust:
        refuse_code(config, path)
    from hwgen.train.env import import_keras

    keras = import_keras()
    objects: dict[str, Any] = {}
    # By its name: the attribute `qkeras.utils` may be `keras.utils`, which qkeras imports too.
    importlib.import_module("qkeras.utils")._add_supported_quantized_objects(objects)
    _mend_hswish(objects["quantized_hswish"])
    plain, wrapped = unwrap_config(config)
    try:
        with _quiet(), _trusting(keras, trust):
            if wrapped or is_old(config):
                return load_rebuilt(path, plain, config, wrapped, objects)
            return keras.models.load_model(path, custom_objects=objects, compile=False, safe_mode=not trust)
    except ModelError:
        raise
    except Exception as error:
        raise _explain(path, error) from error


def _mend_hswish(kind: Any) -> None:
    """Let QKeras' hard swish be loaded: its config has arguments of its base class that it does not take."""
    known = inspect.signature(kind.__init__).parameters

    def from_config(cls: Any, config: dict[str, Any]) -> Any:
        return cls(**{key: value for key, value in config.items() if key in known})

    kind.from_config = classmethod(from_config)


def _refuse_not_finite(model: keras.Model, path: Path) -> None:
    for layer in model.layers:
        for variable, values in zip(layer.weights, layer.get_weights(), strict=True):
            bad = int(np.count_nonzero(~np.isfinite(values))) if values.dtype.kind == "f" else 0
            if bad:
                raise ModelError(
                    f"{layer.name}.{variable.name} is not finite",
                    where=str(path),
                    found=f"NaN or infinity in {bad} of {values.size} weights",
                    expected="finite weights",
                )


def read_notes(path: Path) -> dict[str, Any]:
    """Return the notes kept inside a `.keras` file of hwgen; empty for other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            notes = json.loads(archive.read(NOTES))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return {}
    return notes if isinstance(notes, dict) else {}


def _repack(source: Path, target: Path, notes: dict[str, Any]) -> None:
    """Copy a `.keras` archive without dates, addresses and the optimizer's state, and with the notes."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in sorted(old.namelist()):
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": "1980-01-01@00:00:00"}).encode()
            elif name == "config.json":
                content = json.dumps(_plain_config(json.loads(content))).encode()
            elif name == "model.weights.h5":
                content = _plain_weights(content)
            _add(new, name, content)
        _add(new, NOTES, json.dumps(notes, sort_keys=True).encode())


def _plain_config(node: Any) -> Any:
    """Copy a config without `shared_object_id` (an address in memory) and `compile_config`."""
    if isinstance(node, list):
        return [_plain_config(value) for value in node]
    if not isinstance(node, dict):
        return node
    dropped = ("shared_object_id", "compile_config")
    return {key: _plain_config(value) for key, value in node.items() if key not in dropped}


def _plain_weights(content: bytes) -> bytes:
    """Copy the weights alone: no optimizer, no metrics."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as old, h5py.File(buffer, "w") as new:
        for name in old:
            if name not in ("optimizer", "metrics"):
                old.copy(name, new)
        for key, value in old.attrs.items():
            new.attrs[key] = value
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED if not name.endswith(".h5") else zipfile.ZIP_STORED
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _trusting(keras: Any, trust: bool) -> Iterator[None]:
    """Let Keras run a file's code for the time of one load; its switch is global."""
    from keras.src.saving import serialization_lib

    with serialization_lib.SafeModeScope(not trust):
        yield


def _explain(path: Path, error: Exception) -> ModelError:
    text = " ".join(str(error).split())
    if isinstance(error, OSError | EOFError | zipfile.BadZipFile | KeyError) or "truncated" in text.lower():
        return corrupt(path, error)
    unknown = re.search(r"(?:Could not locate class|Unknown layer:?) '?([\w.>]+)", text)
    if unknown:
        name = unknown.group(1)
        return ModelError(
            f"the model has a class that is not part of Keras or QKeras: {name}",
            where=str(path),
            expected="Keras and QKeras layers alone",
            hint="a model with own classes comes in through `builder: package.module:function`",
        )
    return ModelError(f"Keras cannot load the model: {type(error).__name__}: {text[:300]}", where=str(path))
