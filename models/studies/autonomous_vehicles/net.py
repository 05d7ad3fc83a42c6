"""A detector on a small MobileNetV2 trunk, and a lane head on the same trunk; 8 bits throughout.

Two outputs: ``boxes`` (6, 6, 5 + classes), a grid of objectness, box and class logits (hwgen.train.detection);
``lane`` (8,), the x of the lane's two lines at four rows, as shares of the width.
"""

from typing import NamedTuple

import keras
from keras import layers
from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D


class Weights(NamedTuple):
    """The quantizers of kernels."""

    plain: str
    depthwise: str


WIDE = Weights("quantized_bits(8,0,alpha=1)", "quantized_bits(8,1,alpha=1)")
NARROW = Weights("quantized_bits(6,0,alpha=1)", "quantized_bits(7,1,alpha=1)")
"""The same ranges in fewer bits, for the compressed network."""

BIAS = "quantized_bits(8,2,alpha=1)"
RELU = "quantized_relu(8,2)"
LINEAR = "quantized_bits(8,3,alpha=1)"
"""What a block ends in: projections have no activation."""

CLASSES = 3
STEM, HEAD, LANE = 16, 96, 8
BLOCKS = ((24, 2), (40, 2), (40, 1), (64, 1), (64, 1))
"""(channels, stride) of every inverted residual; 48x48 pixels become a grid of 6x6."""
EXPANSION = 4
LANES = 8
"""Two lines at four rows."""


def build(input_shape: tuple[int, int, int]) -> keras.Model:
    """Return the network with both heads, of 8-bit weights."""
    return network(input_shape, WIDE)


def build_narrow(input_shape: tuple[int, int, int]) -> keras.Model:
    """Return the same network of narrower weights."""
    return network(input_shape, NARROW)


def network(input_shape: tuple[int, int, int], weights: Weights) -> keras.Model:
    """Return the network with both heads."""
    x = inputs = keras.Input(input_shape, name="x")
    x = relu(conv(x, STEM, 3, 2, "stem", weights), "stem")
    for index, (channels, stride) in enumerate(BLOCKS, 1):
        x = inverted_residual(x, channels, stride, f"block{index}", weights)
    trunk = relu(conv(x, HEAD, 1, 1, "head", weights), "head")
    boxes = conv(trunk, 5 + CLASSES, 1, 1, "boxes", weights)
    lane = relu(conv(trunk, LANE, 1, 1, "lane_conv", weights), "lane_conv")
    lane = layers.Flatten(name="lane_flat")(lane)
    lane = QDense(LANES, kernel_quantizer=weights.plain, bias_quantizer=BIAS, name="lane")(lane)
    return keras.Model(inputs, [boxes, lane], name="road_detector")


def inverted_residual(
    x: keras.KerasTensor, channels: int, stride: int, name: str, weights: Weights
) -> keras.KerasTensor:
    """Expand, filter each channel, project; added to the block's input where that has the same shape."""
    y = relu(conv(x, EXPANSION * x.shape[-1], 1, 1, f"{name}_expand", weights), f"{name}_expand")
    y = QDepthwiseConv2D(
        3,
        strides=stride,
        padding="same",
        depthwise_quantizer=weights.depthwise,
        bias_quantizer=BIAS,
        depthwise_initializer=keras.initializers.RandomNormal(stddev=0.4, seed=len(name)),
        name=f"{name}_depthwise",
    )(y)
    y = relu(y, f"{name}_depthwise")
    y = QActivation(LINEAR, name=f"{name}_project_q")(conv(y, channels, 1, 1, f"{name}_project", weights))
    if stride != 1 or x.shape[-1] != channels:
        return y
    return QActivation(LINEAR, name=f"{name}_q")(layers.Add(name=f"{name}_add")([y, x]))


def conv(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str, weights: Weights
) -> keras.KerasTensor:
    """A quantized convolution."""
    return QConv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        kernel_quantizer=weights.plain,
        bias_quantizer=BIAS,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Round to 8 bits; below 0 is 0."""
    return QActivation(RELU, name=f"{name}_relu")(x)
