"""A constant matrix times a vector, as adders: shared (distributed arithmetic) or plain (strategy `latency`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.rtl.elaboration import Elaboration, at_shift
from hwgen.rtl.wires import Literal, MulConst, Term


def constant_matvec(
    name: str,
    x: list[Term],
    kernel: np.ndarray[Any, Any],
    constants: list[int],
    half: int,
    bounds: list[tuple[int, int]],
    state: Elaboration,
    ranges: list[tuple[int, int]] | None = None,
) -> list[Term]:
    """Return ``x @ kernel + constants`` (with `half` added as an offset), one term per column.

    Parameters
    ----------
    ranges : (lo, hi) of the wires of `x`, optional
        Wider than they are, so that products with equal weights have one solution; None: the wires' own.
    """
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
        wires = [x[i].wire for i in live]
        known = [ranges[i] if ranges else (program.ops[x[i].wire].lo, program.ops[x[i].wire].hi) for i in live]
        sums = _shared_adders(scaled, wires, known, bounds, constants, state, group)
    result = []
    for (total, negated), constant, (lo, hi) in zip(sums, constants, bounds, strict=True):
        if total is None:
            result.append(Term(program.literal(int(constant) + half, group), 0, half))
        else:
            result.append(add_offset(total, int(constant), half, negated, (lo, hi), state, group))
    return result


def add_offset(
    term: Term, constant: int, half: int, negate: bool, bound: tuple[int, int], state: Elaboration, group: str
) -> Term:
    """Return ``constant ± term`` carrying `half` as an offset, on a grid on which `half` is an integer."""
    done = state.program.add_const(term, constant + half, negate, group, (bound[0] + half, bound[1] + half))
    if half:
        done = at_shift(done, half.bit_length() - 1, state, group)
    return Term(done.wire, done.shift, half)


Sums = list[tuple[Term | None, bool]]


def _shared_adders(
    kernel: np.ndarray[Any, Any],
    wires: list[int],
    ranges: list[tuple[int, int]],
    bounds: list[tuple[int, int]],
    constants: list[int],
    state: Elaboration,
    group: str,
) -> Sums:
    """Emit the shared shift-and-add graph of `kernel`; a sum may come out negated."""
    if not kernel.size or not kernel.any():
        return [(None, False)] * kernel.shape[1]
    solution = state.solution(kernel.astype(np.int64), ranges)
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


def _plain_products(kernel: np.ndarray[Any, Any], wires: list[int], state: Elaboration, group: str) -> Sums:
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
        result.append((sum_tree(level, state, group), False))
    return result


def sum_tree(level: list[Term], state: Elaboration, group: str) -> Term | None:
    """Return the sum of terms as a balanced tree, None of none."""
    while len(level) > 1:
        pairs = [state.program.add_sub(level[k], level[k + 1], False, group) for k in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0] if level else None
