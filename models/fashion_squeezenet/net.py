"""A small SqueezeNet: fire modules squeeze the channels with a 1×1 convolution, then expand with 1×1 and 3×3."""

import keras
from keras import layers
from qkeras import QActivation, QConv2D, QDense

WEIGHT = "quantized_bits(6,0,alpha=1)"
BIAS = "quantized_bits(8,2,alpha=1)"
RELU = "quantized_relu(6,2)"

FIRES = ((8, 16), (8, 16), None, (16, 32), (16, 32))
"""(channels squeezed to, channels of each expansion) of every fire module; None: 2×2 maximum."""


def build(input_shape: tuple[int, int, int], outputs: int) -> keras.Model:
    """Return the network, logits out."""
    x = inputs = keras.Input(input_shape, name="x")
    x = QActivation(RELU, name="stem_relu")(conv(x, 16, 3, "stem"))
    x = layers.MaxPooling2D(2, name="pool")(x)
    for index, sizes in enumerate(FIRES, 1):
        x = fire(x, *sizes, f"fire{index}") if sizes else layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = QActivation(RELU, name="mean_q")(x)
    x = QDense(outputs, kernel_quantizer=WEIGHT, bias_quantizer=BIAS, name="logits")(x)
    return keras.Model(inputs, x, name="fashion_squeezenet")


def fire(x: keras.KerasTensor, squeeze: int, expand: int, name: str) -> keras.KerasTensor:
    """Squeeze, then expand in two branches that are concatenated: 2 · `expand` channels."""
    x = QActivation(RELU, name=f"{name}_squeeze_relu")(conv(x, squeeze, 1, f"{name}_squeeze"))
    branches = [conv(x, expand, 1, f"{name}_expand1"), conv(x, expand, 3, f"{name}_expand3")]
    x = layers.Concatenate(name=f"{name}_concat")(branches)
    return QActivation(RELU, name=f"{name}_relu")(x)


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
