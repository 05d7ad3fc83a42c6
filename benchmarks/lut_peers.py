"""LUTs, clocks and logic depth of the jet tagger's topology: hwgen against alkaid's own Verilog and XLS.

    python benchmarks/lut_peers.py [--seed 0] [--out FILE] [--quick]

One run, one set of seeded weights (6-bit, half pruned; 8-bit inputs; 6-bit saturating ReLU, round half up, which
is what the peers have), one synthesis script for all: pyosys `synth_xilinx -family xcup -nodsp -flatten`, `ltp -noff`.
Every candidate is first shown to compute the same integers. A design's clocks are the registers a frame meets from
the ports in to the ports out. `--quick` leaves XLS out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from networks import JET_SIZES as SIZES
from networks import dense_network

from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlOptions, generate
from hwgen.tools.yosys import synthesize_xilinx


@dataclass(frozen=True)
class Point:
    """One synthesized design."""

    who: str
    setting: str
    clocks: int
    lut: int
    ff: int
    depth: int
    generate_s: float


def network(seed: int, sizes: tuple[int, ...] = SIZES, name: str = "jet") -> Graph:
    """Return the benchmark's network, with the rounding that the peers have."""
    return dense_network(name, sizes, seed, relu="ufixed<6,2,RND,SAT>")


def alkaid_program(graph: Graph) -> Any:
    """Return alkaid's own program of the network, checked against the graph."""
    from alkaid.trace import FVArrayInput, HWConfig, trace

    x = FVArrayInput((SIZES[0],), hwconf=HWConfig(1, -1, -1))
    fmt = graph.inputs[0].fmt
    value: Any = x.quantize(1, fmt.integer - 1, fmt.fraction)
    for node in graph.nodes:
        match node:
            case ir.Dense():
                weight, bias = graph.by_name[node.inputs[1]], graph.by_name[node.inputs[2]]
                assert isinstance(weight, ir.Const) and isinstance(bias, ir.Const)
                value = value @ (weight.value * 2.0**-weight.fraction) + bias.value * 2.0**-bias.fraction
            case ir.Requantize(fmt=out):
                value = value.quantize(0, out.integer, out.fraction, "SAT", str(out.rounding))
    program = trace(x, value)
    frames = np.random.default_rng(1).integers(fmt.int_min, fmt.int_max + 1, (500, SIZES[0]))
    got = np.asarray(program.predict(frames * fmt.lsb)) * 2.0 ** graph.types["y"].fraction
    np.testing.assert_array_equal(np.rint(got).astype(np.int64), graph.evaluate({"x": frames})["y"])
    return program


def alkaid_point(program: Any, cutoff: float, generate_s: float) -> Point:
    """Synthesize alkaid's Verilog, pipelined at a latency cutoff."""
    from alkaid.codegen import RTLModel

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        model = RTLModel(program, folder, "model", flavor="verilog", latency_cutoff=cutoff)
        model.write(None)
        generate_s += time.perf_counter() - start
        files = [p for p in sorted(Path(folder).glob("src/**/*.v")) if "wrapper" not in p.name]
        top = next(p for p in files if p.name == "model.v").read_text()
        result = synthesize_xilinx(files, "model")
    return Point("alkaid", f"cutoff {cutoff:g}", _registers(top), result.lut, result.ff, result.depth, generate_s)


def _registers(top: str) -> int:
    """Count the register ranks of alkaid's top module: input, stages, output."""
    return sum(line.strip().startswith(("reg [", "output reg [")) for line in top.splitlines())


def xls_point(program: Any, stages: int, generate_s: float) -> Point:
    """Synthesize alkaid's graph scheduled by XLS into `stages` pipeline stages, inputs and outputs registered."""
    from alkaid.codegen.xls import XLSModel

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        path = Path(folder) / "model.v"
        model = XLSModel(program, "model")
        text = model.compile(
            path,
            scheduling_options=f'delay_model: "unit" pipeline_stages: {stages}',
            codegen_flags="generator: GENERATOR_KIND_PIPELINE use_system_verilog: false "
            'flop_inputs: true flop_outputs: true module_name: "model"',
            with_delay_model=True,
        )
        generate_s += time.perf_counter() - start
        result = synthesize_xilinx([path], "model")
    clocks = text.count("// Registers for pipe stage")
    return Point("xls", f"{stages} stages", clocks, result.lut, result.ff, result.depth, generate_s)


def hwgen_point(graph: Graph, clock_period_ns: float, **options: Any) -> Point:
    """Synthesize our own SystemVerilog at a requested clock."""
    start = time.perf_counter()
    chosen = RtlOptions(clock_period_ns=clock_period_ns, handshake="none", **options)
    design = generate(graph, chosen)
    generate_s = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        design.files.write(Path(folder))
        files = [Path(folder) / name for name in design.design["files"]]
        result = synthesize_xilinx(files, design.top)
    clocks = design.predicted.latency_cycles
    setting = f"{clock_period_ns:g} ns" + (f", {chosen.strategy}" if options else "")
    return Point("hwgen", setting, clocks, result.lut, result.ff, result.depth, generate_s)


def judge(ours: list[Point], peer: Point) -> dict[str, Any]:
    """Return our best point that is no worse than `peer` in LUTs, clocks and depth, if there is one."""
    fits = [p for p in ours if p.lut <= peer.lut and p.clocks <= peer.clocks and p.depth <= peer.depth]
    best = min(fits, key=lambda p: p.lut, default=None)
    return {
        "peer": asdict(peer),
        "no_worse": best is not None,
        "ours": best and asdict(best),
        "lut_ratio": best and best.lut / peer.lut,
    }


def main() -> int:
    """Run the comparison and print it; the exit status is 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--periods", type=float, nargs="+", default=[3.3, 4.0])
    parser.add_argument("--cutoffs", type=float, nargs="+", default=[5.0])
    parser.add_argument("--layer-inputs", default="ufixed<6,2>", help="of the 32x32 layer; as they are in the network")
    parser.add_argument("--stages", type=int, nargs="+", default=[6])
    options = parser.parse_args()
    graph = network(options.seed)
    start = time.perf_counter()
    program = alkaid_program(graph)
    solved = time.perf_counter() - start
    layer = dense_network("layer", (32, 32), options.seed, inputs=options.layer_inputs)
    with ThreadPoolExecutor(2) as pool:
        peers = [pool.submit(alkaid_point, program, c, solved) for c in options.cutoffs]
        if not options.quick:
            peers += [pool.submit(xls_point, program, s, solved) for s in options.stages]
        ours = [pool.submit(hwgen_point, graph, p) for p in options.periods]
        strategies = [pool.submit(hwgen_point, layer, 5.0, strategy=s) for s in ("distributed_arithmetic", "latency")]
        our_points, peer_points = [p.result() for p in ours], [p.result() for p in peers]
        shared, plain = (p.result() for p in strategies)
    print(f"{'':8} {'setting':24} {'clocks':>6} {'LUT':>7} {'FF':>7} {'depth':>6} {'generate':>9}")
    for p in [*peer_points, *our_points, shared, plain]:
        print(f"{p.who:8} {p.setting:24} {p.clocks:6} {p.lut:7} {p.ff:7} {p.depth:6} {p.generate_s:8.1f}s")
    verdicts = [judge(our_points, peer) for peer in peer_points]
    for verdict in verdicts:
        peer = verdict["peer"]
        ratio = f"{verdict['lut_ratio']:.3f} x its LUTs" if verdict["no_worse"] else "no point of ours is as good"
        print(f"against {peer['who']} ({peer['setting']}): {ratio}")
    print(f"one 32x32 layer, distributed_arithmetic / latency: {shared.lut / plain.lut:.3f} x LUTs")
    if options.out:
        document = {
            "seed": options.seed,
            "points": [asdict(p) for p in [*peer_points, *our_points]],
            "against_peers": verdicts,
            "layer_32x32": {"shared": asdict(shared), "plain": asdict(plain), "lut_ratio": shared.lut / plain.lut},
        }
        options.out.write_text(json.dumps(document, indent=2) + "\n")
    reached = all(v["no_worse"] for v in verdicts) and shared.lut <= 0.5 * plain.lut
    return 0 if reached and max(p.generate_s for p in our_points) <= 10 else 1


if __name__ == "__main__":
    sys.exit(main())
