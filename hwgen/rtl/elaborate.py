"""From a `Graph` to the scalar `Program`: what each node kind becomes, one function a kind.

A *group* is one SystemVerilog module: a node that computes, with the re-quantizers and tables that follow it
alone. Wiring (Reshape, Transpose, Concat, Output) costs nothing and belongs to no group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import Overflow, Rounding
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.ir.infer import align
from hwgen.rtl.adder_graph import solve
from hwgen.rtl.wires import Align, Literal, MulConst, Multiply, Program, Round, Select, Source, Table, Term

WIRING = (ir.Reshape, ir.Transpose, ir.Concat, ir.Output)
FOLLOWERS = (ir.Requantize, ir.Lookup)


@dataclass
class Elaboration:
    """What the node functions share: the graph, the program being built, and the choices."""

    graph: Graph
    program: Program
    groups: dict[str, str]
    strategy: Callable[[str], str]
    cache: Path | None = None
    hard_dc: int = -1

    def terms(self, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return a tensor's terms in its shape, as its consumers see them."""
        source = self.program.aligned.get(name) or self.program.tensors[name]
        array = np.empty(len(source), dtype=object)
        array[:] = source
        return array.reshape(self.graph.types[name].shape if shape is None else shape)

    def bound(self, name: str) -> list[tuple[int, int]]:
        """Return the proven range of every element of `name`, flat."""
        t = self.graph.types[name]
        return [(int(lo), int(hi)) for lo, hi in zip(t.lo.ravel(), t.hi.ravel(), strict=True)]

    def shifted(self, term: Term, shift: int) -> Term:
        """Return the term multiplied by ``2**shift``."""
        return Term(term.wire, term.shift + shift, term.offset << shift)


def elaborate(
    graph: Graph, strategy: Callable[[str], str], cache: Path | None = None, hard_dc: int = -1
) -> tuple[Program, dict[str, str]]:
    """Return the scalar program of `graph` and the group (module) of every computing node.

    Parameters
    ----------
    strategy : function from a node's name to ``distributed_arithmetic`` or ``latency``
    """
    state = Elaboration(graph, Program(), assign_groups(graph), strategy, cache, hard_dc)
    for node in graph.nodes:
        if isinstance(node, ir.Const):
            continue
        terms = lower_node(node, state)
        state.program.tensors[node.name] = list(np.asarray(terms, dtype=object).ravel())
        if node.name in state.groups and _leaves_group(node, state):
            _align(node.name, state)
    return state.program.without_dead(), state.groups


def assign_groups(graph: Graph) -> dict[str, str]:
    """Return the module of every computing node: named after the node that starts it."""
    groups: dict[str, str] = {}
    for node in graph.nodes:
        if isinstance(node, (ir.Const, ir.Input, *WIRING)):
            continue
        groups[node.name] = node.name
        if isinstance(node, FOLLOWERS) and node.inputs[0] in groups and len(graph.consumers(node.inputs[0])) == 1:
            groups[node.name] = groups[node.inputs[0]]
    return groups


def _leaves_group(node: ir.Node, state: Elaboration) -> bool:
    return any(state.groups.get(c.name) != state.groups[node.name] for c in state.graph.consumers(node.name))


def _align(name: str, state: Elaboration) -> None:
    """Give every element of `name` an alignment point: the cycle at which the whole tensor leaves its module."""
    program, group = state.program, state.groups[name]
    points: dict[int, int] = {}
    aligned = []
    for term in program.tensors[name]:
        op = program.ops[term.wire]
        if isinstance(op, Literal):
            aligned.append(term)
            continue
        if term.wire not in points:
            points[term.wire] = program.add(Align(lo=op.lo, hi=op.hi, group=group, a=term.wire, tensor=name))
        aligned.append(Term(points[term.wire], term.shift, term.offset))
    program.aligned[name] = aligned


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
    half = _rounding_constant(node.name, state)
    rows = state.terms(x_name).reshape(-1, kernel.shape[0])
    bounds = state.bound(node.name)
    n_out = kernel.shape[1]
    result: list[Term] = []
    for r, row in enumerate(rows):
        result += _constant_matvec(
            node.name, list(row), kernel, list(constants), half, bounds[r * n_out : (r + 1) * n_out], state
        )
    return result


def _constant_matvec(
    name: str,
    x: list[Term],
    kernel: np.ndarray,
    constants: list[int],
    half: int,
    bounds: list[tuple[int, int]],
    state: Elaboration,
) -> list[Term]:
    """Return ``x @ kernel + constants`` (with `half` added as an offset), one term per column."""
    program, group = state.program, state.groups[name]
    live = [i for i, t in enumerate(x) if not isinstance(program.ops[t.wire], Literal) and kernel[i].any()]
    constants = list(constants)
    for i, term in enumerate(x):
        op = program.ops[term.wire]
        if isinstance(op, Literal):
            constants = [c + int(kernel[i, j]) * (op.lo << term.shift) for j, c in enumerate(constants)]
    scaled = np.array([[int(v) << x[i].shift for v in kernel[i]] for i in live], dtype=object)
    scaled = scaled.reshape(len(live), kernel.shape[1])
    if state.strategy(name) == "latency":
        sums = _plain_products(scaled, [x[i].wire for i in live], state, group)
    else:
        sums = _shared_adders(scaled, [x[i].wire for i in live], bounds, constants, state, group)
    result = []
    for (total, negated), constant, (lo, hi) in zip(sums, constants, bounds, strict=True):
        if total is None:
            result.append(Term(program.literal(int(constant) + half, group), 0, half))
        else:
            result.append(_add_offset(total, int(constant), half, negated, (lo, hi), state, group))
    return result


def _add_offset(
    term: Term, constant: int, half: int, negate: bool, bound: tuple[int, int], state: Elaboration, group: str
) -> Term:
    """Return ``constant ± term`` carrying `half` as an offset, on a grid on which `half` is an integer."""
    done = state.program.add_const(term, constant + half, negate, group, (bound[0] + half, bound[1] + half))
    if half:
        done = _at_shift(done, half.bit_length() - 1, state, group)
    return Term(done.wire, done.shift, half)


Sums = list[tuple[Term | None, bool]]


def _shared_adders(
    kernel: np.ndarray,
    wires: list[int],
    bounds: list[tuple[int, int]],
    constants: list[int],
    state: Elaboration,
    group: str,
) -> Sums:
    """Emit the shared shift-and-add graph of `kernel`; a sum may come out negated."""
    program = state.program
    if not kernel.size or not kernel.any():
        return [(None, False)] * kernel.shape[1]
    solution = solve(
        kernel.astype(np.int64), [(program.ops[w].lo, program.ops[w].hi) for w in wires], state.cache, state.hard_dc
    )
    final: dict[int, tuple[int, int]] = {}
    for j, (index, shift, negated) in enumerate(solution.outputs):
        if index is not None:
            lo, hi = bounds[j][0] - constants[j], bounds[j][1] - constants[j]
            lo, hi = (-hi, -lo) if negated else (lo, hi)
            final[index] = (lo >> shift, hi >> shift)
    # A wire may carry the negative of its value: then every subtraction can take the shifted operand away from the
    # other one, whose low bits pass by the adder.
    values: list[tuple[Term, bool]] = [(Term(w), False) for w in wires]
    for n, adder in enumerate(solution.adders, start=len(wires)):
        (a, a_negated), (b, b_negated) = values[adder.a], values[adder.b]
        a, b = (a, state.shifted(b, adder.shift)) if adder.shift >= 0 else (state.shifted(a, -adder.shift), b)
        values.append(_signed_add(a, a_negated, b, b_negated != adder.subtract, final.get(n), state, group))
    sums: Sums = []
    for index, shift, negated in solution.outputs:
        if index is None:
            sums.append((None, False))
        else:
            term, wire_negated = values[index]
            sums.append((state.shifted(term, shift), negated != wire_negated))
    return sums


def _signed_add(
    a: Term,
    a_negated: bool,
    b: Term,
    b_negated: bool,
    bound: tuple[int, int] | None,
    state: Elaboration,
    group: str,
) -> tuple[Term, bool]:
    """Return ``±a ± b`` as a wire and whether it carries the negative."""
    if a_negated == b_negated:
        bound = bound and ((-bound[1], -bound[0]) if a_negated else bound)
        return state.program.add_sub(a, b, False, group, bound), a_negated
    keep_first = a.shift <= b.shift
    minuend, other = (a, b) if keep_first else (b, a)
    negated = a_negated if keep_first else b_negated
    bound = bound and ((-bound[1], -bound[0]) if negated else bound)
    return state.program.add_sub(minuend, other, True, group, bound), negated


def _plain_products(kernel: np.ndarray, wires: list[int], state: Elaboration, group: str) -> Sums:
    """Emit one multiplier per non-zero weight and a balanced adder tree per output (strategy `latency`)."""
    program = state.program
    result: Sums = []
    for j in range(kernel.shape[1]):
        level: list[Term] = []
        for i, wire in enumerate(wires):
            weight = int(kernel[i, j])
            if weight:
                op = program.ops[wire]
                ends = (op.lo * weight, op.hi * weight)
                level.append(Term(program.add(MulConst(lo=min(ends), hi=max(ends), group=group, a=wire, const=weight))))
        result.append((_sum_tree(level, state, group), False))
    return result


def _sum_tree(level: list[Term], state: Elaboration, group: str) -> Term | None:
    while len(level) > 1:
        pairs = [state.program.add_sub(level[k], level[k + 1], False, group) for k in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0] if level else None


def _live_matmul(node: ir.Dense, state: Elaboration) -> object:
    raise GraphError(
        "a Dense with two live operands has no unrolled hardware yet",
        where=node.name,
        hint="constant weights only, in this version",
    )


def _rounding_constant(name: str, state: Elaboration) -> int:
    """Return the half LSB that a sole RND or RND_CONV re-quantizer after `name` wants added beforehand."""
    consumers = state.graph.consumers(name)
    if len(consumers) != 1 or not isinstance(consumers[0], ir.Requantize):
        return 0
    fmt = consumers[0].fmt
    shift = state.graph.types[name].fraction - fmt.fraction
    return 1 << (shift - 1) if shift > 0 and fmt.rounding in (Rounding.RND, Rounding.RND_CONV) else 0


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
    half = _rounding_constant(node.name, state)
    bounds = state.bound(node.name)
    result: list[Term] = []
    for k, term in enumerate(x.ravel()):
        kernel = np.array([[int(factors[k])]], dtype=object)
        result += _constant_matvec(node.name, [term], kernel, [constants.ravel()[k]], half, [bounds[k]], state)
    return result


@lower_node.register
def _(node: ir.Requantize, state: Elaboration) -> object:
    x_name = node.inputs[0]
    shift = state.graph.types[x_name].fraction - node.fmt.fraction
    same_group = state.groups.get(x_name) == state.groups[node.name]
    terms = state.program.tensors[x_name] if same_group else list(state.terms(x_name).ravel())
    return [
        _requantize(node, term, shift, bound, state) for term, bound in zip(terms, state.bound(node.name), strict=True)
    ]


def _requantize(node: ir.Requantize, term: Term, shift: int, bound: tuple[int, int], state: Elaboration) -> Term:
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
    from hwgen.fixed import shift_round

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
        plain = _at_shift(term, 0, state, group)
        table = Table(lo=lo, hi=hi, group=group, a=plain.wire, name=node.name, first=node.first)
        result.append(Term(program.add(table)))
    return result


def _at_shift(term: Term, shift: int, state: Elaboration, group: str) -> Term:
    """Return the term with at most `shift` of its low zeros kept out of the wire."""
    if term.shift <= shift:
        return term
    op, up = state.program.ops[term.wire], term.shift - shift
    wire = state.program.add(MulConst(lo=op.lo << up, hi=op.hi << up, group=group, a=term.wire, const=1 << up))
    return Term(wire, shift, term.offset)


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
    half = _rounding_constant(node.name, state)
    result = []
    for (a, b), (lo, hi) in zip(_pairs(node, state), bounds, strict=True):
        total = state.program.add_sub(a, b, subtract, group, (lo, hi))
        result.append(_add_offset(total, 0, half, False, (lo, hi), state, group))
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


def _select(a: Term, b: Term, then: Term, other: Term, bound: tuple[int, int], state: Elaboration, group: str) -> Term:
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


def _larger(a: Term, b: Term, state: Elaboration, group: str) -> Term:
    (al, ah), (bl, bh) = _term_range(a, state), _term_range(b, state)
    return _select(a, b, a, b, (max(al, bl), max(ah, bh)), state, group)


@lower_node.register
def _(node: ir.Max, state: Elaboration) -> object:
    group = state.groups[node.name]
    return [_larger(a, b, state, group) for a, b in _pairs(node, state)]


@lower_node.register
def _(node: ir.Min, state: Elaboration) -> object:
    group, bounds = state.groups[node.name], state.bound(node.name)
    return [_select(a, b, b, a, bd, state, group) for (a, b), bd in zip(_pairs(node, state), bounds, strict=True)]


@lower_node.register
def _(node: ir.ReduceMax, state: Elaboration) -> object:
    group = state.groups[node.name]
    rows = state.terms(node.inputs[0])
    result = []
    for row in rows.reshape(-1, rows.shape[-1]):
        level = list(row)
        while len(level) > 1:
            merged = [_larger(level[k], level[k + 1], state, group) for k in range(0, len(level) - 1, 2)]
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
                merged.append((_larger(a, b, state, group), _select(a, b, ia, ib, span, state, group), span))
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
