"""The reference: every node computed on integers, batch first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import IntArray, as_ints, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.infer import align
from hwgen.ir.nodes import TensorType

BLAS_EXACT_BITS = 53
"""Below 2**53 every sum of integers is exact in float64, so BLAS may compute it."""


@singledispatch
def evaluate_node(
    node: ir.Node, args: Sequence[IntArray], operands: Sequence[TensorType], result: TensorType
) -> IntArray:
    """Return `node`'s integers for a batch.

    Parameters
    ----------
    args : integers of the operands, each (frames, \\*shape); constants come without the frame axis
    operands, result : the types inferred for them
    """
    raise GraphError(f"no evaluation rule for {type(node).__name__}", where=node.name)


@evaluate_node.register
def _(node: ir.Const, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    return as_ints(node.value)


@evaluate_node.register
def _(node: ir.Dense, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    x, w, *bias = args
    tx, tw = operands[:2]
    bound = max(max_abs(tx.lo), max_abs(tx.hi)) * max(max_abs(tw.lo), max_abs(tw.hi)) * max(tw.shape[0], 1)
    if bound < 1 << BLAS_EXACT_BITS:
        total = np.rint(x.astype(np.float64) @ w.astype(np.float64)).astype(np.int64)
    else:
        total = as_ints(x, bound) @ as_ints(w, bound)
    return add_bias(total, tx.fraction + tw.fraction, bias, operands, result)


@evaluate_node.register
def _(node: ir.Scale, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    x, s, *bias = args
    bound = max_abs(x) * max_abs(s)
    total = as_ints(x, bound) * as_ints(s, bound)
    return add_bias(total, operands[0].fraction + operands[1].fraction, bias, operands, result)


def add_bias(total, fraction, bias, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    """Return `total`, of `fraction` fractional bits, at the result's binary point, with the optional bias added."""
    total = as_ints(total, (max_abs(total) << (result.fraction - fraction)) * 4)
    total = total << (result.fraction - fraction) if result.fraction > fraction else total
    if not bias:
        return total
    shift = result.fraction - operands[2].fraction
    return as_ints(total + (as_ints(bias[0], max_abs(bias[0]) << shift) << shift))


@evaluate_node.register
def _(node: ir.Requantize, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    y = node.fmt.requantize(args[0], operands[0].fraction)
    return y if node.clamp is None else np.clip(y, *node.clamp)


@evaluate_node.register
def _(node: ir.Lookup, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    return node.table[(args[0] - node.first).astype(np.int64)]


def _align_args(args, operands) -> list[IntArray]:  # type: ignore[no-untyped-def]
    _, shifts = align(operands)
    return [as_ints(a, (max_abs(a) << s) * 4) << s for a, s in zip(args, shifts, strict=True)]


@evaluate_node.register
def _(node: ir.Add, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    a, b = _align_args(args, operands)
    return as_ints(a + b)


@evaluate_node.register
def _(node: ir.Sub, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    a, b = _align_args(args, operands)
    return as_ints(a - b)


@evaluate_node.register
def _(node: ir.Mul, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    a, b = args
    bound = max_abs(a) * max_abs(b)
    return as_ints(as_ints(a, bound) * as_ints(b, bound))


@evaluate_node.register
def _(node: ir.Max, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    a, b = _align_args(args, operands)
    return np.maximum(a, b)


@evaluate_node.register
def _(node: ir.Min, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    a, b = _align_args(args, operands)
    return np.minimum(a, b)


@evaluate_node.register
def _(node: ir.ReduceMax, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    return args[0].max(axis=-1, keepdims=True)


@evaluate_node.register
def _(node: ir.ArgMax, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    return args[0].argmax(axis=-1, keepdims=True).astype(np.int64)


@evaluate_node.register
def _(node: ir.Concat, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    axis = node.axis if node.axis < 0 else node.axis + 1
    return np.concatenate(_align_args(args, operands), axis=axis)


@evaluate_node.register
def _(node: ir.Reshape, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    return args[0].reshape(len(args[0]), *node.shape)


@evaluate_node.register
def _(node: ir.Transpose, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    return args[0].transpose(0, *(axis + 1 for axis in node.perm))


@evaluate_node.register
def _(node: ir.Output, args, operands, result) -> IntArray:  # type: ignore[no-untyped-def]
    return args[0]
