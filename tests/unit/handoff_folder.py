"""Small build folders as the hand-off reads them, and running its bench with a plain Verilator."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np

from hwgen.files import FileSet, file_digest, json_bytes
from hwgen.ir import Graph, graph_files
from hwgen.ir.serialize import graph_digest
from hwgen.ir.vectors import save_vectors
from hwgen.rtl import RtlDesign, RtlOptions, emit, plan
from hwgen.rtl.stream import FoldRequest, emit_stream, plan_stream, prediction_document
from hwgen.tools import verilator

RESOLVED = """\
version: 1
model:
  name: net
  layers:
    - QDense: {name: fc, units: 2}
data: {set: digits, npz: null, loader: null, scale: 0.0625, offset: -0.5}
precision:
  input: ufixed<5,1>
  weight: quantized_bits(6,0,alpha=1)
  bias: quantized_bits(6,0,alpha=1)
hardware:
  part: xck26-sfvc784-2LV-c
"""
PART = "xc7z020clg400-1"


def build_folder(folder: Path, graph: Graph, *, stream: bool = False, status: str = "PASS", **options: object) -> Path:
    """Write a build folder of `graph` as far as verify; the evidence is written, not made: the bench is under test."""
    wanted = RtlOptions(**{"clock_period_ns": 4.0, "part": PART, "axis_bytes": 2, **options})  # type: ignore[arg-type]
    if stream:
        decided = plan_stream(graph, wanted, FoldRequest(reuse_factor=4))
        design, prediction = emit_stream(decided), prediction_document(decided)
    else:
        planned = plan(graph, wanted)
        design = emit(planned)
        timing = {"latency_cycles": planned.predicted.latency_cycles, "interval_cycles": 1}
        prediction = {"version": 1, **timing, "clock_period_ns": 4.0}
    return write_folder(folder, graph, design, prediction, status)


def write_folder(folder: Path, graph: Graph, design: RtlDesign, prediction: dict, status: str = "PASS") -> Path:
    files = FileSet()
    files.merge(graph_files(graph), under="graph")
    files.merge(design.files, under="rtl")
    files.add("resolved.yaml", RESOLVED)
    files.merge(hls_project(graph, design.design), under="firmware")
    files.add("reports/prediction.json", json_bytes(prediction))
    files.add("manifest.json", json_bytes({"version": 1, "hwgen": "0", "stages": {}}))
    files.write(folder)
    cycles = {key: prediction[f"{key}_cycles"] for key in ("latency", "interval")}
    rtl = {name: file_digest(folder / "rtl" / name) for name in design.files if name.endswith(".sv")}
    evidence = {
        "version": 1,
        "model": graph.name,
        "status": status,
        "pairs": [{"a": "graph", "b": "rtl", "vectors": 1000, "mismatches": 0}],
        **{key: {"predicted_cycles": n, "measured_cycles": n} for key, n in cycles.items()},
        "tools": {"hwgen": "0.1.0", "verilator": "5.052"},
        "inputs": {"graph": graph_digest(graph), "rtl": rtl},
        "not_checked": ["timing closure"],
    }
    (folder / "verification.json").write_bytes(json_bytes(evidence))
    rng = np.random.default_rng(1)

    def frames(count: int) -> dict[str, np.ndarray]:
        return {n.name: rng.integers(n.fmt.int_min, n.fmt.int_max + 1, (count, *n.shape)) for n in graph.inputs}

    corners = {n.name: np.stack([np.full(n.shape, v) for v in (n.fmt.int_min, n.fmt.int_max)]) for n in graph.inputs}
    save_vectors(folder / "tb" / "vectors.npz", {"test": frames(20), "random": frames(40), "corners": corners})
    return folder


def hls_project(graph: Graph, design: dict) -> FileSet:
    """What the hand-off reads of an HLS project: the prototype of the top function, and files that travel along."""
    stream = design["io_type"] == "io_stream"
    names = [*(node.name for node in graph.inputs), *(node.inputs[0] for node in graph.outputs)]
    kinds = ["input_t"] * len(graph.inputs) + ["result_t"] * len(graph.outputs)
    rows = [f"hls::stream<{k}> &{n}" if stream else f"{k} {n}[4]" for k, n in zip(kinds, names, strict=True)]
    text = "// Prototype of top level function for C-synthesis\nvoid {}(\n    {}\n);\n"
    header = text.format(graph.name, ",\n    ".join(rows))
    return FileSet({f"firmware/{graph.name}.h": header, "build_prj.tcl": "exit\n", "build/emulator": "machine code"})


def compile_bench(folder: Path, top: str, file_list: str) -> Path:
    """Build a bench as the README says, but for the compiler's effort; return the program."""
    tool = verilator.find()
    quick = [f"OPT_{kind}=-O0" for kind in ("FAST", "SLOW", "GLOBAL")]
    command = [tool.path, "--binary", "--timing", "--top-module", top, "-f", file_list]
    command += [word for text in quick for word in ("-MAKEFLAGS", text)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | tool.env
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0 and "%Warning" not in done.stderr, done.stdout + done.stderr
    return folder / "obj_dir" / f"V{top}"


def run_bench(program: Path, folder: Path, *plusargs: str) -> tuple[int, str]:
    done = subprocess.run([program, *plusargs], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr
