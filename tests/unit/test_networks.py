"""The shipped convolutional networks and those of the benchmarks: sizes, accuracy, what makes them exact."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest
from keras_networks import mobilenet_v1, resnet8_cifar

from hwgen.errors import DataError
from hwgen.spec import load_spec
from hwgen.train.build import make_model
from hwgen.train.data import load_data
from hwgen.train.fit import train_model

pytestmark = pytest.mark.keras

MODELS = {  # weights, multiply-accumulates, least accuracy on the test part
    "mnist_cnn": (7_400, 480_800, 0.97),
    "kws_dscnn": (5_408, 552_416, 0.90),
    "fashion_squeezenet": (15_504, 1_267_584, 0.88),
    "fashion_mobilenet": (24_912, 2_438_880, 0.88),
    "fashion_resnet8": (77_072, 9_345_920, 0.90),
}


def kernels(model) -> dict:
    """Return the layers with a kernel."""
    return {
        layer.name: layer for layer in model.layers if hasattr(layer, "kernel_quantizer_internal") or _depthwise(layer)
    }


def _depthwise(layer) -> bool:
    return hasattr(layer, "depthwise_quantizer_internal")


def quantizers(layer) -> list:
    first = layer.depthwise_quantizer_internal if _depthwise(layer) else layer.kernel_quantizer_internal
    return [first, layer.bias_quantizer_internal]


def size(model) -> tuple[int, int]:
    """Return the number of weights (no biases) and of multiply-accumulates a frame."""
    weights = {name: prod(layer.weights[0].shape) for name, layer in kernels(model).items()}
    return sum(weights.values()), sum(n * prod(model.get_layer(k).output.shape[1:-1]) for k, n in weights.items())


def consumers(model, layer) -> set[str]:
    return {type(node.operation).__name__ for node in layer._outbound_nodes if node.operation in model.layers}


def is_exact(model) -> None:
    """Every quantizer has a scale of 1; what is summed, joined or averaged is rounded next; nothing else is float."""
    for layer in kernels(model).values():
        assert all(quantizer.alpha == 1 for quantizer in quantizers(layer)), layer.name
        assert layer.activation is None or layer.activation.__name__ == "linear", layer.name
    for layer in model.layers:
        if type(layer).__name__ in ("Add", "Concatenate", "GlobalAveragePooling2D"):
            assert consumers(model, layer) == {"QActivation"}, layer.name
    known = {"QConv2D", "QDepthwiseConv2D", "QDense", "QActivation", "InputLayer", "Add", "Concatenate", "Dropout"}
    known |= {"MaxPooling2D", "GlobalAveragePooling2D", "Flatten"}
    assert {type(layer).__name__ for layer in model.layers} <= known


@pytest.mark.parametrize("name", MODELS)
def test_shipped(root: Path, name: str) -> None:
    spec = load_spec(root / "models" / name / "model.yaml")
    try:
        data = load_data(spec)
    except DataError as error:
        pytest.skip(str(error))
    model = make_model(spec, data)
    weights, work, least = MODELS[name]
    assert size(model) == (weights, work)
    is_exact(model)
    result = train_model(spec, data, model)
    assert result.source == "weights", "the trained weights are committed"
    assert result.quantized_metric >= least


def test_resnet8_of_the_benchmarks() -> None:
    model = resnet8_cifar()
    assert size(model) == (77_360, 12_501_632)
    is_exact(model)


def test_mobilenet_v1_of_the_benchmarks() -> None:
    model = mobilenet_v1()
    assert model.output_shape == (None, 1000) and size(model)[0] > 1_000_000
    is_exact(model)
    again = mobilenet_v1()
    assert all((a == b).all() for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
    small = mobilenet_v1(0.25, 32, 10)
    assert small.get_layer("pw13").output.shape == (None, 1, 1, 256)
