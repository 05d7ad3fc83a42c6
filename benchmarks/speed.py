"""How fast is the proof? Verilator against hls4ml's own C++ emulation, on one network, in one run.

    python benchmarks/speed.py [--vectors 10000] [--handshake valid_ready] [--seed 0] [--out speed.json]

The network is 16-64-32-32-5 with seeded 6-bit weights, half of them zero, 8-bit inputs, 6-bit saturating ReLUs.
hls4ml: its `build_lib.sh` as it stands, then one call a frame as its `predict` does; and hwgen's emulator of the same
project (one call for all frames). Verilator: model, bench and link, with an empty cache (cold) and with the run-time
objects in it (cached), then all vectors at full rate. Every run must give the graph's integers.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from networks import JET_SIZES as SIZES
from networks import dense_network

from hwgen.ir import Graph
from hwgen.lower.firmware import Emulator, project_files
from hwgen.rtl import RtlOptions, generate
from hwgen.sim.cocotb_run import core_files
from hwgen.sim.native import build_harness
from hwgen.sim.streams import in_streams, out_streams, pack_frames, unpack_frames
from hwgen.tools.run import run

BARS = {"build_cold": 2.0, "build_cached": 1.0, "rate": 10.0}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what `work` returns and the seconds it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def hls4ml_side(graph: Graph, x: np.ndarray, expected: np.ndarray, folder: Path) -> dict[str, float]:
    """Build hls4ml's project with its own script and run every frame; then with hwgen's emulator."""
    project_files(graph, part="xcvu13p-flga2577-2-e", clock_period_ns=5).write(folder)
    _, build = timed(lambda: run(["bash", "build_lib.sh"], cwd=folder, timeout_s=600))
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


def verilator_side(graph: Graph, x: np.ndarray, expected: np.ndarray, folder: Path, handshake: str) -> dict[str, float]:
    """Build the native bench with an empty cache and with a filled one, and run every frame."""
    design, rtl_seconds = timed(lambda: generate(graph, RtlOptions(handshake=handshake)))
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


def same(expected: np.ndarray, got: np.ndarray, what: str) -> None:
    """Fail loudly: a speed of wrong results says nothing."""
    if expected.shape != got.shape or not np.array_equal(expected, got):
        raise SystemExit(f"{what} does not give the graph's values")


def main() -> int:
    """Run the benchmark; the exit status is 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--handshake", choices=["valid_ready", "none"], default="valid_ready")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    graph = dense_network("jet", SIZES, options.seed)
    fmt = graph.inputs[0].fmt
    draw = np.random.default_rng(options.seed)
    x = draw.integers(fmt.int_min, fmt.int_max, (options.vectors, SIZES[0]), endpoint=True)
    expected = graph.evaluate({graph.inputs[0].name: x})[graph.outputs[0].name]
    with tempfile.TemporaryDirectory(prefix="hwgen-speed-") as scratch:
        hls = hls4ml_side(graph, x, expected, Path(scratch) / "hls")
        rtl = verilator_side(graph, x, expected, Path(scratch), options.handshake)
    return report(hls, rtl, options.vectors, options.out)


def report(hls: dict[str, float], rtl: dict[str, float], vectors: int, out: Path | None) -> int:
    """Print the table, write JSON, return whether a bar is missed."""
    reference = hls["build_s"] + hls["vectors_s"]
    ratios = {
        "build_cold": (rtl["build_cold_s"] + rtl["vectors_s"]) / reference,
        "build_cached": (rtl["build_cached_s"] + rtl["vectors_s"]) / reference,
        "rate": hls["vectors_s"] / rtl["simulation_s"],
    }
    good = {key: (value >= BARS[key]) if key == "rate" else (value <= BARS[key]) for key, value in ratios.items()}
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
    print()
    for key, label in (
        ("build_cold", "Verilator build + vectors / hls4ml's, cold"),
        ("build_cached", "the same, run-time objects cached"),
        ("rate", "simulated inferences/s / hls4ml's"),
    ):
        sign = ">=" if key == "rate" else "<="
        print(f"{label:<46}{ratios[key]:>8.2f}   bar {sign} {BARS[key]:g}   {'met' if good[key] else 'MISSED'}")
    if out:
        out.write_text(
            json.dumps({"vectors": vectors, "hls4ml": hls, "verilator": rtl, "ratios": ratios}, indent=2) + "\n"
        )
    return 0 if all(good.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
