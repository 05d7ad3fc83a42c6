"""ResNet-8 for small patches: a convolution, three residual blocks of 16, 32 and 64 channels, mean, dense layer."""

import keras
from keras import layers
from qkeras import QActivation, QConv2D, QDense

WEIGHT = "quantized_bits(8,0,alpha=1)"
BIAS = "quantized_bits(8,2,alpha=1)"
RELU = "quantized_relu(8,2)"
SUM = "quantized_bits(8,3,alpha=1)"
"""What a branch of a residual block is rounded to before the branches are added."""

STAGES = ((16, 1), (32, 2), (64, 2))
"""(channels, stride) of every block."""


def build(input_shape: tuple[int, int, int], outputs: int) -> keras.Model:
    """Return the network, logits out."""
    x = inputs = keras.Input(input_shape, name="x")
    x = QActivation(RELU, name="stem_relu")(conv(x, STAGES[0][0], 3, 1, "stem"))
    for index, (channels, stride) in enumerate(STAGES, 1):
        x = block(x, channels, stride, f"block{index}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = QActivation(RELU, name="mean_q")(x)
    x = layers.Dropout(0.3, name="drop")(x)  # while training only
    x = QDense(outputs, kernel_quantizer=WEIGHT, bias_quantizer=BIAS, name="logits")(x)
    return keras.Model(inputs, x, name="resnet8")


def block(x: keras.KerasTensor, channels: int, stride: int, name: str) -> keras.KerasTensor:
    """Two 3×3 convolutions, added to the block's input; a 1×1 convolution of that where its shape changes."""
    y = QActivation(RELU, name=f"{name}_relu1")(conv(x, channels, 3, stride, f"{name}_conv1"))
    y = QActivation(SUM, name=f"{name}_q2")(conv(y, channels, 3, 1, f"{name}_conv2"))
    if stride != 1 or x.shape[-1] != channels:
        x = QActivation(SUM, name=f"{name}_q0")(conv(x, channels, 1, stride, f"{name}_shortcut"))
    return QActivation(RELU, name=f"{name}_relu")(layers.Add(name=f"{name}_add")([y, x]))


def conv(x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    """A quantized convolution with `same` padding."""
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
