"""How each input element moves a neuron, as if nothing saturated: the graph's linear part, read backwards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwgen.fixed import IntArray
from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph
from hwgen.ir.windows import scatter

BLOCK_ELEMENTS = 4_000_000
"""Elements of the widest tensor, for all neurons that are followed at a time."""


def input_gains(graph: Graph, name: str, elements: IntArray) -> dict[str, np.ndarray]:
    """Return, for every input that reaches node `name`, gains of shape (len(elements), input's size).

    Products of live tensors and everything else that is not linear in one operand end the way; rounding, saturation and
    tables are read as the identity, a maximum as the sum.

    Parameters
    ----------
    elements : flat indices into the result of `name`
    """
    widest = max(t.size for t in graph.types.values())
    step = max(1, BLOCK_ELEMENTS // widest)
    parts = [_gains(graph, name, elements[start : start + step]) for start in range(0, len(elements), step)]
    return {source: np.concatenate([part[source] for part in parts]) for source in parts[0]}


def _gains(graph: Graph, name: str, elements: IntArray) -> dict[str, np.ndarray]:
    seed = np.zeros((len(elements), graph.types[name].size))
    seed[np.arange(len(elements)), elements] = 1.0
    gains = {name: seed.reshape(len(elements), *graph.types[name].shape)}
    result = {}
    stop = [node.name for node in graph.nodes].index(name)
    for node in reversed(graph.nodes[: stop + 1]):
        gain = gains.pop(node.name, None)
        if gain is None:
            continue
        if isinstance(node, ir.Input):
            result[node.name] = gain.reshape(len(elements), -1)
            continue
        for operand, pulled in _pulled(graph, node, gain):
            gains[operand] = gains[operand] + pulled if operand in gains else pulled
    return result


def _pulled(graph: Graph, node: ir.Node, gain: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the operands of `node` that it is linear in, with the gain at each: (neurons, \\*operand's shape)."""
    first = node.inputs[0] if node.inputs else ""
    shape = graph.types[first].shape if first else ()
    match node:
        case ir.Dense() | ir.Scale() | ir.Conv() | ir.DepthwiseConv():
            weight = graph.by_name[node.inputs[1]]
            if isinstance(weight, ir.Const):
                value = np.ldexp(weight.value.astype(np.float64), -weight.fraction)
                yield first, _weighted(node, value, gain, shape)
        case ir.Requantize() | ir.Lookup() | ir.Output():
            yield first, gain
        case ir.Divide():
            yield first, gain / node.divisor.astype(np.float64)
        case ir.Reshape():
            yield first, gain.reshape(len(gain), *shape)
        case ir.Transpose():
            yield first, gain.transpose(0, *(int(axis) + 1 for axis in np.argsort(node.perm)))
        case ir.MaxPool() | ir.SumPool():
            columns = np.broadcast_to(gain[:, :, :, None, None], (*gain.shape[:3], *node.pool, shape[2]))
            yield first, scatter(columns, node, (shape[0], shape[1]))
        case ir.Pad():
            top, _, left, _ = node.padding
            yield first, gain[:, top : top + shape[0], left : left + shape[1]]
        case ir.Upsample():
            yield first, gain.reshape(len(gain), shape[0], node.factors[0], shape[1], node.factors[1], -1).sum((2, 4))
        case ir.Add() | ir.Sub():
            for operand, factor in zip(node.inputs, (1.0, -1.0 if isinstance(node, ir.Sub) else 1.0), strict=True):
                if graph.types[operand].shape == gain.shape[1:]:
                    yield operand, factor * gain
        case ir.Concat():
            axis = node.axis if node.axis < 0 else node.axis + 1
            ends = np.cumsum([graph.types[operand].shape[node.axis] for operand in node.inputs])[:-1]
            yield from zip(node.inputs, np.split(gain, ends, axis=axis), strict=True)


def _weighted(node: ir.Node, weight: np.ndarray, gain: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the gain at the first operand (of `shape`) of a node with weights."""
    match node:
        case ir.Dense():
            return np.asarray(gain @ weight.T)
        case ir.Conv():
            columns = (gain @ weight.reshape(-1, weight.shape[3]).T).reshape(*gain.shape[:3], *weight.shape[:3])
            return scatter(columns, node, (shape[0], shape[1]))
        case ir.DepthwiseConv():
            by_channel = gain.reshape(*gain.shape[:3], weight.shape[2], weight.shape[3])
            columns = np.einsum("nyxcd,klcd->nyxklc", by_channel, weight)
            return scatter(columns, node, (shape[0], shape[1]))
        case _:
            return gain * weight
