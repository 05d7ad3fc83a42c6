"""The shipped convolutional networks and those of the zoo: sizes, accuracy, what makes them exact."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest

from hwgen import zoo
from hwgen.errors import DataError
from hwgen.spec import load_spec
from hwgen.train.build import make_model
from hwgen.train.data import load_data
from hwgen.train.env import seed_everything
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
        if type(layer).__name__ in ("Add", "Concatenate", "GlobalAveragePooling2D", "Activation", "Multiply"):
            assert consumers(model, layer) == {"QActivation"}, layer.name
    known = {"QConv2D", "QDepthwiseConv2D", "QDense", "QActivation", "InputLayer", "Add", "Concatenate", "Dropout"}
    known |= {"MaxPooling2D", "GlobalAveragePooling2D", "Flatten", "Activation", "Multiply"}
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


ZOO = {
    "resnet": lambda: zoo.resnet((32, 32, 3), 10),
    "mobilenet_v1": lambda: zoo.mobilenet_v1((32, 32, 3), 10, width=0.25),
    "mobilenet_v2": lambda: zoo.mobilenet_v2((32, 32, 3), 10, width=0.25),
    "squeezenet": lambda: zoo.squeezenet((64, 64, 3), 10, width=0.25),
    "efficientnet": lambda: zoo.efficientnet((32, 32, 3), 10, width=0.25),
}


@pytest.mark.parametrize("name", ZOO)
def test_zoo(name: str) -> None:
    is_exact(ZOO[name]())


def test_seeded() -> None:
    one, again = (seeded() for _ in range(2))
    assert all((a == b).all() for a, b in zip(one.get_weights(), again.get_weights(), strict=True))


def seeded():
    seed_everything(3)
    return zoo.mobilenet_v1((16, 16, 1), 4, width=0.25, blocks=((32, 1),))
