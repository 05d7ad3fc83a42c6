"""The scalar program: every adder, rounding and comparison of an unrolled network as one operation on integers.

A `Program` is a list of operations in dependency order; an operand is the index of an earlier one. Values are
plain integers with a proven range; binary points exist only in the graph. Three things are defined per
operation kind: its range (when it is built), its value (`Program.run`, the interpreter) and its SystemVerilog
(`emit_layer`). Tests hold the three against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hwgen.fixed import IntArray, Rounding, as_ints, bits_for, shift_round


@dataclass(frozen=True, kw_only=True)
class Op:
    """One operation: its proven inclusive range and the layer (group) whose module holds it."""

    lo: int
    hi: int
    group: str
    kept: int = 0
    """Low bits the wire keeps where nobody reads the others (sums are exact modulo 2^N); 0 for all."""

    @property
    def operands(self) -> tuple[int, ...]:
        """Indices of the operations read."""
        return ()

    def renumbered(self, moved: Mapping[int, int]) -> Op:
        """Return the operation with its operands' indices replaced."""
        wires = {name: moved[getattr(self, name)] for name in ("a", "b", "then", "other") if hasattr(self, name)}
        return replace(self, **wires)  # type: ignore[arg-type]

    @property
    def signed(self) -> bool:
        """Whether the wire is signed."""
        return self.lo < 0

    @property
    def width(self) -> int:
        """Bits of the wire."""
        return self.kept or bits_for(self.lo, self.hi)[1]

    def reads(self, operand: int, widths: Sequence[int]) -> int:
        """Return how many low bits of `operand` this operation looks at."""
        return widths[operand]


@dataclass(frozen=True, kw_only=True)
class Source(Op):
    """Element `index` of the flat network input `tensor`."""

    tensor: str
    index: int


@dataclass(frozen=True, kw_only=True)
class Literal(Op):
    """The constant `lo` (= `hi`)."""


@dataclass(frozen=True, kw_only=True)
class AddSub(Op):
    """``(a << shift_a) + (b << shift_b)``, or minus; one of the shifts is 0."""

    a: int
    b: int
    shift_a: int
    shift_b: int
    subtract: bool

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.a, self.b)

    def reads(self, operand: int, widths: Sequence[int]) -> int:
        shifts = [s for o, s in ((self.a, self.shift_a), (self.b, self.shift_b)) if o == operand]
        return min(widths[operand], self.width - min(shifts))


@dataclass(frozen=True, kw_only=True)
class AddConst(Op):
    """``const + (a << shift)``, or ``const - (a << shift)`` with `negate`."""

    a: int
    shift: int
    const: int
    negate: bool

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.a,)

    def reads(self, operand: int, widths: Sequence[int]) -> int:
        return min(widths[operand], self.width - self.shift)


@dataclass(frozen=True, kw_only=True)
class MulConst(Op):
    """``a * const`` by a plain multiplier (strategy `latency`)."""

    a: int
    const: int

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.a,)


@dataclass(frozen=True, kw_only=True)
class Multiply(Op):
    """``a * b``, two live operands."""

    a: int
    b: int

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.a, self.b)


@dataclass(frozen=True, kw_only=True)
class Round(Op):
    """``clip(round(a / 2**shift), lo, hi)``; with `half_added`, a already carries the rounding constant.

    `wrap_width` > 0 replaces the clip by arithmetic modulo 2**wrap_width; `zero_outside` sends values
    outside ``lo..hi`` to 0 (SAT_ZERO).
    """

    a: int
    shift: int
    rounding: Rounding
    half_added: bool = False
    wrap_width: int = 0
    wrap_signed: bool = False
    zero_outside: bool = False
    clamp_lo: int
    clamp_hi: int

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.a,)


@dataclass(frozen=True, kw_only=True)
class Table(Op):
    """``table[a - first]``; `name` is the table's module."""

    a: int
    name: str
    first: int

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.a,)


@dataclass(frozen=True, kw_only=True)
class Select(Op):
    """``a >= b ? then : other`` on values shifted left by their shifts."""

    a: int
    b: int
    shift_a: int
    shift_b: int
    then: int
    other: int
    shift_then: int
    shift_other: int

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.a, self.b, self.then, self.other)


@dataclass(frozen=True, kw_only=True)
class Align(Op):
    """The value itself, at the cycle at which the whole tensor `tensor` leaves its module."""

    a: int
    tensor: str

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.a,)


@dataclass(frozen=True)
class Term:
    """An element of a tensor on a wire: the element is ``(wire << shift) - offset``."""

    wire: int
    shift: int = 0
    offset: int = 0


@dataclass
class Program:
    """Operations in dependency order, the terms of each graph tensor, and the literal tables."""

    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, list[Term]] = field(default_factory=dict)
    aligned: dict[str, list[Term]] = field(default_factory=dict)
    tables: dict[str, IntArray] = field(default_factory=dict)
    _literals: dict[tuple[str, int], int] = field(default_factory=dict)

    def add(self, op: Op) -> int:
        """Append an operation and return its index."""
        self.ops.append(op)
        return len(self.ops) - 1

    def literal(self, value: int, group: str) -> int:
        """Return the index of a constant of `group`."""
        if (group, value) not in self._literals:
            self._literals[group, value] = self.add(Literal(lo=value, hi=value, group=group))
        return self._literals[group, value]

    def add_sub(self, a: Term, b: Term, subtract: bool, group: str, bound: tuple[int, int] | None = None) -> Term:
        """Return ``a + b`` or ``a - b`` as a term; common low zeros stay out of the adder.

        Parameters
        ----------
        bound : (int, int), optional
            A range of the sum (on the terms' grid) known to be tighter than interval arithmetic gives.
        """
        common = min(a.shift, b.shift)
        sa, sb = a.shift - common, b.shift - common
        x, y = self.ops[a.wire], self.ops[b.wire]
        if subtract:
            lo, hi = (x.lo << sa) - (y.hi << sb), (x.hi << sa) - (y.lo << sb)
        else:
            lo, hi = (x.lo << sa) + (y.lo << sb), (x.hi << sa) + (y.hi << sb)
        lo, hi = _tighten(lo, hi, bound, common)
        wire = self.add(
            AddSub(lo=lo, hi=hi, group=group, a=a.wire, b=b.wire, shift_a=sa, shift_b=sb, subtract=subtract)
        )
        return Term(wire, common)

    def add_const(self, a: Term, const: int, negate: bool, group: str, bound: tuple[int, int] | None = None) -> Term:
        """Return ``const + a`` or ``const - a`` as a term; the term itself where there is nothing to add."""
        if const == 0 and not negate:
            return a
        common = min(a.shift, _trailing_zeros(const)) if const else a.shift
        shift, small = a.shift - common, const >> common
        x = self.ops[a.wire]
        ends = [small - (v << shift) if negate else small + (v << shift) for v in (x.lo, x.hi)]
        lo, hi = _tighten(min(ends), max(ends), bound, common)
        wire = self.add(AddConst(lo=lo, hi=hi, group=group, a=a.wire, shift=shift, const=small, negate=negate))
        return Term(wire, common)

    def without_dead(self) -> Program:
        """Return the program without operations that no tensor needs."""
        needed = [False] * len(self.ops)
        for terms in (*self.tensors.values(), *self.aligned.values()):
            for term in terms:
                needed[term.wire] = True
        for i in range(len(self.ops) - 1, -1, -1):
            if needed[i]:
                for o in self.ops[i].operands:
                    needed[o] = True
        kept = [i for i, wanted in enumerate(needed) if wanted]
        moved = {old: new for new, old in enumerate(kept)}

        def terms_of(tensors: dict[str, list[Term]]) -> dict[str, list[Term]]:
            return {n: [replace(t, wire=moved[t.wire]) for t in terms] for n, terms in tensors.items()}

        ops = [self.ops[i].renumbered(moved) for i in kept]
        return Program(ops, terms_of(self.tensors), terms_of(self.aligned), self.tables)

    def narrowed(self) -> Program:
        """Return the program with every sum cut to the bits that are read."""
        ops = list(self.ops)
        widths = [op.width for op in ops]
        read = [0] * len(ops)
        for terms in (*self.tensors.values(), *self.aligned.values()):
            for term in terms:
                read[term.wire] = widths[term.wire]
        for i in range(len(ops) - 1, -1, -1):
            if isinstance(ops[i], AddSub | AddConst) and 0 < read[i] < widths[i]:
                ops[i] = replace(ops[i], kept=read[i])
            for o in ops[i].operands:
                read[o] = max(read[o], ops[i].reads(o, widths))
        return Program(ops, self.tensors, self.aligned, self.tables)

    def run(self, inputs: Mapping[str, IntArray]) -> list[IntArray]:
        """Interpret the program on a batch: {input: integers (frames, elements)} to one array per operation."""
        values: list[IntArray] = []
        for op in self.ops:
            values.append(_value(op, values, inputs, self.tables))
        return values

    def tensor_values(self, name: str, values: Sequence[IntArray]) -> IntArray:
        """Return tensor `name` as integers (frames, elements) from the interpreter's `values`."""
        return np.stack([(values[t.wire] << t.shift) - t.offset for t in self.tensors[name]], axis=1)


def _tighten(lo: int, hi: int, bound: tuple[int, int] | None, shift: int) -> tuple[int, int]:
    """Intersect ``lo..hi`` with `bound` divided by ``2**shift``."""
    if bound is None:
        return lo, hi
    lo, hi = max(lo, -((-bound[0]) >> shift)), min(hi, bound[1] >> shift)
    return lo, max(lo, hi)


def _trailing_zeros(value: int) -> int:
    return (value & -value).bit_length() - 1


def _value(
    op: Op, values: Sequence[IntArray], inputs: Mapping[str, IntArray], tables: Mapping[str, IntArray]
) -> IntArray:
    """Compute one operation."""
    wide = max(abs(op.lo), abs(op.hi)).bit_length() > 60

    def get(index: int, shift: int = 0) -> IntArray:
        value = values[index].astype(object) if wide else values[index]
        return value << shift

    match op:
        case Source():
            return inputs[op.tensor][:, op.index]
        case Literal():
            return np.repeat(as_ints([op.lo]), len(next(iter(inputs.values()))))
        case AddSub():
            a, b = get(op.a, op.shift_a), get(op.b, op.shift_b)
            return a - b if op.subtract else a + b
        case AddConst():
            a = get(op.a, op.shift)
            return op.const - a if op.negate else op.const + a
        case MulConst():
            return get(op.a) * op.const
        case Multiply():
            return get(op.a) * get(op.b)
        case Round():
            return _round(op, values[op.a])
        case Table():
            return tables[op.name][(get(op.a) - op.first).astype(np.int64)]
        case Select():
            return np.where(
                get(op.a, op.shift_a) >= get(op.b, op.shift_b),
                get(op.then, op.shift_then),
                get(op.other, op.shift_other),
            )
        case Align():
            return values[op.a]
    raise TypeError(f"no value rule for {type(op).__name__}")


def _round(op: Round, a: IntArray) -> IntArray:
    if op.half_added:
        half = 1 << (op.shift - 1)
        a = a - half
    y = shift_round(a, op.shift, op.rounding)
    if op.wrap_width:
        base = -(1 << (op.wrap_width - 1)) if op.wrap_signed else 0
        y = ((y - base) & ((1 << op.wrap_width) - 1)) + base
        return y if op.lo == op.clamp_lo and op.hi == op.clamp_hi else np.clip(y, op.clamp_lo, op.clamp_hi)
    if op.zero_outside:
        return np.where((y < op.clamp_lo) | (y > op.clamp_hi), 0, y)
    return np.clip(y, op.clamp_lo, op.clamp_hi)
