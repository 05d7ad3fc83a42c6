"""`Estimate`: what a network takes in hardware, in one row of numbers, from its plan alone (no synthesis).

`hwgen compare` judges networks by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwgen.cost.predict import predict_cost
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl.generate import Plan
from hwgen.rtl.stream import network as net
from hwgen.rtl.stream.generate import StreamPlan

WEIGHTED = (ir.Dense, ir.Conv, ir.DepthwiseConv)
"""Kinds whose second operand is a kernel."""


@dataclass(frozen=True)
class Estimate:
    """The figures of a planned network. What is not known is None.

    Parameters
    ----------
    latency_cycles, interval_cycles : int
        As the RTL will have them, exactly.
    multipliers : int or None
        Of folded layers and of products of two streams; of an unrolled network its DSP blocks, none for adder graphs.
    multiplications : int
        Products that an inference needs: with a non-zero weight, or of two live tensors.
    weights, nonzero : int
        Weights of all kernels, and those whose integer is not zero.
    weight_bits : int
        Kernels and biases as stored densely: elements times the bits of their layer's format.
    memory_bits : int or None
        What the hardware keeps for weights: words of the engines' memories, with the index bits of sparse ones. None
        for unrolled networks, whose weights are logic.
    activation_bits : int or None
        Row stores, FIFOs and operand registers of engines. None for unrolled networks.
    lut, ff, dsp, bram_18k : int or None
        The predicted cost; None for a part it is not calibrated for.
    """

    latency_cycles: int
    interval_cycles: int
    multipliers: int | None
    multiplications: int
    weights: int
    nonzero: int
    weight_bits: int
    memory_bits: int | None
    activation_bits: int | None
    lut: int | None
    ff: int | None
    dsp: int | None
    bram_18k: int | None


def estimate_plan(decided: Plan | StreamPlan) -> Estimate:
    """Return the figures of a plan."""
    graph, cost = decided.graph, predict_cost(decided).total
    stream = decided.network if isinstance(decided, StreamPlan) else None
    return Estimate(
        latency_cycles=decided.predicted.latency_cycles,
        interval_cycles=decided.predicted.interval_cycles,
        multipliers=decided.folding.multipliers if isinstance(decided, StreamPlan) else _whole(cost.get("DSP")),
        multiplications=multiplications(graph),
        weights=sum(value.size for value in kernels(graph)),
        nonzero=sum(int(np.count_nonzero(value)) for value in kernels(graph)),
        weight_bits=weight_bits(graph),
        memory_bits=None if stream is None else _memory_bits(stream),
        activation_bits=None if stream is None else _activation_bits(stream),
        lut=_whole(cost.get("LUT")),
        ff=_whole(cost.get("FF")),
        dsp=_whole(cost.get("DSP")),
        bram_18k=_whole(cost.get("BRAM_18K")),
    )


def kernels(graph: Graph) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Return the constant kernels of all layers, in graph order."""
    found = [graph.by_name[node.inputs[1]] for node in graph.nodes if isinstance(node, WEIGHTED)]
    return [const.value for const in found if isinstance(const, ir.Const)]


def multiplications(graph: Graph) -> int:
    """Return the products of one inference: those whose weight is not zero, and those of two live tensors."""
    total = 0
    for node in graph.nodes:
        if isinstance(node, ir.Mul) and not any(isinstance(graph.by_name[i], ir.Const) for i in node.inputs):
            total += graph.types[node.name].size
        const = graph.by_name[node.inputs[1]] if isinstance(node, WEIGHTED) else None
        if isinstance(const, ir.Const):
            t = graph.types[node.name]
            total += int(np.count_nonzero(const.value)) * (t.size // t.shape[-1])
    return total


def weight_bits(graph: Graph) -> int:
    """Return the bits of all kernels and biases, each element as wide as the widest of its layer."""
    total = 0
    for node in graph.nodes:
        if isinstance(node, WEIGHTED):
            consts = [graph.by_name[name] for name in node.inputs[1:]]
            total += sum(const.value.size * _width(const.value) for const in consts if isinstance(const, ir.Const))
    return total


def _width(values: np.ndarray) -> int:  # type: ignore[type-arg]
    """Return the bits of the smallest two's complement format that holds all of `values`; all zero: none."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    return max(high.bit_length(), (-1 - low).bit_length()) + 1 if low < 0 else high.bit_length()


def _memory_bits(network: net.Network) -> int:
    total = 0
    for stage in network.stages:
        if isinstance(stage, net.MacEngine):
            total += stage.weights.size * stage.weight_width
        elif isinstance(stage, net.SparseEngine):
            total += stage.schedule.word_bits * stage.cycles
        elif isinstance(stage, net.Kernel):
            graph = stage.plan.graph
            total += sum(int(np.count_nonzero(v)) * _width(v) for v in kernels(graph))
        if isinstance(stage, net.Engine):
            total += stage.bias.size * _width(stage.bias)
    return total


def _activation_bits(network: net.Network) -> int:
    total = 0
    for stage in network.stages:
        if isinstance(stage, net.RowStore):
            total += stage.slots * stage.width * stage.channels * stage.element_width
        elif isinstance(stage, net.Fifo):
            total += stage.depth * network.streams[stage.output].bits
        elif isinstance(stage, net.Engine):
            item = network.streams[stage.input]
            total += len(stage.select) * (item.bits // max(1, item.elements))
            total += stage.depth * network.streams[stage.output].bits
        elif isinstance(stage, net.Kernel):
            total += stage.depth * network.streams[stage.output].bits
    return total


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
