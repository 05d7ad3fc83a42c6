"""From model.yaml to a Keras model, and its float twin."""

from __future__ import annotations

import numpy as np
import pytest
from train_helpers import BITS, NET, spec_of, write_blobs

from hwgen.errors import HwgenError
from hwgen.train.build import make_model
from hwgen.train.data import load_data

pytestmark = pytest.mark.keras


def made(folder, *changes):
    write_blobs(folder)
    spec = spec_of(folder, *changes)
    return make_model(spec, load_data(spec))


def refused(folder, *changes, says):
    with pytest.raises(HwgenError) as failure:
        made(folder, *changes)
    assert failure.value.exit_status == 2
    for part in says:
        assert part in str(failure.value), failure.value
    return str(failure.value)


def layers(*items):
    return {"model": {"layers": list(items)}}


def test_precision_fills_what_a_layer_leaves_out(tmp_path):
    own = "quantized_bits(3,1,alpha=1)"
    model = made(
        tmp_path,
        layers(
            {"QDense": {"name": "fc1", "units": 8, "kernel_quantizer": own}},
            {"QActivation": {"name": "act"}},
            {"QActivation": {"activation": "quantized_relu(3)"}},
            {"QDense": {"name": "fc2", "units": 3, "use_bias": False}},
        ),
        {"precision": {"layers": {"fc2": {"weight": "quantized_bits(4,0,alpha=1)"}}}},
    )
    assert [layer.name for layer in model.layers] == ["fc1", "act", "qactivation1", "fc2"]
    fc1, act, act2, fc2 = model.layers
    assert fc1.kernel_quantizer_internal.bits == 3 and fc1.bias_quantizer_internal.bits == 6
    assert act.activation.bits == 6 and act2.activation.bits == 3
    assert fc2.kernel_quantizer_internal.bits == 4 and fc2.bias_quantizer_internal is None
    assert model.inputs[0].shape == (None, 4)


def test_a_layers_precision_beats_its_own_text(tmp_path):
    model = made(tmp_path, {"precision": {"layers": {"fc1": {"weight": "quantized_bits(2,0,alpha=1)"}}}})
    assert model.get_layer("fc1").kernel_quantizer_internal.bits == 2


def test_quantizer_that_nobody_gives(tmp_path):
    none = {"precision": {"weight": None, "activation": None}}
    text = refused(tmp_path, none, says=("model.yaml:4: fc1", "kernel_quantizer", "precision.weight"))
    assert "relu1" in text and "precision.activation" in text and "logits" in text  # all at once


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"QDens": {"name": "fc1", "units": 3}}, ("QDens", "QDense", "model.yaml:4: fc1")),
        ({"QDense": {"name": "fc1", "unit": 3}}, ("no argument unit", "units?", "fc1")),
        ({"QDense": {"name": "fc1"}}, ("fc1", "units")),
        ({"QDense": {"name": "fc1", "units": -3}}, ("fc1", "-3")),
        ({"Add": {"name": "sum"}}, ("several inputs", "builder")),
        ({"Lambda": {"name": "l"}}, ("Lambda",)),
        ({"QConv2D": {"name": "c", "filters": 2, "kernel_size": 3}}, ("model.yaml:4: c",)),
    ],
)
def test_layers_that_cannot_be(tmp_path, item, says):
    refused(tmp_path, layers(item), says=says)


BUILDER = """
import keras
from qkeras import QDense
def net(input_shape, outputs):
    x = keras.Input(input_shape)
    q = "quantized_bits(4,0,alpha=1)"
    return keras.Model(x, QDense(outputs, name="logits", kernel_quantizer=q, bias_quantizer=q)(x))
def unbuilt(): return keras.Sequential([keras.layers.Dense(3)])
def other(input_shape): return input_shape
def fails(): raise ValueError("no luck")
def narrow(): return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
def ragged(): return keras.Sequential([keras.Input((None, 4)), keras.layers.Dense(3)])
"""


def builder(name):
    changes = {"model": {"layers": None, "builder": f"my_nets:{name}"}}
    return changes, {"precision": {"weight": None, "bias": None, "activation": None}}


def test_builder(tmp_path):
    (tmp_path / "my_nets.py").write_text(BUILDER)
    model = made(tmp_path, *builder("net"))
    assert model.output_shape == (None, 3) and model.get_layer("logits").kernel_quantizer_internal.bits == 4


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unbuilt", "no input shape"),
        ("other", "tuple"),
        ("fails", "ValueError: no luck"),
        ("narrow", "model [(2,)]"),
        ("ragged", "no fixed shape"),
        ("absent", "net, unbuilt"),
    ],
)
def test_builder_that_does_not_do(tmp_path, name, says):
    (tmp_path / "my_nets.py").write_text(BUILDER)
    refused(tmp_path, *builder(name), says=("model.yaml:", "model.builder", says))


def test_seeded(tmp_path):
    one, two = made(tmp_path).get_weights(), made(tmp_path).get_weights()
    other = made(tmp_path, {"train": {"seed": 1}}).get_weights()
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_float_twin_is_the_float_network(tmp_path):
    import keras

    from hwgen.train.twin import float_twin

    model = made(
        tmp_path,
        layers(
            {"QDense": {"name": "fc1", "units": 8}},
            {"BatchNormalization": {"name": "bn"}},
            {"QActivation": {"name": "relu1"}},
            {"QDense": {"name": "fc2", "units": 8, "activation": "quantized_relu(6,2)"}},
            {"QDense": {"name": "logits", "units": 3}},
            {"Softmax": {"name": "softmax"}},
        ),
    )
    twin = float_twin(model)
    assert [w.shape for w in twin.get_weights()] == [w.shape for w in model.get_weights()]
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=w.shape).astype(np.float32) ** 2 for w in model.get_weights()]
    twin.set_weights(weights)
    relu = keras.layers.ReLU
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.BatchNormalization(), relu()])
    plain.add(keras.layers.Dense(8, activation="relu"))
    plain.add(keras.layers.Dense(3, activation="softmax"))
    plain.set_weights(weights)
    x = rng.normal(size=(20, 4)).astype(np.float32)
    np.testing.assert_allclose(twin(x), plain(x), atol=1e-6)


def test_twin_of_every_activation():
    import qkeras

    from hwgen.train.twin import float_activation

    cases = {"quantized_bits(6,0,alpha=1)": "linear", "quantized_tanh(5)": "tanh", "quantized_sigmoid(5)": "sigmoid"}
    cases |= {"quantized_relu(6)": "relu", "quantized_po2(5)": "linear", "binary(alpha=1)": "tanh", "linear": "linear"}
    for text, expected in cases.items():
        found = float_activation(qkeras.get_quantizer(text))
        assert (found if isinstance(found, str) else found.__name__) == expected, text
    assert float_activation(qkeras.quantized_relu(6, 2, negative_slope=0.25)).negative_slope == 0.25
    assert float_activation(qkeras.quantized_relu(6, 2, relu_upper_bound=1.5)).max_value == 1.5


def test_no_shape_no_data(tmp_path):
    from hwgen.train.store import save_model

    save_model(made(tmp_path), tmp_path / "w.keras")
    spec = spec_of(tmp_path, {"data": None, "model": {"input_shape": [4]}, "train": {"weights": "w.keras"}})
    assert make_model(spec, None).input_shape == (None, 4)
    assert BITS in NET["precision"].values()
