"""What each node kind becomes in the scalar program: one function a kind."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import Overflow, Rounding, shift_round
from hwgen.ir import nodes as ir
from hwgen.ir.infer import align
from hwgen.rtl.elaboration import Elaboration, at_shift, rounding_constant
from hwgen.rtl.matvec import add_offset, constant_matvec
from hwgen.rtl.wires import Multiply, Round, Select, Source, Table, Term


@singledispatch
def lower_node(node: ir.Node, state: Elaboration) -> object:
    """Return the terms of `node`'s result, in its shape; operations go to ``state.program``.

    Raises
    ------
    GraphError
        If the kind has no lowering.
    """
    raise GraphError(f"no unrolled hardware for {type(node).__name__}", where=node.name)


@lower_node.register
def _(node: ir.Input, state: Elaboration) -> object:
    lo_hi = state.bound(node.name)
    return [
        Term(state.program.add(Source(lo=lo, hi=hi, group="", tensor=node.name, index=i)))
        for i, (lo, hi) in enumerate(lo_hi)
    ]


@lower_node.register
def _(node: ir.Dense, state: Elaboration) -> object:
    x_name, w_name, *bias = node.inputs
    weight = state.graph.by_name[w_name]
    if not isinstance(weight, ir.Const):
        return _live_matmul(node, state)
    types = state.graph.types
    fraction = types[node.name].fraction
    up = fraction - types[x_name].fraction - weight.fraction
    kernel = weight.value.astype(object) << up
    constants = np.zeros(kernel.shape[1], dtype=object)
    if bias:
        b = state.graph.by_name[bias[0]]
        assert isinstance(b, ir.Const)
        constants = constants + np.broadcast_to(b.value.astype(object) << (fraction - b.fraction), constants.shape)
    half = rounding_constant(node.name, state)
    rows = state.terms(x_name).reshape(-1, kernel.shape[0])
    bounds = state.bound(node.name)
    n_out = kernel.shape[1]
    result: list[Term] = []
    for r, row in enumerate(rows):
        result += constant_matvec(
            node.name, list(row), kernel, list(constants), half, bounds[r * n_out : (r + 1) * n_out], state
        )
    return result


def _live_matmul(node: ir.Dense, state: Elaboration) -> object:
    raise GraphError(
        "a Dense with two live operands has no unrolled hardware yet",
        where=node.name,
        hint="constant weights only, in this version",
    )


@lower_node.register
def _(node: ir.Scale, state: Elaboration) -> object:
    types = state.graph.types
    x_name, s_name, *bias = node.inputs
    scale = state.graph.by_name[s_name]
    assert isinstance(scale, ir.Const)
    x = state.terms(x_name)
    fraction = types[node.name].fraction
    up = fraction - types[x_name].fraction - scale.fraction
    factors = np.broadcast_to(scale.value.astype(object) << up, x.shape).ravel()
    constants = np.zeros(x.shape, dtype=object)
    if bias:
        b = state.graph.by_name[bias[0]]
        assert isinstance(b, ir.Const)
        constants = np.broadcast_to(b.value.astype(object) << (fraction - b.fraction), x.shape)
    half = rounding_constant(node.name, state)
    bounds = state.bound(node.name)
    result: list[Term] = []
    for k, term in enumerate(x.ravel()):
        kernel = np.array([[int(factors[k])]], dtype=object)
        result += constant_matvec(node.name, [term], kernel, [constants.ravel()[k]], half, [bounds[k]], state)
    return result


@lower_node.register
def _(node: ir.Requantize, state: Elaboration) -> object:
    x_name = node.inputs[0]
    shift = state.graph.types[x_name].fraction - node.fmt.fraction
    same_group = state.groups.get(x_name) == state.groups[node.name]
    terms = state.program.tensors[x_name] if same_group else list(state.terms(x_name).ravel())
    return [
        requantize_term(node, term, shift, bound, state)
        for term, bound in zip(terms, state.bound(node.name), strict=True)
    ]


def requantize_term(
    node: ir.Requantize | ir.Divide, term: Term, shift: int, bound: tuple[int, int], state: Elaboration
) -> Term:
    """Round, saturate and clamp one element; nothing is emitted where nothing can change."""
    program, group, fmt = state.program, state.groups[node.name], node.fmt
    op = program.ops[term.wire]
    down = shift - term.shift
    lo, hi = bound
    if lo == hi:
        return Term(program.literal(lo, group))
    clamp = node.clamp or (fmt.int_min, fmt.int_max)
    clamp = (max(clamp[0], fmt.int_min), min(clamp[1], fmt.int_max))
    if down <= 0:
        assert term.offset == 0
        inside = fmt.holds(op.lo << -down, op.hi << -down) and clamp[0] <= op.lo << -down <= op.hi << -down <= clamp[1]
        if inside:
            return Term(term.wire, -down)
    wraps = fmt.overflow is Overflow.WRAP and not fmt.holds(*_rounded_ends(op.lo, op.hi, down, term, fmt.rounding))
    wire = program.add(
        Round(
            lo=lo,
            hi=hi,
            group=group,
            a=term.wire,
            shift=down,
            rounding=fmt.rounding,
            half_added=term.offset != 0,
            wrap_width=fmt.width if wraps else 0,
            wrap_signed=fmt.signed,
            zero_outside=fmt.overflow is Overflow.SAT_ZERO,
            clamp_lo=clamp[0],
            clamp_hi=clamp[1],
        )
    )
    return Term(wire)


def _rounded_ends(lo: int, hi: int, down: int, term: Term, rounding: Rounding) -> tuple[int, int]:
    half = (term.offset >> term.shift) if term.offset else 0
    ends = shift_round(np.array([lo - half, hi - half], dtype=object), down, rounding)
    return int(ends[0]), int(ends[1])


@lower_node.register
def _(node: ir.Lookup, state: Elaboration) -> object:
    program, group = state.program, state.groups[node.name]
    same_group = state.groups.get(node.inputs[0]) == group
    terms = state.program.tensors[node.inputs[0]] if same_group else list(state.terms(node.inputs[0]).ravel())
    program.tables[node.name] = node.table
    result = []
    for term, (lo, hi) in zip(terms, state.bound(node.name), strict=True):
        if lo == hi:
            result.append(Term(program.literal(lo, group)))
            continue
        plain = at_shift(term, 0, state, group)
        table = Table(lo=lo, hi=hi, group=group, a=plain.wire, name=node.name, first=node.first)
        result.append(Term(program.add(table)))
    return result


def _pairs(node: ir.Elementwise, state: Elaboration) -> list[tuple[Term, Term]]:
    """Return both operands' terms, broadcast, at the common binary point."""
    types = [state.graph.types[o] for o in node.inputs]
    shape = np.broadcast_shapes(*(t.shape for t in types))
    _, shifts = (0, [0, 0]) if isinstance(node, ir.Mul) else align(types)
    columns = []
    for operand, shift in zip(node.inputs, shifts, strict=True):
        other = state.graph.by_name[operand]
        if isinstance(other, ir.Const):
            group = state.groups[node.name]
            terms = np.empty(other.value.size, dtype=object)
            terms[:] = [Term(state.program.literal(int(v), group)) for v in other.value.ravel()]
            terms = terms.reshape(other.value.shape)
        else:
            terms = state.terms(operand)
        columns.append([state.shifted(t, shift) for t in np.broadcast_to(terms, shape).ravel()])
    return list(zip(columns[0], columns[1], strict=True))


def _lower_sum(node: ir.Elementwise, state: Elaboration, subtract: bool) -> object:
    group, bounds = state.groups[node.name], state.bound(node.name)
    half = rounding_constant(node.name, state)
    result = []
    for (a, b), (lo, hi) in zip(_pairs(node, state), bounds, strict=True):
        total = state.program.add_sub(a, b, subtract, group, (lo, hi))
        result.append(add_offset(total, 0, half, False, (lo, hi), state, group))
    return result


@lower_node.register
def _(node: ir.Add, state: Elaboration) -> object:
    return _lower_sum(node, state, subtract=False)


@lower_node.register
def _(node: ir.Sub, state: Elaboration) -> object:
    return _lower_sum(node, state, subtract=True)


@lower_node.register
def _(node: ir.Mul, state: Elaboration) -> object:
    program, group = state.program, state.groups[node.name]
    result = []
    for (a, b), (lo, hi) in zip(_pairs(node, state), state.bound(node.name), strict=True):
        shift = a.shift + b.shift
        wire = program.add(Multiply(lo=lo >> shift, hi=hi >> shift, group=group, a=a.wire, b=b.wire))
        result.append(Term(wire, shift))
    return result


def select(a: Term, b: Term, then: Term, other: Term, bound: tuple[int, int], state: Elaboration, group: str) -> Term:
    """Return ``a >= b ? then : other``."""
    common = min(a.shift, b.shift)
    low = min(then.shift, other.shift)
    wire = state.program.add(
        Select(
            lo=bound[0] >> low,
            hi=bound[1] >> low,
            group=group,
            a=a.wire,
            b=b.wire,
            shift_a=a.shift - common,
            shift_b=b.shift - common,
            then=then.wire,
            other=other.wire,
            shift_then=then.shift - low,
            shift_other=other.shift - low,
        )
    )
    return Term(wire, low)


def _term_range(term: Term, state: Elaboration) -> tuple[int, int]:
    op = state.program.ops[term.wire]
    return op.lo << term.shift, op.hi << term.shift


def larger(a: Term, b: Term, state: Elaboration, group: str) -> Term:
    """Return the larger of two terms."""
    (al, ah), (bl, bh) = _term_range(a, state), _term_range(b, state)
    return select(a, b, a, b, (max(al, bl), max(ah, bh)), state, group)


@lower_node.register
def _(node: ir.Max, state: Elaboration) -> object:
    group = state.groups[node.name]
    return [larger(a, b, state, group) for a, b in _pairs(node, state)]


@lower_node.register
def _(node: ir.Min, state: Elaboration) -> object:
    group, bounds = state.groups[node.name], state.bound(node.name)
    return [select(a, b, b, a, bd, state, group) for (a, b), bd in zip(_pairs(node, state), bounds, strict=True)]


@lower_node.register
def _(node: ir.ReduceMax, state: Elaboration) -> object:
    group = state.groups[node.name]
    rows = state.terms(node.inputs[0])
    result = []
    for row in rows.reshape(-1, rows.shape[-1]):
        level = list(row)
        while len(level) > 1:
            merged = [larger(level[k], level[k + 1], state, group) for k in range(0, len(level) - 1, 2)]
            level = merged + level[len(level) - len(level) % 2 :]
        result.append(level[0])
    return result


@lower_node.register
def _(node: ir.ArgMax, state: Elaboration) -> object:
    program, group = state.program, state.groups[node.name]
    rows = state.terms(node.inputs[0])
    result = []
    for row in rows.reshape(-1, rows.shape[-1]):
        # The left operand always has the lower indices, so `>=` keeps the lowest index on a tie.
        level = [(t, Term(program.literal(i, group)), (i, i)) for i, t in enumerate(row)]
        while len(level) > 1:
            merged = []
            for (a, ia, ra), (b, ib, rb) in zip(level[0::2], level[1::2], strict=False):
                span = (min(ra[0], rb[0]), max(ra[1], rb[1]))
                merged.append((larger(a, b, state, group), select(a, b, ia, ib, span, state, group), span))
            level = merged + level[len(level) - len(level) % 2 :]
        result.append(level[0][1])
    return result


@lower_node.register
def _(node: ir.Reshape, state: Elaboration) -> object:
    return state.terms(node.inputs[0])


@lower_node.register
def _(node: ir.Output, state: Elaboration) -> object:
    return state.terms(node.inputs[0])


@lower_node.register
def _(node: ir.Transpose, state: Elaboration) -> object:
    return state.terms(node.inputs[0]).transpose(node.perm)


@lower_node.register
def _(node: ir.Concat, state: Elaboration) -> object:
    _, shifts = align([state.graph.types[o] for o in node.inputs])
    parts = []
    for operand, shift in zip(node.inputs, shifts, strict=True):
        terms = state.terms(operand)
        moved = np.empty(terms.shape, dtype=object)
        moved.ravel()[:] = [state.shifted(t, shift) for t in terms.ravel()]
        parts.append(moved)
    return np.concatenate(parts, axis=node.axis)
