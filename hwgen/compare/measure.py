"""A build's network on this machine, timed: TFLite on one thread, a GPU; run as a program by `hwgen.compare.cpu`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.compare.tflite import Array, Network, agree, convert, plain_twin
from hwgen.errors import HwgenError, ModelError

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec
    from hwgen.train.data import DataSet

WARM_UP, LEAST, MOST = 20, 20, 1000
"""Runs before and while time is taken."""
SECONDS = 2.0
"""How long time is taken, once there were `LEAST` runs."""
SCORED_S = 20.0
"""How long test samples are run for the metric."""
CALIBRATION = 200
"""Training samples that int8 takes its ranges from."""


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
        ``frames``, or ``{"reason": why it was not measured}``. Beside a time, ``reason`` says why there is no score,
        and ``note`` that it is of a part of the test part.
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
        score = _tried(lambda: self._scored(network))
        return timed(network.invoke) | {"bytes": len(content), "score": None, "frames": 0} | score

    def _scored(self, network: Network) -> dict[str, Any]:
        from hwgen.train.data.types import map_arrays
        from hwgen.train.loop import scores_of

        if self._data is None:
            raise ModelError("there is no data to judge it by")
        outputs: list[list[Array]] = []
        end = time.monotonic() + SCORED_S
        while len(outputs) < len(self._test[0]) and (not outputs or time.monotonic() < end):
            network.put(self.frame(len(outputs)))
            network.invoke()
            outputs.append(network.get())
        frames = len(outputs)
        arrays = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
        x, y = (map_arrays(lambda a: a[:frames], part) for part in (self._data.x_test, self._data.y_test))
        score = scores_of(self._spec, replace(self._data, x_test=x, y_test=y), self._model, arrays).score
        if not np.isfinite(score):
            raise ModelError("its outputs are no numbers")
        total = len(self._test[0])
        note = {} if frames == total else {"note": f"the score is of the first {frames:,} of {total:,} test samples"}
        return {"score": score, "frames": frames, **note}


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
