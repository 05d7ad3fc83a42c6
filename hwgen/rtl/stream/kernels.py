"""Parts of a graph that one pipeline computes, item by item: followers of a layer, merges, pools, adder graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwgen.errors import ModelError
from hwgen.fixed import FixedPoint, IntArray
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl.generate import Plan, RtlOptions, plan

FOLLOWERS = (ir.Requantize, ir.Lookup, ir.Scale, ir.Divide)
"""Kinds that act on each element alone: computed behind the layer before them."""


@dataclass
class Part:
    """A small graph under construction."""

    graph: Graph
    name: str

    def __post_init__(self) -> None:
        self.nodes: list[ir.Node] = []
        self.place: Place | None = None

    def fresh(self, stem: str) -> str:
        """Return a name not used yet."""
        taken = {node.name for node in self.nodes}
        name, k = stem, 1
        while name in taken:
            k += 1
            name = f"{stem}_{k}"
        return name

    def add(self, kind: type[Any], stem: str, *inputs: str, **fields: Any) -> str:
        """Add a node and return its name."""
        name = self.fresh(stem)
        self.nodes.append(kind(name=name, inputs=tuple(inputs), **fields))
        return name

    def input(self, name: str, fmt: FixedPoint, lo: IntArray, hi: IntArray) -> str:
        """Add an input with proven bounds."""
        return self.add(ir.Input, name, shape=lo.shape, fmt=fmt, lo=lo, hi=hi)

    def const(self, stem: str, value: IntArray, fraction: int) -> str:
        """Add a constant."""
        return self.add(ir.Const, stem, value=value, fraction=fraction)

    def follow(self, x: str, node: ir.Node, channels: int, order: IntArray | None = None) -> str:
        """Add one follower of x with its constants inline, and return it; channel c stands at place `order[c]`."""
        match node:
            case ir.Requantize() | ir.Lookup():
                self.nodes.append(replace(node, inputs=(x,), partition=None))
                return node.name
            case ir.Divide() if self.place is not None and divides_by_place(node):
                return divide_by_place(self, x, node, self.place)
            case ir.Divide():
                return self.add(
                    ir.Divide, node.name, x, divisor=constant_divisor(self.graph, node), fmt=node.fmt, clamp=node.clamp
                )
            case ir.Scale():
                operands = []
                for index, k in enumerate(("s", "b")[: len(node.inputs) - 1], start=1):
                    value, fraction = coefficient(self.graph, node, index, channels)
                    operands.append(self.const(f"{node.name}_{k}", placed(value, order, channels), fraction))
                return self.add(ir.Scale, node.name, x, *operands)
        raise ModelError(f"{type(node).__name__} does not follow a layer", where=node.name)

    def finish(self, x: str, node: str) -> Graph:
        """Bring x into the format the whole graph proves for `node`, add the output, and return the part."""
        wanted = self.graph.types[node].fmt
        fmt = FixedPoint(wanted.width, wanted.integer, wanted.signed)
        found = Graph(self.name, tuple(self.nodes)).types[x].fmt
        if (found.width, found.integer, found.signed) != (fmt.width, fmt.integer, fmt.signed):
            x = self.add(ir.Requantize, f"{x}_kept", x, fmt=fmt)
        self.add(ir.Output, f"{x}_out", x)
        return Graph(self.name, tuple(self.nodes)).verify()


def coefficient(graph: Graph, node: ir.Scale, index: int, channels: int) -> tuple[IntArray, int]:
    """Return a Scale's factor (index 1) or offset (2) per channel, and its fraction."""
    const = graph.by_name[node.inputs[index]]
    if not isinstance(const, ir.Const):
        raise ModelError("a scale by a live tensor has no streaming hardware", where=node.name)
    return np.broadcast_to(const.value.reshape(-1, const.value.shape[-1])[0], (channels,)).copy(), const.fraction


def placed(values: IntArray, order: IntArray | None, size: int) -> IntArray:
    """Return `values` as `size` places, value c at place `order[c]` (None: at c), the others 0."""
    result = np.zeros(size, dtype=np.int64)
    result[np.arange(len(values)) if order is None else order] = values
    return result


def constant_divisor(graph: Graph, node: ir.Divide) -> IntArray:
    """Return a Divide's divisor, the same at every place.

    Raises
    ------
    ModelError
        If it is not.
    """
    values = np.unique(node.divisor)
    if len(values) != 1:
        raise ModelError(
            "an average over windows that hang over the edge divides by another number there",
            where=node.name,
            found=f"counts {', '.join(map(str, values))}",
            expected="padding: valid, or a window that divides the picture",
        )
    return values.astype(np.int64)


def channel_bounds(graph: Graph, name: str) -> tuple[IntArray, IntArray]:
    """Return the proven range of each channel of a tensor, over all places."""
    t = graph.types[name]
    return (
        t.lo.reshape(-1, t.shape[-1]).min(axis=0),
        t.hi.reshape(-1, t.shape[-1]).max(axis=0),
    )


def vector_bounds(graph: Graph, name: str) -> tuple[IntArray, IntArray]:
    """Return the proven range of each element of a tensor, flat."""
    t = graph.types[name]
    return t.lo.ravel(), t.hi.ravel()


def planned(graph: Graph, options: RtlOptions, handshake: str) -> Plan:
    """Plan a part as an unrolled pipeline."""
    return plan(graph, replace(options, handshake=handshake))


def merge_part(
    graph: Graph, name: str, node: ir.Node, streams: Sequence[str], chain: Sequence[ir.Node], lanes: int | None = None
) -> Graph:
    """Return the part of a node that acts on whole pixels of its operands (Add, Concat, ArgMax, …) and its followers.

    Parameters
    ----------
    streams : names of the operand streams, which the part's inputs get
    chain : nodes computed after `node`, in order
    lanes : int, optional
        Channels that an item holds, where a pixel comes in parts: every channel passes through each lane.
    """
    part = Part(graph, name)
    operands = []
    live = [name for name in node.inputs if not isinstance(graph.by_name[name], ir.Const)]
    for operand, stream in zip(live, streams, strict=True):
        t = graph.types[operand]
        fmt = FixedPoint(t.fmt.width, t.fmt.integer, t.fmt.signed)
        lo, hi = channel_bounds(graph, operand)
        if lanes is not None:
            lo, hi = np.full(lanes, lo.min()), np.full(lanes, hi.max())
        operands.append(part.input(stream, fmt, lo, hi))
    match node:
        case ir.Requantize() | ir.Lookup() | ir.Scale() | ir.Divide():
            x = part.follow(operands[0], node, graph.types[node.name].shape[-1])
        case ir.Concat():
            x = part.add(ir.Concat, node.name, *operands, axis=0)
        case _:
            x = part.add(type(node), node.name, *operands)
    return _chained(part, x, node, chain)


def _chained(part: Part, x: str, node: ir.Node, chain: Sequence[ir.Node]) -> Graph:
    channels = part.graph.types[node.name].shape[-1]
    for follower in chain:
        x = part.follow(x, follower, channels)
    return part.finish(x, chain[-1].name if chain else node.name)


@dataclass(frozen=True)
class Place:
    """Where a result is, inside a part: its row and column, and how many real elements a window has there.

    Parameters
    ----------
    row, column : nodes of shape (1,)
    rows, columns : IntArray
        Real rows of the windows of each output row, real columns of those of each output column.
    """

    row: str
    column: str
    rows: IntArray
    columns: IntArray


def real_counts(node: ir.Window, pool: tuple[int, int], size: tuple[int, ...], out: tuple[int, ...]) -> list[IntArray]:
    """Return, for rows and for columns, how many elements of each window are inside the picture."""
    counts = []
    for axis in (0, 1):
        first = np.arange(out[axis]) * node.strides[axis] - node.padding[2 * axis]
        counts.append(np.minimum(first + pool[axis], size[axis]) - np.maximum(first, 0))
    return counts


def place_inputs(part: Part, stream: str, out: tuple[int, ...], node: ir.MaxPool | ir.SumPool) -> Place:
    """Add the input that says where a result is (row, column)."""
    bits = max(1, *((n - 1).bit_length() for n in out))
    fmt = FixedPoint(bits, bits, False)
    x = part.input(stream, fmt, np.zeros(2, dtype=np.int64), np.array([out[0] - 1, out[1] - 1]))
    row, column = (
        part.add(ir.Dense, f"{name}_of", x, part.const(f"pick_{name}", np.array(pick).reshape(2, 1), 0))
        for name, pick in (("row", [1, 0]), ("column", [0, 1]))
    )
    size = part.graph.types[node.inputs[0]].shape[:2]
    return Place(row, column, *real_counts(node, node.pool, size, out))


def divide_by_place(part: Part, x: str, node: ir.Divide, place: Place) -> str:
    """Divide by the number of real elements at each place: every quotient that occurs, and the one that holds there."""
    found: str | None = None
    for rows in np.unique(place.rows):
        for columns in np.unique(place.columns):
            label = f"{node.name}_{rows}x{columns}"
            one = FixedPoint(1, 1, False)
            here = [
                part.add(ir.Lookup, f"{label}_{k}", p, table=(counts == n).astype(np.int64), first=0, fmt=one)
                for k, p, counts, n in (
                    ("row", place.row, place.rows, rows),
                    ("column", place.column, place.columns, columns),
                )
            ]
            holds = part.add(ir.Mul, f"{label}_here", *here)
            divisor = np.array([rows * columns])
            value = part.add(ir.Divide, label, x, divisor=divisor, fmt=node.fmt, clamp=node.clamp)
            term = part.add(ir.Mul, f"{label}_kept", value, holds)
            found = term if found is None else part.add(ir.Add, f"{label}_or", found, term)
    assert found is not None
    return found


def divides_by_place(node: ir.Node) -> bool:
    """Return whether a node divides by different numbers at different places."""
    return isinstance(node, ir.Divide) and len(np.unique(node.divisor)) > 1


def pool_part(
    graph: Graph,
    name: str,
    node: ir.MaxPool | ir.SumPool,
    stream: str,
    chain: Sequence[ir.Node],
    place: str | None = None,
) -> Graph:
    """Return the part that reduces a window (taps, channels) and its followers.

    Parameters
    ----------
    place : str, optional
        Name of a second input, row and column of the result: for an average that divides by the real elements.
    """
    t = graph.types[node.inputs[0]]
    taps, channels = node.pool[0] * node.pool[1], t.shape[-1]
    fmt = FixedPoint(t.fmt.width, t.fmt.integer, t.fmt.signed)
    lo, hi = channel_bounds(graph, node.inputs[0])
    if any(p > 0 for p in node.padding):
        outside = fmt.int_min if isinstance(node, ir.MaxPool) else 0
        lo, hi = np.minimum(lo, outside), np.maximum(hi, outside)
    part = Part(graph, name)
    x = part.input(stream, fmt, np.tile(lo, (taps, 1)), np.tile(hi, (taps, 1)))
    if place is not None:
        part.place = place_inputs(part, place, graph.types[node.name].shape[:2], node)
    rows = part.add(ir.Transpose, f"{node.name}_taps", x, perm=(1, 0))
    if isinstance(node, ir.MaxPool):
        y = part.add(ir.ReduceMax, f"{node.name}_max", rows)
    else:
        y = part.add(ir.Dense, f"{node.name}_sum", rows, part.const("ones", np.ones((taps, 1), dtype=np.int64), 0))
    x = part.add(ir.Reshape, node.name, y, shape=(channels,))
    return _chained(part, x, node, chain)


def matrix_part(
    graph: Graph,
    name: str,
    layer: Any,
    stream: str,
    bounds: tuple[IntArray, IntArray],
    fmt: FixedPoint,
    chain: Sequence[ir.Node],
) -> Graph:
    """Return the part that multiplies an item by a constant matrix (an adder graph), and its followers."""
    part = Part(graph, name)
    x = part.input(stream, fmt, *bounds)
    operands = [x, part.const(f"{layer.name}_w", layer.matrix, layer.weight_fraction)]
    if np.any(layer.bias):
        operands.append(part.const(f"{layer.name}_b", layer.bias.copy(), layer.bias_fraction))
    y = part.add(ir.Dense, layer.name, *operands)
    return _chained(part, y, layer.node, chain)


def post_part(
    graph: Graph,
    name: str,
    layer: Any,
    lanes: int,
    groups: int,
    chain: Sequence[ir.Node],
    order: IntArray | None = None,
) -> tuple[Graph, dict[str, IntArray]]:
    """Return the followers of an engine, `lanes` wide, and the coefficients (groups, lanes) its extra inputs get.

    A Scale has constants per channel: where the lanes serve several groups they are live inputs. Output c stands at
    place `order[c]` (None: at c) of all groups.
    """
    part = Part(graph, name)
    lo, hi = channel_bounds(graph, layer.name)
    low, high = np.full(lanes, min(int(lo.min()), 0)), np.full(lanes, max(int(hi.max()), 0))
    x = part.input("acc", layer.acc, low, high)
    coefficients: dict[str, IntArray] = {}
    for follower in chain:
        if not isinstance(follower, ir.Scale) or groups == 1:
            x = part.follow(x, follower, lanes, order)
            continue
        for index in range(1, len(follower.inputs)):
            value, fraction = coefficient(graph, follower, index, layer.outputs)
            table = placed(value, order, groups * lanes)
            live = part.fresh(f"{follower.name}_{'sb'[index - 1]}")
            fmt = FixedPoint.for_range(min(int(table.min()), -1), max(int(table.max()), 0), fraction)
            bounds = (np.full(lanes, int(table.min())), np.full(lanes, int(table.max())))
            part.input(live, fmt, *bounds)
            coefficients[live] = table.reshape(groups, lanes)
            kind = ir.Mul if index == 1 else ir.Add
            x = part.add(kind, f"{follower.name}_{'product' if index == 1 else 'sum'}", x, live)
    return part.finish(x, chain[-1].name if chain else layer.name), coefficients
