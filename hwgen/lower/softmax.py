"""What stands at the end of a network: logits as they are, an argmax, or a softmax of literal tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hwgen.fixed import FixedPoint, IntArray, Overflow, Rounding
from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph
from hwgen.lower.builder import GraphBuilder

EXP_RANGE = 12
"""exp(-12) is below half an LSB of the table."""
EXP_FRACTION = 8
"""Finest grid of the exponential's argument."""
TABLE_FRACTION = 16
"""Fractional bits of both tables' values."""
RECIPROCAL_BITS = 12
"""The reciprocal's table has at most 2**12 entries."""
RESULT = FixedPoint(16, 1, False, Rounding.RND_CONV, Overflow.SAT)
"""Type of a probability."""


def emit_argmax(builder: GraphBuilder, logits: str) -> str:
    """Add the lowest index of the maximum over the last axis."""
    return builder.add(ir.ArgMax, f"{logits}_argmax", logits)


def exp_table(fraction: int) -> IntArray:
    """Return round(2**16 * exp(x)) for x on a grid of `fraction` bits from -12 to 0."""
    points = [math.ldexp(k, -fraction) for k in range(-(EXP_RANGE << fraction), 1)]
    return np.array([round(math.ldexp(math.exp(p), TABLE_FRACTION)) for p in points], dtype=np.int64)


def reciprocal_table(fraction: int, classes: int) -> IntArray:
    """Return round(2**16 / s) for s on a grid of `fraction` bits from 1 to `classes`."""
    points = range(1 << fraction, (classes << fraction) + 1)
    return np.array([round(math.ldexp(1.0, TABLE_FRACTION + fraction) / k) for k in points], dtype=np.int64)


def emit_softmax(builder: GraphBuilder, logits: str) -> str:
    """Add a softmax over the last axis: subtract the maximum, tabulate exp, sum, tabulate 1/s, multiply, round.

    Notes
    -----
    The steps, grids and tables are normative in ``docs/numerics.md``.
    """
    t = builder.types[logits]
    classes = t.shape[-1]
    top = builder.add(ir.ReduceMax, f"{logits}_max", logits)
    below = builder.add(ir.Sub, f"{logits}_below", logits, top)
    fraction = max(min(t.fraction, EXP_FRACTION), 0)
    low = -(EXP_RANGE << fraction)
    width = (-low - 1).bit_length() + 1
    argument = FixedPoint(width, width - fraction, True, Rounding.RND_CONV, Overflow.SAT)
    x = builder.requantize(f"{logits}_arg", below, argument, (low, 0))
    one = FixedPoint(TABLE_FRACTION + 1, 1, False)
    exp = builder.add(ir.Lookup, f"{logits}_exp", x, table=exp_table(fraction), first=low, fmt=one)
    ones = builder.const(f"{logits}_ones", np.ones((classes, 1), dtype=np.int64), 0)
    total = builder.add(ir.Dense, f"{logits}_sum", exp, ones)
    bits = max((classes - 1).bit_length(), 1)
    fine = max(RECIPROCAL_BITS - bits, 0)
    sum_fmt = FixedPoint(bits + 1 + fine, bits + 1, False, Rounding.RND_CONV, Overflow.SAT)
    rounded = builder.requantize(f"{logits}_total", total, sum_fmt, (1 << fine, classes << fine))
    table = reciprocal_table(fine, classes)
    inverse = builder.add(ir.Lookup, f"{logits}_inverse", rounded, table=table, first=1 << fine, fmt=one)
    product = builder.add(ir.Mul, f"{logits}_scaled", exp, inverse)
    return builder.requantize(f"{logits}_softmax", product, RESULT)


def softmax_error(graph: Graph, logits: str, result: str, frames: int = 1000, seed: int = 0) -> tuple[float, int]:
    """Measure a softmax against float64 on random inputs: the largest absolute error, and how many argmaxes differ."""
    rng = np.random.default_rng(seed)
    inputs: dict[str, Any] = {}
    for node in graph.inputs:
        shape = (frames, *node.shape)
        inputs[node.name] = rng.integers(node.fmt.int_min, node.fmt.int_max, shape, endpoint=True)
    trace = graph.evaluate(inputs, trace=(logits, result))
    x = graph.types[logits].fmt.to_float(trace[logits])
    exact = np.exp(x - x.max(axis=-1, keepdims=True))
    exact /= exact.sum(axis=-1, keepdims=True)
    got = RESULT.to_float(trace[result])
    flips = int((got.argmax(axis=-1) != x.argmax(axis=-1)).sum())
    return float(np.abs(got - exact).max()), flips
