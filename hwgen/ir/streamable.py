"""Which graphs have streaming hardware: checked before training, and again where the hardware is planned."""

from __future__ import annotations

import numpy as np

from hwgen.errors import ModelError
from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph

PRODUCTS = (ir.Conv, ir.DepthwiseConv, ir.Dense)
MERGES = (ir.Add, ir.Sub, ir.Mul, ir.Max, ir.Min, ir.Concat)
STREAMABLE = (
    *PRODUCTS,
    *MERGES,
    ir.Input,
    ir.Const,
    ir.Output,
    ir.MaxPool,
    ir.SumPool,
    ir.Pad,
    ir.Upsample,
    ir.Reshape,
    ir.Requantize,
    ir.Lookup,
    ir.Scale,
    ir.Divide,
    ir.ReduceMax,
    ir.ArgMax,
)
SMALL = "hardware.io_type: io_parallel, if the network is small"


def check_streamable(graph: Graph) -> None:
    """Refuse a graph that has no streaming hardware.

    Raises
    ------
    ModelError
        Naming the first node that stands in the way.
    """
    for node in graph.nodes:
        _check(graph, node)


def _check(graph: Graph, node: ir.Node) -> None:
    kind = type(node).__name__
    constant = [isinstance(graph.by_name[name], ir.Const) for name in node.inputs]
    if not isinstance(node, STREAMABLE):
        raise ModelError(f"no streaming hardware for {kind}", where=node.name, expected=SMALL)
    if isinstance(node, PRODUCTS) and not constant[1]:
        raise ModelError("a product of two live tensors has no streaming hardware", where=node.name, expected=SMALL)
    if isinstance(node, ir.Scale) and not all(constant[1:]):
        raise ModelError("a scale by a live tensor has no streaming hardware", where=node.name, expected=SMALL)
    if isinstance(node, MERGES):
        _check_merge(graph, node, constant)
    if isinstance(node, ir.Divide) and len(np.unique(node.divisor)) > 1:
        before = graph.by_name[node.inputs[0]]
        if not isinstance(before, ir.SumPool) or len(graph.consumers(before.name)) != 1:
            raise ModelError("divisors that differ from place to place follow a sum of windows only", where=node.name)
    if isinstance(node, ir.Window) and not isinstance(node, ir.MaxPool | ir.SumPool):
        shape = graph.types[node.inputs[1]].shape
        _check_padding(node, (shape[0], shape[1]))
    elif isinstance(node, ir.MaxPool | ir.SumPool):
        _check_padding(node, node.pool)


def _check_merge(graph: Graph, node: ir.Node, constant: list[bool]) -> None:
    kind = type(node).__name__
    if any(constant):
        raise ModelError(f"no streaming hardware for {kind} with a constant", where=node.name, expected=SMALL)
    shapes = [graph.types[name].shape for name in node.inputs]
    if len({shape[:-1] for shape in shapes}) != 1:
        raise ModelError(
            f"{kind} of tensors with different pictures has no streaming hardware",
            where=node.name,
            found=", ".join(map(str, shapes)),
            expected=SMALL,
        )
    if isinstance(node, ir.Concat) and node.axis % len(shapes[0]) != len(shapes[0]) - 1:
        raise ModelError("a stream concatenates channels only", where=node.name, expected="axis=-1")


def _check_padding(node: ir.Window, kernel: tuple[int, int]) -> None:
    top, _, left, _ = node.padding
    if top >= kernel[0] or left >= kernel[1]:
        raise ModelError(
            "more padding than the kernel is wide", where=node.name, found=str(node.padding), expected="a Pad node"
        )
