"""The width of numbers: a preset, by layer, or searched (`bit_search.py`); then fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import SpecError
from hwgen.train.compress.quantizers import FITTED, fitted, is_fitted
from hwgen.train.compress.surgery import NewLayer, rebuild, with_config
from hwgen.train.compress.workshop import StepResult, Workshop
from hwgen.train.env import import_keras
from hwgen.train.loop import grid_inputs

if TYPE_CHECKING:
    import keras

Array = np.ndarray[Any, np.dtype[Any]]

Place = tuple[str, str]
"""Which numbers: a layer's name, and ``weight`` or ``activation``."""

Widths = Mapping[Place, int]
"""Bits by place; what is not named stays as it is."""

KERNELS = (
    ("kernel_quantizer", "kernel"),
    ("depthwise_quantizer", "depthwise_kernel"),
    ("pointwise_quantizer", "pointwise_kernel"),
)
INT8, BIAS_BITS = 8, 16
CALIBRATION = 256
"""Training samples that activations are measured on."""
KEPT = 1 << 14
"""Values of one activation that are kept of each call."""


def bits(shop: Workshop, model: keras.Model) -> StepResult:
    """Set the bits as `compress.bits` says: the preset, over it `layers`, from there the search; then fine-tune.

    Raises
    ------
    ModelError, SpecError
        If a layer named is not there or has no such bits, or there is no data.
    """
    from hwgen.train.compress.bit_search import search_bits

    plan = shop.spec.compress.bits
    assert plan is not None
    shop.known_data("bits", "setting bits fine-tunes the network and")
    epochs = shop.spec.compress.epochs if plan.epochs is None else plan.epochs
    before = model
    asked = asked_widths(shop, model)
    history = {}
    if asked or plan.preset:
        model = narrowed(shop, model, asked, BIAS_BITS if plan.preset else None)
        history = shop.finetune(model, epochs, "fine-tuning with new bits")
    if plan.search is None:
        return StepResult(model, history, {"bits": by_layer(widths_of(model))})
    found = search_bits(shop, before, model, plan.search, epochs)
    for key, values in history.items():
        found.history[key] = values + found.history.get(key, [])
    details = {"bits": by_layer(widths_of(found.model)), "search": found.report()}
    return StepResult(found.model, found.history, details, found.unmet)


def asked_widths(shop: Workshop, model: keras.Model) -> dict[Place, int]:
    """Return the bits of the preset, and over them those of `compress.bits.layers`.

    Raises
    ------
    SpecError
        If a layer is not there, or has nothing of that kind, or a quantizer without bits to choose.
    """
    plan = shop.spec.compress.bits
    assert plan is not None
    widths = dict.fromkeys(widths_of(model), INT8) if plan.preset else {}
    said: dict[Place, str] = {}
    for name, wanted in plan.layers.items():
        for what, value in (("weight", wanted.weight), ("activation", wanted.activation)):
            if value is None:
                continue
            place = _place(shop, model, name, what)
            if place in said:
                key, other = f"bits.layers.{name}.{what}", f"compress.bits.layers.{said[place]}.{what}"
                raise shop.refuse(key, f"the same activation as in {other}", str(value), "one of the two")
            said[place], widths[place] = name, value
    return widths


def widths_of(model: keras.Model) -> dict[Place, int]:
    """Return the bits of all weights and activations whose bits can be chosen; of several kernels the most."""
    widths: dict[Place, int] = {}
    for layer in model.layers:
        kernels = [quantizer for _, quantizer, _ in _kernels(layer) if is_fitted(quantizer)]
        if kernels:
            widths[layer.name, "weight"] = max(int(np.asarray(q.bits)) for q in kernels)
        if is_fitted(getattr(layer, "activation", None)):
            widths[layer.name, "activation"] = int(np.asarray(layer.activation.bits))
    return widths


def by_layer(widths: Widths) -> dict[str, dict[str, int]]:
    """Return widths as a report shows them: ``{"fc1": {"weight": 4}, "relu1": {"activation": 5}}``."""
    table: dict[str, dict[str, int]] = {}
    for (layer, what), value in widths.items():
        table.setdefault(layer, {})[what] = value
    return table


def narrowed(shop: Workshop, model: keras.Model, widths: Widths, bias_bits: int | None = None) -> keras.Model:
    """Return a new network with other bits, its binary points fitted to the weights and to what the activations see.

    Parameters
    ----------
    bias_bits : int, optional
        New bits of all biases, with the range of twice their values; default: biases stay as they are.
    """
    changed = {place: value for place, value in widths.items() if widths_of(model).get(place) != value}
    seen = seen_by(shop, model, {layer for layer, what in changed if what == "activation"})

    def change(layer: Any) -> list[NewLayer] | None:
        new: dict[str, Any] = {}
        if (width := changed.get((layer.name, "weight"))) is not None:
            for key, quantizer, values in _kernels(layer):
                if is_fitted(quantizer):
                    new[key] = fitted(quantizer, values, width)
        if (width := changed.get((layer.name, "activation"))) is not None:
            new["activation"] = fitted(layer.activation, seen[layer.name], width)
        bias = getattr(layer, "bias_quantizer_internal", None)
        if bias_bits is not None and is_fitted(bias) and (now := _bias(layer)) is not None:
            new["bias_quantizer"] = fitted(bias, 2 * now, bias_bits)
        return [with_config(layer, new)] if new else None

    return rebuild(model, change)


def seen_by(shop: Workshop, model: keras.Model, layers: set[str]) -> dict[str, Array]:
    """Return what the activation quantizers of some layers are given, on samples of the training part."""
    if not layers:
        return {}
    data = shop.known_data("bits", "fitting activations")
    xs = grid_inputs(shop.spec, model, tuple(x[_spread(len(x))] for x in data.xs_train))
    recorded: dict[str, list[Array]] = {name: [] for name in layers}
    own = {name: model.get_layer(name).activation for name in sorted(layers)}

    def recorder(name: str) -> Any:
        def record(values: Any) -> Any:
            flat = np.ravel(np.asarray(values))
            recorded[name].append(flat[:: max(1, -(-flat.size // KEPT))])
            return own[name](values)

        return record

    try:
        for name in own:
            model.get_layer(name).activation = recorder(name)
        for start in range(0, len(xs[0]), 32):
            batch = [x[start : start + 32] for x in xs]
            model(batch, training=False)
    finally:
        for name, quantizer in own.items():
            model.get_layer(name).activation = quantizer
    return {name: np.concatenate(values) for name, values in recorded.items()}


def _spread(count: int) -> slice:
    return slice(0, None, max(1, -(-count // CALIBRATION)))


def _kernels(layer: Any) -> list[tuple[str, Any, Array]]:
    """Return (config key, quantizer, values) of each kernel; of a folded batch normalization what is quantized."""
    found = []
    for key, variable in KERNELS:
        quantizer = getattr(layer, f"{key}_internal", None)
        if quantizer is not None and hasattr(layer, variable):
            folded = layer.get_folded_weights()[0] if hasattr(layer, "get_folded_weights") else getattr(layer, variable)
            found.append((key, quantizer, np.asarray(folded)))
    return found


def _bias(layer: Any) -> Array | None:
    if hasattr(layer, "get_folded_weights"):
        return np.asarray(layer.get_folded_weights()[1])
    return None if getattr(layer, "bias", None) is None else np.asarray(layer.bias)


def _place(shop: Workshop, model: keras.Model, name: str, what: str) -> Place:
    """Return the place that ``layers: {name: {what: ...}}`` speaks of; an activation may stand behind the layer."""
    key = f"bits.layers.{name}.{what}"
    layers = {layer.name: layer for layer in model.layers}
    widths = widths_of(model)
    if name not in layers:
        raise shop.refuse(f"bits.layers.{name}", "no such layer", name, f"one of {', '.join(layers)}")
    holder = layers[name] if what == "weight" else _activation_at(model, layers[name])
    if holder is not None and (holder.name, what) in widths:
        return holder.name, what
    if what == "weight":
        found = [quantizer for _, quantizer, _ in _kernels(layers[name])]
        options = ", ".join(layer for layer, kind in widths if kind == what)
        if not found:
            raise shop.refuse(key, "this layer has no quantized weights", name, f"one of {options}")
        raise _no_bits(shop, key, found[0])
    if holder is None:
        raise shop.refuse(key, "there is no quantized activation in this layer or behind it", name, "QActivation")
    raise _no_bits(shop, key, holder.activation)


def _no_bits(shop: Workshop, key: str, quantizer: Any) -> SpecError:
    name = type(quantizer).__name__
    return shop.refuse(key, f"the bits of {name} cannot be chosen", str(quantizer), f"one of {', '.join(FITTED)}")


def _activation_at(model: keras.Model, layer: Any) -> Any:
    """Return the layer that quantizes what `layer` gives: itself, or the next on a chain without a branch."""
    behind = _behind(model)
    while not _quantizes(layer):
        next_layers = behind.get(layer.name, [])
        if len(next_layers) != 1 or _kernels(next_layers[0]):
            return None
        layer = next_layers[0]
    return layer


def _quantizes(layer: Any) -> bool:
    activation = getattr(layer, "activation", None)
    return hasattr(activation, "get_config") and hasattr(activation, "bits")


def _behind(model: keras.Model) -> dict[str, list[Any]]:
    """Return the layers that take what a layer gives, by its name."""
    functional = import_keras().Model(model.inputs, model.outputs)
    nodes = [node for level in functional._nodes_by_depth.values() for node in level]
    maker = {id(tensor): node.operation.name for node in nodes for tensor in node.outputs}
    behind: dict[str, list[Any]] = {}
    for node in nodes:
        for tensor in node.input_tensors:
            behind.setdefault(maker[id(tensor)], []).append(node.operation)
    return behind
