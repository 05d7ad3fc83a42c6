"""MobileNet (V1) for small grey pictures: stem, depthwise-separable blocks, mean, dense; 8 bits throughout."""

import keras
from keras import layers
from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D

WEIGHT = "quantized_bits(8,0,alpha=1)"
DEPTHWISE = "quantized_bits(8,1,alpha=1)"
BIAS = "quantized_bits(8,2,alpha=1)"
RELU = "quantized_relu(8,2)"

STEM = 16
BLOCKS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1))
"""(channels, stride) of every depthwise-separable block."""


def build(input_shape: tuple[int, int, int], outputs: int) -> keras.Model:
    """Return the network, logits out."""
    x = inputs = keras.Input(input_shape, name="x")
    x = relu(conv(x, STEM, 3, 2, "stem"), "stem")
    for index, (channels, stride) in enumerate(BLOCKS, 1):
        x = depthwise(x, stride, f"dw{index}")
        x = relu(conv(x, channels, 1, 1, f"pw{index}"), f"pw{index}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = QActivation(RELU, name="mean_q")(x)
    x = QDense(outputs, kernel_quantizer=WEIGHT, bias_quantizer=BIAS, name="logits")(x)
    return keras.Model(inputs, x, name="chest_mobilenet")


def conv(x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    """A quantized convolution."""
    return QConv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        kernel_quantizer=WEIGHT,
        bias_quantizer=BIAS,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def depthwise(x: keras.KerasTensor, stride: int, name: str) -> keras.KerasTensor:
    """Filter each channel by its own 3×3 kernel."""
    y = QDepthwiseConv2D(
        3,
        strides=stride,
        padding="same",
        depthwise_quantizer=DEPTHWISE,
        bias_quantizer=BIAS,
        depthwise_initializer=keras.initializers.RandomNormal(stddev=0.4, seed=len(name)),
        name=name,
    )(x)
    return relu(y, name)


def relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Round to 8 bits; below 0 is 0."""
    return QActivation(RELU, name=f"{name}_relu")(x)
