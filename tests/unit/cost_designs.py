"""Small build folders for the tests of the cost stage: RTL, graph and resolved.yaml, made without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwgen.bench.networks import dense_network
from hwgen.files import json_bytes
from hwgen.fixed import FixedPoint
from hwgen.ir import Graph, graph_files
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlOptions, generate
from hwgen.rtl.stream import FoldRequest, emit_stream, plan_stream

YAML = """\
model: {{name: {name}, layers: [{{QDense: {{name: fc, units: 2}}}}]}}
data: {{set: digits}}
hardware: {hardware}
"""


def dense_folder(folder: Path, part: str = "xcvu13p-flga2577-2-e") -> Path:
    """Write an unrolled network 4-3-2."""
    graph = dense_network("net_small", (4, 3, 2), 0)
    generate(graph, RtlOptions(part=part)).files.write(folder / "rtl")
    return _rest(folder, graph, f"{{part: {part}}}")


def stream_folder(folder: Path, part: str = "xc7z020clg400-1") -> Path:
    """Write a streaming network of one layer, 64 to 32 on one multiplier: a memory of 2,048 weights."""
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 32, (64, 32)) * rng.choice([-1, 1], (64, 32))
    nodes = (
        ir.Input(name="x", shape=(64,), fmt=FixedPoint.parse("ufixed<2,0>")),
        ir.Const(name="w", value=weight, fraction=5),
        ir.Const(name="b", value=rng.integers(-31, 32, 32), fraction=5),
        ir.Dense(name="fc", inputs=("x", "w", "b")),
        ir.Requantize(name="relu", inputs=("fc",), fmt=FixedPoint.parse("ufixed<4,2,RND,SAT>")),
        ir.Output(name="y", inputs=("relu",)),
    )
    graph = Graph("net_memory", nodes).verify()
    plan = plan_stream(graph, RtlOptions(part=part), FoldRequest(reuse_factor=None, max_multipliers=1))
    emit_stream(plan).files.write(folder / "rtl")
    return _rest(folder, graph, f"{{io_type: io_stream, part: {part}}}")


def _rest(folder: Path, graph: Graph, hardware: str) -> Path:
    graph_files(graph).write(folder / "graph")
    (folder / "manifest.json").write_bytes(json_bytes({"version": 1, "hwgen": "0", "stages": {}}))
    (folder / "resolved.yaml").write_text(YAML.format(name=graph.name, hardware=hardware))
    return folder
