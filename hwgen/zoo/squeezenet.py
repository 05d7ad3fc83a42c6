"""SqueezeNet: fire modules squeeze the channels with a 1×1 convolution, then expand them with 1×1 and 3×3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hwgen.zoo.parts import Bits, Parts, Positive, Shape, Share, Tensor, Width, divisible

if TYPE_CHECKING:
    import keras

FIRES = ((16, 64), (16, 64), (32, 128), None, (32, 128), (48, 192), (48, 192), (64, 256), None, (64, 256))
"""SqueezeNet 1.0: (channels squeezed to, channels of each expansion) of every fire module; None: a maximum pool."""


def squeezenet(
    input_shape: Shape,
    outputs: int | None,
    width: Width = 1.0,
    stem: Positive = 96,
    stem_kernel: Positive = 7,
    stem_stride: Positive = 2,
    fires: tuple[tuple[Positive, Positive] | None, ...] = FIRES,
    pool: Annotated[int, Field(ge=2, le=3)] = 3,
    divisor: Positive = 8,
    dropout: Share = 0.0,
    bits: Bits = Bits(),  # noqa: B008 - frozen
) -> keras.Model:
    """Return SqueezeNet (Iandola et al., 2016, arXiv:1602.07360), logits out.

    A convolution, a maximum pool, fire modules with pools between, the mean of all places, a dense layer. At width 1
    and 1,000 outputs it has 1.25 M weights, as the paper says. The paper's last layer is a 1×1 convolution before the
    mean, with a ReLU; here the dense layer behind the mean has the same weights and works once a picture.

    Parameters
    ----------
    width : multiplies all channels, rounded to multiples of `divisor`
    fires : (channels squeezed to, channels of each expansion) of every fire module; null: a maximum pool
    pool : size of all maximum pools; their stride is 2
    """
    parts = Parts(bits)
    x = inputs = parts.input(input_shape)
    x = parts.relu(parts.conv(x, divisible(stem * width, divisor), stem_kernel, "stem", stem_stride), "stem_relu")
    x = parts.max_pool(x, pool, "pool")
    for index, sizes in enumerate(fires, 1):
        if sizes is None:
            x = parts.max_pool(x, pool, f"pool{index}")
            continue
        squeeze, expand = (divisible(channels * width, divisor) for channels in sizes)
        x = _fire(parts, x, squeeze, expand, f"fire{index}")
    return parts.model(inputs, parts.head(x, outputs, dropout), "squeezenet")


def _fire(parts: Parts, x: Tensor, squeeze: int, expand: int, name: str) -> Tensor:
    """Squeeze, then expand in two branches that are concatenated: 2 · `expand` channels."""
    x = parts.relu(parts.conv(x, squeeze, 1, f"{name}_squeeze"), f"{name}_squeeze_relu")
    branches = [parts.conv(x, expand, 1, f"{name}_expand1"), parts.conv(x, expand, 3, f"{name}_expand3")]
    return parts.relu(parts.join(branches, f"{name}_concat"), f"{name}_relu")
