"""Passes over a graph, each pure and exact: the result computes the same integers, at less cost."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph
from hwgen.ir.windows import kernel_of, tap_counts


def fold_padding(graph: Graph) -> Graph:
    """Make a Pad part of the windows that read it, where that gives the same integers.

    Convolutions and sums pad with zeros anyway; a maximum does not see its padding, so that its operand must not be
    negative and each window must see an element. Padding by a whole kernel or more stays a node of its own.
    """
    pads = {n.name: n for n in graph.nodes if isinstance(n, ir.Pad)}
    folded = {
        name: pad
        for name, pad in pads.items()
        if all(isinstance(c, ir.Window) and _foldable(graph, pad, c) for c in graph.consumers(name))
    }
    nodes: list[ir.Node] = []
    for node in graph.nodes:
        if node.name in folded:
            continue
        pad = folded.get(node.inputs[0]) if isinstance(node, ir.Window) else None
        if pad is not None and isinstance(node, ir.Window):
            padding = tuple(a + b for a, b in zip(node.padding, pad.padding, strict=True))
            node = replace(node, inputs=(pad.inputs[0], *node.inputs[1:]), padding=padding)  # type: ignore[arg-type]
        nodes.append(node)
    return graph.with_nodes(tuple(nodes))


def spread_pictures(graph: Graph) -> Graph:
    """Repeat a merge's operand of one pixel (squeeze-excite's gate) at every pixel of the other operand.

    Both operands of the merge then have the same picture, and streams of it meet pixel by pixel.
    """
    nodes: list[ir.Node] = []
    taken = {n.name for n in graph.nodes}
    for node in graph.nodes:
        height_width = graph.types[node.name].shape[:2]
        if isinstance(node, ir.Elementwise) and all(_is_picture(graph, name, node.name) for name in node.inputs):
            inputs = []
            for name in node.inputs:
                if graph.types[name].shape[:2] != height_width:
                    spread = _free(f"{name}_spread", taken)
                    nodes.append(ir.Upsample(name=spread, inputs=(name,), factors=(height_width[0], height_width[1])))
                    name = spread
                inputs.append(name)
            node = replace(node, inputs=tuple(inputs))
        nodes.append(node)
    return graph.with_nodes(tuple(nodes))


def _is_picture(graph: Graph, name: str, merged: str) -> bool:
    """Return whether an operand is live and has all channels of the merge's result, and all of its pixels or one."""
    shape, whole = graph.types[name].shape, graph.types[merged].shape
    if isinstance(graph.by_name[name], ir.Const) or len(shape) != 3 or len(whole) != 3:
        return False
    return shape[2] == whole[2] and shape[:2] in (whole[:2], (1, 1))


def _foldable(graph: Graph, pad: ir.Pad, node: ir.Window) -> bool:
    x = graph.types[pad.inputs[0]]
    kernel = kernel_of(node, [graph.types[name].shape for name in node.inputs])
    padding = tuple(a + b for a, b in zip(node.padding, pad.padding, strict=True))
    if max(padding[:2]) >= kernel[0] or max(padding[2:]) >= kernel[1]:
        return False
    if isinstance(node, ir.MaxPool | ir.SumPool):
        moved = replace(node, padding=padding)  # type: ignore[arg-type]
        if int(tap_counts(moved, x.shape, kernel).min()) < 1:
            return False
    return not isinstance(node, ir.MaxPool) or int(x.lo.min()) >= 0


def sink_reshapes(graph: Graph) -> Graph:
    """Move reshapes that add or drop axes of size 1 behind what acts on each element or channel alone.

    What follows a convolution then stands next to it, and reshapes meet and cancel (`drop_reshapes`). The moved node
    keeps its name and takes the shape of the reshape's operand.
    """
    nodes: list[ir.Node] = []
    known = {n.name: n for n in graph.nodes}
    taken, moved = set(known), dict[str, str]()
    reshapes: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {}
    for old in graph.nodes:
        node = replace(old, inputs=tuple(moved.get(name, name) for name in old.inputs))
        shape = graph.types[old.name].shape
        sources = [reshapes.get(name) for name in node.inputs]
        inner = _inner_shape(graph, old, sources)
        if inner is None:
            nodes.append(node)
            if isinstance(node, ir.Reshape):
                source = _shape_of(graph, nodes, node.inputs[0])
                if _same_axes(source, shape):
                    reshapes[node.name] = (node.inputs[0], source, shape)
            continue
        inputs = tuple(s[0] if s is not None else name for s, name in zip(sources, node.inputs, strict=True))
        node = replace(node, inputs=inputs)
        if isinstance(node, ir.Divide):
            whole = np.broadcast_to(node.divisor, shape).reshape(inner)
            node = node if node.divisor.size == 1 else replace(node, divisor=np.ascontiguousarray(whole))
        if isinstance(node, ir.Concat):
            node = replace(node, axis=-1)
        nodes.append(node)
        back = _free(f"{node.name}_reshaped", taken)
        nodes.append(ir.Reshape(name=back, inputs=(node.name,), shape=shape))
        reshapes[back] = (node.name, inner, shape)
        moved[node.name] = back
    return _without_unread(graph.with_nodes(tuple(nodes)))


def _shape_of(graph: Graph, nodes: list[ir.Node], name: str) -> tuple[int, ...]:
    """Return the shape that `name` has in the new graph: only moved nodes have another one."""
    for node in nodes:
        if isinstance(node, ir.Reshape) and node.name == name:
            return node.shape
    return graph.types[name].shape


def _same_axes(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Return whether two shapes differ in axes of size 1 only, the last axis being the same."""
    return bool(a and b) and a != b and a[-1] == b[-1] and [n for n in a if n > 1] == [n for n in b if n > 1]


def _inner_shape(
    graph: Graph, node: ir.Node, sources: list[tuple[str, tuple[int, ...], tuple[int, ...]] | None]
) -> tuple[int, ...] | None:
    """Return the shape that `node` takes in front of the reshapes it reads, None where it must stay behind them."""
    first = sources[0] if sources else None
    if first is None:
        return None
    shape = graph.types[node.name].shape
    live = [s for s, name in zip(sources, node.inputs, strict=True) if not isinstance(graph.by_name[name], ir.Const)]
    match node:
        case ir.Requantize() | ir.Lookup() | ir.Divide() | ir.Scale():
            constants = [graph.types[name].shape for name in node.inputs[1:]]
            return first[1] if all(len(s) <= 1 for s in constants) else None
        case ir.Elementwise() if len(live) == 2 and all(s is not None and s[1:] == first[1:] for s in live):
            return first[1] if first[2] == shape else None
        case ir.Concat() if node.axis in (-1, len(shape) - 1):
            heads = [s[1][:-1] for s in sources if s is not None]
            same = len(heads) == len(sources) and len(set(heads)) == 1
            return (*heads[0], shape[-1]) if same else None
    return None


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def drop_reshapes(graph: Graph, keep: Collection[str] = ()) -> Graph:
    """Join reshapes of reshapes, and drop those that change nothing.

    Parameters
    ----------
    keep : names that stay nodes of the graph
    """
    nodes: list[ir.Node] = []
    moved: dict[str, str] = {}
    source = {n.name: n.inputs[0] for n in graph.nodes if isinstance(n, ir.Reshape)}
    for old in graph.nodes:
        node = replace(old, inputs=tuple(moved.get(name, name) for name in old.inputs))
        if isinstance(node, ir.Reshape):
            origin = node.inputs[0]
            while origin in source:
                origin = moved.get(source[origin], source[origin])
            node = replace(node, inputs=(origin,))
            if graph.types[origin].shape == node.shape and node.name not in keep:
                moved[node.name] = origin
                continue
        nodes.append(node)
    return _without_unread(graph.with_nodes(tuple(nodes)), keep)


def _without_unread(graph: Graph, keep: Collection[str] = ()) -> Graph:
    """Drop reshapes that nothing reads any more."""
    nodes = list(graph.nodes)
    for node in reversed(graph.nodes):
        read = any(node.name in other.inputs for other in nodes)
        if isinstance(node, ir.Reshape) and not read and node.name not in keep:
            nodes.remove(node)
    return graph.with_nodes(tuple(nodes))
