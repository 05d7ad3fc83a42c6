"""A build's network in TensorFlow Lite, float32 and int8, timed on one thread; run as a program by `hwgen.compare.cpu`.

The network is the float twin with the weights that the hardware has: quantized and pruned, activations saturated where
their quantizers saturate, without the operations that only imitate number formats.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import HwgenError, ModelError

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec
    from hwgen.train.data import DataSet

Array = np.ndarray[Any, Any]

WARM_UP, LEAST, MOST = 20, 20, 1000
"""Runs before and while time is taken."""
SECONDS = 2.0
"""How long time is taken, once there were `LEAST` runs."""
SCORED_S = 20.0
"""How long test samples are run for the metric."""
CALIBRATION = 200
"""Training samples that int8 takes its ranges from."""
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


def timed(call: Callable[[], Any]) -> dict[str, Any]:
    """Return median, least and most time of a call, in microseconds, after a warm-up."""
    for _ in range(WARM_UP):
        call()
    found: list[int] = []
    end = time.monotonic() + SECONDS
    while len(found) < LEAST or (len(found) < MOST and time.monotonic() < end):
        start = time.perf_counter_ns()
        call()
        found.append(time.perf_counter_ns() - start)
    values = np.array(found) / 1000
    figures = {"median_us": np.median(values), "least_us": values.min(), "most_us": values.max()}
    return {name: round(float(value), 3) for name, value in figures.items()} | {"runs": len(found)}


def measure(folder: Path) -> dict[str, Any]:
    """Measure the network of a build folder.

    Returns
    -------
    dict
        ``tensorflow``, its version, and under ``float32``, ``int8`` and ``gpu`` either ``{"median_us", "least_us",
        "most_us", "runs"}``, for the first two with ``bytes`` of the file, ``score`` (the metric on the test part) and
        ``frames``, or ``{"reason": why it was not measured}``.
    """
    from hwgen.spec import load_spec
    from hwgen.train.data import load_data
    from hwgen.train.store import load_model

    spec = load_spec(folder / "resolved.yaml")
    data = load_data(spec)
    model = load_model(folder / "compress" / "model.keras")
    import tensorflow as tf

    samples = Samples(spec, data, model)
    return {
        "tensorflow": tf.__version__,
        "float32": _tried(lambda: samples.measured(plain_twin(model), None)),
        "int8": _tried(lambda: samples.measured(plain_twin(model), samples.calibration())),
        "gpu": _tried(lambda: on_gpu(plain_twin(model), samples.frame(0))),
    }


class Samples:
    """The frames of a build: what the host sends, rounded to `precision.input`."""

    def __init__(self, spec: ModelSpec, data: DataSet | None, model: keras.Model) -> None:
        from hwgen.train.loop import grid_inputs

        self._spec, self._data, self._model = spec, data, model
        shapes = [tuple(t.shape[1:]) for t in model.inputs]
        if data is None:
            self._train: list[Array] = []
            self._test = [np.zeros((1, *shape), np.float32) for shape in shapes]
        else:
            self._train = [x[:CALIBRATION] for x in data.xs_train]
            self._train = [
                x.reshape(-1, *s) for x, s in zip(grid_inputs(spec, model, tuple(self._train)), shapes, strict=True)
            ]
            self._test = [
                x.reshape(-1, *s) for x, s in zip(grid_inputs(spec, model, data.xs_test), shapes, strict=True)
            ]

    def frame(self, k: int) -> list[Array]:
        """Return the inputs of a test frame."""
        return [x[k : k + 1].astype(np.float32) for x in self._test]

    def calibration(self) -> list[list[Array]]:
        """Return training frames.

        Raises
        ------
        ModelError
            If there is no data.
        """
        if not self._train:
            raise ModelError("there is no data to take int8's ranges from")
        count = len(self._train[0])
        return [[x[k : k + 1].astype(np.float32) for x in self._train] for k in range(count)]

    def measured(self, twin: keras.Model, calibration: list[list[Array]] | None) -> dict[str, Any]:
        """Return time and metric of a network in TFLite: float32, or int8 with ranges from `calibration`."""
        content = convert(twin, calibration)
        network = Network(content)
        if calibration is None:
            agree(network, twin, [self.frame(k) for k in range(min(4, len(self._test[0])))])
        network.put(self.frame(0))
        return timed(network.invoke) | {"bytes": len(content)} | self._scored(network)

    def _scored(self, network: Network) -> dict[str, Any]:
        from hwgen.train.loop import threshold_of
        from hwgen.train.metrics import evaluate_outputs, metric_name

        if self._data is None:
            return {"score": None, "frames": 0}
        outputs: list[list[Array]] = []
        end = time.monotonic() + SCORED_S
        while len(outputs) < len(self._test[0]) and time.monotonic() < end:
            network.put(self.frame(len(outputs)))
            network.invoke()
            outputs.append(network.get())
        frames = len(outputs)
        arrays = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
        name = metric_name(self._spec.train.metric, self._data.integer_labels)
        targets = self._data.y_test
        if len(arrays) > 1:
            scores = [evaluate_outputs(name, o, y[:frames]) for o, y in zip(arrays, targets, strict=True)]
        else:
            inputs = self._data.xs_test[0][:frames] if len(self._test) == 1 else None
            threshold = threshold_of(self._model)
            scores = [evaluate_outputs(name, arrays[0], targets[:frames], inputs=inputs, threshold=threshold)]
        if not np.isfinite(scores).all():
            raise ModelError("its outputs are no numbers")
        return {"score": float(np.mean(scores)), "frames": frames}


def on_gpu(twin: keras.Model, frame: list[Array], device: str | None = None) -> dict[str, Any]:
    """Return the time of the float32 network in a compiled TensorFlow function, its inputs on the device already.

    Raises
    ------
    ModelError
        If there is no GPU.
    """
    import tensorflow as tf

    if device is None:
        if not tf.config.list_physical_devices("GPU"):
            raise ModelError("no GPU here")
        device = "/GPU:0"
    with tf.device(device):
        xs = [tf.constant(x) for x in frame]
        network = tf.function(lambda: twin(xs if len(xs) > 1 else xs[0], training=False))

        def call() -> None:
            for y in tf.nest.flatten(network()):
                y.numpy()  # waits for the device

        return timed(call)


def _tried(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `work` returns, or why it could not: one cell, nothing else is lost."""
    try:
        return work()
    except ModelError as error:
        return {"reason": error.what}
    except Exception as error:  # whatever TensorFlow's converter raises
        lines = str(error).strip().splitlines() or [""]
        return {"reason": f"{type(error).__name__}: {lines[0][:200]}"}


def main() -> None:
    """Measure the folder of the first argument into the JSON file of the second."""
    import os

    from hwgen.files import json_bytes
    from hwgen.quiet import NOISE

    for name, value in NOISE.items():
        os.environ.setdefault(name, value)
    try:
        found = measure(Path(sys.argv[1]))
    except HwgenError as error:  # no data, a model that is not trusted: said in a line, not at the end of a log
        found = {key: {"reason": error.render().splitlines()[0]} for key in ("float32", "int8", "gpu")}
    Path(sys.argv[2]).write_bytes(json_bytes(found))


if __name__ == "__main__":
    main()
