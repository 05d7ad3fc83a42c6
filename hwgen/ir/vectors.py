"""The vectors a graph is proved on: the test set, random on-grid frames, and corners. No tools, no TensorFlow."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from hwgen.errors import DataError
from hwgen.files import write_if_changed
from hwgen.fixed import IntArray, as_ints, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.extremes import climb
from hwgen.ir.gains import input_gains
from hwgen.ir.graph import Graph
from hwgen.ir.serialize import npz_bytes

SETS = ("test", "random", "corners")
"""The sets, in the order they are reported."""

MAX_NEURONS = 1024
"""At most this many neurons of a layer get vectors of their own (evenly spread over the layer)."""

FEWEST_NEURONS = 8
"""And at least this many, however large a frame is."""

UNIT_ELEMENTS = 2_500_000
NEURON_ELEMENTS = 4_000_000
TIE_ELEMENTS = 300_000_000
"""Input elements of all frames of a kind, about, at most: frames of thousands of elements get fewer neurons."""

TRACE_BYTES = 256 << 20
"""Memory for every tensor of the frames that are searched at a time."""

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
        places = _spread(kind.size, min(MAX_NEURONS, max(FEWEST_NEURONS, UNIT_ELEMENTS // (2 * kind.size))))
        for bound in (kind.hi, kind.lo):
            frames = np.zeros((len(places), kind.size), dtype=bound.dtype)
            frames[np.arange(len(places)), places] = bound.ravel()[places]
            blocks.append(_filled(graph, {node.name: frames.reshape(len(places), *kind.shape)}))
    return blocks


def _neuron_corners(graph: Graph) -> list[Frames]:
    """Drive every neuron to its smallest and largest value: inputs at the bound its weight's sign asks for.

    Exact for the first layers; deeper ones are driven by the sign of the product of the weights on the way, which
    ignores what saturates between and is as far as one linear step goes. Of a convolution, all channels at three
    places are neurons: the first, the middle and the last.
    """
    layers = [node.name for node in graph.nodes if isinstance(node, ir.Dense | ir.Conv | ir.DepthwiseConv)]
    size = sum(graph.types[node.name].size for node in graph.inputs)
    most = min(MAX_NEURONS, max(FEWEST_NEURONS, NEURON_ELEMENTS // max(1, 2 * len(layers) * size)))
    blocks = []
    for name in layers:
        gains = input_gains(graph, name, _neurons(graph.types[name].shape, most))
        for sign in (1, -1) if gains else ():
            block = {}
            for source, rows in gains.items():
                kind = graph.types[source]
                lo, hi = kind.lo.ravel(), kind.hi.ravel()
                frames = np.where(rows * sign > 0, hi, np.where(rows * sign < 0, lo, 0))
                block[source] = np.clip(frames, lo, hi).reshape(len(rows), *kind.shape)
            blocks.append(_filled(graph, block))
    return blocks


def _neurons(shape: tuple[int, ...], most: int) -> IntArray:
    """Return the elements of a layer's result that get frames of their own, at most `most`."""
    size = int(np.prod(shape, dtype=np.int64))
    if len(shape) < 3 or size <= most:
        return _spread(size, most)
    places, channels = size // shape[-1], shape[-1]
    chosen = sorted({0, places // 2, places - 1})
    some = _spread(channels, max(1, most // len(chosen)))
    return np.concatenate([place * channels + some for place in chosen])


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
    seen: dict[tuple[str, int], IntArray] = {}
    chosen: set[int] = set()
    step = max(1, TRACE_BYTES // (8 * sum(t.size for t in graph.types.values())))
    for start in range(0, len(pool[graph.inputs[0].name]), step):
        trace = graph.evaluate({name: values[start : start + step] for name, values in pool.items()}, trace=True)
        for name, values, shift in _ties_of(graph, trace):
            for kind, hit in enumerate(_beside_ties(values, shift)):
                new = hit.any(axis=0) & ~seen.get((name, kind), np.zeros(hit.shape[1], dtype=bool))
                chosen.update(start + int(row) for row in hit.argmax(axis=0)[new])
                seen[name, kind] = new | seen.get((name, kind), new)
    rows = sorted(chosen)
    return {name: values[rows] for name, values in pool.items()}


def _ties_of(graph: Graph, trace: Frames) -> Iterator[tuple[str, IntArray, int]]:
    """Yield each requantizer that drops bits: its name, what it reads (frames, elements), and how many it drops."""
    most = min(MAX_NEURONS, max(FEWEST_NEURONS, TIE_ELEMENTS // sum(t.size for t in graph.types.values())))
    for node in graph.nodes:
        if not isinstance(node, ir.Requantize):
            continue
        shift = graph.types[node.inputs[0]].fraction - node.fmt.fraction
        if shift > 0:
            values = trace[node.inputs[0]].reshape(len(trace[node.inputs[0]]), -1)
            values = values[:, _spread(values.shape[1], most)]
            yield node.name, as_ints(values, max_abs(values) + (1 << shift)), shift


def _beside_ties(values: IntArray, shift: int) -> list[IntArray]:
    """Return where `values` tie above an even and above an odd result, and where they are one LSB beside a tie."""
    rest, odd, half = values & ((1 << shift) - 1), (values >> shift) & 1, 1 << (shift - 1)
    wanted = ((rest == half) & (odd == 0), (rest == half) & (odd == 1), rest == half - 1, rest == half + 1)
    return [np.asarray(hit, dtype=bool) for hit in wanted]


def _spread(count: int, most: int) -> IntArray:
    """Return all of ``0..count-1``, or `most` of them evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


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
