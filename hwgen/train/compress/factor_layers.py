"""One layer becomes a chain of two or three: the factors as layers, and the quantized activations between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.train.compress.factorise import Choice, Work, decompose
from hwgen.train.compress.quantizers import fitted, is_fitted
from hwgen.train.compress.surgery import NewLayer, rebuild, with_config
from hwgen.train.env import import_keras
from hwgen.train.loop import outputs_of

if TYPE_CHECKING:
    import keras

Array = np.ndarray[Any, np.dtype[Any]]

KINDS = ("QDense", "QConv1D", "QConv2D")
"""Classes that can be factorised."""

BETWEEN_BITS = 8
"""Of the activation between factors where the layer reads the network's input."""


def obstacle(model: keras.Model, layer: Any) -> str | None:
    """Return why a layer cannot be factorised; None: it can."""
    kind = type(layer).__name__
    if kind not in KINDS:
        return f"{kind} has no factors here"
    if getattr(layer, "kernel_quantizer", None) is None:
        return "its kernel has no quantizer"
    if not is_fitted(layer.kernel_quantizer_internal):
        return f"{type(layer.kernel_quantizer_internal).__name__} has no binary point to fit to the factors"
    if getattr(layer, "groups", 1) != 1 or getattr(layer, "data_format", "channels_last") != "channels_last":
        return "a convolution in groups or with channels first"
    if getattr(layer, "_mask", None) is not None:
        return "its kernel has a mask of its own"
    if _calls(model, layer) > 1:
        return "it is called more than once"
    return None


def _calls(model: keras.Model, layer: Any) -> int:
    """Return how often the network calls a layer."""
    nodes = import_keras().Model(model.inputs, model.outputs)._nodes_by_depth
    return sum(node.operation is layer for depth in nodes.values() for node in depth)


def kernel_of(layer: Any) -> Array:
    """Return the floats of the kernel as (kh, kw, c_in, c_out), float64."""
    kernel = np.asarray(layer.kernel, np.float64)
    return kernel.reshape((1,) * (4 - kernel.ndim) + kernel.shape)


def work_of(layer: Any) -> Work:
    """Return the kernel's shape and how often it is applied in one inference."""
    before, after = tuple(layer.input.shape[1:-1]), tuple(layer.output.shape[1:-1])
    between = (after[0], before[1]) if type(layer).__name__ == "QConv2D" else before
    return Work(kernel_of(layer).shape, (math.prod(before), math.prod(between), math.prod(after)))


def factorised(
    model: keras.Model, name: str, choice: Choice, samples: Sequence[Array], bits: int | None
) -> keras.Model:
    """Return a new network in which one layer is a chain of factors.

    The last layer of the chain keeps name, bias and activation; those before are ``<name>_rank``, or ``<name>_rank1``
    and ``<name>_rank2``. Behind each of those stands a QActivation ``..._q`` whose binary point holds everything that
    `samples` give there.

    Parameters
    ----------
    samples : frames of each input, on the input's grid
    bits : of the activations between; default: what the layer's own input has, and a sign
    """
    keras = import_keras()
    layer = model.get_layer(name)
    kernels = decompose(choice.method, kernel_of(layer), choice.ranks)
    layers = _factors(layer, choice.method, kernels)
    quantized = getattr(layer, "kernel_quantizer", None) is not None
    width = bits or _bits_before(layer)
    (values,) = outputs_of(keras.Model(model.inputs, layer.input), samples)
    chain: list[NewLayer] = []
    for new in layers[:-1]:
        chain.append(new)
        if quantized:
            values = _values_behind(new, values)
            chain.append(_between(f"{new.layer.name}_q", values, width))
            values = _values_behind(chain[-1], values)
    chain.append(layers[-1])
    return rebuild(model, lambda other: chain if other is layer else None)


def _factors(layer: Any, method: str, kernels: list[Array]) -> list[NewLayer]:
    """Return the factors as layers, without what stands between them."""
    names = [f"{layer.name}_rank{n}" for n in (("",) if len(kernels) == 2 else (1, 2))] + [layer.name]
    weights = layer.get_weights()
    result = []
    for index, (name, kernel) in enumerate(zip(names, kernels, strict=True)):
        last = index == len(kernels) - 1
        changes: dict[str, Any] = {"name": name} | _placed(layer, method, index, kernel)
        if not last:
            changes |= {"use_bias": False, "activation": None, "bias_quantizer": None}
        if method == "cp" and index == 1:
            result.append(_depthwise(layer, changes, kernel))
            continue
        changes["units" if type(layer).__name__ == "QDense" else "filters"] = kernel.shape[-1]
        changes["kernel_quantizer"] = _fitted(layer, kernel)
        own = kernel.reshape(kernel.shape[4 - weights[0].ndim :])
        result.append(with_config(layer, changes, [own, *(weights[1:] if last else ())]))
    return result


def _placed(layer: Any, method: str, index: int, kernel: Array) -> dict[str, Any]:
    """Return kernel size, strides, padding and dilation of a factor: those of the layer where its window is."""
    if type(layer).__name__ == "QDense":
        return {}
    axes = len(layer.kernel_size)
    size, windows = tuple(kernel.shape[2 - axes : 2]), tuple(layer.kernel_size)
    mine = [index == 0, index == 1] if method == "spatial" else [index == (0 if method == "svd" else 1)] * axes
    strides = tuple(int(s) if m else 1 for s, m in zip(layer.strides, mine, strict=True))
    dilation = tuple(int(d) if m else 1 for d, m in zip(layer.dilation_rate, mine, strict=True))
    assert all(s == (w if m else 1) for s, w, m in zip(size, windows, mine, strict=True))
    padding = layer.padding if any(mine) else "valid"
    return {"kernel_size": size, "strides": strides, "dilation_rate": dilation, "padding": padding}


def _depthwise(layer: Any, changes: dict[str, Any], kernel: Array) -> NewLayer:
    """Return the middle of a cp chain: the window, a channel by itself."""
    import qkeras

    quantizer = _fitted(layer, kernel)
    keys = ("name", "kernel_size", "strides", "dilation_rate", "padding")
    config = {key: changes[key] for key in keys}
    return NewLayer(qkeras.QDepthwiseConv2D(**config, use_bias=False, depthwise_quantizer=quantizer), [kernel])


def _fitted(layer: Any, kernel: Array) -> Any:
    quantizer = layer.kernel_quantizer_internal
    return None if quantizer is None else fitted(quantizer, kernel, int(np.asarray(quantizer.bits)))


def _between(name: str, values: Array, bits: int) -> NewLayer:
    """Return the activation whose binary point is the lowest that holds `values` without overflow."""
    import qkeras

    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    top = max(-low, high)
    integer = math.ceil(math.log2(top)) if top > 0 else 0
    while np.rint(high * 2.0 ** (bits - 1 - integer)) > 2 ** (bits - 1) - 1:
        integer += 1
    return NewLayer(qkeras.QActivation(qkeras.quantized_bits(bits, integer, alpha=1), name=name))


def _values_behind(new: NewLayer, values: Array) -> Array:
    """Return what a layer gives for these values, without calling the layer itself."""
    keras = import_keras()
    x = keras.Input(values.shape[1:])
    copy = type(new.layer).from_config(new.layer.get_config())
    model = keras.Model(x, copy(x))
    if new.weights is not None:
        copy.set_weights([np.asarray(w) for w in new.weights])
    return outputs_of(model, [values])[0]


def _bits_before(layer: Any) -> int:
    """Return the bits of the quantizer that the layer reads, and one for the sign if it has none; 8 at the input."""
    tensor = layer.input
    while True:
        producer = getattr(tensor, "_keras_history", (None,))[0]
        if producer is None or type(producer).__name__ == "InputLayer":
            return BETWEEN_BITS
        activation: Any = getattr(producer, "activation", None)
        if hasattr(activation, "get_config") and "bits" in activation.get_config():
            config = activation.get_config()
            signed = type(activation).__name__ not in ("quantized_relu", "quantized_sigmoid")
            signed = signed and bool(config.get("keep_negative", True))
            return int(config["bits"]) + (not signed)
        source = producer.input
        tensor = source[0] if isinstance(source, list | tuple) else source
