"""A build's network in TensorFlow Lite, float32 and int8.

The network is the float twin with the weights that the hardware has: quantized and pruned, activations saturated where
their quantizers saturate, without the operations that only imitate number formats.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import ModelError

if TYPE_CHECKING:
    import keras

Array = np.ndarray[Any, Any]

NO_COUNTERPART = ("binary", "ternary", "stochastic_binary", "stochastic_ternary", "bernoulli")
ROLES = {
    "kernel": "kernel",
    "bias": "bias",
    "depthwise_kernel": "depthwise",
    "pointwise_kernel": "pointwise",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "mean",
    "moving_variance": "variance",
}
"""Variable of a QKeras layer -> the quantizer that it is used through."""


def plain_twin(model: keras.Model) -> keras.Model:
    """Return the network without quantizers, with the quantized weights.

    Raises
    ------
    ModelError
        If an activation is not a function that TFLite has, as `binary`.
    """
    from hwgen.train.env import import_keras
    from hwgen.train.twin import float_twin

    import_keras()
    twin = float_twin(model)
    for layer in model.layers:
        copy = twin.get_layer(layer.name)
        copy.set_weights(held_weights(layer))
        quantizer: Any = getattr(layer, "activation", None)
        if type(quantizer).__name__ in NO_COUNTERPART:
            what = f"{layer.name}: TFLite has no {type(quantizer).__name__} activation"
            raise ModelError(what)
        if type(quantizer).__name__ in ("quantized_relu", "quantized_bits"):
            copy.activation = _saturated(copy.activation, float(quantizer.min()), float(quantizer.max()))
    return twin


def held_weights(layer: Any) -> list[Array]:
    """Return a layer's weights as the network uses them: after their quantizers.

    Batch norms that are folded are quantized after folding, so that their weights stay as they are.
    """
    values = []
    for variable, value in zip(layer.weights, layer.get_weights(), strict=True):
        role = None if type(layer).__name__.endswith("Batchnorm") else ROLES.get(variable.name)
        quantizer: Any = getattr(layer, f"{role}_quantizer_internal", None) if role else None
        values.append(value if quantizer is None else np.asarray(quantizer(value)))
    return values


def _saturated(function: Callable[[Any], Any], low: float, high: float) -> Callable[[Any], Any]:
    from hwgen.train.env import import_keras

    ops = import_keras().ops

    def apply(x: Any) -> Any:
        y = ops.minimum(function(x), high)
        return y if low == 0 else ops.maximum(y, low)

    return apply


def convert(twin: keras.Model, samples: list[list[Array]] | None) -> bytes:
    """Return the network as a TFLite file for batches of one.

    Parameters
    ----------
    samples : for int8: the inputs of each calibration frame, (1, \\*shape) each; None: float32
    """
    import tensorflow as tf

    from hwgen.train.env import import_keras

    keras = import_keras()
    xs = [keras.Input(batch_shape=(1, *t.shape[1:]), name=f"in{k}") for k, t in enumerate(twin.inputs)]
    single = keras.Model(xs, twin(xs if len(xs) > 1 else xs[0], training=False))
    converter = tf.lite.TFLiteConverter.from_keras_model(single)
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter(samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


class Network:
    """A TFLite file that can be run, a frame at a time."""

    def __init__(self, content: bytes) -> None:
        import tensorflow as tf

        self._run = tf.lite.Interpreter(model_content=content, num_threads=1)
        self._run.allocate_tensors()
        self._inputs = sorted(self._run.get_input_details(), key=lambda row: _number(r"in(\d+)", row["name"]))
        self._outputs = sorted(self._run.get_output_details(), key=lambda row: _number(r":(\d+)$", row["name"]))

    def put(self, frame: list[Array]) -> None:
        """Set the inputs: one array a input, (1, \\*shape); int8 networks get them quantized."""
        for row, x in zip(self._inputs, frame, strict=True):
            scale, zero = row["quantization"]
            value = np.clip(np.rint(x / scale) + zero, -128, 127) if row["dtype"] == np.int8 else x
            self._run.set_tensor(row["index"], value.astype(row["dtype"]))

    def invoke(self) -> None:
        """Run the frame that was put."""
        self._run.invoke()

    def get(self) -> list[Array]:
        """Return the outputs as numbers."""
        found = []
        for row in self._outputs:
            value = self._run.get_tensor(row["index"]).astype(np.float64)
            scale, zero = row["quantization"]
            found.append((value - zero) * scale if row["dtype"] == np.int8 else value)
        return found


def _number(pattern: str, name: str) -> int:
    """Return the number in ``serving_default_in1:0`` (an input), ``StatefulPartitionedCall:1`` (an output)."""
    found = re.search(pattern, name)
    return int(found.group(1)) if found else 0


def agree(network: Network, twin: keras.Model, frames: list[list[Array]]) -> None:
    """Check that a float32 network is the one that was converted.

    Raises
    ------
    ModelError
        If an output is not Keras' within float32's accuracy.
    """
    for frame in frames:
        network.put(frame)
        network.invoke()
        outputs = twin(frame if len(frame) > 1 else frame[0], training=False)
        outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        for mine, output in zip(network.get(), map(np.asarray, outputs), strict=True):
            if mine.shape != output.shape or not np.allclose(mine, output, rtol=1e-3, atol=1e-3 * np.abs(output).max()):
                raise ModelError("TFLite does not give Keras' outputs")
