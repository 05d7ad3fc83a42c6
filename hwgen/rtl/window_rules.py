"""What nodes with a window, Divide, Pad and Upsample become in the scalar program. Importing this registers them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.ir import nodes as ir
from hwgen.ir.reciprocal import FIRST_ROUNDING, reciprocal
from hwgen.ir.windows import taps, window_shape
from hwgen.rtl.adder_graph import FLOAT32_EXACT
from hwgen.rtl.elaboration import Elaboration, Terms, rounding_constant
from hwgen.rtl.matvec import add_offset, constant_matvec, sum_tree
from hwgen.rtl.rules import larger, lower_node, requantize_term
from hwgen.rtl.wires import MulConst, Round, Term

Windows = dict[tuple[int, int], list[tuple[int, int, Terms]]]
"""For each place of the result, the taps (ky, kx) inside the picture and their channels' terms."""


def _windows(node: ir.Window, kernel: tuple[int, int], state: Elaboration) -> tuple[Windows, tuple[int, int]]:
    x = state.terms(node.inputs[0])
    out = window_shape(node, x.shape, kernel)
    windows: Windows = {place: [] for place in np.ndindex(*out)}
    indices = np.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2])
    flat = x.reshape(-1, x.shape[2])
    for ky, kx, (oy, ox), (iy, ix) in taps((x.shape[0], x.shape[1]), out, kernel, node.strides, node.padding):
        rows, columns = range(oy.start, oy.stop), range(ox.start, ox.stop)
        for row, line in zip(rows, indices[iy, ix], strict=True):
            for column, index in zip(columns, line, strict=True):
                windows[row, column].append((ky, kx, flat[index]))
    return windows, out


def _constants(node: ir.Node, columns: int, state: Elaboration) -> list[int]:
    """Return the bias at the result's binary point."""
    fraction = state.graph.types[node.name].fraction
    constants = np.zeros(columns, dtype=object)
    if len(node.inputs) > 2:
        bias = state.graph.by_name[node.inputs[2]]
        assert isinstance(bias, ir.Const)
        constants = constants + np.broadcast_to(bias.value.astype(object) << (fraction - bias.fraction), columns)
    return [int(c) for c in constants]


def _kernel(node: ir.Node, state: Elaboration) -> np.ndarray[Any, Any]:
    """Return the weights at the result's binary point."""
    types = state.graph.types
    weight = state.graph.by_name[node.inputs[1]]
    assert isinstance(weight, ir.Const)
    up = types[node.name].fraction - types[node.inputs[0]].fraction - weight.fraction
    return np.asarray(weight.value.astype(object) << up)


def _ranges(x: Terms, state: Elaboration) -> list[tuple[int, int]]:
    """Return a range of every channel that holds at all places: equal problems have one solution."""
    ops = state.program.ops
    columns = x.reshape(-1, x.shape[2]).T
    return [(min(ops[t.wire].lo for t in c), max(ops[t.wire].hi for t in c)) for c in columns]


@lower_node.register
def _(node: ir.Conv, state: Elaboration) -> object:
    kernel = _kernel(node, state)
    windows, _ = _windows(node, (kernel.shape[0], kernel.shape[1]), state)
    constants, half = _constants(node, kernel.shape[3], state), rounding_constant(node.name, state)
    bounds, ranges = state.bound(node.name), _ranges(state.terms(node.inputs[0]), state)
    result: list[Term] = []
    for place, window in enumerate(windows.values()):
        x = [term for _, _, channels in window for term in channels]
        rows = [kernel[ky, kx] for ky, kx, _ in window]
        matrix = np.concatenate(rows) if rows else np.zeros((0, kernel.shape[3]), dtype=object)
        span = slice(place * kernel.shape[3], (place + 1) * kernel.shape[3])
        known = ranges * len(window)
        result += constant_matvec(node.name, x, matrix, constants, half, bounds[span], state, known)
    return result


@lower_node.register
def _(node: ir.DepthwiseConv, state: Elaboration) -> object:
    kernel = _kernel(node, state)
    depth = kernel.shape[3]
    windows, _ = _windows(node, (kernel.shape[0], kernel.shape[1]), state)
    constants, half = _constants(node, kernel.shape[2] * depth, state), rounding_constant(node.name, state)
    bounds, ranges = state.bound(node.name), _ranges(state.terms(node.inputs[0]), state)
    result: list[Term] = []
    for place, window in enumerate(windows.values()):
        for c in range(kernel.shape[2]):
            x = [channels[c] for _, _, channels in window]
            rows = [kernel[ky, kx, c] for ky, kx, _ in window]
            matrix = np.stack(rows) if rows else np.zeros((0, depth), dtype=object)
            first = (place * kernel.shape[2] + c) * depth
            result += constant_matvec(
                node.name,
                x,
                matrix,
                constants[c * depth : (c + 1) * depth],
                half,
                bounds[first : first + depth],
                state,
                [ranges[c]] * len(window),
            )
    return result


@lower_node.register
def _(node: ir.MaxPool, state: Elaboration) -> object:
    group, channels = state.groups[node.name], state.graph.types[node.name].shape[2]
    windows, _ = _windows(node, node.pool, state)
    result = []
    for window in windows.values():
        for c in range(channels):
            level = [terms[c] for _, _, terms in window]
            while len(level) > 1:
                merged = [larger(level[k], level[k + 1], state, group) for k in range(0, len(level) - 1, 2)]
                level = merged + level[len(level) - len(level) % 2 :]
            result.append(level[0])
    return result


@lower_node.register
def _(node: ir.SumPool, state: Elaboration) -> object:
    group, channels = state.groups[node.name], state.graph.types[node.name].shape[2]
    half, bounds = rounding_constant(node.name, state), iter(state.bound(node.name))
    windows, _ = _windows(node, node.pool, state)
    result = []
    for window in windows.values():
        for c in range(channels):
            bound = next(bounds)
            total = sum_tree([terms[c] for _, _, terms in window], state, group)
            assert total is not None
            result.append(add_offset(total, 0, half, False, bound, state, group))
    return result


@lower_node.register
def _(node: ir.Divide, state: Elaboration) -> object:
    terms = state.terms(node.inputs[0])
    up = node.fmt.fraction - state.graph.types[node.inputs[0]].fraction
    divisors = np.broadcast_to(node.divisor, terms.shape).ravel()
    return [
        _quotient(node, term, int(divisor), up, bound, state)
        for term, divisor, bound in zip(terms.ravel(), divisors, state.bound(node.name), strict=True)
    ]


def _quotient(node: ir.Divide, term: Term, divisor: int, up: int, bound: tuple[int, int], state: Elaboration) -> Term:
    """Return one element divided: a product by the reciprocal, rounded to its guard bits, then as a requantizer."""
    program, group = state.program, state.groups[node.name]
    op = program.ops[term.wire]
    if bound[0] == bound[1]:
        return Term(program.literal(bound[0], group))
    exact = reciprocal(divisor, up, op.lo << term.shift, op.hi << term.shift)
    ends = [(end << term.shift) * exact.multiplier for end in (op.lo, op.hi)]
    half = (1 << exact.shift) >> 1
    product = _times(node, term, exact.multiplier, half, (ends[0], ends[1]), state)
    if exact.shift:
        down = exact.shift - product.shift
        ends = [(end + half) >> exact.shift for end in ends]
        whole = Round(
            lo=ends[0],
            hi=ends[1],
            group=group,
            a=product.wire,
            shift=down,
            rounding=FIRST_ROUNDING,
            half_added=True,
            clamp_lo=ends[0],
            clamp_hi=ends[1],
        )
        product = Term(program.add(whole))
    return requantize_term(node, product, exact.guard, bound, state)


def _times(node: ir.Divide, term: Term, factor: int, half: int, bound: tuple[int, int], state: Elaboration) -> Term:
    """Return ``term * factor`` (with `half` added as an offset): adders, or a multiplier for a very wide factor."""
    if factor < FLOAT32_EXACT:
        return constant_matvec(node.name, [term], np.array([[factor]], dtype=object), [0], half, [bound], state)[0]
    op, group = state.program.ops[term.wire], state.groups[node.name]
    wire = state.program.add(MulConst(lo=op.lo * factor, hi=op.hi * factor, group=group, a=term.wire, const=factor))
    return add_offset(Term(wire, term.shift), 0, half, False, bound, state, group)


@lower_node.register
def _(node: ir.Pad, state: Elaboration) -> object:
    x = state.terms(node.inputs[0])
    top, _, left, _ = node.padding
    result = np.empty(state.graph.types[node.name].shape, dtype=object)
    result.ravel()[:] = [Term(state.program.literal(0, ""))] * result.size
    result[top : top + x.shape[0], left : left + x.shape[1]] = x
    return result


@lower_node.register
def _(node: ir.Upsample, state: Elaboration) -> object:
    return state.terms(node.inputs[0]).repeat(node.factors[0], axis=0).repeat(node.factors[1], axis=1)
