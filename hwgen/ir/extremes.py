"""Frames that drive deep neurons far out: where saturation and the widest accumulators are, random frames do not come.

For a first layer the extreme frames follow from the signs of the weights. Deeper in, what lies between saturates, so
they are searched for: from the best frames known, every input element is tried at some other values, and the changes
that help are applied together, best first, as far as they keep helping.
"""

from __future__ import annotations

import numpy as np

from hwgen.fixed import IntArray
from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph
from hwgen.ir.windows import kernel_of

Frames = dict[str, IntArray]

EFFORT = 200_000_000
"""Operations spent on the search, at most (a second or two); none is made where one target takes more."""
POOL_ELEMENTS = 100_000_000
"""Tensor elements of the frames that the search may start from, at most."""
STARTS = 3
ROUNDS = 4
LEVELS = 5


def climb(graph: Graph, pool: Frames, targets: int = 256) -> Frames:
    """Return frames for the smallest and for the largest values found of each deep neuron.

    Parameters
    ----------
    pool : frames to start from
    targets : int
        Neurons a tensor at most, evenly spread.
    """
    lows, highs, places = _layout(graph)
    work = [(name, element) for name in _deep(graph) for element in _some(graph.types[name].size, targets)]
    cost = 2 * STARTS * ROUNDS * (LEVELS + 1) * len(lows) * _multiplications(graph)
    count = min(len(work), EFFORT // max(cost, 1))
    chosen = [work[int(k)] for k in np.linspace(0, len(work) - 1, count).round()]
    if not chosen:
        return {name: values[:0] for name, values in pool.items()}
    most = max(STARTS, POOL_ELEMENTS // sum(t.size for t in graph.types.values()))
    pool = {name: values[:most] for name, values in pool.items()}
    trace = graph.evaluate(pool, trace=True)
    flat = _flatten(graph, pool)
    found = []
    for name, element in chosen:
        values = trace[name].reshape(len(flat), -1)[:, element]
        for sign in (1, -1):
            for start in np.argsort(-values * sign, kind="stable")[:STARTS]:
                best = flat[int(start)]
                for _ in range(ROUNDS):
                    better = _improved(graph, places, best, lows, highs, name, element, sign)
                    if better is None:
                        break
                    best = better
                found.append(best)
    rows = np.array(found, dtype=flat.dtype).reshape(len(found), flat.shape[1])
    return _unflatten(graph, places, rows)


def _improved(
    graph: Graph,
    places: dict[str, slice],
    start: IntArray,
    lows: IntArray,
    highs: IntArray,
    name: str,
    element: int,
    sign: int,
) -> IntArray | None:
    """Return a frame that drives the neuron further than `start`, or None."""

    def score(rows: IntArray) -> IntArray:
        return (
            graph.evaluate(_unflatten(graph, places, rows), trace=True)[name].reshape(len(rows), -1)[:, element] * sign
        )

    size = len(start)
    diagonal = np.arange(size)
    levels = np.stack([lows, highs, (lows + highs) // 2, (start + lows) // 2, (start + highs) // 2])
    trial = np.repeat(start[None], LEVELS * size + 1, axis=0)
    for index, level in enumerate(levels):
        trial[index * size + diagonal, diagonal] = level
    scores = score(trial)
    now = scores[-1]
    gains = scores[:-1].reshape(LEVELS, size) - now
    which = gains.argmax(axis=0)
    gain, value = gains[which, diagonal], levels[which, diagonal]
    order = [int(k) for k in np.argsort(-gain, kind="stable") if gain[k] > 0]
    if not order:
        return None
    steps = np.repeat(start[None], len(order), axis=0)
    for row, k in enumerate(order):
        steps[row:, k] = value[k]
    reached = score(steps)
    best = int(np.argmax(reached))
    return steps[best] if reached[best] > now else None


def _deep(graph: Graph) -> list[str]:
    """Return what a requantizer or an output reads, and every dense result, unless an input feeds it directly."""
    wanted: list[str] = []
    for node in graph.nodes:
        name = (
            node.name
            if isinstance(node, ir.Dense | ir.Conv | ir.DepthwiseConv)
            else node.inputs[0]
            if isinstance(node, ir.Requantize | ir.Divide)
            else None
        )
        if name is None or name in wanted:
            continue
        maker = graph.by_name[name]
        if isinstance(maker, ir.Input | ir.Const):
            continue
        direct = all(isinstance(graph.by_name[operand], ir.Input | ir.Const) for operand in maker.inputs)
        if not direct:
            wanted.append(name)
    return wanted


def _some(size: int, most: int) -> list[int]:
    return sorted({int(k) for k in np.linspace(0, size - 1, min(size, most)).round()})


def _multiplications(graph: Graph) -> int:
    """Return about how many multiplications (or other operations) one frame takes."""
    total = 0
    for node in graph.nodes:
        taps = 1
        if isinstance(node, ir.Window):
            taps = int(np.prod(kernel_of(node, [graph.types[o].shape for o in node.inputs])))
            taps *= graph.types[node.inputs[0]].shape[-1] if isinstance(node, ir.Conv) else 1
        total += graph.types[node.name].size * taps
    return total


def _layout(graph: Graph) -> tuple[IntArray, IntArray, dict[str, slice]]:
    """Return the bounds of all input elements in one row, and each input's place in it."""
    lows, highs, places, start = [], [], {}, 0
    for node in graph.inputs:
        kind = graph.types[node.name]
        lows.append(kind.lo.ravel())
        highs.append(kind.hi.ravel())
        places[node.name] = slice(start, start + kind.size)
        start += kind.size
    return np.concatenate(lows), np.concatenate(highs), places


def _flatten(graph: Graph, frames: Frames) -> IntArray:
    count = len(next(iter(frames.values())))
    return np.concatenate([frames[node.name].reshape(count, -1) for node in graph.inputs], axis=1)


def _unflatten(graph: Graph, places: dict[str, slice], rows: IntArray) -> Frames:
    return {node.name: rows[:, places[node.name]].reshape(len(rows), *node.shape) for node in graph.inputs}
