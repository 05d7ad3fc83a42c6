"""Networks of published sizes in QKeras, untrained: what the front door is tried on beside the shipped models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hwgen.bench.networks import MOBILENET_V1
from hwgen.errors import ModelError
from hwgen.train.env import import_keras, seed_everything
from hwgen.train.imports import import_reference

if TYPE_CHECKING:
    import keras

RESNET8 = Path(__file__).parents[2] / "models" / "fashion_resnet8"


def resnet8_cifar(seed: int = 0) -> keras.Model:
    """Return ResNet-8 for pictures of 32×32×3, untrained: 78 k weights, 12.5 M multiply-accumulates.

    It is the network of `models/fashion_resnet8`, whose builder takes any size of picture.
    """
    seed_everything(seed)
    build = import_reference("net:build", RESNET8, "resnet8_cifar", ModelError)
    return build((32, 32, 3), 10)


def mobilenet_v1(alpha: float = 0.5, size: int = 96, outputs: int = 1000, seed: int = 0) -> keras.Model:
    """Return MobileNetV1 for pictures of size×size×3, untrained: 1.3 M weights at its defaults.

    6-bit weights and activations, no batch normalization.

    Parameters
    ----------
    alpha : float
        The width multiplier: channels of every layer, rounded to multiples of 8.
    size : int
        Height and width in pixels, a multiple of 32.
    """
    seed_everything(seed)
    keras = import_keras()
    from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D

    weight = {"kernel_quantizer": "quantized_bits(6,0,alpha=1)", "kernel_initializer": "he_normal"}
    bias = {
        "bias_quantizer": "quantized_bits(8,2,alpha=1)",
        "bias_initializer": keras.initializers.RandomNormal(0, 0.1),
    }
    depthwise = {"depthwise_quantizer": "quantized_bits(6,0,alpha=1)", "padding": "same"}
    relu = "quantized_relu(6,2)"

    def scaled(channels: int) -> int:
        return max(8, round(channels * alpha / 8) * 8)

    x = inputs = keras.Input((size, size, 3), name="x")
    x = QConv2D(scaled(32), 3, strides=2, padding="same", name="conv", **weight, **bias)(x)
    x = QActivation(relu, name="conv_relu")(x)
    for k, (channels, stride) in enumerate(MOBILENET_V1, 1):
        start = keras.initializers.RandomNormal(0, 0.4)
        x = QDepthwiseConv2D(3, strides=stride, depthwise_initializer=start, name=f"dw{k}", **depthwise, **bias)(x)
        x = QActivation(relu, name=f"dw{k}_relu")(x)
        x = QConv2D(scaled(channels), 1, name=f"pw{k}", **weight, **bias)(x)
        x = QActivation(relu, name=f"pw{k}_relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    x = QActivation(relu, name="mean_q")(x)
    x = QDense(outputs, name="logits", **weight, **bias)(x)
    return keras.Model(inputs, x, name="mobilenet_v1")
