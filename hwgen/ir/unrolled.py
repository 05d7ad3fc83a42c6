"""How large a network becomes when it is unrolled, and the refusal of what would explode."""

from __future__ import annotations

import numpy as np

from hwgen.errors import NumericsError
from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph
from hwgen.ir.windows import kernel_of

MOST_PRODUCTS = 20_000
"""Products of all convolutions (non-zero weights x places) that are unrolled, at most."""
MOST_OPERATIONS = 200_000
"""Scalar operations of all layers on pictures that are unrolled, at most."""


def unrolled_products(graph: Graph, node: ir.Node) -> int:
    """Return the products by non-zero weights that a convolution unrolls to (0 for other nodes)."""
    if not isinstance(node, ir.Conv | ir.DepthwiseConv):
        return 0
    weight = graph.by_name[node.inputs[1]]
    height, width, _ = graph.types[node.name].shape
    used = np.count_nonzero(weight.value) if isinstance(weight, ir.Const) else graph.types[weight.name].size
    return int(used) * height * width


def check_unrolled(graph: Graph) -> None:
    """Refuse convolutional networks that would be too large without sharing hardware over time.

    Raises
    ------
    NumericsError
        With the numbers, the largest layer, and io_stream as the way out.
    """
    products = {node.name: unrolled_products(graph, node) for node in graph.nodes}
    total = sum(products.values())
    operations = sum(_operations(graph, node) for node in graph.nodes) + total if _on_pictures(graph) else 0
    if total <= MOST_PRODUCTS and operations <= MOST_OPERATIONS:
        return
    worst = max(products, key=lambda name: products[name])
    raise NumericsError(
        "unrolled, this network is too large: io_parallel has an own adder for every product at every place",
        where=f"hardware.io_type (largest layer: {worst}, {products[worst]:,} products)",
        found=f"io_parallel with about {total:,} multiply-accumulates and {operations:,} operations in all",
        expected=f"at most {MOST_PRODUCTS:,} and {MOST_OPERATIONS:,}, or io_type: io_stream, which shares hardware",
    )


def _on_pictures(graph: Graph) -> bool:
    return any(isinstance(node, ir.Window) for node in graph.nodes)


def _operations(graph: Graph, node: ir.Node) -> int:
    size = graph.types[node.name].size
    if isinstance(node, ir.MaxPool | ir.SumPool):
        return size * (int(np.prod(kernel_of(node, []))) - 1)
    return size if isinstance(node, ir.Requantize | ir.Lookup | ir.Elementwise | ir.Scale | ir.Divide) else 0
