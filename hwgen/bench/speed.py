"""How fast is the proof? Verilator against hls4ml's own C++ emulation, on one network, in one run.

The network is 16-64-32-32-5 with seeded 6-bit weights, half of them zero, 8-bit inputs, 6-bit saturating ReLUs.
hls4ml: its `build_lib.sh` as it stands, then one call a frame as its `predict` does; and hwgen's emulator of the same
project (one call for all frames). Verilator: model, bench and link, with an empty cache (cold) and with the run-time
objects in it (cached), then all vectors at full rate. Every run must give the graph's integers.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.bench.networks import JET_SIZES as SIZES
from hwgen.bench.networks import dense_network
from hwgen.bench.result import Options, Result, Row
from hwgen.errors import ProofError
from hwgen.fixed import IntArray
from hwgen.ir import Graph
from hwgen.lower.firmware import Emulator, project_files
from hwgen.rtl import RtlOptions, generate
from hwgen.sim.cocotb_run import core_files
from hwgen.sim.native import build_harness
from hwgen.sim.streams import in_streams, out_streams, pack_frames, unpack_frames
from hwgen.tools.run import run as execute

VECTORS, QUICK_VECTORS = 10_000, 2_000


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what `work` returns and the seconds it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def hls4ml_side(graph: Graph, x: IntArray, expected: IntArray, folder: Path) -> dict[str, float]:
    """Build hls4ml's project with its own script and run every frame; then with hwgen's emulator."""
    project_files(graph, part="xcvu13p-flga2577-2-e", clock_period_ns=5).write(folder)
    _, build = timed(lambda: execute(["bash", "build_lib.sh"], cwd=folder, timeout_s=600))
    (library,) = (folder / "firmware").glob("*.so")
    function = getattr(ctypes.CDLL(str(library)), f"{graph.name}_double")
    floats = np.ascontiguousarray(graph.inputs[0].fmt.to_float(x), dtype=np.float64)
    result = np.zeros((len(x), SIZES[-1]))
    pointer = ctypes.POINTER(ctypes.c_double)

    def predict() -> None:
        for frame, target in zip(floats, result, strict=True):
            function(frame.ctypes.data_as(pointer), target.ctypes.data_as(pointer))

    _, seconds = timed(predict)
    (output,) = graph.outputs
    same(graph.types[output.name].fmt.to_float(expected), result, "hls4ml")
    emulator, ours_build = timed(lambda: Emulator.build(folder))
    integers, ours = timed(lambda: emulator.run({graph.inputs[0].name: x}))
    same(expected, integers[output.name], "hwgen's emulator")
    return {"build_s": build, "vectors_s": seconds, "batch_build_s": ours_build, "batch_vectors_s": ours}


def verilator_side(graph: Graph, x: IntArray, expected: IntArray, folder: Path) -> dict[str, float]:
    """Build the native bench with an empty cache and with a filled one, and run every frame."""
    design, rtl_seconds = timed(lambda: generate(graph, RtlOptions()))
    design.files.write(folder / "rtl")
    names = [folder / "rtl" / name for name in design.files[f"{design.top}.f"].decode().split()]
    files = core_files(design.design, names)
    frames = pack_frames(in_streams(design.design), {graph.inputs[0].name: x})
    os.environ["HWGEN_CACHE"] = str(folder / "cache")
    figures = {"generate_s": rtl_seconds}
    for state in ("cold", "cached"):
        shutil.rmtree(folder / "sim", ignore_errors=True)
        harness, figures[f"build_{state}_s"] = timed(lambda: build_harness(design.design, files, folder / "sim"))
    seen, figures["vectors_s"] = timed(lambda: harness.run(frames))
    figures["simulation_s"] = seen.seconds
    (name,) = (port["name"] for port in design.design["outputs"])
    same(expected, unpack_frames(out_streams(design.design), seen.outputs)[name], "RTL")
    return figures


def same(expected: Any, got: Any, what: str) -> None:
    """Fail loudly: a speed of wrong results says nothing."""
    if expected.shape != got.shape or not np.array_equal(expected, got):
        raise ProofError(f"{what} does not give the graph's values: its speed says nothing", where="hwgen bench")


def run(options: Options) -> Result:
    """Build and run both sides on the same vectors."""
    vectors = QUICK_VECTORS if options.quick else VECTORS
    graph = dense_network("jet", SIZES, options.seed)
    fmt = graph.inputs[0].fmt
    draw = np.random.default_rng(options.seed)
    x = draw.integers(fmt.int_min, fmt.int_max, (vectors, SIZES[0]), endpoint=True)
    expected = graph.evaluate({graph.inputs[0].name: x})[graph.outputs[0].name]
    with tempfile.TemporaryDirectory(prefix="hwgen-speed-") as scratch:
        hls = hls4ml_side(graph, x, expected, Path(scratch) / "hls")
        rtl = verilator_side(graph, x, expected, Path(scratch))
    print_seconds(hls, rtl, vectors)
    reference = hls["build_s"] + hls["vectors_s"]
    cold, cached = (rtl[f"build_{state}_s"] + rtl["vectors_s"] for state in ("cold", "cached"))
    rows = [
        Row("build_cold", "Verilator build + vectors ÷ hls4ml's emulation, cold", cold / reference, at_most=2),
        Row("build_cached", "the same, run-time objects cached", cached / reference, at_most=1),
        Row("rate", "simulated inferences/s ÷ hls4ml's", hls["vectors_s"] / rtl["simulation_s"], at_least=10),
    ]
    return Result(rows, {"vectors": vectors, "hls4ml": hls, "verilator": rtl})


def print_seconds(hls: dict[str, float], rtl: dict[str, float], vectors: int) -> None:
    """Print the seconds behind the ratios."""
    print(f"{'seconds':<28}{'build':>9}{f'{vectors:,} vectors':>18}{'inferences/s':>14}")
    rows = [
        ("hls4ml, its own script", hls["build_s"], hls["vectors_s"]),
        ("hwgen's emulator of it", hls["batch_build_s"], hls["batch_vectors_s"]),
        ("Verilator, cold", rtl["build_cold_s"], rtl["vectors_s"]),
        ("Verilator, cached", rtl["build_cached_s"], rtl["vectors_s"]),
    ]
    for name, build, run_s in rows:
        print(f"{name:<28}{build:>9.2f}{run_s:>18.3f}{vectors / run_s:>14,.0f}")
    print(f"{'  of it, simulating':<28}{'':>9}{rtl['simulation_s']:>18.3f}{vectors / rtl['simulation_s']:>14,.0f}")
