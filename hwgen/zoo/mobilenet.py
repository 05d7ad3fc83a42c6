"""MobileNetV1 and V2: depthwise-separable convolutions, and inverted residuals."""

from __future__ import annotations

from string import ascii_lowercase
from typing import TYPE_CHECKING

from hwgen.zoo.parts import Bits, Parts, Positive, Shape, Share, Tensor, Width, divisible

if TYPE_CHECKING:
    import keras

BLOCKS_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""(channels, stride) of every block of MobileNetV1, at width 1."""

STAGES_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""(expansion, channels, blocks, stride of the first block) of every stage of MobileNetV2, at width 1."""


def mobilenet_v1(
    input_shape: Shape,
    outputs: int | None,
    width: Width = 1.0,
    stem: Positive = 32,
    stem_stride: Positive = 2,
    blocks: tuple[tuple[Positive, Positive], ...] = BLOCKS_V1,
    divisor: Positive = 8,
    dropout: Share = 0.0,
    bits: Bits = Bits(),  # noqa: B008 - frozen
) -> keras.Model:
    """Return MobileNetV1 (Howard et al., 2017, arXiv:1704.04861), logits out.

    A 3×3 convolution, then blocks of a 3×3 depthwise and a 1×1 convolution, each with a ReLU; the mean of all places;
    a dense layer. At width 1 and 1,000 outputs it has 4.2 M weights, as the paper says.

    Parameters
    ----------
    width : the paper's alpha: every layer's channels are multiplied by it and rounded to multiples of `divisor`
    blocks : (channels, stride) of every block
    """
    parts = Parts(bits)
    x = inputs = parts.input(input_shape)
    x = parts.relu(parts.conv(x, divisible(stem * width, divisor), 3, "stem", stem_stride), "stem_relu")
    for index, (channels, stride) in enumerate(blocks, 1):
        x = parts.relu(parts.depthwise(x, 3, f"dw{index}", stride), f"dw{index}_relu")
        x = parts.relu(parts.conv(x, divisible(channels * width, divisor), 1, f"pw{index}"), f"pw{index}_relu")
    return parts.model(inputs, parts.head(x, outputs, dropout), "mobilenet_v1")


def mobilenet_v2(
    input_shape: Shape,
    outputs: int | None,
    width: Width = 1.0,
    stem: Positive = 32,
    stem_stride: Positive = 2,
    stages: tuple[tuple[Positive, Positive, Positive, Positive], ...] = STAGES_V2,
    head: Positive = 1280,
    divisor: Positive = 8,
    dropout: Share = 0.0,
    bits: Bits = Bits(),  # noqa: B008 - frozen
) -> keras.Model:
    """Return MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381), logits out.

    A 3×3 convolution, inverted residuals, a 1×1 convolution, the mean of all places, a dense layer. At width 1 and
    1,000 outputs it has 3.5 M weights; the paper says 3.4 M. Behind projections there is no activation, but their
    result is rounded (`bits.sum`).

    Parameters
    ----------
    width : multiplies the channels of stem and stages, rounded to multiples of `divisor`
    stages : (expansion, channels, blocks, stride of the first block) of every stage
    head : channels of the last 1×1 convolution; a width below 1 does not make it narrower
    """
    parts = Parts(bits)
    x = inputs = parts.input(input_shape)
    x = parts.relu(parts.conv(x, divisible(stem * width, divisor), 3, "stem", stem_stride), "stem_relu")
    for stage, (expansion, channels, blocks, stride) in enumerate(stages, 1):
        for index in range(blocks):
            name = f"block{stage}{ascii_lowercase[index]}"
            step = stride if index == 0 else 1
            x = _inverted_residual(parts, x, expansion, divisible(channels * width, divisor), step, name)
    x = parts.relu(parts.conv(x, divisible(head * max(1.0, width), divisor), 1, "head"), "head_relu")
    return parts.model(inputs, parts.head(x, outputs, dropout), "mobilenet_v2")


def _inverted_residual(parts: Parts, x: Tensor, expansion: int, channels: int, stride: int, name: str) -> Tensor:
    """Expand, filter each channel, project; added to the block's input where that has the same shape."""
    y = x
    if expansion > 1:
        y = parts.relu(parts.conv(y, expansion * int(x.shape[-1]), 1, f"{name}_expand"), f"{name}_expand_relu")
    y = parts.relu(parts.depthwise(y, 3, f"{name}_depthwise", stride), f"{name}_depthwise_relu")
    y = parts.rounded(parts.conv(y, channels, 1, f"{name}_project"), f"{name}_project_q")
    if stride != 1 or int(x.shape[-1]) != channels:
        return y
    return parts.rounded(parts.add(y, x, f"{name}_add"), f"{name}_q")
