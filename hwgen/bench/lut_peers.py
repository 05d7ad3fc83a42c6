"""LUTs, clocks and logic depth of the jet tagger's topology: hwgen against alkaid's own Verilog and XLS.

One run, one set of seeded weights (6-bit, half pruned; 8-bit inputs; 6-bit saturating ReLU, round half up, which
is what the peers have), one synthesis script for all: pyosys `synth_xilinx -family xcup -nodsp -flatten`, `ltp -noff`.
Every candidate is first shown to compute the same integers. A design's clocks are the registers a frame meets from
the ports in to the ports out.

XLS (PyPI xls-python) is there twice: on alkaid's shared adders, and on the plain layers in DSLX (`hwgen.bench.dslx`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.bench.networks import JET_SIZES as SIZES
from hwgen.bench.networks import dense_network
from hwgen.bench.result import Options, Result, Row
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlOptions, generate
from hwgen.tools.yosys import synthesize_xilinx

PERIODS_NS = (3.3, 4.0)
"""Clocks that hwgen's points ask for."""
CUTOFF = 5.0
"""alkaid's pipelining: latency units a stage."""
STAGES = 6
"""Pipeline stages that XLS schedules into."""
DSLX_SIZES = (16, 64)
"""What XLS gets as DSLX: the network's first layer. Of the whole, the synthesis alone takes a quarter of an hour."""
XLS_MISSING = "xls-python is not installed: pip install 'hwgen[bench]'"


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


def dslx_point(graph: Graph, stages: int) -> Point:
    """Synthesize the plain layers in DSLX, scheduled by XLS into `stages` pipeline stages."""
    from hwgen.bench.dslx import dslx_verilog

    fmt = graph.inputs[0].fmt
    frames = np.random.default_rng(1).integers(fmt.int_min, fmt.int_max + 1, (100, *graph.inputs[0].shape))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        text = dslx_verilog(graph, stages, frames)
        generate_s = time.perf_counter() - start
        path = Path(folder) / "model.v"
        path.write_text(text)
        result = synthesize_xilinx([path], "model")
    clocks = text.count("// Registers for pipe stage")
    return Point("xls, DSLX", f"{stages} stages", clocks, result.lut, result.ff, result.depth, generate_s)


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


def no_worse(ours: Sequence[Point], peer: Point) -> Point | None:
    """Return our smallest point that is no worse than `peer` in LUTs, clocks and depth, if there is one."""
    fits = [p for p in ours if p.lut <= peer.lut and p.clocks <= peer.clocks and p.depth <= peer.depth]
    return min(fits, key=lambda p: p.lut, default=None)


def against(key: str, ours: Sequence[Point], peer: Point) -> Row:
    """Return the row of a peer: LUTs of our best point as good as it in everything, ÷ its LUTs."""
    best = no_worse(ours, peer)
    what = f"LUTs ÷ {peer.who} ({peer.setting}: {peer.lut:,} LUT, {peer.clocks} clocks, depth {peer.depth})"
    if best is None:  # the nearest in LUTs, and the bar missed
        return Row(key, f"{what}; clocks or depth are worse", min(p.lut for p in ours) / peer.lut, at_most=0)
    return Row(key, what, best.lut / peer.lut, at_most=1)


def why_no_xls(options: Options) -> str | None:
    """Return why XLS is left out, or None: it is there, and has the time."""
    if options.quick:
        return "left out by --quick"
    return None if find_spec("xls") else XLS_MISSING


def run(options: Options) -> Result:
    """Synthesize every candidate; two at a time."""
    graph, layer = network(options.seed), dense_network("layer", (32, 32), options.seed, inputs="ufixed<6,2>")
    signed = dense_network("layer", (32, 32), options.seed)
    small = network(options.seed, DSLX_SIZES, "small")
    start = time.perf_counter()
    program = alkaid_program(graph)
    solved = time.perf_counter() - start
    no_xls = why_no_xls(options)
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs: dict[str, Future[Point]] = {"alkaid": pool.submit(alkaid_point, program, CUTOFF, solved)}
        if no_xls is None:
            jobs["xls"] = pool.submit(xls_point, program, STAGES, solved)
            jobs["dslx"] = pool.submit(dslx_point, small, STAGES)
            jobs["small"] = pool.submit(hwgen_point, small, PERIODS_NS[0])
        jobs |= {f"hwgen {p:g}": pool.submit(hwgen_point, graph, p) for p in PERIODS_NS}
        for name, one in (("layer", layer), ("signed", signed)):
            for strategy in ("distributed_arithmetic", "latency"):
                jobs[f"{name} {strategy}"] = pool.submit(hwgen_point, one, 5.0, strategy=strategy)
        points = printed(jobs)
    ours = [points[f"hwgen {p:g}"] for p in PERIODS_NS]
    rows = [against("alkaid", ours, points["alkaid"])]
    if no_xls is None:
        rows += [against("xls", ours, points["xls"]), against("xls_dslx", [points["small"]], points["dslx"])]
    else:
        rows += [
            Row("xls", "LUTs ÷ alkaid's adders through XLS", None, at_most=1, reason=no_xls),
            Row("xls_dslx", "LUTs ÷ XLS from DSLX", None, at_most=1, reason=no_xls),
        ]
    for key, what, bar in (("layer", "inputs of 6 bits", 0.5), ("signed", "signed inputs of 8 bits", None)):
        shared, plain = points[f"{key} distributed_arithmetic"], points[f"{key} latency"]
        text = f"distributed_arithmetic ÷ latency, 32×32, {what} ({shared.lut:,} ÷ {plain.lut:,} LUT)"
        rows.append(Row(f"layer_{key}", text, shared.lut / plain.lut, at_most=bar))
    rows.append(Row("generate_s", "time to generate the network's RTL, s", max(p.generate_s for p in ours), at_most=10))
    return Result(rows, {"points": {name: asdict(point) for name, point in points.items()}})


def printed(jobs: Mapping[str, Future[Point]]) -> dict[str, Point]:
    """Return what was synthesized; print each when it is there."""
    print(f"{'':18}{'setting':28}{'clocks':>7}{'LUT':>8}{'FF':>8}{'depth':>7}{'generate':>10}")
    points = {}
    for name, job in jobs.items():
        p = points[name] = job.result()
        who = f"{p.who}, {name.split()[0]}" if p.who == "hwgen" else p.who
        print(f"{who:18}{p.setting:28}{p.clocks:7}{p.lut:8,}{p.ff:8,}{p.depth:7}{p.generate_s:9.1f}s", flush=True)
    return points
