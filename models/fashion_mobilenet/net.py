"""MobileNetV2 for small pictures: inverted residuals (expand 1×1, depthwise 3×3, project 1×1), at half width."""

import keras
from keras import layers
from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D

WIDTH = 0.5
"""The width multiplier."""

WEIGHT = "quantized_bits(6,0,alpha=1)"
DEPTHWISE = "quantized_bits(6,1,alpha=1)"
BIAS = "quantized_bits(8,2,alpha=1)"
RELU = "quantized_relu(6,2)"
LINEAR = "quantized_bits(8,3,alpha=1)"
"""What a block ends in: projections have no activation."""

STEM, HEAD = 32, 128
STAGES = ((32, 2, 2), (48, 2, 2), (64, 2, 1))
"""(channels, blocks, stride of the first block) of every stage, before the width multiplier."""

EXPANSION = 3


def build(input_shape: tuple[int, int, int], outputs: int) -> keras.Model:
    """Return the network, logits out."""
    x = inputs = keras.Input(input_shape, name="x")
    x = QActivation(RELU, name="stem_relu")(conv(x, scaled(STEM), 3, "stem"))
    for stage, (channels, blocks, stride) in enumerate(STAGES, 1):
        for index in range(blocks):
            x = inverted_residual(x, scaled(channels), stride if index == 0 else 1, f"block{stage}{'abc'[index]}")
    x = QActivation(RELU, name="head_relu")(conv(x, scaled(HEAD), 1, "head"))
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = QActivation(RELU, name="mean_q")(x)
    x = QDense(outputs, kernel_quantizer=WEIGHT, bias_quantizer=BIAS, name="logits")(x)
    return keras.Model(inputs, x, name="fashion_mobilenet")


def inverted_residual(x: keras.KerasTensor, channels: int, stride: int, name: str) -> keras.KerasTensor:
    """Expand, filter each channel, project; added to the block's input where that has the same shape."""
    y = QActivation(RELU, name=f"{name}_expand_relu")(conv(x, EXPANSION * x.shape[-1], 1, f"{name}_expand"))
    y = QDepthwiseConv2D(
        3,
        strides=stride,
        padding="same",
        depthwise_quantizer=DEPTHWISE,
        bias_quantizer=BIAS,
        depthwise_initializer=keras.initializers.RandomNormal(stddev=0.4, seed=len(name)),
        name=f"{name}_depthwise",
    )(y)
    y = QActivation(RELU, name=f"{name}_depthwise_relu")(y)
    y = QActivation(LINEAR, name=f"{name}_project_q")(conv(y, channels, 1, f"{name}_project"))
    if stride != 1 or x.shape[-1] != channels:
        return y
    return QActivation(LINEAR, name=f"{name}_q")(layers.Add(name=f"{name}_add")([y, x]))


def conv(x: keras.KerasTensor, filters: int, kernel: int, name: str) -> keras.KerasTensor:
    """A quantized convolution that keeps the size."""
    return QConv2D(
        filters,
        kernel,
        padding="same",
        kernel_quantizer=WEIGHT,
        bias_quantizer=BIAS,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def scaled(channels: int) -> int:
    """Return a number of channels times the width multiplier, a multiple of 8."""
    return max(8, round(channels * WIDTH / 8) * 8)
