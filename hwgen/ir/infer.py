"""Types of every edge by interval arithmetic over the actual weights: shape, binary point, proven range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import FixedPoint, IntArray, Overflow, as_ints, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.nodes import TensorType


def align(types: Sequence[TensorType]) -> tuple[int, list[int]]:
    """Return the finest binary point of `types` and the left shift that brings each operand to it."""
    fraction = max(t.fraction for t in types)
    return fraction, [fraction - t.fraction for t in types]


@singledispatch
def infer_type(node: ir.Node, operands: Sequence[TensorType]) -> TensorType:
    """Return the type of `node`'s result.

    Parameters
    ----------
    operands : types of ``node.inputs``, in order

    Raises
    ------
    GraphError
        If the operands do not fit the node.
    """
    raise GraphError(f"no type rule for {type(node).__name__}", where=node.name)


@infer_type.register
def _(node: ir.Input, operands: Sequence[TensorType]) -> TensorType:
    if node.lo is not None and node.hi is not None:
        return TensorType(node.shape, node.fmt, as_ints(node.lo), as_ints(node.hi))
    return TensorType.full(node.shape, node.fmt)


@infer_type.register
def _(node: ir.Const, operands: Sequence[TensorType]) -> TensorType:
    value = as_ints(node.value)
    return TensorType.for_range(node.fraction, value, value)


@infer_type.register
def _(node: ir.Dense, operands: Sequence[TensorType]) -> TensorType:
    x, w, *rest = operands
    if len(w.shape) != 2 or not x.shape or x.shape[-1] != w.shape[0]:
        raise GraphError(f"Dense operands do not fit: x {x.shape}, weight {w.shape}", where=node.name)
    bound = max(max_abs(x.lo), max_abs(x.hi)) * max(max_abs(w.lo), max_abs(w.hi)) * max(w.shape[0], 1)
    xl, xh, wl, wh = (as_ints(v, bound) for v in (x.lo, x.hi, w.lo, w.hi))
    if max_abs(wh - wl) == 0:
        positive, negative = np.maximum(wl, 0), np.minimum(wl, 0)
        lo = xl @ positive + xh @ negative
        hi = xh @ positive + xl @ negative
    else:
        products = [a[..., :, None] * b for a in (xl, xh) for b in (wl, wh)]
        lo = np.minimum.reduce(products).sum(axis=-2)
        hi = np.maximum.reduce(products).sum(axis=-2)
    return with_bias(node, x.fraction + w.fraction, lo, hi, rest)


@infer_type.register
def _(node: ir.Scale, operands: Sequence[TensorType]) -> TensorType:
    x, s, *rest = operands
    lo, hi = _corners(lambda a, b: a * b, x, s)
    if lo.shape != x.shape:
        raise GraphError(f"Scale operands do not fit: x {x.shape}, scale {s.shape}", where=node.name)
    return with_bias(node, x.fraction + s.fraction, lo, hi, rest)


def with_bias(node: ir.Node, fraction: int, lo: IntArray, hi: IntArray, rest: Sequence[TensorType]) -> TensorType:
    """Return the type of the range ``lo..hi`` at `fraction`, with the optional bias operand added."""
    if not rest:
        return TensorType.for_range(fraction, as_ints(lo), as_ints(hi))
    bias = rest[0]
    if bias.shape and bias.shape[-1] not in (1, lo.shape[-1]):
        raise GraphError(f"bias {bias.shape} does not fit {lo.shape}", where=node.name)
    product = TensorType.for_range(fraction, as_ints(lo), as_ints(hi))
    top, (up, bias_up) = align([product, bias])
    low = _shl(product.lo, up) + _shl(bias.lo, bias_up)
    high = _shl(product.hi, up) + _shl(bias.hi, bias_up)
    return TensorType.for_range(top, as_ints(low), as_ints(high))


@infer_type.register
def _(node: ir.Requantize, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    fmt = node.fmt
    if fmt.overflow in (Overflow.WRAP, Overflow.SAT_ZERO):
        # Not monotone: a bound holds only where nothing overflows.
        rounded_lo, rounded_hi = _rounded(x, fmt)
        fits = (rounded_lo >= fmt.int_min) & (rounded_hi <= fmt.int_max)
        lo = np.where(fits, rounded_lo, fmt.int_min)
        hi = np.where(fits, rounded_hi, fmt.int_max)
    else:
        lo, hi = fmt.requantize(x.lo, x.fraction), fmt.requantize(x.hi, x.fraction)
    if node.clamp is not None:
        lo, hi = np.clip(lo, *node.clamp), np.clip(hi, *node.clamp)
    return TensorType(x.shape, fmt, as_ints(lo), as_ints(hi))


def _rounded(x: TensorType, fmt: FixedPoint) -> tuple[IntArray, IntArray]:
    from hwgen.fixed import shift_round

    shift = x.fraction - fmt.fraction
    return shift_round(x.lo, shift, fmt.rounding), shift_round(x.hi, shift, fmt.rounding)


@infer_type.register
def _(node: ir.Lookup, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    last = node.first + len(node.table) - 1
    if int(x.lo.min()) < node.first or int(x.hi.max()) > last:
        raise GraphError(
            f"the table covers {node.first}..{last}, its operand takes {x.lo.min()}..{x.hi.max()}", where=node.name
        )
    spans = np.stack([(v - node.first).astype(np.int64).ravel() for v in (x.lo, x.hi)])
    kinds, which = np.unique(spans, axis=1, return_inverse=True)
    parts = [node.table[first : last + 1] for first, last in kinds.T]
    lo, hi = (np.array([int(f(part)) for part in parts], dtype=np.int64)[which.ravel()] for f in (np.min, np.max))
    return TensorType(x.shape, node.fmt, lo.reshape(x.shape), hi.reshape(x.shape))


@infer_type.register
def _(node: ir.Add, operands: Sequence[TensorType]) -> TensorType:
    fraction, a, b = _aligned(operands)
    return TensorType.for_range(fraction, as_ints(a.lo + b.lo), as_ints(a.hi + b.hi))


@infer_type.register
def _(node: ir.Sub, operands: Sequence[TensorType]) -> TensorType:
    fraction, a, b = _aligned(operands)
    return TensorType.for_range(fraction, as_ints(a.lo - b.hi), as_ints(a.hi - b.lo))


@infer_type.register
def _(node: ir.Mul, operands: Sequence[TensorType]) -> TensorType:
    a, b = operands
    lo, hi = _corners(lambda p, q: p * q, a, b)
    return TensorType.for_range(a.fraction + b.fraction, lo, hi)


@infer_type.register
def _(node: ir.Max, operands: Sequence[TensorType]) -> TensorType:
    fraction, a, b = _aligned(operands)
    return TensorType.for_range(fraction, np.maximum(a.lo, b.lo), np.maximum(a.hi, b.hi))


@infer_type.register
def _(node: ir.Min, operands: Sequence[TensorType]) -> TensorType:
    fraction, a, b = _aligned(operands)
    return TensorType.for_range(fraction, np.minimum(a.lo, b.lo), np.minimum(a.hi, b.hi))


@infer_type.register
def _(node: ir.ReduceMax, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    return TensorType.for_range(x.fraction, x.lo.max(axis=-1, keepdims=True), x.hi.max(axis=-1, keepdims=True))


@infer_type.register
def _(node: ir.ArgMax, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    shape = (*x.shape[:-1], 1)
    return TensorType.for_range(0, np.zeros(shape, np.int64), np.full(shape, x.shape[-1] - 1, np.int64))


@infer_type.register
def _(node: ir.Concat, operands: Sequence[TensorType]) -> TensorType:
    fraction, shifts = align(operands)
    lo = np.concatenate([_shl(t.lo, s) for t, s in zip(operands, shifts, strict=True)], axis=node.axis)
    hi = np.concatenate([_shl(t.hi, s) for t, s in zip(operands, shifts, strict=True)], axis=node.axis)
    return TensorType.for_range(fraction, lo, hi)


@infer_type.register
def _(node: ir.Reshape, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    if x.size != int(np.prod(node.shape, dtype=np.int64)):
        raise GraphError(f"cannot reshape {x.shape} to {node.shape}", where=node.name)
    return TensorType(node.shape, x.fmt, x.lo.reshape(node.shape), x.hi.reshape(node.shape))


@infer_type.register
def _(node: ir.Transpose, operands: Sequence[TensorType]) -> TensorType:
    (x,) = operands
    if sorted(node.perm) != list(range(len(x.shape))):
        raise GraphError(f"{node.perm} does not permute the axes of {x.shape}", where=node.name)
    shape = tuple(x.shape[axis] for axis in node.perm)
    return TensorType(shape, x.fmt, x.lo.transpose(node.perm), x.hi.transpose(node.perm))


@infer_type.register
def _(node: ir.Output, operands: Sequence[TensorType]) -> TensorType:
    return operands[0]


def _shl(values: IntArray, shift: int) -> IntArray:
    return as_ints(values, max_abs(values) << shift) << shift


def _aligned(operands: Sequence[TensorType]) -> tuple[int, TensorType, TensorType]:
    """Return two operands broadcast to one shape at one binary point."""
    fraction, shifts = align(operands)
    shape = np.broadcast_shapes(*(t.shape for t in operands))
    moved = []
    for t, shift in zip(operands, shifts, strict=True):
        bound = (max(max_abs(t.lo), max_abs(t.hi)) << shift) * 4
        lo, hi = as_ints(t.lo, bound) << shift, as_ints(t.hi, bound) << shift
        moved.append(TensorType.for_range(fraction, np.broadcast_to(lo, shape), np.broadcast_to(hi, shape)))
    return fraction, moved[0], moved[1]


def _corners(op: Callable[[Any, Any], Any], a: TensorType, b: TensorType) -> tuple[IntArray, IntArray]:
    """Return the range of a bilinear `op` from the four corners of its operands' ranges."""
    bound = max(max_abs(a.lo), max_abs(a.hi)) * max(max_abs(b.lo), max_abs(b.hi))
    corners = [op(as_ints(p, bound), as_ints(q, bound)) for p in (a.lo, a.hi) for q in (b.lo, b.hi)]
    return as_ints(np.minimum.reduce(corners)), as_ints(np.maximum.reduce(corners))
