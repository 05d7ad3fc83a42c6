"""What the builders are made of: quantized layers that lower exactly, each followed by what rounds its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from hwgen.errors import ModelError

if TYPE_CHECKING:
    import keras

Tensor = Any
Shape = tuple[int, int, int]
"""Rows, columns, channels."""
Positive = Annotated[int, Field(ge=1)]
Width = Annotated[float, Field(gt=0, le=16)]
"""A width multiplier."""
Share = Annotated[float, Field(ge=0, lt=1)]
Width16 = Annotated[int, Field(ge=2, le=16)]
Places = Annotated[int, Field(ge=0, le=8)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Bits:
    """Number formats, in QKeras' terms: bits in all, and integer bits without the sign.

    Parameters
    ----------
    weight, weight_integer : kernels of convolutions and dense layers
    depthwise_integer : kernels of depthwise convolutions, of `weight` bits
    bias, bias_integer
    activation, activation_integer : behind ReLUs (unsigned) and hard swishes (signed)
    sum, sum_integer : what is not activated (signed): the branches of an addition, inputs of a table
    """

    weight: Width16 = 8
    weight_integer: Places = 0
    depthwise_integer: Places = 1
    bias: Width16 = 8
    bias_integer: Places = 2
    activation: Width16 = 8
    activation_integer: Places = 2
    sum: Width16 = 8
    sum_integer: Places = 3


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SwishBits(Bits):
    """The same with an integer bit more of activations and sums: nothing bounds a hard swish from above."""

    activation_integer: Places = 3
    sum_integer: Places = 4


def divisible(channels: float, divisor: int = 8) -> int:
    """Return a number of channels as a multiple of `divisor`, at least one, never below 90 % of what was asked for."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class Parts:
    """Layers with the quantizers of `bits`; every method takes a tensor and returns one.

    Parameters
    ----------
    bits : Bits
    """

    def __init__(self, bits: Bits) -> None:
        from hwgen.train.env import import_keras

        self._keras = import_keras()
        self._weight = f"quantized_bits({bits.weight},{bits.weight_integer},alpha=1)"
        self._depthwise = f"quantized_bits({bits.weight},{bits.depthwise_integer},alpha=1)"
        self._bias = f"quantized_bits({bits.bias},{bits.bias_integer},alpha=1)"
        self._relu = f"quantized_relu({bits.activation},{bits.activation_integer})"
        self._swish = f"quantized_bits({bits.activation},{bits.activation_integer},alpha=1)"
        self._sum = f"quantized_bits({bits.sum},{bits.sum_integer},alpha=1)"
        self._gate = f"quantized_relu({bits.activation},0)"

    def input(self, shape: Shape) -> Tensor:
        """Return the network's input ``x``."""
        if len(shape) != 3:
            where = "model.input_shape"
            raise ModelError(
                "a network of pictures", where=where, found=str(shape), expected="[rows, columns, channels]"
            )
        return self._keras.Input(tuple(shape), name="x")

    def model(self, inputs: Tensor, outputs: Tensor, name: str) -> keras.Model:
        """Return the network."""
        return self._keras.Model(inputs, outputs, name=name)

    # ---- layers with weights ---------------------------------------------------------------------------------------

    def conv(self, x: Tensor, filters: int, kernel: int, name: str, stride: int = 1) -> Tensor:
        """A convolution, padding ``same``; its result is not rounded yet."""
        from qkeras import QConv2D

        more = {"kernel_quantizer": self._weight, "bias_quantizer": self._bias, "kernel_initializer": "he_normal"}
        return QConv2D(filters, kernel, strides=stride, padding="same", name=name, **more)(x)

    def depthwise(self, x: Tensor, kernel: int, name: str, stride: int = 1) -> Tensor:
        """A filter for each channel, padding ``same``; its result is not rounded yet."""
        from qkeras import QDepthwiseConv2D

        start = self._keras.initializers.RandomNormal(stddev=1.2 / kernel)
        more = {"depthwise_quantizer": self._depthwise, "bias_quantizer": self._bias, "depthwise_initializer": start}
        return QDepthwiseConv2D(kernel, strides=stride, padding="same", name=name, **more)(x)

    def head(self, x: Tensor, outputs: int | None, dropout: float = 0.0, activation: str = "relu") -> Tensor:
        """The mean of all places and a dense layer: logits."""
        from qkeras import QDense

        if outputs is None:
            where, expected = "model.args.outputs", "a number of classes, where the data does not say it"
            raise ModelError("the number of outputs is not known", where=where, expected=expected)
        x = self._keras.layers.GlobalAveragePooling2D(name="mean")(x)
        x = self._act(x, self._relu if activation == "relu" else self._swish, "mean_q")
        if dropout:
            x = self._keras.layers.Dropout(dropout, name="drop")(x)  # while training only
        return QDense(outputs, kernel_quantizer=self._weight, bias_quantizer=self._bias, name="logits")(x)

    # ---- what follows them -----------------------------------------------------------------------------------------

    def _act(self, x: Tensor, quantizer: str, name: str) -> Tensor:
        from qkeras import QActivation

        return QActivation(quantizer, name=name)(x)

    def relu(self, x: Tensor, name: str) -> Tensor:
        """Round to unsigned activations: `name`."""
        return self._act(x, self._relu, name)

    def rounded(self, x: Tensor, name: str) -> Tensor:
        """Round what is not activated: `name`."""
        return self._act(x, self._sum, name)

    def hard_swish(self, x: Tensor, name: str) -> Tensor:
        """x · relu6(x + 3) / 6 of the rounded x, a literal table: ``<name>_q``, ``<name>_swish``, ``<name>_act``."""
        x = self._keras.layers.Activation("hard_silu", name=f"{name}_swish")(self.rounded(x, f"{name}_q"))
        return self._act(x, self._swish, f"{name}_act")

    def activated(self, x: Tensor, name: str, activation: str) -> Tensor:
        """``<name>_relu``, or what `hard_swish` adds."""
        return self.relu(x, f"{name}_relu") if activation == "relu" else self.hard_swish(x, name)

    def squeeze_excite(self, x: Tensor, squeezed: int, name: str, activation: str = "hard_swish") -> Tensor:
        """Each channel times a gate in 0 … 1 that two small layers compute from the means of all channels.

        Parameters
        ----------
        x : rounded
        squeezed : channels between the two layers
        """
        layers = self._keras.layers
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
        gate = self._act(gate, self._relu if activation == "relu" else self._swish, f"{name}_mean_q")
        gate = self.relu(self.conv(gate, squeezed, 1, f"{name}_reduce"), f"{name}_reduce_relu")
        gate = self.rounded(self.conv(gate, int(x.shape[-1]), 1, f"{name}_expand"), f"{name}_expand_q")
        gate = layers.Activation("hard_sigmoid", name=f"{name}_gate")(gate)
        gate = self._act(gate, self._gate, f"{name}_gate_q")
        y = layers.Multiply(name=f"{name}_scale")([x, gate])
        return self._act(y, self._relu if activation == "relu" else self._swish, f"{name}_scale_q")

    def add(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """The exact sum, not rounded yet."""
        return self._keras.layers.Add(name=name)([x, y])

    def join(self, parts: list[Tensor], name: str) -> Tensor:
        """The channels of all parts."""
        return self._keras.layers.Concatenate(name=name)(parts)

    def max_pool(self, x: Tensor, size: int, name: str) -> Tensor:
        """The maximum of size × size places, every second row and column."""
        return self._keras.layers.MaxPooling2D(size, strides=2, name=name)(x)
