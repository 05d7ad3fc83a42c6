"""The same networks in TFLite: what is converted is what was trained, and a build folder is measured to the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from train_helpers import spec_of, write_blobs

from hwgen.compare import measure, tflite
from hwgen.compare.column import ROWS, Column
from hwgen.compare.cpu import measure_here
from hwgen.errors import ModelError

pytestmark = pytest.mark.keras
BITS = "quantized_bits(6,0,alpha=1)"
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def brief(monkeypatch) -> None:
    monkeypatch.setattr(measure, "SECONDS", 0.05)


def conv_net(activation: str = "quantized_relu(6)"):
    """Two convolutions, a depthwise one, a quantized batch norm, a dense layer; nothing of it near zero."""
    from hwgen.train.env import import_keras

    keras = import_keras()
    import qkeras

    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((6, 6, 2), name="picture")
    weights = {"kernel_quantizer": BITS, "bias_quantizer": BITS, "bias_initializer": "random_normal"}
    x = qkeras.QConv2D(3, 3, name="conv", **weights)(x)
    x = qkeras.QActivation(activation, name="act")(x)
    depthwise = {"depthwise_quantizer": BITS, "bias_quantizer": BITS, "depthwise_initializer": "random_normal"}
    x = qkeras.QDepthwiseConv2D(3, name="deep", **depthwise)(x)
    x = qkeras.QActivation("quantized_bits(7,1,alpha=1)", name="linear")(x)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(inputs, qkeras.QDense(4, name="logits", **weights)(x))


def frames(count: int, *shapes: tuple[int, ...]) -> list[list[np.ndarray]]:
    return [[RNG.normal(size=(1, *shape)).astype(np.float32) for shape in shapes] for _ in range(count)]


def test_the_twin_is_the_network_without_roundings() -> None:
    """With activations so fine that they hardly round, the twin gives what the network gives, saturated too."""
    model = conv_net("quantized_relu(16)")
    twin = tflite.plain_twin(model)
    x = 4 * RNG.normal(size=(50, 6, 6, 2)).astype(np.float32)
    wanted, found = np.asarray(model(x)), np.asarray(twin(x))
    assert np.abs(wanted).max() > 0.1 and np.abs(found - wanted).max() < 0.05
    act = np.asarray(twin.get_layer("act")(x))
    assert act.max() == 1 and act.min() == 0, "saturated where the quantizer is"
    kernel = twin.get_layer("conv").get_weights()[0]
    assert np.array_equal(kernel * 32, np.rint(kernel * 32)), "the weights are those of the hardware"
    assert not any(type(layer).__name__ == "QActivation" for layer in twin.layers)


def test_binary_activations_have_no_counterpart() -> None:
    with pytest.raises(ModelError, match="act: TFLite has no binary activation"):
        tflite.plain_twin(conv_net("binary(alpha=1)"))


def test_several_inputs_and_outputs_keep_their_order() -> None:
    from hwgen.train.env import import_keras

    keras = import_keras()
    keras.utils.set_random_seed(0)
    a, b = keras.Input((4,), name="zeta"), keras.Input((3,), name="alpha")
    hidden = keras.layers.Dense(5, activation="relu")(keras.layers.Concatenate()([a, b]))
    outputs = [keras.layers.Dense(2)(hidden), keras.layers.Dense(3)(b), keras.layers.Dense(2)(a)]
    model, samples = keras.Model([a, b], outputs), frames(40, (4,), (3,))
    network = tflite.Network(tflite.convert(model, None))
    tflite.agree(network, model, samples[:4])
    network = tflite.Network(tflite.convert(model, samples))
    network.put(samples[0])
    network.invoke()
    for found, wanted in zip(network.get(), model(samples[0]), strict=True):
        assert 0 < np.abs(found - np.asarray(wanted)).max() < 0.1, "int8: near, and not the same"
    other = keras.models.clone_model(model)
    with pytest.raises(ModelError, match="does not give Keras' outputs"):
        tflite.agree(tflite.Network(tflite.convert(model, None)), other, samples[:1])


def test_the_path_of_a_gpu_runs(monkeypatch) -> None:
    twin = tflite.plain_twin(conv_net())
    assert measure.on_gpu(twin, frames(1, (6, 6, 2))[0], "/CPU:0")["median_us"] > 0
    with pytest.raises(ModelError, match="no GPU here"):
        measure.on_gpu(twin, frames(1, (6, 6, 2))[0])


def test_a_failure_costs_one_cell() -> None:
    def crash() -> dict[str, object]:
        raise ValueError("first line\nsecond line")

    assert measure._tried(crash) == {"reason": "ValueError: first line"}


def test_a_build_folder_is_measured(tmp_path: Path, monkeypatch) -> None:
    """A small network on separable points, in a process of its own: TFLite classifies them as Keras does."""
    from hwgen.spec import load_spec
    from hwgen.train.build import make_model
    from hwgen.train.data import load_data
    from hwgen.train.fit import train_model
    from hwgen.train.loop import evaluate, silent
    from hwgen.train.store import save_model

    write_blobs(tmp_path)
    spec = spec_of(tmp_path, {"train": {"epochs": 20, "float_epochs": 10}})
    (tmp_path / "resolved.yaml").write_text((tmp_path / "model.yaml").read_text())
    spec = load_spec(tmp_path / "resolved.yaml")
    data = load_data(spec)
    model = train_model(spec, data, make_model(spec, data), silent).model
    save_model(model, tmp_path / "compress" / "model.keras")
    figures = {key: 1.0 for key, _, _ in ROWS}
    column = Column("net", str(tmp_path), "PASS", 0, None, "accuracy", 5.0, True, figures)
    here = measure_here([column], "-1")
    (build,) = here["builds"]
    wanted = evaluate(spec, data, model)
    assert here["tensorflow"] and wanted > 0.9
    for key in ("float32", "int8"):
        row = build[key]
        assert 0 < row["least_us"] <= row["median_us"] <= row["most_us"] and row["runs"] >= measure.LEAST, row
        assert row["frames"] == 30 and abs(row["score"] - wanted) <= 0.1, "of all test samples"
    assert build["int8"]["bytes"] != build["float32"]["bytes"] and build["gpu"] == {"reason": "no GPU here"}
    monkeypatch.setattr(measure, "SCORED_S", 0.0)
    part = measure.Samples(spec, data, model).measured(tflite.plain_twin(model), None)
    assert part["frames"] == 1 and part["note"] == "the score is of the first 1 of 30 test samples"
    without = measure.Samples(spec, None, model)
    assert without.measured(tflite.plain_twin(model), None)["reason"] == "there is no data to judge it by"
    with pytest.raises(ModelError, match="no data to take int8's ranges from"):
        without.calibration()
    (tmp_path / "data.npz").unlink()
    reason = measure_here([column], "-1")["builds"][0]["int8"]["reason"]
    assert "data.npz" in reason, json.dumps(reason)
