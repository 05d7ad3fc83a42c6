"""Streaming hardware from a graph: `plan_stream` (folds, stages, every cycle), then `emit_stream` (SystemVerilog)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hwgen.errors import RequirementError
from hwgen.files import json_bytes
from hwgen.ir import Graph
from hwgen.rtl import sv
from hwgen.rtl.generate import Prediction, RtlDesign, RtlOptions, add_library, library_names
from hwgen.rtl.stream import network as net
from hwgen.rtl.stream.axis import axis_document, axis_text
from hwgen.rtl.stream.build import build_network
from hwgen.rtl.stream.emit import Emission, emit_stages
from hwgen.rtl.stream.emit_top import design_document, tapped_streams, top_text
from hwgen.rtl.stream.folding import Folding, FoldRequest, choose_folds
from hwgen.rtl.stream.ports_doc import ports_text
from hwgen.rtl.stream.timing import Timing, interval_of, predict, simulate

PACED_FRAMES = 6
"""Frames from which FIFO depths are read."""


@dataclass(frozen=True)
class StreamPlan:
    """Everything decided before any SystemVerilog is written."""

    graph: Graph
    options: RtlOptions
    folding: Folding
    network: net.Network
    timing: Timing

    @property
    def predicted(self) -> Prediction:
        """Latency (first beat in to last beat out) and interval."""
        return Prediction(self.timing.latency_cycles, self.timing.interval_cycles)


def plan_stream(
    graph: Graph, options: RtlOptions, request: FoldRequest, latency_cycles: int | None = None
) -> StreamPlan:
    """Choose the folds, build the stages, size the FIFOs and compute every cycle.

    Parameters
    ----------
    graph : Graph
    options : RtlOptions
    request : FoldRequest
    latency_cycles : int, optional
        The largest latency allowed; the fewest multipliers that reach it are looked for.

    Raises
    ------
    RequirementError
        If a target cannot be met.
    """
    if latency_cycles is None:
        return _planned(graph, options, choose_folds(graph, request))
    return _for_latency(graph, options, request, latency_cycles)


def _planned(graph: Graph, options: RtlOptions, folding: Folding) -> StreamPlan:
    network, interval = size_fifos(build_network(graph, folding.folds, options))
    return StreamPlan(graph, options, folding, network, predict(network, interval))


def _for_latency(graph: Graph, options: RtlOptions, request: FoldRequest, latency: int) -> StreamPlan:
    """Bisect the interval: the slowest design whose latency is small enough has the fewest multipliers."""
    fastest = choose_folds(graph, replace(request, reuse_factor=None, interval_cycles=None, max_multipliers=None))
    low = max(fastest.floor_cycles, 1)
    best = _planned(graph, options, _at(graph, request, low))
    if best.timing.latency_cycles > latency:
        raise RequirementError(
            "no folding has so small a latency",
            where="hardware.target.latency_us",
            found=f"{latency} cycles",
            expected=f"{best.timing.latency_cycles} cycles "
            f"({best.timing.latency_cycles * options.clock_period_ns / 1000:g} us) or more",
        )
    high = max(latency, low)
    while low < high:
        middle = (low + high + 1) // 2
        tried = _planned(graph, options, _at(graph, request, middle))
        if tried.timing.latency_cycles <= latency:
            low, best = middle, tried
        else:
            high = middle - 1
    return best


def _at(graph: Graph, request: FoldRequest, interval: int) -> Folding:
    return choose_folds(graph, replace(request, reuse_factor=None, interval_cycles=interval))


def size_fifos(network: net.Network) -> tuple[net.Network, int]:
    """Return the network with its FIFOs as deep as an undisturbed interval needs, and that interval.

    The depths are the most items held when sources are paced at the interval that unbounded FIFOs reach; that interval
    must also be reached, with sources that always offer, at these depths: where not, they are doubled. Optional FIFOs
    are left out if the interval stays: all of them; or those at the network's inputs, whose sources can wait, and
    those that never hold more than one item; or only the latter; or none.
    """
    optional = [s for s in network.stages if isinstance(s, net.Fifo) and s.optional]
    interval = interval_of(network, unbounded=True)
    if not optional:
        return _sized(network, interval), interval
    paced = simulate(network, PACED_FRAMES, pace=interval, unbounded=True)
    idle = {s.name for s in optional if paced.high_water(s) <= 1}
    first = {s.name for s in optional if isinstance(network.producer(s.input), net.Source)}
    for left_out in ({s.name for s in optional}, idle | first, idle):
        tried = network.without(left_out)
        if interval_of(tried, unbounded=True) == interval:
            return _sized(tried, interval), interval
    return _sized(network, interval), interval


def _sized(network: net.Network, interval: int) -> net.Network:
    """Return the network with FIFOs deep enough for an interval that unbounded ones reach."""
    branches = [s for s in network.stages if isinstance(s, net.Fifo) and not s.register]
    if not branches:
        return network
    paced = simulate(network, PACED_FRAMES, pace=interval, unbounded=True)
    depths = {stage.name: max(2, paced.high_water(stage)) for stage in branches}
    while True:
        sized = with_depths(network, depths)
        if _interval_or_none(sized) == interval:
            return sized
        depths = {name: 2 * depth for name, depth in depths.items()}


def _interval_or_none(network: net.Network) -> int | None:
    from hwgen.errors import GraphError

    try:
        return interval_of(network)
    except GraphError:
        return None


def with_depths(network: net.Network, depths: Mapping[str, int]) -> net.Network:
    """Return the network with other FIFO depths."""
    stages = tuple(replace(s, depth=depths[s.name]) if s.name in depths else s for s in network.stages)  # type: ignore[call-arg]
    return net.Network(network.name, network.streams, stages)


def emit_stream(decided: StreamPlan) -> RtlDesign:
    """Write down the planned design: layer modules, memories, top, file list, PORTS.md, design.json."""
    emission = Emission(decided.graph, decided.network)
    emit_stages(emission)
    text = top_text(emission, _layer_lines(decided), _timing_lines(decided))
    files = emission.files
    files.add(f"{decided.graph.name}.sv", text)
    files.add(f"{decided.graph.name}_axis.sv", axis_text(emission, decided.options.axis_bytes, decided.timing))
    sources = [*library_names(emission.library), *files]
    add_library(files, emission.library)
    files.add(f"{decided.graph.name}.f", "".join(f"{name}\n" for name in sources))
    document = design_document(emission, decided.options, sources, statistics(decided))
    document["axis"] = axis_document(emission, decided.options.axis_bytes)
    files.add("design.json", json_bytes(document))
    files.add("PORTS.md", ports_text(decided, document))
    return RtlDesign(decided.graph.name, files, decided.predicted, document)


def _layer_lines(decided: StreamPlan) -> list[str]:
    lines = []
    for row in decided.folding.rows:
        fold = decided.folding.folds[row.layer]
        how = (
            "shared adders"
            if fold.kind == "unrolled"
            else f"{row.multipliers} multipliers ({row.lanes} lanes x {row.products})"
        )
        lines += sv.comment(f"{row.layer}: {row.firings} items a frame, {how}, {row.cycles} cycles a frame")
    return [line.removeprefix("// ") for line in lines]


def _timing_lines(decided: StreamPlan) -> list[str]:
    t = decided.timing
    return [
        f"Latency, one frame into an empty design: {t.first_out_cycles} cycles to the first output beat, "
        f"{t.latency_cycles} to the last.",
        f"Interval {t.interval_cycles} cycles a frame.",
    ]


def statistics(decided: StreamPlan) -> dict[str, Any]:
    """Return the folding table and the sizes of memories, for design.json and the report."""
    network, folding = decided.network, decided.folding
    engines = {s.layer: s for s in network.stages if isinstance(s, net.Engine)}
    rows = []
    for row in folding.rows:
        engine = engines.get(row.layer)
        rows.append(
            {
                "layer": row.layer,
                "kind": folding.folds[row.layer].kind,
                "firings": row.firings,
                "lanes": row.lanes,
                "products": row.products,
                "multipliers": row.multipliers,
                "cycles": row.cycles,
                "share": round(row.share, 4),
                "bottleneck": row.bottleneck,
                "weights": row.weights,
                "nonzero": row.nonzero,
                "weight_memory_bits": weight_bits(engine) if engine else 0,
                "sparse": sparse_statistics(engine, row.firings) if isinstance(engine, net.SparseEngine) else None,
            }
        )
    return {
        "multipliers": folding.multipliers,
        "interval_bound_cycles": folding.bound_cycles,
        "fifo_bits": sum(network.streams[s.input].bits * s.depth for s in network.stages if isinstance(s, net.Fifo)),
        "row_store_bits": sum(
            s.slots * s.width * s.channels * s.element_width for s in network.stages if isinstance(s, net.RowStore)
        ),
        "layers": rows,
    }


def sparse_statistics(engine: net.SparseEngine, firings: int) -> dict[str, Any]:
    """Return what skipping zeros saves: cycles of a frame, against the same multipliers on all weights."""
    plan = engine.schedule
    dense = -(-plan.inputs * plan.outputs // plan.lanes)
    return {
        "dense_cycles": dense * firings,
        "ideal_cycles": plan.ideal_cycles * firings,
        "cycles": plan.cycles * firings,
        "ideal_saving": round(1 - plan.ideal_cycles / dense, 4),
        "saving": round(1 - plan.cycles / dense, 4),
        "index_bits": plan.index_bits * plan.cycles,
        "ways": plan.ways,
        "banks": plan.banks,
        "bank_depth": plan.bank_depth,
        "spill": plan.spill,
    }


def weight_bits(engine: net.Engine) -> int:
    """Return the bits of an engine's schedule memory."""
    if isinstance(engine, net.MacEngine):
        return int(engine.weights.size) * engine.weight_width
    assert isinstance(engine, net.SparseEngine)
    return engine.schedule.word_bits * engine.cycles


def prediction_document(decided: StreamPlan) -> dict[str, Any]:
    """Return the content of reports/prediction.json."""
    t = decided.timing
    return {
        "version": 1,
        "latency_cycles": t.latency_cycles,
        "first_out_cycles": t.first_out_cycles,
        "steady_latency_cycles": t.steady_latency_cycles,
        "interval_cycles": t.interval_cycles,
        "clock_period_ns": decided.options.clock_period_ns,
        "fifos": [
            {"name": s.name, "depth": s.depth, "high_water": t.high_water[s.name]}
            for s in decided.network.stages
            if isinstance(s, net.Fifo)
        ],
        "taps": [
            {"node": node, "first_cycle": t.spans[stream][0], "last_cycle": t.spans[stream][1]}
            for node, stream in tapped_streams(decided.graph, decided.network).items()
        ],
    }
