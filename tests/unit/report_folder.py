"""A build folder as the stages leave it, of a small network, made without training: for the tests of the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.bench.networks import conv_network, dense_network
from hwgen.cost.table import CostTable
from hwgen.files import json_bytes
from hwgen.ir import Graph, graph_files
from hwgen.ir.vectors import save_vectors
from hwgen.report.score import weight_counts
from hwgen.rtl import RtlOptions, generate
from hwgen.rtl.stream import FoldRequest, emit_stream, plan_stream, prediction_document

SECTIONS = (
    "evidence", "accuracy", "robustness", "timeline", "folding", "cost", "weights", "activations", "sparsity", "fifos",
    "provenance",
)  # fmt: skip
"""What the page shows, in its order."""

DETAILS = {
    "memories": [{"layer": "fc0", "kind": "LUT RAM", "bits": 4096}, {"layer": "fc1", "kind": "block RAM"}],
    "utilization": {"LUT": 0.25, "FF": None},
    "critical_path": {"layers": ["fc0", "fc1"], "ns": 7.5, "levels": [1, [2, 3]]},
    "clock_estimate": {"ns": 7.05, "formula": "17 levels x 0.4 ns"},
    "fit": {"share": {"LUT": 0.01}, "short": ["12 LUT"], "advice": "reuse_factor 4"},
    "misplaced": [],
    "warnings": ["one", "two"],
    "limit": "fc1",
    "frames": 20,
}

TOOLS = {"hwgen": "0.1.0", "python": "3.11", "numpy": "2.4", "verilator": "5.052", "cocotb": None}
YAML = """\
model: {{name: {name}, layers: [{{QDense: {{name: fc0, units: 2}}}}]}}
data: {{set: digits}}
hardware: {{io_type: {io}}}
"""


def pair(a: str, b: str, mismatches: int = 0, vectors: int = 24) -> dict[str, Any]:
    sets = {"test": 8, "random": 8, "corners": 8}
    return {"a": a, "b": b, "vectors": vectors, "mismatches": mismatches, "sets": sets}


def make_folder(folder: Path, io_type: str = "io_parallel") -> Path:
    """Write a folder whose network passed: everything that spec to verify would have left, and the cost tables."""
    stream = io_type == "io_stream"
    graph = conv_network("shapes", 0.5, 0) if stream else dense_network("jets", (8, 12, 5), 0)
    options = RtlOptions()
    if stream:
        plan = plan_stream(graph, options, FoldRequest(reuse_factor=None, max_multipliers=24))
        prediction, design = prediction_document(plan), emit_stream(plan).design
    else:
        made = generate(graph, options)
        prediction = {"latency_cycles": made.predicted.latency_cycles, "interval_cycles": 1, "clock_period_ns": 5.0}
        design = made.design
    (folder / "rtl").mkdir(parents=True)
    graph_files(graph).write(folder / "graph")
    save_vectors(folder / "tb" / "vectors.npz", vectors(graph))
    reports: dict[str, Any] = {
        "train": {"metric": "accuracy", "float": 0.9, "quantized": 0.88, "data": {"name": "d", "train": 9, "test": 8}},
        "compress": {"compressed": None, "sparsity": {name: 0.5 for name in weight_counts(graph)["layers"]}},
        "lower": {"integer": 0.875, "weights": weight_counts(graph), "notes": []},
        "prediction": prediction,
        "cost": {"version": 1, "part": "xcvu13p", "tables": [table.to_json() for table in tables(graph)]},
    }  # fmt: skip
    for name, value in reports.items():
        (folder / "reports").mkdir(exist_ok=True)
        (folder / "reports" / f"{name}.json").write_bytes(json_bytes({"version": 1, **value}))
    (folder / "rtl" / "design.json").write_bytes(json_bytes(design))
    (folder / "resolved.yaml").write_text(YAML.format(name=graph.name, io=io_type))
    (folder / "verification.json").write_bytes(json_bytes(evidence(prediction)))
    stages = {
        name: {"key": {}, "seconds": 1.5, "outputs": {}} for name in ("spec", "train", "compress", "lower", "rtl")
    }
    (folder / "manifest.json").write_bytes(json_bytes({"version": 1, "hwgen": "0.1.0", "stages": stages}))
    return folder


def vectors(graph: Graph) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(0)
    (node,) = graph.inputs
    return {"test": {node.name: rng.integers(node.fmt.int_min, node.fmt.int_max + 1, (8, *node.shape))}}


def evidence(prediction: dict[str, Any]) -> dict[str, Any]:
    latency, interval = prediction["latency_cycles"], prediction["interval_cycles"]
    return {
        "version": 1,
        "status": "PASS",
        "pairs": [pair("qkeras", "graph"), pair("graph", "hls_cpp"), pair("graph", "rtl"), pair("graph", "netlist")],
        "latency": {"predicted_cycles": latency, "measured_cycles": latency},
        "interval": {"predicted_cycles": interval, "measured_cycles": interval, "frames": 4},
        "fifos": [
            {"name": row["name"], "depth": row["depth"], "predicted": row["high_water"], "measured": row["high_water"]}
            for row in prediction.get("fifos", [])
        ],
        "stalls": [{"pattern": "none", "lost": 0, "repeated": 0}],
        "resets": {"count": 20},
        "tools": TOOLS,
        "seeds": {"stalls_and_resets": 0, "power_up": [1, 2]},
        "inputs": {"graph": "ab" * 32, "rtl": {"jets.sv": "cd" * 32}, "vectors": "ef" * 32},
        "not_checked": ["timing closure", "vendor simulators and tools"],
        "mismatch": None,
    }


def tables(graph: Graph) -> list[CostTable]:
    layers = [*weight_counts(graph)["layers"], "(top)"]
    rows = tuple({"layer": layer, "LUT": 100.0 * (k + 1), "FF": 40, "DSP": None} for k, layer in enumerate(layers))
    total = {"LUT": sum(row["LUT"] for row in rows), "FF": 40 * len(rows), "DSP": None}
    missing = "nextpnr-ecp5 is not installed"
    return [
        CostTable("predicted", "estimate", "xcup", "hwgen", total=total, layers=rows),
        CostTable("synthesized", "yosys", "xcup", "pyosys 0.70", total=total | {"depth": 12}, layers=rows,
                  details=DETAILS),
        CostTable("placed", "nextpnr", "ecp5", status="NOT RUN", reason=missing),
    ]  # fmt: skip


def change(folder: Path, path: str, **values: Any) -> None:
    """Change keys of a JSON file of the folder; None takes a key out."""
    document = json.loads((folder / path).read_text()) | values
    (folder / path).write_bytes(json_bytes({k: v for k, v in document.items() if v is not None}))
