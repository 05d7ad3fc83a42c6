"""`GraphBuilder`: adds nodes one by one and knows the type of each at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.errors import NumericsError
from hwgen.fixed import FixedPoint, IntArray, as_ints, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph
from hwgen.ir.infer import infer_type
from hwgen.ir.nodes import Node, TensorType
from hwgen.lower.names import Names

FLOAT64_BITS = 53
"""Sums of products below 2**53 are exact in float64, so that QKeras can be compared bit for bit."""


class GraphBuilder:
    """A graph under construction.

    Parameters
    ----------
    names : Names
        Gives every node its name.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.nodes: list[Node] = []
        self.types: dict[str, TensorType] = {}

    def add(self, kind: type[Node], wanted: str, *inputs: str, **fields: Any) -> str:
        """Add a node called `wanted` (or the nearest free name); return its name."""
        node = kind(name=self.names.fresh(wanted), inputs=inputs, **fields)
        self.types[node.name] = infer_type(node, [self.types[i] for i in inputs])
        self.nodes.append(node)
        self._check_width(node)
        return node.name

    def const(self, wanted: str, value: Any, fraction: int) -> str:
        """Add constant integers, at the coarsest binary point that holds them."""
        ints = as_ints(np.asarray(value))
        shift = trailing_zeros(ints)
        return self.add(ir.Const, wanted, value=ints >> shift if shift else ints, fraction=fraction - shift)

    def requantize(self, wanted: str, x: str, fmt: FixedPoint, clamp: tuple[int, int] | None = None) -> str:
        """Add a Requantize."""
        return self.add(ir.Requantize, wanted, x, fmt=fmt, clamp=clamp)

    def graph(self, name: str) -> Graph:
        """Return the finished, verified graph."""
        return Graph(name, tuple(self.nodes)).verify()

    def _check_width(self, node: Node) -> None:
        """Refuse sums that float64 may round: QKeras could then not be compared with integers."""
        bound = 0
        if isinstance(node, ir.Dense | ir.Scale | ir.Conv | ir.DepthwiseConv):
            x, w = (self.types[i] for i in node.inputs[:2])
            axes = {ir.Dense: 1, ir.Conv: 3, ir.DepthwiseConv: 2}.get(type(node), 0)
            terms = int(np.prod(w.shape[:axes], dtype=np.int64))
            products = max(max_abs(x.lo), max_abs(x.hi)) * max_abs(w.lo) * terms
            bound = products << max(self.types[node.name].fraction - x.fraction - w.fraction, 0)
        t = self.types[node.name]
        bound = max(bound, max_abs(t.lo), max_abs(t.hi))
        if not isinstance(node, ir.Const) and bound >= 1 << FLOAT64_BITS:
            raise NumericsError(
                f"values of {bound.bit_length() + 1} bits; QKeras' float64 is exact up to {FLOAT64_BITS + 1}",
                where=node.name,
                found=str(t.fmt),
                expected="narrower inputs or weights",
                hint="put a QActivation before this layer, or quantize its weights with fewer bits",
            )


def trailing_zeros(values: IntArray) -> int:
    """Return how many low bits are zero in every value (0 if all values are zero)."""
    merged = int(np.bitwise_or.reduce(np.abs(values).ravel())) if values.size else 0
    return (merged & -merged).bit_length() - 1 if merged else 0
