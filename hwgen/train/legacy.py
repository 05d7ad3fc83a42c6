"""Model files of Keras 2 and QKeras 0.9, with or without pruning wrappers: rebuilt, weights copied by layer name.

Keras 3 reads most `.h5` files of Keras 2, but neither pruning wrappers nor Keras 2's `.keras`. Copying by name does
not depend on the order in which either Keras lists the layers. Every private name of Keras stands here.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import ModelError
from hwgen.train.data.types import Array
from hwgen.train.inspect import model_kind

if TYPE_CHECKING:
    import keras

_BOOKKEEPING = ("mask:0", "threshold:0", "pruning_step:0")
"""What a pruning wrapper keeps beside the weights of its layer."""


def is_old(config: dict[str, Any]) -> bool:
    """Return whether an architecture was written by Keras 2: shapes under its old key, or its module names."""
    if str(config.get("module") or "").startswith("keras.src.engine"):
        return True
    return any("batch_input_shape" in layer.get("config", {}) for layer in layers_of(config))


def layers_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the layers in an architecture, in the order of the file."""
    inner = config.get("config")
    layers = inner.get("layers", []) if isinstance(inner, dict) else inner if isinstance(inner, list) else []
    return [layer for layer in layers if isinstance(layer, dict)]


def load_rebuilt(
    path: Path, config: dict[str, Any], original: dict[str, Any], wrappers: dict[str, str], objects: dict[str, Any]
) -> keras.Model:
    """Rebuild a model from its architecture and copy its weights.

    Parameters
    ----------
    path : Path
    config, original : dict
        The architecture without pruning wrappers, and as the file has it.
    wrappers : dict
        Name of each wrapper to the name of its layer.
    objects : dict
        Classes by name.

    Raises
    ------
    ModelError
        If a layer's weights are missing or of another shape.
    """
    from keras.src.legacy.saving import saving_utils

    plain = {"class_name": config["class_name"], "config": _modern(config["config"])}
    model = _unlisted(saving_utils.model_from_config(plain, custom_objects=objects))
    stored = _h5_weights(path, wrappers) if model_kind(path) == "h5" else _keras_weights(path, original, wrappers)
    for layer in model.layers:
        ours, found = layer.get_weights(), stored.get(layer.name, [])
        if [w.shape for w in ours] != [w.shape for w in found]:
            raise ModelError(
                f"the weights of {layer.name} cannot be taken from the file",
                where=str(path),
                found=f"shapes {[w.shape for w in found]}",
                expected=f"shapes {[w.shape for w in ours]}",
            )
        layer.set_weights(found)
    return model


def _unlisted(model: keras.Model) -> keras.Model:
    """Return a model whose single input and output are no lists of one; Keras 3 would warn at every call."""
    import keras

    if isinstance(model, keras.Sequential):
        return model
    parts = [tensors[0] if len(tensors) == 1 else tensors for tensors in (model.inputs, model.outputs)]
    return keras.Model(*parts, name=model.name)


def _modern(node: Any) -> Any:
    """Copy a config with what Keras 3 spells otherwise: the axis of a batch normalisation was a list of one."""
    if isinstance(node, list):
        return [_modern(value) for value in node]
    if not isinstance(node, dict):
        return node
    result = {key: _modern(value) for key, value in node.items()}
    inner = result.get("config")
    if str(result.get("class_name", "")).endswith("BatchNormalization") and isinstance(inner, dict):
        axis = inner.get("axis")
        if isinstance(axis, list) and len(axis) == 1:
            inner["axis"] = axis[0]
    return result


def _h5_weights(path: Path, wrappers: dict[str, str]) -> dict[str, list[Array]]:
    import h5py

    result: dict[str, list[Array]] = {}
    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)
        for name, group in root.items():
            names = [n.decode() if isinstance(n, bytes) else str(n) for n in group.attrs.get("weight_names", [])]
            weights = {n: np.asarray(group[n]) for n in names}
            mask = next((weights[n] for n in names if n.endswith("mask:0")), None) if name in wrappers else None
            kept = [w for n, w in weights.items() if not (name in wrappers and n.endswith(_BOOKKEEPING))]
            result[wrappers.get(name, name)] = _masked(kept, mask)
    return result


def _keras_weights(path: Path, original: dict[str, Any], wrappers: dict[str, str]) -> dict[str, list[Array]]:
    """Read Keras 2's `.keras`: groups are called after the classes and counted in the order of the layers."""
    import h5py

    result: dict[str, list[Array]] = {}
    with zipfile.ZipFile(path) as archive:
        content = archive.read("model.weights.h5")
    with h5py.File(io.BytesIO(content), "r") as file:
        root = file["layers"] if "layers" in file else file["_layer_checkpoint_dependencies"]
        for name, key in _group_names(original):
            if key not in root:
                continue
            group = root[key]
            own = _numbered(group["vars"]) if "vars" in group else []
            if name in wrappers:  # the wrapper's own: the kernel again, its mask, scalars
                inner = _numbered(group["layer"]["vars"]) if "layer" in group else []
                masks = [v for v in own if inner and v.shape == inner[0].shape and np.isin(v, (0, 1)).all()]
                mask = masks[-1] if masks else None
                result[wrappers[name]] = _masked(inner, mask)
            else:
                result[name] = own
    return result


def _group_names(original: dict[str, Any]) -> Iterator[tuple[str, str]]:
    counts: dict[str, int] = {}
    for layer in layers_of(original):
        stem = _snake(str(layer["class_name"]).rpartition(">")[2])
        count = counts.get(stem, 0)
        counts[stem] = count + 1
        yield layer["config"]["name"], f"{stem}_{count}" if count else stem


def _snake(name: str) -> str:
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _numbered(group: Any) -> list[Array]:
    return [np.asarray(group[key]) for key in sorted(group, key=int)]


def _masked(weights: list[Array], mask: Array | None) -> list[Array]:
    """Apply a wrapper's mask to the kernel, its first weight: the optimizer's last step may have moved pruned ones."""
    if mask is None or not weights or weights[0].shape != mask.shape:
        return weights
    return [weights[0] * mask, *weights[1:]]
