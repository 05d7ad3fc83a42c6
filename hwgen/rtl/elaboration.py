"""What the functions that turn nodes into operations share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.fixed import Rounding
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl.adder_graph import AdderGraph, solve
from hwgen.rtl.wires import MulConst, Program, Term

Terms = np.ndarray[Any, Any]
"""An object array of `Term`, in a tensor's shape."""


@dataclass
class Elaboration:
    """What the node functions share: the graph, the program being built, and the choices."""

    graph: Graph
    program: Program
    groups: dict[str, str]
    strategy: Callable[[str], str]
    cache: Path | None = None
    hard_dc: int = -1
    solved: dict[tuple[bytes, tuple[tuple[int, int], ...]], AdderGraph] = field(default_factory=dict)

    def solution(self, kernel: np.ndarray[Any, Any], ranges: list[tuple[int, int]]) -> AdderGraph:
        """Return the adder graph of a kernel: equal problems, as at the places of a convolution, are solved once."""
        key = (repr(kernel.shape).encode() + kernel.tobytes(), tuple(ranges))
        if key not in self.solved:
            self.solved[key] = solve(kernel, ranges, self.cache, self.hard_dc)
        return self.solved[key]

    def terms(self, name: str, shape: tuple[int, ...] | None = None) -> Terms:
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


def at_shift(term: Term, shift: int, state: Elaboration, group: str) -> Term:
    """Return the term with at most `shift` of its low zeros kept out of the wire."""
    if term.shift <= shift:
        return term
    op, up = state.program.ops[term.wire], term.shift - shift
    wire = state.program.add(MulConst(lo=op.lo << up, hi=op.hi << up, group=group, a=term.wire, const=1 << up))
    return Term(wire, shift, term.offset)


def rounding_constant(name: str, state: Elaboration) -> int:
    """Return the half LSB that a sole RND or RND_CONV re-quantizer after `name` wants added beforehand."""
    consumers = state.graph.consumers(name)
    if len(consumers) != 1 or not isinstance(consumers[0], ir.Requantize):
        return 0
    fmt = consumers[0].fmt
    shift = state.graph.types[name].fraction - fmt.fraction
    return 1 << (shift - 1) if shift > 0 and fmt.rounding in (Rounding.RND, Rounding.RND_CONV) else 0
