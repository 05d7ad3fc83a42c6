"""From a `Graph` to the scalar `Program`, and which module (group) computes what.

A *group* is one SystemVerilog module: a node that computes, with the re-quantizers and tables that follow it
alone. Wiring (Reshape, Transpose, Concat, Pad, Upsample, Output) costs nothing and belongs to no group.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl import window_rules  # noqa: F401  (it registers its node kinds)
from hwgen.rtl.elaboration import Elaboration
from hwgen.rtl.rules import lower_node
from hwgen.rtl.wires import Align, Literal, Program, Term

WIRING = (ir.Reshape, ir.Transpose, ir.Concat, ir.Pad, ir.Upsample, ir.Output)
FOLLOWERS = (ir.Requantize, ir.Lookup)


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
    return state.program.without_dead().narrowed(), state.groups


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
