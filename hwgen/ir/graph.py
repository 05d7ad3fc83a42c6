"""`Graph`: the one representation that HLS C++, RTL and the integer reference share."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwgen.errors import GraphError, NumericsError
from hwgen.fixed import IntArray
from hwgen.ir import evaluate_windows, infer_windows  # noqa: F401  (they register their node kinds)
from hwgen.ir import nodes as ir
from hwgen.ir.evaluate import evaluate_node
from hwgen.ir.infer import infer_type
from hwgen.ir.nodes import Node, TensorType

EVALUATE_BYTES = 64 << 20
"""Frames are evaluated in blocks of about this much memory: a block's tensors stay near the cache."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order: n inputs, m outputs.

    Parameters
    ----------
    name : str
        An identifier; the top module's name.
    nodes : tuple of Node
    """

    name: str
    nodes: tuple[Node, ...]

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """The inferred type of every node's result.

        Raises
        ------
        GraphError
            If operands do not fit, or stand after their use.
        """
        types: dict[str, TensorType] = {}
        for node in self.nodes:
            for operand in node.inputs:
                if operand not in types:
                    raise GraphError(f"operand {operand} is not defined before its use", where=node.name)
            types[node.name] = infer_type(node, [types[o] for o in node.inputs])
        return types

    @property
    def inputs(self) -> list[ir.Input]:
        """The input nodes, in order."""
        return [n for n in self.nodes if isinstance(n, ir.Input)]

    @property
    def outputs(self) -> list[ir.Output]:
        """The output nodes, in order."""
        return [n for n in self.nodes if isinstance(n, ir.Output)]

    def consumers(self, name: str) -> list[Node]:
        """Return the nodes that read `name`, in order."""
        return [n for n in self.nodes if name in n.inputs]

    def verify(self) -> Graph:
        """Check every invariant and return self: names, order, operand fit, formats that hold their range.

        Raises
        ------
        GraphError
            Naming the node and the broken invariant.
        """
        if len(self.by_name) != len(self.nodes):
            raise GraphError("two nodes share a name", where=self.name)
        for node in self.nodes:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", node.name):
                raise GraphError("a node's name must be an identifier", where=self.name, found=node.name)
            if node.name.startswith("hg_"):
                raise GraphError("names that begin with hg_ belong to hwgen", where=self.name, found=node.name)
        if not self.inputs or not self.outputs:
            raise GraphError("a graph needs at least one input and one output", where=self.name)
        for name, t in self.types.items():
            if not t.fmt.holds(int(t.lo.min()), int(t.hi.max())):
                raise GraphError(f"{t.fmt} cannot hold {t.lo.min()}..{t.hi.max()}", where=name)
        for node in self.nodes:
            if not isinstance(node, ir.Output) and not self.consumers(node.name):
                raise GraphError("nothing reads this node", where=node.name)
        return self

    def evaluate(self, inputs: Mapping[str, IntArray], trace: bool | Collection[str] = False) -> dict[str, IntArray]:
        """Compute the network on integers.

        Parameters
        ----------
        inputs : {input name: integers (frames, \\*shape)}
        trace : bool or names
            Return every node's integers (or those of the nodes named), not only the outputs'.

        Raises
        ------
        NumericsError
            If an input is off its format's range.
        """
        given = {node.name: self._checked(node, inputs[node.name]) for node in self.inputs}
        names = [n.name for n in self.nodes if not isinstance(n, ir.Const)] if trace is True else trace
        kept = list(names) if names else [n.name for n in self.outputs]
        frames = len(given[self.inputs[0].name])
        block = max(1, EVALUATE_BYTES // (8 * max(1, sum(t.size for t in self.types.values()))))
        blocks = [
            self._evaluated({name: x[start : start + block] for name, x in given.items()}, kept)
            for start in range(0, max(frames, 1), block)
        ]
        return {
            name: np.concatenate([b[name] for b in blocks]) if len(blocks) > 1 else blocks[0][name] for name in kept
        }

    def _checked(self, node: ir.Input, values: IntArray) -> IntArray:
        x = np.asarray(values)
        if x.shape[1:] != node.shape or (x.size and not node.fmt.holds(int(x.min()), int(x.max()))):
            raise NumericsError(
                "input integers do not fit the input's shape and format",
                where=node.name,
                found=f"shape {x.shape[1:]}, range {x.min()}..{x.max()}" if x.size else f"shape {x.shape}",
                expected=f"shape {node.shape}, {node.fmt}",
            )
        return x

    def _evaluated(self, inputs: dict[str, IntArray], kept: list[str]) -> dict[str, IntArray]:
        """Compute one block of frames, and return the tensors named in `kept`."""
        values: dict[str, IntArray] = dict(inputs)
        for node in self.nodes:
            if not isinstance(node, ir.Input):
                operands = [self.types[o] for o in node.inputs]
                values[node.name] = evaluate_node(
                    node, [values[o] for o in node.inputs], operands, self.types[node.name]
                )
        return {name: values[name] for name in kept}

    def with_nodes(self, nodes: tuple[Node, ...]) -> Graph:
        """Return a graph of the same name with other nodes."""
        return replace(self, nodes=nodes)
