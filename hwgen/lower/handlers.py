"""One handler per Keras layer: what hls4ml's parser puts into its layer list for it.

hls4ml 1.3.0 has no Keras 3 handler for QKeras' layers, and some of its own lose what exactness needs: docs/lowering.md.
A handler returns hls4ml's description of a layer, its quantizers as `WeightRule`s and `ActivationRule`s, or refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hwgen.errors import ModelError
from hwgen.lower import vendor
from hwgen.lower.handlers_common import (
    Conf,
    Handler,
    activation_attrs,
    describe_as,
    fold_batchnorm,
    refuse,
    values,
    weights,
    with_activation,
)
from hwgen.lower.handlers_windows import WINDOW_HANDLERS
from hwgen.lower.quantizers import power_of_two

_NEAREST = {
    "Transpose": "UpSampling2D (nearest), then QConv2D",
    "3D": "the same layer in 1D or 2D",
    "Conv": "QConv1D, QConv2D, QDepthwiseConv2D or QSeparableConv2D",
    "LocallyConnected": "QConv2D",
    "Adaptive": "AveragePooling2D or MaxPooling2D, with their pool_size",
    "Pool": "MaxPooling2D; AveragePooling2D, then QActivation",
    "Cropping": "a QConv2D with padding='valid'",
    "Octave": "QConv2D",
    "QBatchNormalization": "BatchNormalization (its scale is rounded to a stated grid), or QDenseBatchnorm",
    "LayerNormalization": "BatchNormalization",
    "Normalization": "data.scale and data.offset, which the host applies",
    "Rescaling": "data.scale and data.offset, which the host applies",
    "Average": "Add, then QActivation",
    "Embedding": "QDense on one-hot inputs",
    "LSTM": "QDense on a flattened window of the sequence",
    "GRU": "QDense on a flattened window of the sequence",
    "RNN": "QDense on a flattened window of the sequence",
    "Attention": "QDense",
    "PReLU": "QActivation with quantized_relu and a negative_slope that is a power of two",
    "ELU": "QActivation with quantized_relu(6)",
    "QAdaptiveActivation": "QActivation with the bits it settled on, as quantized_relu(6,2)",
    "Dot": "Multiply, then QDense",
    "TimeDistributed": "the QDense itself: it acts on the last axis",
    "Functional": "its layers, one by one: nested models are not unpacked",
    "Sequential": "its layers, one by one: nested models are not unpacked",
    "Lambda": "named Keras layers: a Lambda has no meaning that can be proved",
}


def unsupported(layer: Any) -> ModelError:
    """Return the error for a layer class hwgen does not know, with the nearest alternative."""
    kind = type(layer).__name__
    nearest = _NEAREST.get(kind) or next((text for part, text in _NEAREST.items() if part in kind), None)
    known = ", ".join(sorted(HANDLERS_BY_KIND))
    return refuse(layer, f"{kind} is not a layer hwgen can lower", nearest or f"one of {known}")


def _input(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    shape = list(outs[0].shape[1:])
    if not shape or None in shape:
        raise refuse(layer, "the input's shape must be fixed", "Input((16,))", found=str(tuple(shape)))
    conf = describe_as(layer, ins, outs, "InputLayer")
    conf["input_shape"] = shape
    return (conf,)


def _dense_attrs(layer: Any) -> Conf:
    return weights(layer, "kernel") | {"n_in": int(layer.kernel.shape[0]), "n_out": int(layer.kernel.shape[1])}


def _dense(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    if getattr(layer, "lora_rank", None) or getattr(layer, "quantization_mode", None):
        raise refuse(layer, "Keras' own quantization or LoRA is switched on", "a plain Dense or QDense")
    return with_activation(layer, describe_as(layer, ins, outs, "Dense", **_dense_attrs(layer)), ins, outs)


def _dense_batchnorm(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    attrs = _dense_attrs(layer)
    fold_batchnorm(layer, attrs, "kernel")
    return with_activation(layer, describe_as(layer, ins, outs, "Dense", **attrs), ins, outs)


def _activation(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    attrs = activation_attrs(layer, layer.activation, "activation")
    attrs = attrs or {"class_name": "Activation", "activation": "linear"}
    return (describe_as(layer, ins, outs, attrs.pop("class_name"), **attrs),)


def _relu(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    slope = float(layer.negative_slope)
    top = getattr(layer, "max_value", None)
    if float(getattr(layer, "threshold", 0.0)) != 0.0:
        raise refuse(layer, f"threshold={layer.threshold} is not supported", "threshold=0", "threshold")
    if slope and power_of_two(slope) is None:
        raise refuse(layer, f"negative_slope={slope} is not a power of two", "negative_slope=0.125", "negative_slope")
    bound = None if top is None or math.isinf(top) else float(top)
    return (describe_as(layer, ins, outs, "Activation", activation="relu", relu=(slope, bound)),)


def _batchnorm(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    rank = len(outs[0].shape)
    axis = layer.axis[0] if isinstance(layer.axis, list | tuple) else layer.axis
    if axis not in (-1, rank - 1):
        raise refuse(layer, f"axis={axis}: only the last axis can be scaled", "axis=-1", "axis")
    mean, variance = values(layer.moving_mean), values(layer.moving_variance)
    scale = (values(layer.gamma) if layer.scale else np.ones_like(mean)) / np.sqrt(variance + layer.epsilon)
    bias = (values(layer.beta) if layer.center else np.zeros_like(mean)) - mean * scale
    n_in = int(np.prod(outs[0].shape[1:]))
    return (
        describe_as(
            layer, ins, outs, "BatchNormalization", n_in=n_in, n_filt=len(mean), scale_data=scale, bias_data=bias
        ),
    )


def _reshape(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    return (describe_as(layer, ins, outs, "Reshape", target_shape=list(outs[0].shape[1:])),)


def _permute(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    return (describe_as(layer, ins, outs, "Transpose", perm=[int(d) - 1 for d in layer.dims]),)


def _identity(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    return (describe_as(layer, ins, outs, "Activation", activation="linear"),)


def _softmax(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    if layer.axis not in (-1, len(outs[0].shape) - 1):
        raise refuse(layer, f"axis={layer.axis}: softmax over the last axis only", "axis=-1", "axis")
    return (describe_as(layer, ins, outs, "Softmax", activation="softmax", axis=-1),)


def _merge(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    """hls4ml merges two tensors: more become a balanced tree of merges."""
    if len({len(t.shape) for t in ins}) != 1:
        shapes = ", ".join(str(tuple(t.shape[1:])) for t in ins)
        raise refuse(layer, "operands have different ranks", "a Reshape before it", found=shapes)
    kind = type(layer).__name__
    if kind == "Subtract" and len(ins) != 2:
        raise refuse(layer, f"subtracts {len(ins)} tensors", "two operands")
    if kind == "Concatenate":
        axis = layer.axis if layer.axis < 0 else layer.axis - len(outs[0].shape)
        attrs: Conf = {"class_name": "Concatenate", "axis": axis, "op": f"concatenate{len(outs[0].shape) - 1}d"}
    else:
        attrs = {"class_name": "Merge", "op": kind.lower()}
    result = vendor.tensor_names(outs)[0]
    todo, confs, level = vendor.tensor_names(ins), [], 0
    if len(todo) == 1:
        return _identity(layer, ins, outs)
    while len(todo) > 1:
        level += 1
        paired = []
        for i in range(0, len(todo) - 1, 2):
            last = len(todo) == 2
            name = str(layer.name) if last else f"{layer.name}_{level}_{i // 2}"
            out = result if last else f"{result}_{level}_{i // 2}"
            conf = describe_as(layer, ins, outs, **attrs) | {"name": name, "input_keras_tensor_names": todo[i : i + 2]}
            confs.append(conf | {"output_keras_tensor_names": [out], "result_goes_here": last})
            paired.append(out)
        todo = paired + todo[len(todo) - len(todo) % 2 :]
    return tuple(confs)


_KERAS = "keras.src.layers"
_DROPOUTS = (
    "alpha_dropout.AlphaDropout",
    "dropout.Dropout",
    "gaussian_dropout.GaussianDropout",
    "gaussian_noise.GaussianNoise",
    "activity_regularization.ActivityRegularization",
)
_SPATIAL = tuple(f"spatial_dropout.SpatialDropout{n}D" for n in (1, 2, 3))
_MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Concatenate")

HANDLERS: dict[str, Handler] = {
    f"{_KERAS}.core.input_layer.InputLayer": _input,
    f"{_KERAS}.core.dense.Dense": _dense,
    "qkeras.qlayers.QDense": _dense,
    "qkeras.qdense_batchnorm.QDenseBatchnorm": _dense_batchnorm,
    "qkeras.qlayers.QActivation": _activation,
    f"{_KERAS}.activations.activation.Activation": _activation,
    f"{_KERAS}.activations.relu.ReLU": _relu,
    f"{_KERAS}.activations.leaky_relu.LeakyReLU": _relu,
    f"{_KERAS}.activations.softmax.Softmax": _softmax,
    f"{_KERAS}.normalization.batch_normalization.BatchNormalization": _batchnorm,
    f"{_KERAS}.reshaping.flatten.Flatten": _reshape,
    f"{_KERAS}.reshaping.reshape.Reshape": _reshape,
    f"{_KERAS}.reshaping.permute.Permute": _permute,
    f"{_KERAS}.core.identity.Identity": _identity,
    **{f"{_KERAS}.regularization.{name}": _identity for name in _DROPOUTS + _SPATIAL},
    **{f"{_KERAS}.merging.{name.lower()}.{name}": _merge for name in _MERGES},
    **WINDOW_HANDLERS,
}
"""Handlers by the layer class's full name, as hls4ml's own registry has them."""

HANDLERS_BY_KIND = {key.rpartition(".")[2]: handler for key, handler in HANDLERS.items()}


def handler_of(layer: Any) -> Handler | None:
    """Return the handler of a layer, None if its class is not known."""
    return HANDLERS.get(f"{type(layer).__module__}.{type(layer).__name__}")


def describe(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    """Return hls4ml's description of one layer call.

    Raises
    ------
    ModelError
        If the layer or a quantizer of it cannot be lowered exactly.
    """
    handler = handler_of(layer)
    if handler is None:
        raise unsupported(layer)
    return handler(layer, ins, outs)
