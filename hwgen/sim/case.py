"""A build folder as the proof reads it: the graph, the design, the vectors, and what the graph makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import SpecError
from hwgen.fixed import IntArray
from hwgen.ir import Graph, load_graph
from hwgen.ir.vectors import SETS, load_vectors
from hwgen.sim.streams import Words, in_streams, out_streams, pack_frames

Segment = tuple[str, int, int]
"""Vectors that are simulated one after the other: their set, the first one, the one after the last."""

AT_LEAST = 50
"""Test frames that a streaming design is always given, whatever the budget."""
ELEMENTS = 1 << 24
"""Elements of all tensors that `Graph.evaluate` is asked for at a time."""


@dataclass(frozen=True)
class VerifyOptions:
    """What to simulate.

    Parameters
    ----------
    vectors : int, "all" or "auto"
        Test frames: so many, all, or as many as `budget_s` allows (a streaming design: at least `AT_LEAST`).
    seed : int
        Of stalls and resets.
    only : str, optional
        ``SET:INDEX``: simulate this one vector and compare every layer.
    waves : "on_failure", "always" or "never"
        A waveform of the first frame that differs; with ``always``, of the first frame if none does.
    stalls : bool
        Try the stall patterns.
    budget_s : float
        Seconds of bulk simulation for ``auto``.
    cocotb, locate : bool
        Run the cocotb benches (without them nothing passes: NOT RUN); after a mismatch, look for the first layer.
    netlist : bool or "auto"
        Synthesize the core and simulate the netlist; with ``auto`` only a small design.
    emulator : bool
        Write, build and compare the C++ emulator.
    part : str
        The device, which decides what the netlist is made of.
    """

    vectors: int | str = "auto"
    seed: int = 0
    only: str | None = None
    waves: str = "on_failure"
    stalls: bool = True
    budget_s: float = 120.0
    cocotb: bool = True
    locate: bool = True
    netlist: bool | str = False
    emulator: bool = False
    part: str = ""


@dataclass(frozen=True)
class Batch:
    """Vectors in the order in which they are simulated.

    Parameters
    ----------
    segments : where they are from
    expected : what the graph makes of them, by output
    frames, wanted : inputs and outputs, packed for the bench
    """

    segments: tuple[Segment, ...]
    expected: dict[str, IntArray]
    frames: Words
    wanted: Words

    def place(self, index: int) -> tuple[str, int]:
        """Return the set and the index within it of a frame."""
        for name, start, stop in self.segments:
            if index < stop - start:
                return name, start + index
            index -= stop - start
        raise IndexError(index)


@dataclass(frozen=True)
class Case:
    """A build folder, read: the graph, the design, the vectors in the order in which a budget cuts them."""

    folder: Path
    graph: Graph
    design: dict[str, Any]
    files: list[Path]
    vectors: dict[str, dict[str, IntArray]]
    order: tuple[Segment, ...]
    at_least: int
    prediction: dict[str, Any]
    pairs: list[dict[str, Any]]

    @property
    def total(self) -> int:
        """All vectors."""
        return sum(stop - start for _, start, stop in self.order)

    def inputs(self, count: int) -> tuple[tuple[Segment, ...], dict[str, IntArray]]:
        """Return the first `count` vectors and where they are from."""
        segments: list[Segment] = []
        for name, start, stop in self.order:
            take = min(stop - start, count)
            count -= take
            segments += [(name, start, start + take)] if take else []
        names = [node.name for node in self.graph.inputs]
        parts = {n: [self.vectors[s][n][start:stop] for s, start, stop in segments] for n in names}
        none = {n: next(iter(self.vectors.values()))[n][:0] for n in names}
        return tuple(segments), {n: np.concatenate(rows) if rows else none[n] for n, rows in parts.items()}

    def pack(self, inputs: Mapping[str, IntArray]) -> Words:
        """Return inputs as the bench wants them."""
        return pack_frames(in_streams(self.design), inputs)

    def batch(self, count: int) -> Batch:
        """Return the first `count` vectors with what the graph makes of them."""
        segments, inputs = self.inputs(count)
        expected = self.evaluate(inputs)
        return Batch(segments, expected, self.pack(inputs), pack_frames(out_streams(self.design), expected))

    def evaluate(self, inputs: Mapping[str, IntArray]) -> dict[str, IntArray]:
        """Return what the graph makes of `inputs`, a part at a time, so that memory does not grow with them."""
        size = max(1, ELEMENTS // sum(t.size for t in self.graph.types.values()))
        starts = range(0, max(frame_count(inputs), 1), size)
        parts = [self.graph.evaluate({n: v[start : start + size] for n, v in inputs.items()}) for start in starts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def few(self, count: int) -> dict[str, dict[str, IntArray]]:
        """Return about `count` vectors, taken evenly over the sets."""
        filled = {name: self.vectors[name] for name in SETS if frame_count(self.vectors[name])}
        result, left = {}, count
        for number, (name, inputs) in enumerate(filled.items()):
            take = min(-(-left // (len(filled) - number)), frame_count(inputs))
            if take:
                chosen = np.unique(np.linspace(0, frame_count(inputs) - 1, take).astype(int))
                result[name] = {n: values[chosen] for n, values in inputs.items()}
                left -= take
        return result


def read_case(folder: Path, options: VerifyOptions) -> Case:
    """Read a build folder.

    Raises
    ------
    SpecError
        If a file is missing, or `options.only` names no vector.
    """
    try:
        graph = load_graph(folder / "graph")
        design = json.loads((folder / "rtl" / "design.json").read_text())
        prediction = json.loads((folder / "reports" / "prediction.json").read_text())
        vectors = load_vectors(folder / "tb" / "vectors.npz")
        names = (folder / "rtl" / f"{design['top']}.f").read_text().split()
    except OSError as error:
        raise SpecError(
            "this is not a build folder as far as the rtl stage",
            where=str(folder),
            found=f"{Path(str(error.filename)).name}: {error.strerror}",
            hint="run `hwgen build FILE` first",
        ) from error
    pairs_file = folder / "reports" / "pairs.json"
    stored = json.loads(pairs_file.read_text()) if pairs_file.is_file() else []
    pairs = stored["pairs"] if isinstance(stored, dict) else stored
    files = [folder / "rtl" / name for name in names]
    order, at_least = _order({name: frame_count(inputs) for name, inputs in vectors.items()}, design, options)
    if options.only is not None:
        name, index = _parse_only(options.only, vectors)
        order, at_least = ((name, index, index + 1),), 1
    return Case(folder, graph, design, files, vectors, order, at_least, prediction, pairs)


def _order(
    counts: Mapping[str, int], design: Mapping[str, Any], options: VerifyOptions
) -> tuple[tuple[Segment, ...], int]:
    """Return the order of the vectors, and how many of them run whatever the budget is."""
    test = counts["test"] if isinstance(options.vectors, str) else min(options.vectors, counts["test"])
    corners, random = ("corners", 0, counts["corners"]), ("random", 0, counts["random"])
    if design["io_type"] == "io_parallel":  # fast enough for all of them, or nearly
        return (corners, random, ("test", 0, test)), 0
    sure = min(test, AT_LEAST if isinstance(options.vectors, str) else test)
    return (("test", 0, sure), corners, ("test", sure, test), random), sure or min(AT_LEAST, corners[2] + random[2])


def _parse_only(text: str, vectors: Mapping[str, Mapping[str, IntArray]]) -> tuple[str, int]:
    name, _, number = text.partition(":")
    counts = {key: frame_count(inputs) for key, inputs in vectors.items()}
    if name in counts and number.isdecimal() and int(number) < counts[name]:
        return name, int(number)
    raise SpecError(
        "no such vector",
        where="--only",
        found=text,
        expected="SET:INDEX with " + ", ".join(f"{key}:0..{n - 1}" for key, n in counts.items() if n),
    )


def frame_count(inputs: Mapping[str, IntArray]) -> int:
    """Return the number of frames of a set."""
    return len(next(iter(inputs.values())))
