"""EfficientNet: inverted residuals with squeeze-excite, scaled in depth, width and resolution by one number."""

from __future__ import annotations

import math
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hwgen.zoo.parts import Parts, Positive, Shape, Share, SwishBits, Tensor, Width, divisible

if TYPE_CHECKING:
    import keras

DEPTH, WIDTH, RESOLUTION = 1.2, 1.1, 1.15
"""The paper's alpha, beta and gamma."""

STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
"""EfficientNet-B0: (expansion, kernel, channels, blocks, stride of the first block) of every stage, at phi 0."""

Phi = Annotated[float, Field(ge=-4, le=7)]


def efficientnet(
    input_shape: Shape,
    outputs: int | None,
    phi: Phi = 0.0,
    width: Width = 1.0,
    stem: Positive = 32,
    stem_stride: Positive = 2,
    stages: tuple[tuple[Positive, Positive, Positive, Positive, Positive], ...] = STAGES,
    head: Positive = 1280,
    squeeze: Share = 0.25,
    activation: Literal["hard_swish", "relu"] = "hard_swish",
    divisor: Positive = 8,
    dropout: Share = 0.0,
    bits: SwishBits = SwishBits(),  # noqa: B008 - frozen
) -> keras.Model:
    """Return EfficientNet (Tan and Le, 2019, arXiv:1905.11946), logits out.

    A 3×3 convolution, stages of inverted residuals with squeeze-excite, a 1×1 convolution, the mean of all places, a
    dense layer. At phi 0 and 1,000 outputs it is B0: 5.3 M weights, as the paper says. Instead of the paper's swish
    and sigmoid stand their piecewise forms, hard swish and hard sigmoid (Howard et al., 2019, arXiv:1905.02244).

    Parameters
    ----------
    phi : compound scaling: every stage has 1.2^phi as many blocks (rounded up), every layer 1.1^phi as many channels;
        the picture's size is that of the data, `resolution` says which one the rule asks for
    width : multiplies the channels beside phi, rounded to multiples of `divisor`
    stages : (expansion, kernel, channels, blocks, stride of the first block) of every stage, at phi 0
    head : channels of the last 1×1 convolution, at phi 0
    squeeze : channels between the two layers of squeeze-excite, as a share of the block's input; 0: no squeeze-excite
    bits : with an integer bit more of activations and sums than elsewhere
    """
    parts, scale = Parts(bits), width * WIDTH**phi
    x = inputs = parts.input(input_shape)
    x = parts.activated(parts.conv(x, divisible(stem * scale, divisor), 3, "stem", stem_stride), "stem", activation)
    for stage, (expansion, kernel, channels, blocks, stride) in enumerate(stages, 1):
        for index in range(math.ceil(blocks * DEPTH**phi)):
            block = _Block(parts, expansion, kernel, divisible(channels * scale, divisor), squeeze, activation)
            x = block.of(x, stride if index == 0 else 1, f"block{stage}{ascii_lowercase[index]}")
    x = parts.activated(parts.conv(x, divisible(head * scale, divisor), 1, "head"), "head", activation)
    return parts.model(inputs, parts.head(x, outputs, dropout, activation), "efficientnet")


def resolution(size: int, phi: float) -> int:
    """Return the height or width that compound scaling asks for, where phi 0 has `size`: 1.15^phi of it."""
    return round(size * RESOLUTION**phi)


class _Block:
    def __init__(
        self, parts: Parts, expansion: int, kernel: int, channels: int, squeeze: float, activation: str
    ) -> None:
        self.parts, self.expansion, self.kernel, self.channels = parts, expansion, kernel, channels
        self.squeeze, self.activation = squeeze, activation

    def of(self, x: Tensor, stride: int, name: str) -> Tensor:
        """Expand, filter each channel, squeeze and excite, project; added to the block's input where it fits."""
        parts, inner, y = self.parts, int(x.shape[-1]), x
        if self.expansion > 1:
            y = parts.conv(y, self.expansion * inner, 1, f"{name}_expand")
            y = parts.activated(y, f"{name}_expand", self.activation)
        y = parts.depthwise(y, self.kernel, f"{name}_depthwise", stride)
        y = parts.activated(y, f"{name}_depthwise", self.activation)
        if self.squeeze:
            y = parts.squeeze_excite(y, max(1, int(inner * self.squeeze)), f"{name}_se", self.activation)
        y = parts.rounded(parts.conv(y, self.channels, 1, f"{name}_project"), f"{name}_project_q")
        if stride != 1 or inner != self.channels:
            return y
        return parts.rounded(parts.add(y, x, f"{name}_add"), f"{name}_q")
