"""Which bits of an unrolled design stand in registers: wires that share bits, and when each bit is read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from hwgen.cost.counts import Counts
from hwgen.cost.logic import shift_registers
from hwgen.fixed import Rounding
from hwgen.rtl.generate import Plan
from hwgen.rtl.wires import AddSub, Align, Literal, MulConst, Op, Round

Segment = tuple[int, int, int]
"""`n` bits of a wire that are bits `low`... of a root wire: (root, low, n); root -1 is a constant."""


@dataclass
class Module:
    """What is counted for one module: its wires' bits, and when they are read."""

    counts: Counts = field(default_factory=Counts)
    bits: dict[int, list[Segment]] = field(default_factory=dict)
    birth: dict[int, int] = field(default_factory=dict)
    products: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """By operand, constant and stage: the wire that has their product already."""
    reads: dict[int, set[Segment]] = field(default_factory=lambda: defaultdict(set))
    """By root: (first bit, last bit + 1, stage) of every read."""


def own(decided: Plan, index: int, group: str, flat: bool) -> int:
    """Return the operation behind an operand, alignment points of the same module seen through."""
    ops = decided.program.ops
    op = ops[index]
    while isinstance(op, Align) and (flat or op.group == group):
        index = op.a
        op = ops[index]
    return index


def entered(module: Module, decided: Plan, operand: int, flat: bool, group: str) -> int:
    """Return the module's own operation behind an operand; what comes in from outside becomes known."""
    operand = own(decided, operand, group, flat)
    op = decided.program.ops[operand]
    if operand not in module.bits and not isinstance(op, Literal):
        module.bits[operand] = [(operand, 0, op.width)]
        module.birth[operand] = decided.schedule.stage[operand]
    return operand


def skipped_bits(op: Op) -> int:
    """Return how many low bits of its operand an operation does not look at: those that rounding drops."""
    if isinstance(op, Round) and (op.rounding is Rounding.TRN or (op.rounding is Rounding.RND and op.half_added)):
        return max(op.shift, 0)
    return 0


def read(module: Module, decided: Plan, operand: int, stage: int, flat: bool, group: str, skipped: int = 0) -> None:
    """Say that `operand`, but for its lowest bits, is read at `stage` of its frame."""
    operand = entered(module, decided, operand, flat, group)
    if isinstance(decided.program.ops[operand], Literal):
        return
    for root, low, n in module.bits[operand]:
        gone = min(n, skipped)
        skipped -= gone
        if root >= 0 and gone < n:
            module.reads[root].add((low + gone, low + n, stage))


def bits_of_wire(module: Module, decided: Plan, index: int, op: Op, flat: bool, group: str) -> list[Segment]:
    """Return the bits of a wire: its own ones, and those that are another wire's."""
    ops = decided.program.ops

    def low_bits(operand: int, count: int) -> list[Segment]:
        operand = entered(module, decided, operand, flat, group)
        if isinstance(ops[operand], Literal):
            return [(-1, 0, count)]
        taken: list[Segment] = []
        for root, low, n in module.bits[operand]:
            part = min(n, count)
            if part > 0:
                taken.append((root, low, part))
            count -= part
        return taken

    match op:
        case AddSub() if passed_by(op, ops):
            shift = op.shift_a or op.shift_b
            plain = op.a if op.shift_b else op.b
            return [*low_bits(plain, shift), (index, shift, op.width - shift)]
        case MulConst() if op.const > 0 and op.const & (op.const - 1) == 0:
            shift = min(op.const.bit_length() - 1, op.width)
            kept = min(ops[op.a].width, op.width - shift)
            return [(-1, 0, shift), *low_bits(op.a, kept)]
        case Round() if is_slice(op, ops[op.a]):
            whole = low_bits(op.a, ops[op.a].width)
            return _without(whole, op.shift)
        case MulConst() if op.const:
            zeros = (op.const & -op.const).bit_length() - 1
            return [(-1, 0, zeros), (index, zeros, op.width - zeros)]
    return [(index, 0, op.width)]


def _without(bits: list[Segment], count: int) -> list[Segment]:
    """Return the bits above the lowest `count`."""
    kept = []
    for root, low, n in bits:
        gone = min(n, count)
        count -= gone
        if gone < n:
            kept.append((root, low + gone if root >= 0 else 0, n - gone))
    return kept


def is_slice(op: Round, a: Op) -> bool:
    """Return whether a re-quantizer only drops low bits: nothing is added, and nothing can be outside the range."""
    if op.shift < 0 or (skipped_bits(op) < op.shift) or op.wrap_width or a.width - op.shift != op.width:
        return False
    return a.lo >> op.shift >= op.clamp_lo and a.hi >> op.shift <= op.clamp_hi


def passed_by(op: AddSub, ops: list[Op]) -> bool:
    """Return whether low bits of one operand meet only zeros of the other and stay out of the adder."""
    shift = op.shift_a or op.shift_b
    plain, moved = (op.a, op.b) if op.shift_b else (op.b, op.a)
    return bool(shift) and not (op.subtract and moved == op.a) and ops[plain].width > shift < op.width


def count_registers(module: Module) -> None:
    """Count the registers between the stages; three and more in a row become shift registers."""
    for root, reads in module.reads.items():
        birth = module.birth[root]
        spans = {(low, high) for low, high, _ in reads}
        if len(spans) == 1:
            low, high = next(iter(spans))
            shift_registers(module.counts, {stage - birth for _, _, stage in reads}, high - low)
            continue
        edges = sorted({edge for span in spans for edge in span})
        for first, last in pairwise(edges):
            taps = {stage - birth for low, high, stage in reads if low <= first and last <= high}
            shift_registers(module.counts, taps, last - first)
