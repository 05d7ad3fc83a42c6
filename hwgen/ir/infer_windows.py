"""Types of the nodes with a window, of Divide, Pad and Upsample. Importing this registers them with `infer_type`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import IntArray, Overflow, as_ints, divide_round, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.infer import infer_type, with_bias
from hwgen.ir.nodes import TensorType
from hwgen.ir.windows import gather, kernel_of, tap_counts, window_shape

FLOAT_EXACT = 1 << 53
"""Sums of integers below this are exact in float64."""


@infer_type.register
def _(node: ir.Conv, operands: Sequence[TensorType]) -> TensorType:
    x, w, *rest = operands
    kernel = _kernel(node, x, w)
    bound = _bound(x) * _bound(w) * max(int(np.prod(w.shape[:3])), 1)
    dtype = _dtype(bound)
    columns = [gather(_cast(v, dtype)[None], node, kernel)[0] for v in (x.lo, x.hi)]
    columns = [c.reshape(*c.shape[:2], -1) for c in columns]
    wl, wh = (_cast(v, dtype).reshape(-1, w.shape[3]) for v in (w.lo, w.hi))
    if max_abs(w.hi - w.lo) == 0:
        positive, negative = np.maximum(wl, 0), np.minimum(wl, 0)
        lo = columns[0] @ positive + columns[1] @ negative
        hi = columns[1] @ positive + columns[0] @ negative
    else:
        ranges = [_product_range(columns, wl[:, o], wh[:, o]) for o in range(w.shape[3])]
        lo = np.stack([low.sum(axis=-1) for low, _ in ranges], axis=-1)
        hi = np.stack([high.sum(axis=-1) for _, high in ranges], axis=-1)
    return with_bias(node, x.fraction + w.fraction, _ints(lo), _ints(hi), rest)


@infer_type.register
def _(node: ir.DepthwiseConv, operands: Sequence[TensorType]) -> TensorType:
    x, w, *rest = operands
    kernel = _kernel(node, x, w)
    dtype = _dtype(_bound(x) * _bound(w) * max(kernel[0] * kernel[1], 1))
    columns = [gather(_cast(v, dtype)[None], node, kernel)[0][..., None] for v in (x.lo, x.hi)]
    low, high = _product_range(columns, _cast(w.lo, dtype), _cast(w.hi, dtype))
    shape = (*low.shape[:2], w.shape[2] * w.shape[3])
    lo, hi = low.sum(axis=(2, 3)).reshape(shape), high.sum(axis=(2, 3)).reshape(shape)
    return with_bias(node, x.fraction + w.fraction, _ints(lo), _ints(hi), rest)


@infer_type.register
def _(node: ir.MaxPool, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    _pooled(node, x)
    fill = as_ints(x.lo).min()
    lo, hi = (gather(v[None], node, node.pool, fill)[0].max(axis=(2, 3)) for v in (as_ints(x.lo), as_ints(x.hi)))
    return TensorType(lo.shape, x.fmt, as_ints(lo), as_ints(hi))


@infer_type.register
def _(node: ir.SumPool, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    _pooled(node, x)
    bound = _bound(x) * node.pool[0] * node.pool[1]
    lo, hi = (gather(as_ints(v, bound)[None], node, node.pool)[0].sum(axis=(2, 3)) for v in (x.lo, x.hi))
    return TensorType.for_range(x.fraction, as_ints(lo), as_ints(hi))


@infer_type.register
def _(node: ir.Divide, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    positive = node.divisor.size > 0 and int(node.divisor.min()) > 0
    if not positive or np.broadcast_shapes(node.divisor.shape, x.shape) != x.shape:
        raise GraphError(
            "divisors must be positive and fit the operand",
            where=node.name,
            found=f"{node.divisor.shape} over {x.shape}, smallest {node.divisor.min() if node.divisor.size else None}",
        )
    lo, hi = (divide_round(*quotient(v, node, x.fraction), node.fmt.rounding) for v in (x.lo, x.hi))
    if node.fmt.overflow in (Overflow.WRAP, Overflow.SAT_ZERO):
        # Not monotone: a bound holds only where nothing overflows.
        fits = (lo >= node.fmt.int_min) & (hi <= node.fmt.int_max)
        lo, hi = np.where(fits, lo, node.fmt.int_min), np.where(fits, hi, node.fmt.int_max)
    else:
        lo, hi = node.fmt.wrap_or_saturate(lo), node.fmt.wrap_or_saturate(hi)
    if node.clamp is not None:
        lo, hi = np.clip(lo, *node.clamp), np.clip(hi, *node.clamp)
    return TensorType(x.shape, node.fmt, as_ints(lo), as_ints(hi))


@infer_type.register
def _(node: ir.Pad, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    if len(x.shape) != 3 or min(node.padding) < 0:
        raise GraphError(
            "padding needs a tensor (height, width, channels) and no negative number",
            where=node.name,
            found=f"{node.padding} around {x.shape}",
        )
    widths = pad_widths(node)
    lo, hi = np.pad(x.lo, widths), np.pad(x.hi, widths)
    return TensorType(lo.shape, x.fmt, lo, hi)  # every format holds 0


@infer_type.register
def _(node: ir.Upsample, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    if len(x.shape) != 3 or min(node.factors) < 1:
        raise GraphError(
            "upsampling needs a tensor (height, width, channels) and factors of at least 1",
            where=node.name,
            found=f"{node.factors} of {x.shape}",
        )
    lo, hi = (v.repeat(node.factors[0], axis=0).repeat(node.factors[1], axis=1) for v in (x.lo, x.hi))
    return TensorType(lo.shape, x.fmt, lo, hi)


def pad_widths(node: ir.Pad) -> list[tuple[int, int]]:
    """Return the rows and columns that Pad adds, one pair an axis."""
    top, bottom, left, right = node.padding
    return [(top, bottom), (left, right), (0, 0)]


def quotient(values: IntArray, node: ir.Divide, fraction: int) -> tuple[IntArray, IntArray]:
    """Return numerators and denominators of ``values / divisor`` in units of the LSB of `node.fmt`.

    Parameters
    ----------
    fraction : int
        Fractional bits of `values`.
    """
    up, down = max(node.fmt.fraction - fraction, 0), max(fraction - node.fmt.fraction, 0)
    # divide_round doubles a remainder, and adds one.
    top = (max_abs(values) << up) + 4 * (max_abs(node.divisor) << down)
    return as_ints(values, top) << up, as_ints(node.divisor, top) << down


def _kernel(node: ir.Conv | ir.DepthwiseConv, x: TensorType, w: TensorType) -> tuple[int, int]:
    """Check that x and w fit, and return the kernel's (height, width)."""
    if len(w.shape) != 4 or len(x.shape) != 3 or x.shape[2] != w.shape[2]:
        raise GraphError(
            f"{type(node).__name__} operands do not fit: x {x.shape}, weight {w.shape}",
            where=node.name,
            expected="x (height, width, channels), weight (height, width, channels, outputs)",
        )
    kernel = kernel_of(node, [x.shape, w.shape])
    window_shape(node, x.shape, kernel)
    return kernel


def _pooled(node: ir.MaxPool | ir.SumPool, x: TensorType) -> None:
    """Check that every window of a pool holds at least one element."""
    window_shape(node, x.shape, node.pool)
    if int(tap_counts(node, x.shape, node.pool).min()) < 1:
        raise GraphError("a pool's window holds padding only", where=node.name, found=str(node.padding))


def _product_range(x: list[IntArray], wl: IntArray, wh: IntArray) -> tuple[IntArray, IntArray]:
    """Return bounds of x * w, element-wise, from the bounds of both."""
    products = [a * b for a in x for b in ((wl,) if wl is wh else (wl, wh))]
    return np.minimum.reduce(products), np.maximum.reduce(products)


def _bound(t: TensorType) -> int:
    return max(max_abs(t.lo), max_abs(t.hi))


def _dtype(bound: int) -> Any:
    """Return the fastest type in which sums of magnitude `bound` are exact."""
    return np.float64 if bound < FLOAT_EXACT else np.int64 if bound < 1 << 62 else object


def _cast(values: IntArray, dtype: Any) -> IntArray:
    return np.asarray(values).astype(dtype)


def _ints(values: IntArray) -> IntArray:
    return values.astype(np.int64) if values.dtype == np.float64 else as_ints(values)
