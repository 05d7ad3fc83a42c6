"""The vectors a graph is proved on: the test set, random on-grid frames, and corners. No tools, no TensorFlow."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hwgen.errors import DataError
from hwgen.files import write_if_changed
from hwgen.fixed import IntArray, as_ints, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.extremes import climb
from hwgen.ir.graph import Graph
from hwgen.ir.serialize import npz_bytes

SETS = ("test", "random", "corners")
"""The sets, in the order they are reported."""

MAX_NEURONS = 1024
"""At most this many neurons of a layer get vectors of their own (evenly spread over the layer)."""

TIE_CANDIDATES = 4096
"""Random frames searched for ties, at most."""

CLIMB_STARTS = 10_000
"""Random frames from which the search for deep neurons' extremes may start."""

Frames = dict[str, IntArray]


def make_vectors(
    graph: Graph, test: Mapping[str, IntArray] | None, n_random: int, seed: int
) -> dict[str, dict[str, IntArray]]:
    """Return the sets "test", "random" and "corners", each {input name: integers (frames, \\*shape)}.

    Parameters
    ----------
    test : {input name: integers}, optional
        The test set on the inputs' grids; empty if None.
    n_random : int
        Frames drawn uniformly from each input's format.
    seed : int
        Of the random frames and of the search for ties.
    """
    rng = np.random.default_rng(seed)
    if test is None:
        test = {node.name: np.zeros((0, *node.shape), dtype=np.int64) for node in graph.inputs}
    random = {node.name: _uniform(node, n_random, rng) for node in graph.inputs}
    return {"test": dict(test), "random": random, "corners": _corners(graph, random, rng)}


def save_vectors(path: Path, vectors: Mapping[str, Mapping[str, IntArray]]) -> None:
    """Write the sets to an npz with keys ``set/input``; equal sets give equal bytes."""
    arrays = {}
    for name, frames in vectors.items():
        for source, values in frames.items():
            arrays[f"{name}/{source}"] = values.astype(str) if values.dtype == object else values
    write_if_changed(path, npz_bytes(arrays))


def load_vectors(path: Path) -> dict[str, dict[str, IntArray]]:
    """Read sets back.

    Raises
    ------
    DataError
        If the file is missing or is not one of ours.
    """
    result: dict[str, dict[str, IntArray]] = {}
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            for key in arrays.files:
                name, source = key.split("/")
                stored = arrays[key]
                values = stored if stored.dtype.kind == "i" else np.vectorize(int, otypes=[object])(stored)
                result.setdefault(name, {})[source] = values
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            "the vectors cannot be read", where=str(path), found=str(error), hint="build again from the lower stage"
        ) from error
    return result


def _uniform(node: ir.Input, frames: int, rng: np.random.Generator) -> IntArray:
    """Draw frames uniformly from a format, exact also past 64 bits."""
    lo, hi = node.fmt.int_min, node.fmt.int_max
    if node.fmt.width <= 62:
        return rng.integers(lo, hi, size=(frames, *node.shape), dtype=np.int64, endpoint=True)
    high = rng.integers(0, 1 << 32, size=(frames, *node.shape), dtype=np.int64).astype(object)
    total = high
    for _ in range(node.fmt.width // 32):
        total = (total << 32) + rng.integers(0, 1 << 32, size=total.shape, dtype=np.int64).astype(object)
    return total % (hi - lo + 1) + lo


def _corners(graph: Graph, random: Frames, rng: np.random.Generator) -> Frames:
    """Return the frames at which hardware breaks first, without repetitions."""
    blocks = [_uniform_corners(graph), *_unit_corners(graph), *_neuron_corners(graph)]
    candidates = _joined(graph, blocks)
    far = climb(graph, _joined(graph, [candidates, {name: values[:CLIMB_STARTS] for name, values in random.items()}]))
    ties = _ties(graph, candidates, rng)
    return _unique(graph, _joined(graph, [candidates, far, ties]))


def _uniform_corners(graph: Graph) -> Frames:
    """All minimal, all maximal, all zero; and each sign pattern over inputs, if there are several."""
    result = {}
    for position, node in enumerate(graph.inputs):
        lo, hi, zero = (as_ints(v) for v in (graph.types[node.name].lo, graph.types[node.name].hi, 0))
        one = np.clip(1, node.fmt.int_min, node.fmt.int_max)
        rows = [lo, hi, np.broadcast_to(zero, lo.shape), np.broadcast_to(np.asarray(one), lo.shape)]
        alternate = np.where(np.arange(lo.size).reshape(lo.shape) % 2 == 0, lo, hi)
        rows += [alternate, lo + hi - alternate]
        rows += [lo, hi] if position % 2 == 0 else [hi, lo]
        result[node.name] = np.stack([np.asarray(row) for row in rows])
    return result


def _unit_corners(graph: Graph) -> list[Frames]:
    """Each input element alone at its extremes: one frame an element finds swapped and misplaced bits."""
    blocks = []
    for node in graph.inputs:
        kind = graph.types[node.name]
        places = _spread(kind.size)
        for bound in (kind.hi, kind.lo):
            frames = np.zeros((len(places), kind.size), dtype=bound.dtype)
            frames[np.arange(len(places)), places] = bound.ravel()[places]
            blocks.append(_filled(graph, {node.name: frames.reshape(len(places), *kind.shape)}))
    return blocks


def _neuron_corners(graph: Graph) -> list[Frames]:
    """Drive every neuron to its smallest and largest value: inputs at the bound its weight's sign asks for.

    Exact for the first dense layers; deeper ones are driven by the sign of the product of the weights on the way, which
    ignores what saturates between and is as far as one linear step goes.
    """
    blocks = []
    for name, gains in _linear_gains(graph).items():
        for source, gain in gains.items():
            kind = graph.types[source]
            rows = gain.T[_spread(gain.shape[1])]
            lo, hi = kind.lo.ravel(), kind.hi.ravel()
            for sign in (1, -1):
                frames = np.where(rows * sign > 0, hi, np.where(rows * sign < 0, lo, 0))
                frames = np.clip(frames, lo, hi)
                others = {
                    other: _driven(graph, other, g, sign, len(rows)) for other, g in gains.items() if other != source
                }
                blocks.append(_filled(graph, {source: frames.reshape(len(rows), *kind.shape), **others}))
        del name
    return blocks


def _driven(graph: Graph, source: str, gain: np.ndarray, sign: int, frames: int) -> IntArray:
    kind = graph.types[source]
    rows = gain.T[_spread(gain.shape[1])] * sign
    driven = np.where(rows > 0, kind.hi.ravel(), np.where(rows < 0, kind.lo.ravel(), 0))
    return driven[:frames].reshape(len(driven[:frames]), *kind.shape)


def _linear_gains(graph: Graph) -> dict[str, dict[str, np.ndarray]]:
    """Return, for each Dense on a one-dimensional operand, the gain (input elements, neurons) from each input."""
    gains: dict[str, dict[str, np.ndarray]] = {}
    result: dict[str, dict[str, np.ndarray]] = {}
    for node in graph.nodes:
        size = graph.types[node.name].size
        match node:
            case ir.Input():
                gains[node.name] = {node.name: np.eye(size)}
            case ir.Const():
                continue
            case ir.Dense() if len(graph.types[node.inputs[0]].shape) == 1:
                const = graph.by_name[node.inputs[1]]
                if isinstance(const, ir.Const):
                    weight = const.value.astype(np.float64)
                    gains[node.name] = {s: g @ weight for s, g in gains.get(node.inputs[0], {}).items()}
                    result[node.name] = gains[node.name]
            case ir.Requantize() | ir.Reshape() | ir.Lookup() | ir.Output():
                gains[node.name] = gains.get(node.inputs[0], {})
            case ir.Scale():
                const = graph.by_name[node.inputs[1]]
                if isinstance(const, ir.Const):
                    shape = graph.types[node.name].shape
                    factor = np.broadcast_to(const.value.astype(np.float64), shape).ravel()
                    gains[node.name] = {s: g * factor for s, g in gains.get(node.inputs[0], {}).items()}
            case ir.Add() | ir.Sub():
                gains[node.name] = _combined(graph, node, gains)
            case ir.Concat() if len(graph.types[node.name].shape) == 1:
                gains[node.name] = _concatenated(graph, node, gains)
            case _:
                continue
    return {name: {s: g for s, g in sources.items() if g.size} for name, sources in result.items()}


def _combined(graph: Graph, node: ir.Node, gains: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    total: dict[str, np.ndarray] = {}
    for operand, factor in zip(node.inputs, (1.0, -1.0 if isinstance(node, ir.Sub) else 1.0), strict=True):
        if graph.types[operand].shape != graph.types[node.name].shape:
            continue
        for source, gain in gains.get(operand, {}).items():
            total[source] = total.get(source, 0) + factor * gain * 2.0 ** -graph.types[operand].fraction
    return total


def _concatenated(graph: Graph, node: ir.Node, gains: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    total: dict[str, np.ndarray] = {}
    start = 0
    for operand in node.inputs:
        size = graph.types[operand].size
        for source, gain in gains.get(operand, {}).items():
            wide = total.setdefault(source, np.zeros((len(gain), graph.types[node.name].size)))
            wide[:, start : start + size] = gain
        start += size
    return total


def _ties(graph: Graph, corners: Frames, rng: np.random.Generator) -> Frames:
    """Return frames with a value exactly half an LSB between two results of a requantizer, as many as are found.

    Random frames and the corners are searched; one frame is kept for each element of each requantizer that ties,
    once with an even and once with an odd result below, and one for each element one LSB beside the tie.
    """
    frames = max(64, min(TIE_CANDIDATES, 4_000_000 // max(1, sum(t.size for t in graph.types.values()))))
    drawn = {node.name: _uniform(node, frames, rng) for node in graph.inputs}
    sparse = {name: np.where(rng.random(values.shape) < 0.2, values, 0) for name, values in drawn.items()}
    legal = {node.name: np.clip(sparse[node.name], node.fmt.int_min, node.fmt.int_max) for node in graph.inputs}
    pool = _joined(graph, [corners, drawn, legal])
    trace = graph.evaluate(pool, trace=True)
    chosen: set[int] = set()
    for node in graph.nodes:
        if not isinstance(node, ir.Requantize):
            continue
        shift = graph.types[node.inputs[0]].fraction - node.fmt.fraction
        if shift <= 0:
            continue
        values = trace[node.inputs[0]].reshape(len(trace[node.inputs[0]]), -1)
        values = as_ints(values[:, _spread(values.shape[1])], max_abs(values) + (1 << shift))
        rest, odd, half = values & ((1 << shift) - 1), (values >> shift) & 1, 1 << (shift - 1)
        for wanted in ((rest == half) & (odd == 0), (rest == half) & (odd == 1), rest == half - 1, rest == half + 1):
            hit = np.asarray(wanted, dtype=bool)
            chosen.update(int(row) for row in hit.argmax(axis=0)[hit.any(axis=0)])
    rows = sorted(chosen)
    return {name: values[rows] for name, values in pool.items()}


def _spread(count: int) -> np.ndarray:
    """Return all of ``0..count-1``, or MAX_NEURONS of them evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, MAX_NEURONS)).round().astype(np.int64))


def _filled(graph: Graph, frames: Frames) -> Frames:
    """Add zeros (clipped into range) for the inputs that `frames` leaves out."""
    count = len(next(iter(frames.values())))
    for node in graph.inputs:
        if node.name not in frames:
            kind = graph.types[node.name]
            frames[node.name] = np.broadcast_to(np.clip(0, kind.lo, kind.hi), (count, *kind.shape))
    return frames


def _joined(graph: Graph, blocks: list[Frames]) -> Frames:
    return {node.name: np.concatenate([block[node.name] for block in blocks]) for node in graph.inputs}


def _unique(graph: Graph, frames: Frames) -> Frames:
    """Drop repeated frames, keeping the first of each."""
    count = len(frames[graph.inputs[0].name])
    flat = np.concatenate([frames[node.name].reshape(count, -1) for node in graph.inputs], axis=1)
    seen: dict[bytes | tuple[int, ...], int] = {}
    for row in range(count):
        key = flat[row].tobytes() if flat.dtype != object else tuple(flat[row])
        seen.setdefault(key, row)
    rows = list(seen.values())
    return {name: values[rows] for name, values in frames.items()}
