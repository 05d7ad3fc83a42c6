"""Residual networks for small pictures: ResNet-8, ResNet-20 and every other 6 n + 2."""

from __future__ import annotations

from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hwgen.errors import ModelError
from hwgen.zoo.parts import Bits, Parts, Positive, Shape, Share, Tensor, Width, divisible

if TYPE_CHECKING:
    import keras

CHANNELS = (16, 32, 64)
"""Of the three stages, at width 1. The first keeps the picture's size, the others halve it."""


def resnet(
    input_shape: Shape,
    outputs: int | None,
    depth: Annotated[int, Field(ge=8, le=158)] = 8,
    width: Width = 1.0,
    divisor: Positive = 8,
    dropout: Share = 0.0,
    bits: Bits = Bits(),  # noqa: B008 - frozen
) -> keras.Model:
    """Return a residual network for small pictures (He et al., 2015, arXiv:1512.03385, section 4.2), logits out.

    A 3×3 convolution of 16 channels, three stages of (depth - 2) / 6 blocks with 16, 32 and 64 channels, the mean of
    all places, a dense layer. ResNet-20 has 0.27 M weights, as the paper says. Where a block changes the shape, its
    input passes through a 1×1 convolution (the paper's option B; its option A would pad with zeros).

    Parameters
    ----------
    depth : 8, 14, 20, 26, … 6 n + 2
    width : multiplies all channels, rounded to multiples of `divisor`
    """
    if depth % 6 != 2:
        low = depth - (depth - 2) % 6
        expected = f"{low} or {low + 6}: 6 n + 2"
        raise ModelError("no such residual network", where="model.args.depth", found=str(depth), expected=expected)
    parts, blocks = Parts(bits), (depth - 2) // 6
    x = inputs = parts.input(input_shape)
    x = parts.relu(parts.conv(x, divisible(CHANNELS[0] * width, divisor), 3, "stem"), "stem_relu")
    for stage, channels in enumerate(CHANNELS, 1):
        for index in range(blocks):
            name = f"block{stage}" + (ascii_lowercase[index] if blocks > 1 else "")
            x = _block(parts, x, divisible(channels * width, divisor), 2 if stage > 1 and index == 0 else 1, name)
    return parts.model(inputs, parts.head(x, outputs, dropout), f"resnet{depth}")


def _block(parts: Parts, x: Tensor, channels: int, stride: int, name: str) -> Tensor:
    """Two 3×3 convolutions, added to the block's input; a 1×1 convolution of that where its shape changes."""
    y = parts.conv(x, channels, 3, f"{name}_conv1", stride)
    y = parts.relu(y, f"{name}_relu1")
    y = parts.rounded(parts.conv(y, channels, 3, f"{name}_conv2"), f"{name}_q2")
    if stride != 1 or int(x.shape[-1]) != channels:
        x = parts.rounded(parts.conv(x, channels, 1, f"{name}_shortcut", stride), f"{name}_q0")
    return parts.relu(parts.add(y, x, f"{name}_add"), f"{name}_relu")
