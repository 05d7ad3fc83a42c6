"""How weights and activations lie in their number formats: histograms, used range, share clipped, zeros.

Everything is counted on integers: the weights of ``graph/weights.npz``, and `Graph.evaluate` on vectors of
``tb/vectors.npz``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.fixed import FixedPoint, IntArray, Overflow, shift_round
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.report.score import WEIGHTED

BINS = 64
"""The most bins of a histogram; each is a power of two of the format's steps wide."""
FRAMES = 200
"""The most vectors that the activations are counted on."""
ELEMENTS = 16_000_000
"""The most integers that are evaluated for it: large networks get fewer vectors."""
BLOCK = 4_000_000
"""Integers evaluated, with every layer kept, at a time (32 MB)."""


@dataclass
class Counts:
    """The histogram of one tensor against its format, filled block by block.

    Parameters
    ----------
    fmt : the format
    lo, hi : integers of the format that bound what the tensor can take: the format's own ends, or tighter ones
    """

    fmt: FixedPoint
    lo: int
    hi: int

    def __post_init__(self) -> None:
        span = self.hi - self.lo + 1
        self.step = 1
        while span > BINS * self.step:
            self.step *= 2
        self.bins = np.zeros(-(-span // self.step), np.int64)
        self.total = self.zeros = 0
        self.least: int | None = None
        self.most: int | None = None
        self.clipped: int | None = None

    def add(self, values: IntArray) -> None:
        """Count integers of the format."""
        if not values.size:
            return
        nonzero = values[values != 0]
        index = np.asarray((nonzero - self.lo) // self.step, dtype=np.int64)
        self.bins += np.bincount(index, minlength=len(self.bins))
        self.total += values.size
        self.zeros += values.size - nonzero.size
        least, most = int(values.min()), int(values.max())
        self.least = least if self.least is None else min(self.least, least)
        self.most = most if self.most is None else max(self.most, most)

    def clip(self, count: int) -> None:
        """Count elements whose exact value was beyond the bounds."""
        self.clipped = (self.clipped or 0) + count

    def to_json(self) -> dict[str, Any]:
        """Return the histogram of what is not zero; bin k begins at ``range[0] + k * step``, in values."""
        lsb = self.fmt.lsb
        used = None if self.least is None or self.most is None else [self.least * lsb, self.most * lsb]
        return {
            "format": str(self.fmt),
            "range": [self.lo * lsb, self.hi * lsb],
            "used": used,
            "values": self.total,
            "zeros": self.zeros,
            "clipped": self.clipped,
            "lsb": lsb,
            "step": self.step * lsb,
            "bins": [int(n) for n in self.bins],
        }


def weight_rows(graph: Graph) -> list[dict[str, Any]]:
    """Return a row a layer with a kernel: its weights against the format that the hardware stores them in."""
    rows = []
    for node in graph.nodes:
        kernel = graph.by_name[node.inputs[1]] if isinstance(node, WEIGHTED) else None
        if isinstance(kernel, ir.Const):
            fmt = graph.types[kernel.name].fmt
            counts = Counts(fmt, fmt.int_min, fmt.int_max)
            counts.add(kernel.value)
            rows.append({"layer": node.name, "kind": type(node).__name__, **counts.to_json()})
    return rows


def activation_rows(graph: Graph, frames: Mapping[str, IntArray]) -> tuple[list[dict[str, Any]], int]:
    """Evaluate the graph and return a row a layer, and the number of frames that were counted.

    Parameters
    ----------
    frames : {input name: integers (frames, \\*shape)}
        At most `FRAMES` of them are used, fewer where the network is large.
    """
    shown = [n for n in graph.nodes if not isinstance(n, ir.Const | ir.Output | ir.Reshape | ir.Transpose)]
    size = sum(graph.types[n.name].size for n in graph.nodes)
    given = min(len(values) for values in frames.values())
    used = max(1, min(FRAMES, given, ELEMENTS // size)) if given else 0
    counts = {node.name: _counts(graph, node) for node in shown}
    for block in _blocks(frames, used, max(1, BLOCK // size)):
        traced = graph.evaluate(block, trace=True)
        for node in shown:
            counts[node.name].add(traced[node.name])
            _clip(graph, node, traced, counts[node.name])
    rows = [{"layer": n.name, "kind": type(n).__name__, **counts[n.name].to_json()} for n in shown]
    return rows, used


def _blocks(frames: Mapping[str, IntArray], used: int, block: int) -> Iterator[dict[str, IntArray]]:
    for start in range(0, used, block):
        yield {name: values[start : min(start + block, used)] for name, values in frames.items()}


def _counts(graph: Graph, node: ir.Node) -> Counts:
    fmt = node.fmt if isinstance(node, ir.Requantize | ir.Divide | ir.Lookup) else graph.types[node.name].fmt
    lo, hi = fmt.int_min, fmt.int_max
    if isinstance(node, ir.Requantize | ir.Divide) and node.clamp is not None:
        lo, hi = node.clamp
    return Counts(fmt, lo, hi)


def _clip(graph: Graph, node: ir.Node, traced: Mapping[str, IntArray], counts: Counts) -> None:
    """Count what a saturating re-quantization clipped; below 0 a ReLU does not clip, it is meant."""
    if not isinstance(node, ir.Requantize) or node.fmt.overflow is Overflow.WRAP:
        return
    (source,) = node.inputs
    exact = shift_round(traced[source], graph.types[source].fraction - node.fmt.fraction, node.fmt.rounding)
    beyond = int((exact > counts.hi).sum())
    counts.clip(beyond + (int((exact < counts.lo).sum()) if counts.lo < 0 else 0))
