"""What the handlers of Keras layers share: descriptions, values, a layer's own activation, refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hwgen.errors import ModelError
from hwgen.lower import vendor
from hwgen.lower.activations import FUNCTIONS
from hwgen.lower.quantizers import WeightRule, activation_rule, quantizer_text, weight_rule

Conf = dict[str, Any]
Handler = Callable[[Any, Sequence[Any], Sequence[Any]], tuple[Conf, ...]]


def refuse(layer: Any, what: str, expected: str, key: str = "", found: str | None = None) -> ModelError:
    """Return the error for a layer that cannot be lowered exactly."""
    return ModelError(what, where=f"{layer.name}.{key}" if key else str(layer.name), found=found, expected=expected)


def describe_as(layer: Any, ins: Sequence[Any], outs: Sequence[Any], class_name: str, **more: Any) -> Conf:
    """Return hls4ml's description of a layer as a `class_name`."""
    return {
        "name": layer.name,
        "class_name": class_name,
        "input_keras_tensor_names": vendor.tensor_names(ins),
        "output_keras_tensor_names": vendor.tensor_names(outs),
        "input_shape": [list(t.shape[1:]) for t in ins],
        "output_shape": list(outs[0].shape[1:]),
        "keras_layer": str(layer.name),
        **more,
    }


def values(variable: Any) -> np.ndarray[Any, Any]:
    """Return a weight's values in float64."""
    return np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable, dtype=np.float64)


def weights(layer: Any, kernel: str, mask: np.ndarray[Any, Any] | None = None) -> Conf:
    """Return a layer's kernel and bias with their quantizers.

    Parameters
    ----------
    kernel : str
        ``kernel``, ``depthwise`` or ``pointwise``: which kernel, and so which quantizer.
    mask : array, optional
        Multiplies the quantized kernel.
    """
    variable = getattr(layer, f"{kernel}_kernel", None)
    data = values(layer.kernel if variable is None else variable)
    uses_bias = bool(layer.use_bias)
    return {
        "weight_data": data if mask is None else data * mask,
        "weight_quantizer": _quantizer(layer, f"{kernel}_quantizer", mask),
        "weight_key": f"{kernel}_quantizer",
        "bias_data": values(layer.bias) if uses_bias else None,
        "bias_quantizer": _quantizer(layer, "bias_quantizer") if uses_bias else None,
    }


def _quantizer(layer: Any, key: str, mask: np.ndarray[Any, Any] | None = None) -> Any:
    quantizer = getattr(layer, f"{key}_internal", None)
    rule = None if quantizer is None else weight_rule(quantizer, f"{layer.name}.{key}")
    if rule is not None and mask is not None:
        plain, whole = rule.apply, mask.astype(np.int64)
        rule = WeightRule(rule.text, rule.fraction, lambda x: plain(x) * whole)
    return vendor.weight_quantizer(rule)


def fold_batchnorm(layer: Any, attrs: Conf, kernel: str) -> None:
    """Fold a layer's own batch norm into the floats of its kernel and bias, in place, as QKeras does.

    What comes out is quantized: both quantizers are needed.
    """
    norm = layer.batchnorm
    example = "quantized_bits(6,0,alpha=1)"
    if attrs["weight_quantizer"] is None:
        raise refuse(layer, "the folded kernel is not quantized", f"{kernel}_quantizer: {example}")
    attrs["bias_quantizer"] = _quantizer(layer, "bias_quantizer")
    if attrs["bias_quantizer"] is None:
        found = "none: QKeras then adds a float"
        expected = "bias_quantizer: quantized_bits(8,2,alpha=1)"
        raise refuse(layer, "the folded bias is not quantized", expected, "bias_quantizer", found)
    scale = 1.0 / np.sqrt(values(norm.moving_variance) + norm.epsilon) * values(norm.gamma)
    bias = values(layer.bias) if layer.use_bias else 0.0
    shape = attrs["weight_data"].shape[2:] if kernel == "depthwise" else scale.shape
    attrs["weight_data"] = scale.reshape(shape) * attrs["weight_data"]
    attrs["bias_data"] = scale * (bias - values(norm.moving_mean)) + values(norm.beta)


def with_activation(layer: Any, conf: Conf, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    """Append the layer's own ``activation=`` as a node ``<layer>_act``."""
    activation = activation_attrs(layer, getattr(layer, "activation", None), "activation")
    if activation is None:
        return (conf,)
    middle = f"{vendor.tensor_names(outs)[0]}_before_activation"
    conf["output_keras_tensor_names"] = [middle]
    act = describe_as(layer, outs, outs, activation.pop("class_name"), **activation)
    return conf, act | {
        "name": f"{layer.name}_act",
        "input_keras_tensor_names": [middle],
        "result_goes_here": False,
    }


def activation_attrs(layer: Any, activation: Any, key: str) -> Conf | None:
    """Return hls4ml's attributes for an activation: a Keras function or a QKeras quantizer; None for linear."""
    name = getattr(activation, "__name__", None)
    if activation is None or name == "linear":
        return None
    if hasattr(activation, "get_config") and not isinstance(activation, type):
        rule = activation_rule(activation, f"{layer.name}.{key}")
        return {"class_name": "Activation", "activation": "linear", "activation_quantizer": rule}
    if name == "relu":
        return {"class_name": "Activation", "activation": "relu", "relu": (0.0, None)}
    if name in FUNCTIONS and str(activation.__module__).startswith("keras."):  # QKeras' hard_sigmoid is another one
        return {"class_name": "Activation", "activation": name, "float_function": name}
    if name == "softmax":
        return {"class_name": "Softmax", "activation": "softmax", "axis": -1}
    text = quantizer_text(activation)
    raise refuse(layer, f"activation {text} cannot be made exact", _nearest_activation(text), key, text)


def _nearest_activation(text: str) -> str:
    for part, better in (("tanh", "quantized_tanh(6)"), ("sigmoid", "quantized_sigmoid(6)")):
        if part in text:
            return better
    return "QActivation with quantized_relu(6) or quantized_bits(8,2,alpha=1)"
