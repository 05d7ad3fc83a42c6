"""Look into a model file without loading it and without TensorFlow: what it is, what it would run, its input shapes."""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwgen.errors import ModelError

EXPECTED = "a Keras model file: .keras, or .h5 with the architecture"

# Extension -> what such a file is. Content is looked at first; this is for files that cannot be told by content.
_BY_SUFFIX = {
    ".pt": "a PyTorch file",
    ".pth": "a PyTorch file",
    ".pt2": "a PyTorch file",
    ".onnx": "an ONNX model",
    ".tflite": "a TensorFlow Lite model",
    ".pb": "a TensorFlow graph",
    ".pkl": "a Python pickle",
    ".joblib": "a Python pickle",
    ".safetensors": "a safetensors file (weights alone)",
    ".npz": "NumPy arrays",
    ".json": "a Keras architecture without its weights",
    ".yaml": "a YAML file",
    ".yml": "a YAML file",
}
_HOW = {
    "a PyTorch file": "rebuild the network in Keras with QKeras layers and copy the weights",
    "an ONNX model": "rebuild the network in Keras with QKeras layers and copy the weights",
    "a TensorFlow Lite model": "give the Keras model it was converted from",
    "a TensorFlow graph": "load it in Keras and save it with model.save('net.keras')",
    "a TensorFlow SavedModel": "load it in the Keras that wrote it and save it with model.save('net.keras')",
    "a Keras architecture without its weights": "load both in Keras and save them with model.save('net.keras')",
    "Keras weights without the architecture": "save the whole model: model.save('net.keras'), not save_weights",
}

# Classes that run code of the file, or of another framework, when the model is loaded or called.
_CODE_CLASSES = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
_CODE_LEGACY = {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"}
_SAFE_MODULES = re.compile(
    r"(keras|tf_keras|tensorflow\.python\.keras|tensorflow\.keras)"
    r"(\.(src\.)?(activations|constraints|initializers|layers|losses|metrics|models|optimizers|regularizers|engine|dtype_policies)"
    r"(\..*)?)?"
    r"|qkeras(\..*)?|tensorflow_model_optimization(\..*)?|builtins|hwgen\.train\..*"
)
# Functions may be named only where Keras keeps activations, losses and metrics.
_SAFE_FUNCTION_MODULES = re.compile(
    r"(keras|tf_keras)\.(src\.)?(activations|losses|metrics|ops)(\..*)?|builtins|qkeras(\..*)?"
)


def model_kind(path: Path) -> str:
    """Return ``"keras"`` or ``"h5"``; refuse everything else by the name of what it is.

    Raises
    ------
    ModelError
        If the file is missing, a folder, empty, corrupt, or of another framework.
    """
    if path.is_dir():
        saved = (path / "saved_model.pb").is_file() or (path / "keras_metadata.pb").is_file()
        raise _foreign(path, "a TensorFlow SavedModel" if saved else "a folder")
    if not path.exists():
        raise ModelError("the model file does not exist", where=str(path), expected=EXPECTED)
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise ModelError(f"cannot read the model file: {error.strerror}", where=str(path)) from error
    if not head:
        raise ModelError("the model file is empty", where=str(path), found="0 bytes", expected=EXPECTED)
    if head[:4] == b"PK\x03\x04":
        return _zip_kind(path)
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        return "h5"
    if head[4:8] == b"TFL3":
        raise _foreign(path, "a TensorFlow Lite model")
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if head[:1] == b"\x08" and head[1] < 32 and head[2:3] in (b"\x12", b"\x3a"):
        kind = "an ONNX model"  # protobuf: a small ir_version, then the producer's name or the graph
    if kind:
        raise _foreign(path, kind)
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise _foreign(path, "a Python pickle")
    if head.lstrip()[:1] == b"{":
        raise _foreign(path, "a Keras architecture without its weights")
    raise ModelError(
        "the model file is corrupt or of an unknown kind",
        where=str(path),
        found=f"begins with {head[:8]!r}",
        expected=EXPECTED,
    )


def read_config(path: Path) -> dict[str, Any]:
    """Return the architecture written in a model file, as plain JSON; nothing of it is run.

    Raises
    ------
    ModelError
        As `model_kind`, and if the architecture is missing or unreadable.
    """
    kind = model_kind(path)
    try:
        text = _keras_config(path) if kind == "keras" else _h5_config(path)
        config = json.loads(text)
    except (ValueError, KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise corrupt(path, error) from error
    if not isinstance(config, dict):
        raise ModelError("the model file is corrupt", where=str(path), found="no architecture", expected=EXPECTED)
    return config


def corrupt(path: Path, error: BaseException) -> ModelError:
    """Return the error for a model file that breaks on reading."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        "the model file is corrupt",
        where=str(path),
        found=first[:200],
        expected=EXPECTED,
        hint="copy it again, or save it again with model.save",
    )


@contextlib.contextmanager
def named_in(where: str | None, path: Path) -> Iterator[None]:
    """Say of every error about the file `path` which line and key of model.yaml named it."""
    try:
        yield
    except ModelError as error:
        if where is None or error.where != str(path):
            raise
        more = {"found": error.found, "expected": error.expected, "hint": error.hint}
        raise ModelError(error.what, where=f"{where}: {path.name}", **more) from error


def refuse_code(config: dict[str, Any], path: Path) -> None:
    """Refuse an architecture that would run code on loading.

    Raises
    ------
    ModelError
        Naming the layers.
    """
    found = sorted(set(_code_in(config, "the model")))
    if found:
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        raise ModelError(
            "loading this model file would run code that it carries or names",
            where=str(path),
            found="; ".join(found[:4]) + more,
            expected="Keras and QKeras layers alone",
            hint="if you wrote the file or trust who did: --trust",
        )


def peek_input_shapes(path: Path) -> list[tuple[int, ...]]:
    """Return the input shapes of a brought model without the batch axis; empty if the file does not say plainly."""
    shapes = []
    config = read_config(path).get("config")
    layers = config.get("layers", []) if isinstance(config, dict) else config if isinstance(config, list) else []
    names = _input_names(config.get("input_layers")) if isinstance(config, dict) else []
    found: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        inner = layer.get("config", {})
        shape = inner.get("batch_shape") or inner.get("batch_input_shape")
        if shape and all(isinstance(n, int) for n in shape[1:]):
            found[inner.get("name", "")] = tuple(shape[1:])
            if not names:
                break
    shapes = [found[name] for name in names if name in found] if names else list(found.values())
    return shapes if not names or len(shapes) == len(names) else []


def _input_names(entry: Any) -> list[str]:
    """Return the names in `input_layers`: one ``[name, 0, 0]`` or a list or mapping of such."""
    if isinstance(entry, dict):
        entry = list(entry.values())
    if not isinstance(entry, list) or not entry:
        return []
    if isinstance(entry[0], str):
        return [entry[0]]
    return [item[0] for item in entry if isinstance(item, list) and item]


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            broken = archive.testzip() if "config.json" in names else None
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        if path.suffix.lower() in _BY_SUFFIX:
            raise _foreign(path, _BY_SUFFIX[path.suffix.lower()]) from error
        raise corrupt(path, error) from error
    if any(name.endswith("data.pkl") for name in names):
        raise _foreign(path, "a PyTorch file")
    if any(name.endswith("saved_model.pb") for name in names):
        raise _foreign(path, "a TensorFlow SavedModel")
    if names and all(name.endswith(".npy") for name in names):
        raise _foreign(path, "NumPy arrays")
    if broken:
        raise corrupt(path, ValueError(f"bad checksum of {broken}"))
    missing = {"config.json", "model.weights.h5"} - names
    if missing:
        found = f"a zip archive without {' and '.join(sorted(missing))}"
        raise ModelError("this zip archive is not a .keras file", where=str(path), found=found, expected=EXPECTED)
    return "keras"


def _keras_config(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read("config.json").decode("utf-8")


def _h5_config(path: Path) -> str:
    import h5py

    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        raise _foreign(path, "Keras weights without the architecture")
    return text.decode("utf-8") if isinstance(text, bytes) else str(text)


def _foreign(path: Path, kind: str) -> ModelError:
    return ModelError(
        f"this is {kind}, not a Keras model file", where=str(path), expected=EXPECTED, hint=_HOW.get(kind)
    )


def _code_in(node: Any, layer: str) -> Iterator[str]:
    """Yield one text for each part of a config that names code outside Keras and QKeras."""
    if isinstance(node, list):
        for item in node:
            yield from _code_in(item, layer)
        return
    if not isinstance(node, dict):
        return
    name = node.get("class_name")
    if isinstance(name, str):
        inner = node.get("config")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str) and "name" in inner:
            layer = inner["name"]
        yield from _suspicious(name, node, layer)
    for value in node.values():
        yield from _code_in(value, layer)


def _suspicious(name: str, node: dict[str, Any], layer: str) -> Iterator[str]:
    module = node.get("module")
    if name in _CODE_CLASSES:
        yield f"{layer}: {name.strip('_')}"
    elif name in _CODE_LEGACY:
        yield f"{layer}: {name} (a TensorFlow operation outside Keras layers)"
    elif name == "function":
        if not (module is None or (isinstance(module, str) and _SAFE_FUNCTION_MODULES.fullmatch(module))):
            yield f"{layer}: the function {module}.{node.get('config')}"
    elif isinstance(module, str) and not _SAFE_MODULES.fullmatch(module):
        yield f"{layer}: {module}.{name}"
