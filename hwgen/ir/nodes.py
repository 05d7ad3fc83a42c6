"""The node kinds of a `Graph`, each a frozen value; functions over them dispatch by kind.

What each kind computes is stated in its docstring in integers and stated again, normatively, in
`docs/numerics.md`. ``f(x)`` is the number of fractional bits of tensor ``x``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.fixed import FixedPoint, IntArray


@dataclass(frozen=True, eq=False)
class TensorType:
    """Shape, number format and proven integer range (per element) of a tensor, without the batch axis.

    Parameters
    ----------
    shape : tuple of int
    fmt : FixedPoint
        A format that holds every value of the range; all elements share its binary point.
    lo, hi : IntArray
        Proven bounds, inclusive, of shape `shape`.
    """

    shape: tuple[int, ...]
    fmt: FixedPoint
    lo: IntArray
    hi: IntArray

    @classmethod
    def full(cls, shape: tuple[int, ...], fmt: FixedPoint) -> TensorType:
        """Return the type of a tensor that may take every value of `fmt`."""
        dtype: Any = np.int64 if fmt.width < 62 else object
        return cls(shape, fmt, np.full(shape, fmt.int_min, dtype), np.full(shape, fmt.int_max, dtype))

    @classmethod
    def for_range(cls, fraction: int, lo: IntArray, hi: IntArray) -> TensorType:
        """Return the type with the narrowest format that holds ``lo..hi`` at `fraction` bits."""
        return cls(lo.shape, FixedPoint.for_range(int(lo.min()), int(hi.max()), fraction), lo, hi)

    @property
    def fraction(self) -> int:
        """Fractional bits shared by all elements."""
        return self.fmt.fraction

    @property
    def size(self) -> int:
        """Number of elements of one frame."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """What every node has: a name (an identifier), the names of its operands, and a partition (device, clock)."""

    name: str
    inputs: tuple[str, ...] = ()
    partition: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Node):
    """A network input on the grid of `fmt`; the host rounds `fmt.rounding` and applies `fmt.overflow`.

    Parameters
    ----------
    lo, hi : IntArray of shape `shape`, optional
        Proven bounds tighter than `fmt`: the part of a graph that one hardware stage computes has such inputs.
    """

    shape: tuple[int, ...]
    fmt: FixedPoint
    lo: IntArray | None = None
    hi: IntArray | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Const(Node):
    """Constant integers `value` with `fraction` fractional bits: a weight, a bias, a scale."""

    value: IntArray
    fraction: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Node):
    """``y[..., j] = sum_i x[..., i] * w[i, j] + b[j]``, exact. Operands: x, w (n_in, n_out)[, b (n_out)].

    ``f(y) = max(f(x) + f(w), f(b))``; both terms are shifted up to it.
    """


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(Node):
    """``y[..., c] = x[..., c] * s[c] + b[c]``, exact: a batch norm that is not folded. Operands: x, s[, b].

    ``s`` and ``b`` broadcast over the last axis; ``f(y) = max(f(x) + f(s), f(b))``.
    """


@dataclass(frozen=True, eq=False, kw_only=True)
class Requantize(Node):
    """Bring x into `fmt` (round, then overflow), then clamp to `clamp`. A ReLU is one, with an unsigned `fmt`.

    Parameters
    ----------
    clamp : (int, int), optional
        Inclusive integer bounds on the grid of `fmt`, tighter than `fmt` itself (an upper bound of a ReLU).
    """

    fmt: FixedPoint
    clamp: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Lookup(Node):
    """``y = table[x - first]``, a literal table over every value x can take.

    Parameters
    ----------
    table : IntArray, shape (entries,)
        Integers of `fmt`.
    first : int
        The integer of x that selects entry 0.
    """

    table: IntArray
    first: int
    fmt: FixedPoint


@dataclass(frozen=True, eq=False, kw_only=True)
class Elementwise(Node):
    """Base of the two-operand element-wise kinds; operands broadcast as in numpy."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Elementwise):
    """``y = a + b``, exact, at ``f(y) = max(f(a), f(b))``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sub(Elementwise):
    """``y = a - b``, exact, at ``f(y) = max(f(a), f(b))``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Mul(Elementwise):
    """``y = a * b``, exact, at ``f(y) = f(a) + f(b)``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Max(Elementwise):
    """``y = max(a, b)`` at ``f(y) = max(f(a), f(b))``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Min(Elementwise):
    """``y = min(a, b)`` at ``f(y) = max(f(a), f(b))``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ReduceMax(Node):
    """``y[..., 0] = max_i x[..., i]``: the maximum over the last axis, which stays with size 1."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ArgMax(Node):
    """``y[..., 0]`` = the lowest index of the maximum over the last axis, an integer (no fractional bits)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Node):
    """Concatenate along `axis` (counted without the batch axis), at the finest operand's binary point."""

    axis: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Node):
    """The same elements in row-major order under another shape; a Flatten is one."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Transpose(Node):
    """Permute the axes (counted without the batch axis), as numpy's ``transpose``."""

    perm: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Window(Node):
    """Base of the kinds that slide a window over the first two axes of x (height, width, channels).

    Row ``oy``, column ``ox`` of the result sees rows ``oy * strides[0] - padding[0] + ky`` and columns
    ``ox * strides[1] - padding[2] + kx`` of x; what lies outside is padding. A one-dimensional layer has height 1.

    Parameters
    ----------
    strides : (vertical, horizontal)
    padding : (top, bottom, left, right)
        Bottom and right may be negative where the last rows or columns are not read (Keras ``valid``).
    """

    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Window):
    """``y[oy, ox, o] = sum_{ky, kx, c} x[.., .., c] * w[ky, kx, c, o] + b[o]``, padding 0, exact.

    Operands: x (H, W, C), w (KH, KW, C, O)[, b (O)]. ``f(y) = max(f(x) + f(w), f(b))``.
    """


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthwiseConv(Window):
    """``y[oy, ox, c * D + d] = sum_{ky, kx} x[.., .., c] * w[ky, kx, c, d] + b[c * D + d]``, padding 0, exact.

    Operands: x (H, W, C), w (KH, KW, C, D)[, b (C * D)]. ``f(y) = max(f(x) + f(w), f(b))``.
    """


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Window):
    """``y[oy, ox, c] = max x[.., .., c]`` over the window ``pool``; padding never wins."""

    pool: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class SumPool(Window):
    """``y[oy, ox, c] = sum x[.., .., c]`` over the window ``pool``, padding 0, exact, at ``f(y) = f(x)``.

    An average is this, then a `Divide`; or, where the count is ``2**n`` everywhere, then a `Scale` by ``2**-n``.
    """

    pool: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Divide(Node):
    """Bring ``x / divisor`` into `fmt`: the exact rational, rounded once, then overflow, then `clamp`.

    Parameters
    ----------
    divisor : IntArray
        Positive integers that broadcast to x's shape: how many elements an average counts at each place.
    """

    divisor: IntArray
    fmt: FixedPoint
    clamp: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Node):
    """Zeros around the first two axes of x (height, width, channels): (top, bottom, left, right)."""

    padding: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Upsample(Node):
    """``y[y, x, c] = x[y // factors[0], x // factors[1], c]``: the nearest neighbour."""

    factors: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Output(Node):
    """A network output: the identity on its operand."""


KINDS: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in (
        Input,
        Const,
        Dense,
        Scale,
        Requantize,
        Lookup,
        Add,
        Sub,
        Mul,
        Max,
        Min,
        ReduceMax,
        ArgMax,
        Concat,
        Reshape,
        Transpose,
        Conv,
        DepthwiseConv,
        MaxPool,
        SumPool,
        Divide,
        Pad,
        Upsample,
        Output,
    )
}
"""Every concrete kind by name: what `serialize` reads back."""
