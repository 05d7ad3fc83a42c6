"""Evaluation of the nodes with a window, of Divide, Pad and Upsample. Importing this registers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwgen.fixed import IntArray, as_ints, divide_round, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.evaluate import add_bias, evaluate_node
from hwgen.ir.infer_windows import pad_widths, quotient
from hwgen.ir.nodes import TensorType
from hwgen.ir.windows import gather, taps, window_shape

GATHER_BYTES = 32 << 20
"""Windows gathered at a time, at most: stays near the cache, and bounds the memory."""

Args = Sequence[IntArray]
Types = Sequence[TensorType]


@evaluate_node.register
def _(node: ir.Conv, args: Args, operands: Types, result: TensorType) -> IntArray:
    x, w, *bias = args
    kernel = (w.shape[0], w.shape[1])
    out = window_shape(node, x.shape[1:], kernel)
    flat = w.reshape(-1, w.shape[3])
    dtype = exact_dtype(operands[0], flat)
    weight = flat.astype(dtype)
    step = max(1, GATHER_BYTES // (8 * out[0] * out[1] * len(flat)))
    total = np.empty((len(x), *out, w.shape[3]), dtype=object if dtype is object else np.int64)
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        columns = gather(x[part].astype(dtype), node, kernel).reshape(-1, len(flat))
        total[part] = (columns @ weight).reshape(-1, *out, w.shape[3])
    return add_bias(total, operands[0].fraction + operands[1].fraction, bias, operands, result)


def exact_dtype(x: TensorType, weight: IntArray) -> Any:
    """Return the fastest type in which ``x @ weight`` is exact: every partial sum fits its whole numbers.

    Parameters
    ----------
    weight : shape (terms, outputs)
    """
    total = np.abs(as_ints(weight, max_abs(weight) * max(weight.shape[0], 1))).sum(axis=0)
    bound = max(max_abs(x.lo), max_abs(x.hi)) * max(max_abs(total), 1)
    for dtype, bits in ((np.float32, 24), (np.float64, 53), (np.int64, 62)):
        if bound < 1 << bits:
            return dtype
    return object


@evaluate_node.register
def _(node: ir.DepthwiseConv, args: Args, operands: Types, result: TensorType) -> IntArray:
    x, w, *bias = args
    bound = max_abs(x) * max_abs(w) * w.shape[0] * w.shape[1]
    x, w = as_ints(x, bound), as_ints(w, bound)
    out = window_shape(node, x.shape[1:], (w.shape[0], w.shape[1]))
    total = np.zeros((len(x), *out, *w.shape[2:]), dtype=np.result_type(x, w))
    for ky, kx, (oy, ox), (iy, ix) in taps(
        (x.shape[1], x.shape[2]), out, (w.shape[0], w.shape[1]), node.strides, node.padding
    ):
        total[:, oy, ox] += x[:, iy, ix, :, None] * w[ky, kx]
    total = total.reshape(len(x), *out, w.shape[2] * w.shape[3])
    return add_bias(total, operands[0].fraction + operands[1].fraction, bias, operands, result)


@evaluate_node.register
def _(node: ir.MaxPool, args: Args, operands: Types, result: TensorType) -> IntArray:
    (x,) = args
    out = window_shape(node, x.shape[1:], node.pool)
    total = np.full((len(x), *out, x.shape[3]), x.min() if x.size else 0, dtype=x.dtype)
    for _, _, (oy, ox), (iy, ix) in taps((x.shape[1], x.shape[2]), out, node.pool, node.strides, node.padding):
        total[:, oy, ox] = np.maximum(total[:, oy, ox], x[:, iy, ix])
    return total


@evaluate_node.register
def _(node: ir.SumPool, args: Args, operands: Types, result: TensorType) -> IntArray:
    x = as_ints(args[0], max_abs(args[0]) * node.pool[0] * node.pool[1])
    out = window_shape(node, x.shape[1:], node.pool)
    total = np.zeros((len(x), *out, x.shape[3]), dtype=x.dtype)
    for _, _, (oy, ox), (iy, ix) in taps((x.shape[1], x.shape[2]), out, node.pool, node.strides, node.padding):
        total[:, oy, ox] += x[:, iy, ix]
    return total


@evaluate_node.register
def _(node: ir.Divide, args: Args, operands: Types, result: TensorType) -> IntArray:
    rounded = divide_round(*quotient(args[0], node, operands[0].fraction), node.fmt.rounding)
    y = node.fmt.wrap_or_saturate(rounded)
    return y if node.clamp is None else np.clip(y, *node.clamp)


@evaluate_node.register
def _(node: ir.Pad, args: Args, operands: Types, result: TensorType) -> IntArray:
    return np.pad(args[0], [(0, 0), *pad_widths(node)])


@evaluate_node.register
def _(node: ir.Upsample, args: Args, operands: Types, result: TensorType) -> IntArray:
    return args[0].repeat(node.factors[0], axis=1).repeat(node.factors[1], axis=2)
