"""The float twin: the same topology without quantizers, so that the price of quantization can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwgen.train.env import import_keras

if TYPE_CHECKING:
    import keras


def float_twin(model: keras.Model) -> keras.Model:
    """Return a copy of `model` without quantizers; weights have the same order and shapes, and are fresh.

    Every ``*_quantizer`` becomes None, range clips and quantizer-aware initializers go, and a quantized activation
    becomes the function it approximates (`quantized_relu` → ReLU, `quantized_bits` → the identity).
    """
    keras = import_keras()
    return keras.models.clone_model(model, clone_function=_float_layer)


def _float_layer(layer: Any) -> Any:
    keras = import_keras()
    config = dict(layer.get_config())
    kind = type(layer).__name__
    if kind in ("QActivation", "QAdaptiveActivation"):
        return keras.layers.Activation(float_activation(layer.activation), name=layer.name)
    for key, value in config.items():
        if key.endswith("_quantizer") or key.endswith("_quantizer_internal"):
            config[key] = None
        elif key.endswith("_initializer") and _class_name(value) == "QInitializer":
            config[key] = value["config"]["initializer"]
        elif key.endswith("_constraint") and _class_name(value) == "Clip":
            config[key] = None
    if kind.startswith("Q") and "activation" in config:
        config["activation"] = float_activation(layer.activation)
    return type(layer).from_config(config)


def float_activation(quantizer: Any) -> Any:
    """Return the float function that a QKeras activation quantizer approximates, as Keras takes it.

    Parameters
    ----------
    quantizer : object
        A quantizer, a Keras activation, or None.
    """
    keras = import_keras()
    name = type(quantizer).__name__ if hasattr(quantizer, "get_config") else getattr(quantizer, "__name__", "linear")
    if name == "quantized_relu" and getattr(quantizer, "negative_slope", 0):
        return keras.layers.LeakyReLU(negative_slope=float(quantizer.negative_slope))
    if name == "quantized_relu" and getattr(quantizer, "relu_upper_bound", None):
        return keras.layers.ReLU(max_value=float(quantizer.relu_upper_bound))
    names = {
        "quantized_relu": "relu",
        "quantized_relu_po2": "relu",
        "quantized_tanh": "tanh",
        "quantized_sigmoid": "sigmoid",
        "quantized_hswish": "hard_silu",
        "binary": "tanh",
        "ternary": "tanh",
        "stochastic_binary": "tanh",
        "stochastic_ternary": "tanh",
    }
    if name in names:
        return names[name]
    if name.startswith("quantized_") or name == "bernoulli":
        return "linear"
    return quantizer


def _class_name(value: Any) -> str:
    return str(value.get("class_name", "")) if isinstance(value, dict) else type(value).__name__
