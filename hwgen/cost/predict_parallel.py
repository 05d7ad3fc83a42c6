"""Counting the unrolled hardware: adders, roundings, tables and registers of a scalar program and its schedule."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

import numpy as np

from hwgen.cost.counts import Counts
from hwgen.cost.logic import constant_multiplier, credit_fifo, multiplier, shift_registers, table_luts
from hwgen.cost.registers import (
    Module,
    bits_of_wire,
    count_registers,
    is_slice,
    own,
    read,
    skipped_bits,
)
from hwgen.fixed import IntArray
from hwgen.ir import nodes as ir
from hwgen.rtl import sv
from hwgen.rtl.generate import Plan
from hwgen.rtl.wires import AddConst, AddSub, Align, Literal, MulConst, Multiply, Op, Round, Select, Source, Table


def count_plan(decided: Plan, flat: bool = False) -> dict[str, Counts]:
    """Return the counts of a planned unrolled part by layer; what belongs to none is ``(top)``.

    Parameters
    ----------
    flat : bool
        All layers as one module, as a streaming design has them: delay chains run on across layers.
    """
    program, plan = decided.program, decided.schedule
    modules: dict[str, Module] = defaultdict(Module)
    uses = _uses(decided)
    for index, op in enumerate(program.ops):
        if isinstance(op, Source | Literal):
            continue
        group = "" if flat else op.group
        module = modules[group]
        wires_only = isinstance(op, Round) and is_slice(op, program.ops[op.a])
        for operand in set(op.operands) if not wires_only else ():
            read(module, decided, operand, plan.stage[index], flat, group, skipped_bits(op))
        if isinstance(op, Align):
            if flat or op.group == group:
                module.bits[index] = module.bits[own(decided, op.a, group, flat)]
            continue
        if isinstance(op, MulConst):
            first = module.products.setdefault((op.a, op.const, plan.stage[index]), index)
            if first != index:
                module.bits[index] = module.bits[first]
                continue
        module.bits[index] = bits_of_wire(module, decided, index, op, flat, group)
        module.birth[index] = plan.stage[index]
        _features(module.counts, decided, op, index, uses)
    result = {}
    top = _results(decided, modules[""] if flat else None)
    for group, module in modules.items():
        count_registers(module)
        result[group or "(top)"] = module.counts
    if flat:
        result["(top)"].merge(top)
    else:
        result["(top)"] = top
    return result


def _uses(decided: Plan) -> list[int]:
    """Return how many operations and outputs read each operation, alignment points seen through."""
    program = decided.program
    count = [0] * len(program.ops)
    for op in program.ops:
        for operand in op.operands:
            count[operand] += 1
    return count


def _results(decided: Plan, flat: Module | None) -> Counts:
    """Return what stands around the layers: results in step and registered, valid bits, output FIFO."""
    counts = Counts()
    program, plan, graph = decided.program, decided.schedule, decided.graph
    width = 0
    for node in graph.outputs:
        t = graph.types[node.name]
        width += t.size * t.fmt.width
        for term in program.tensors[node.name]:
            op = program.ops[term.wire]
            if isinstance(op, Literal):
                continue
            if flat is not None:
                read(flat, decided, term.wire, plan.n_stages, True, "")
            else:
                shift_registers(counts, {plan.n_stages - plan.stage[term.wire]}, t.fmt.width)
    counts.ff += plan.n_stages
    if decided.options.handshake == "valid_ready":
        counts.add(handshake=1)
        credit_fifo(counts, width, plan.n_stages + 2)
    return counts


def _features(counts: Counts, decided: Plan, op: Op, index: int, uses: list[int]) -> None:
    """Count what an operation needs."""
    ops = decided.program.ops
    match op:
        case AddSub():
            bits = adder_bits(op, ops)
            counts.add(add=bits)
            merged = [o for o in (op.a, op.b) if _merges(decided, o, index, uses)]
            if merged:
                counts.add(add_merged=bits * len(merged))
        case AddConst():
            counts.add(add_const=max(0, min(op.width, 62) - op.shift))
        case Round():
            _round(counts, op, ops[op.a])
        case Select():
            wide = max(sv.signed_width(ops[op.a], op.shift_a), sv.signed_width(ops[op.b], op.shift_b))
            counts.add(compare=wide, select=_selected_bits(op, ops))
        case Table():
            counts.add(table=_table(decided, op.name))
        case MulConst() if op.const & (op.const - 1) and op.const:
            constant_multiplier(counts, ops[op.a].width, op.const, op.width)
        case Multiply():
            multiplier(counts, ops[op.a].width, ops[op.b].width, op.width)
        case Source() | Literal() | Align() | MulConst():
            pass  # wires
        case _:
            raise TypeError(f"no cost of a {type(op).__name__}")


def _merges(decided: Plan, operand: int, reader: int, uses: list[int]) -> bool:
    """Return whether an adder's operand is an adder of the same stage that only it reads: they become one sum."""
    ops, stage = decided.program.ops, decided.schedule.stage
    op, other = ops[operand], ops[reader]
    assert isinstance(other, AddSub)
    shift = other.shift_a if operand == other.a else other.shift_b
    return isinstance(op, AddSub) and uses[operand] == 1 and stage[operand] == stage[reader] and shift == 0


def adder_bits(op: AddSub, ops: list[Op]) -> int:
    """Return the bits in which both operands can be anything: a LUT each beside the carry chain."""
    ends = []
    for operand, shift in ((op.a, op.shift_a), (op.b, op.shift_b)):
        wire = ops[operand]
        if isinstance(wire, Literal):
            return 0
        ends.append(op.width if wire.signed else min(op.width, shift + wire.width))
    return max(0, min(ends) - max(op.shift_a, op.shift_b))


def _selected_bits(op: Select, ops: list[Op]) -> float:
    """Return the bits that a comparison selects; of two constants only those that differ."""
    then, other = ops[op.then], ops[op.other]
    if isinstance(then, Literal) and isinstance(other, Literal):
        return 0.25 * bin((then.lo << op.shift_then) ^ (other.lo << op.shift_other)).count("1")
    return op.width


def _round(counts: Counts, op: Round, a: Op) -> None:
    """Count a re-quantizer: what rounding adds, and what fits the result into its range (`hg_requantize`)."""
    down, carry = max(op.shift, 0), 0
    if down:
        rounding = str(op.rounding.value)
        carry = int(rounding != "TRN" and not op.half_added)  # rounding up may need one more bit
        counts.add(round_add=carry * max(1, sv.signed_width(a) - down) * (1 if rounding in ("RND", "RND_CONV") else 2))
        if rounding not in ("TRN", "RND"):
            counts.add(round_tie=1 + down / 6)
    width = max(1, sv.signed_width(a) - op.shift) + carry  # of the rounded value, with its sign
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    if op.wrap_width:
        return
    span = op.clamp_hi - op.clamp_lo + 1
    if not op.zero_outside and op.clamp_lo == 0 and span & (span - 1) == 0:
        over = width - 1 - (span - 1).bit_length()
        if over > 0:
            counts.add(clip_zero=op.width, clip_over=over)
        elif a.signed:
            counts.add(clip_sign=op.width)
        return
    bounds = (low < op.clamp_lo) + (high > op.clamp_hi)
    if bounds:
        counts.add(clip=op.width, clip_compare=bounds * width)


def _table(decided: Plan, name: str) -> float:
    node = decided.graph.by_name[name]
    assert isinstance(node, ir.Lookup)
    source = decided.graph.types[node.inputs[0]].fmt
    return _table_luts(tuple(int(v) for v in node.table), node.first, source.width, node.fmt.width)


@lru_cache(maxsize=256)
def _table_luts(values: tuple[int, ...], first: int, width: int, out: int) -> float:
    whole: IntArray = np.zeros(1 << width, dtype=np.int64)
    places = (first + np.arange(len(values))) & ((1 << width) - 1)
    whole[places] = values
    return table_luts(whole, out)
