"""Streaming hardware against its bounds: folds, intervals, zero-skipping, generation, build and simulation of ResNet-8.

Quick leaves out Verilator.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.bench.networks import conv_network, resnet8_graph
from hwgen.bench.result import Options, Result, Row
from hwgen.ir import Graph
from hwgen.rtl import RtlOptions
from hwgen.rtl.stream import FoldRequest, emit_stream, plan_stream
from hwgen.rtl.stream.build import linear_layers
from hwgen.rtl.stream.folding import choose_folds, floor_cycles
from hwgen.rtl.stream.linear import Linear
from hwgen.tools import cache_dir

BUDGETS = (27, 64, 128, 256, 512, 1024, 1717)
PUBLISHED_RESNET8_CYCLES = 14_774
"""Interval of the hand-tuned ResNet-8 of the issue's comparison, at 1,717 multipliers."""


def run(options: Options) -> Result:
    """Run the parts, one after the other; what is simulated last."""
    resnet = resnet8_graph()
    details: dict[str, Any] = {}
    rows: list[Row] = []
    for name, step in (("solver", solver), ("intervals", intervals), ("zeros", zeros)):
        print(f"\n-- {name} --", flush=True)
        found, details[name] = step(resnet)
        rows += found
    if options.quick:
        rows.append(Row("resnet8_cycles_per_s", "ResNet-8 in Verilator, cycles/s", None, reason="left out by --quick"))
    else:
        print("\n-- resnet8 --", flush=True)
        found, details["resnet8"] = simulate_resnet(resnet)
        rows += found
    return Result(rows, details)


def exhaustive(layers: list[Linear], floor: int, budget: int) -> int:
    """Return the smallest interval within a budget: every lanes × products of every layer, at every interval."""
    tables = []
    for layer in layers:
        n, outputs = len(layer.active), layer.outputs
        lanes, products = np.arange(1, outputs + 1)[:, None], np.arange(1, n + 1)[None, :]
        cycles = -(-n // products) * -(-outputs // lanes) * layer.firings
        tables.append((cycles.ravel(), (lanes * products).ravel()))
    candidates = np.unique(np.concatenate([c for c, _ in tables]))
    for interval in candidates[candidates >= floor]:
        if sum(int(m[c <= interval].min(initial=1 << 40)) for c, m in tables) <= budget:
            return int(interval)
    return -1


def solver(graph: Graph) -> tuple[list[Row], Any]:
    """The solver's interval against the best of all folds, for several numbers of multipliers."""
    layers, floor, rows = linear_layers(graph), floor_cycles(graph), []
    print(f"{'multipliers':>12}{'solver':>10}{'best':>10}{'ratio':>8}")
    for budget in BUDGETS:
        folding = choose_folds(graph, FoldRequest(reuse_factor=None, max_multipliers=budget))
        ours, best = max(r.cycles for r in folding.rows), exhaustive(layers, floor, budget)
        ratio = max(ours, floor) / best
        rows.append({"budget": budget, "used": folding.multipliers, "cycles": ours, "best": best, "ratio": ratio})
        print(f"{budget:>12,}{ours:>10,}{best:>10,}{ratio:>8.3f}")
    worst = max(row["ratio"] for row in rows)
    text = f"the solver's interval ÷ the best of all folds, {BUDGETS[0]} to {BUDGETS[-1]:,} multipliers"
    return [Row("solver", text, worst, at_most=1.05)], rows


def intervals(graph: Graph) -> tuple[list[Row], Any]:
    """Predicted interval ÷ its lower bound (multiply-accumulates ÷ multipliers, pixels), dense and pruned."""
    rows: list[dict[str, Any]] = []
    print(f"{'network':<26}{'multipliers':>12}{'interval':>10}{'bound':>10}{'ratio':>8}{'plan s':>8}")
    cases = [(graph, "resnet8, dense", budget) for budget in (128, 512, 1717, 4000)]
    sparse = resnet8_graph(density=0.25)
    cases += [(sparse, "resnet8, 75 % zero", budget) for budget in (100, 400, 1717)]
    pruned = conv_network("pruned", density=0.25, seed=1)
    cases += [(pruned, "three convolutions, 75 % zero", budget) for budget in (12, 24, 48, 96)]
    dense = conv_network("dense", density=1.0, seed=1)
    cases += [(dense, "three convolutions, dense", budget) for budget in (12, 24, 48, 96, 192)]
    for network, label, budget in cases:
        start = time.monotonic()
        plan = plan_stream(
            network, RtlOptions(cache=cache_dir()), FoldRequest(reuse_factor=None, max_multipliers=budget)
        )
        seconds = time.monotonic() - start
        interval, bound = plan.timing.interval_cycles, plan.folding.bound_cycles
        ratio = interval / bound
        row = {"network": label, "budget": budget, "multipliers": plan.folding.multipliers, "interval": interval}
        rows.append(row | {"bound": bound, "ratio": ratio, "seconds": seconds})
        used = plan.folding.multipliers
        print(f"{label:<26.26}{used:>12,}{interval:>10,}{bound:>10,}{ratio:>8.3f}{seconds:>8.1f}", flush=True)
    print(f"(published hand-tuned RTL of ResNet-8 at 1,717 multipliers: {PUBLISHED_RESNET8_CYCLES:,} cycles)")
    worst = {z: max(row["ratio"] for row in rows if ("zero" in row["network"]) == z) for z in (False, True)}
    ours = next(row["interval"] for row in rows if row["network"] == "resnet8, dense" and row["budget"] == 1717)
    return [
        Row("interval_dense", "interval ÷ its lower bound, dense networks", worst[False], at_most=1.05),
        Row("interval_sparse", "the same, 75 % of the weights zero", worst[True], at_most=1.10),
        Row("resnet8_interval", "ResNet-8 at 1,717 multipliers, cycles", ours, at_most=9000),
    ], rows


def zeros(graph: Graph) -> tuple[list[Row], Any]:
    """Cycles of one layer, pruned ÷ dense, on the same multipliers; realised against ideal; memory with its index."""
    from hwgen.rtl.stream.sparse import schedule

    del graph
    rows: list[dict[str, Any]] = []
    print(
        f"{'layer':<12}{'zeros':>7}{'multipliers':>12}{'cycles':>8}{'÷ dense':>9}{'÷ ideal':>9}{'memory ÷ dense':>16}"
    )
    for inputs, outputs in ((144, 16), (288, 32), (576, 64)):
        for sparsity in (0.75, 0.9):
            for lanes in sorted({4, outputs // 2, outputs}):
                rng = np.random.default_rng(inputs + lanes)
                weights = rng.integers(1, 32, (inputs, outputs)) * rng.choice([-1, 1], (inputs, outputs))
                weights *= rng.random((inputs, outputs)) >= sparsity
                found = schedule(weights, lanes)
                dense = -(-inputs * outputs // lanes)
                share, ideal = found.cycles / dense, found.cycles / found.ideal_cycles
                memory = found.word_bits * found.cycles / (6 * inputs * outputs)
                row = {"layer": f"{inputs}x{outputs}", "sparsity": sparsity, "multipliers": lanes}
                rows.append(row | {"cycles": found.cycles, "of_dense": share, "of_ideal": ideal, "memory": memory})
                print(
                    f"{row['layer']:<12}{sparsity:>7.0%}{lanes:>12}{found.cycles:>8}"
                    f"{share:>9.3f}{ideal:>9.3f}{memory:>16.2f}",
                    flush=True,
                )
    ideal = max(row["of_ideal"] for row in rows)
    share = max(row["of_dense"] for row in rows if row["sparsity"] == 0.75)
    return [
        Row("zeros_ideal", "cycles of a sparse layer ÷ the ideal schedule's", ideal, at_most=1.10),
        Row("zeros_dense", "cycles of a layer at 75 % zeros ÷ dense", share, at_most=0.30),
    ], rows


def simulate_resnet(graph: Graph) -> tuple[list[Row], Any]:
    """ResNet-8 at 512 multipliers: time and memory to generate, to build in Verilator, cycles a second; exact."""
    from hwgen.sim.native import build_harness
    from hwgen.sim.streams import in_streams, out_streams, pack_frames, unpack_frames

    start = time.monotonic()
    plan = plan_stream(graph, RtlOptions(cache=cache_dir()), FoldRequest(reuse_factor=None, max_multipliers=512))
    design = emit_stream(plan)
    generate = time.monotonic() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        design.files.write(folder / "rtl")
        names = (folder / "rtl" / f"{design.top}.f").read_text().split()
        start = time.monotonic()
        core = [n for n in names if not n.startswith("hg_axis_") and not n.endswith("_axis.sv")]
        harness = build_harness(design.design, [folder / "rtl" / n for n in core], folder / "sim")
        build = time.monotonic() - start
        rng = np.random.default_rng(0)
        frames = {i.name: rng.integers(i.fmt.int_min, i.fmt.int_max + 1, (4, *i.shape)) for i in graph.inputs}
        seen = harness.run(pack_frames(in_streams(design.design), frames))
        got = unpack_frames(out_streams(design.design), seen.outputs)
    wanted = graph.evaluate(frames)
    mismatches = sum(
        int((np.asarray(got[k]).reshape(4, -1) != v.reshape(4, -1)).any(axis=1).sum()) for k, v in wanted.items()
    )
    speed = seen.cycles / seen.seconds
    latency, interval = int(seen.produced[0] - seen.accepted[0]), int(np.diff(seen.produced)[-1])
    row = {
        "generate_s": generate,
        "memory_mb": memory,
        "text_bytes": sum(map(len, design.files.values())),
        "build_s": build,
        "cycles_per_s": speed,
        "mismatches": mismatches,
        "latency_error": latency - plan.timing.latency_cycles,
        "interval_error": interval - plan.timing.interval_cycles,
    }
    for key, value in row.items():
        print(f"{key:<16}{value:>14,.1f}")
    off = abs(row["latency_error"]) + abs(row["interval_error"])
    return [
        Row("resnet8_generate_s", "ResNet-8 at 512 multipliers: RTL, s", generate, at_most=20),
        Row("resnet8_memory_mb", "… memory, MB", memory, at_most=1024),
        Row("resnet8_build_s", "… its Verilator build, s", build, at_most=120),
        Row("resnet8_cycles_per_s", "… simulated cycles/s", speed, at_least=50_000),
        Row("resnet8_mismatches", "… frames that differ from the graph", mismatches, at_most=0),
        Row("resnet8_cycles_off", "… latency and interval, measured - predicted", off, at_most=0),
    ], row
