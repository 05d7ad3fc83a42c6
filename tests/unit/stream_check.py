"""Holding a streaming design against its graph (every integer) and its prediction (every cycle), in Verilator."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwgen.ir import Graph
from hwgen.rtl.generate import RtlOptions
from hwgen.rtl.stream import FoldRequest, StreamPlan, emit_stream, plan_stream
from hwgen.rtl.stream.timing import simulate
from hwgen.sim.native import build_harness
from hwgen.sim.streams import in_streams, out_streams, pack_frames, unpack_frames

FRAMES = 8


def random_frames(graph: Graph, count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {i.name: rng.integers(i.fmt.int_min, i.fmt.int_max + 1, (count, *i.shape)) for i in graph.inputs}


def check_stream(
    graph: Graph,
    folder: Path,
    request: FoldRequest,
    *,
    clock_period_ns: float = 4.0,
    seed: int = 0,
    frames: int = FRAMES,
) -> StreamPlan:
    """Fail unless the RTL gives the graph's integers, in the predicted cycles, with and without stalls."""
    decided = plan_stream(graph, RtlOptions(clock_period_ns=clock_period_ns), request)
    design = emit_stream(decided)
    design.files.write(folder / "rtl")
    document = design.design
    names = (folder / "rtl" / f"{design.top}.f").read_text().split()
    harness = build_harness(document, [folder / "rtl" / n for n in names], folder / "sim", taps=True)
    x = random_frames(graph, frames, seed)
    wanted = graph.evaluate(x)
    packed = pack_frames(in_streams(document), x)

    def outputs(seen) -> None:
        got = unpack_frames(out_streams(document), seen.outputs)
        for port in document["outputs"]:
            want = wanted[port["name"]].reshape(len(wanted[port["name"]]), -1)
            have = np.asarray(got[port["name"]]).reshape(len(seen.outputs), -1)
            np.testing.assert_array_equal(have, want[: len(have)], f"{port['name']}, seed {seed}")

    timing = decided.timing
    one = harness.run(packed[:1])
    assert len(one.outputs) == 1, f"{one.ended}: {one.waiting}"
    first, last = (int(one.whole.outs(k)[0] - one.accepted[0]) for k in (0, -1))
    assert (first, last) == (timing.first_out_cycles, timing.latency_cycles)

    many = harness.run(packed)
    assert len(many.outputs) == frames and many.violation is None, (many.ended, many.waiting, many.violation)
    outputs(many)
    every = simulate(decided.network, frames)
    start = int(many.sources[0][0]) - every.flows[decided.network.sources[0].output].taken[0]
    for stage, cycles in zip(decided.network.sources, many.sources, strict=True):
        np.testing.assert_array_equal(cycles - start, every.flows[stage.output].taken, stage.name)
    for stage, beats in zip(decided.network.sinks, many.sinks, strict=True):
        np.testing.assert_array_equal(beats.cycles - start, every.flows[stage.input].taken, stage.name)
    assert int(np.diff(many.produced)[-1]) == timing.interval_cycles

    paced = harness.run(packed, pace=timing.interval_cycles)
    assert int(paced.produced[-1] - paced.accepted[-1]) == timing.steady_latency_cycles
    assert {n: paced.marks[n] for n in timing.high_water} == dict(timing.high_water)

    for gap, stall in ((500, 0), (0, 500), (300, 300)):
        seen = harness.run(packed, source_gap=gap, sink_stall=stall, seed=seed + gap)
        assert len(seen.outputs) == frames and seen.violation is None, (seen.ended, seen.waiting)
        outputs(seen)
    return decided
