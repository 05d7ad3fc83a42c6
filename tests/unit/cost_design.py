"""Small generated designs in build folders, for the tests of cost and hand-off."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwgen.files import FileSet, json_bytes
from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.ir import Graph, graph_files
from hwgen.ir import nodes as ir
from hwgen.ir.vectors import make_vectors, save_vectors
from hwgen.rtl.generate import RtlOptions, generate
from hwgen.rtl.stream import FoldRequest, emit_stream, plan_stream
from hwgen.rtl.stream.generate import prediction_document

RELU = FixedPoint(4, 1, False, Rounding.RND_CONV, Overflow.SAT)


def dense_graph(name: str = "dense") -> Graph:
    rng = np.random.default_rng(5)
    return Graph(
        name,
        (
            ir.Input(name="x", shape=(4,), fmt=FixedPoint(4, 1, signed=True)),
            ir.Const(name="fc1_w", value=rng.integers(-7, 8, (4, 4)), fraction=3),
            ir.Dense(name="fc1", inputs=("x", "fc1_w")),
            ir.Requantize(name="relu1", inputs=("fc1",), fmt=RELU),
            ir.Const(name="fc2_w", value=rng.integers(-7, 8, (4, 3)), fraction=3),
            ir.Dense(name="fc2", inputs=("relu1", "fc2_w")),
            ir.Output(name="y", inputs=("fc2",)),
        ),
    ).verify()


def conv_graph(name: str = "conv") -> Graph:
    rng = np.random.default_rng(6)
    return Graph(
        name,
        (
            ir.Input(name="x", shape=(5, 4, 1), fmt=FixedPoint(4, 1, signed=False)),
            ir.Const(name="c1_w", value=rng.integers(-7, 8, (3, 3, 1, 2)), fraction=3),
            ir.Conv(name="c1", inputs=("x", "c1_w"), padding=(1, 1, 1, 1)),
            ir.Requantize(name="relu1", inputs=("c1",), fmt=RELU),
            ir.Output(name="y", inputs=("relu1",)),
        ),
    ).verify()


def build_folder(folder: Path, graph: Graph, *, stream: bool = False, period: float = 10.0) -> Path:
    """Write a build folder as far as the rtl stage."""
    options = RtlOptions(clock_period_ns=period)
    if stream:
        decided = plan_stream(graph, options, FoldRequest(reuse_factor=2))
        made, prediction = emit_stream(decided), prediction_document(decided)
    else:
        made = generate(graph, options)
        prediction = {
            "version": 1,
            "latency_cycles": made.predicted.latency_cycles,
            "interval_cycles": made.predicted.interval_cycles,
        }
    files = FileSet()
    files.merge(graph_files(graph), under="graph")
    files.merge(made.files, under="rtl")
    files.add("reports/prediction.json", json_bytes({**prediction, "clock_period_ns": period}))
    files.write(folder)
    rng = np.random.default_rng(0)
    test = {n.name: rng.integers(n.fmt.int_min, n.fmt.int_max + 1, (40, *n.shape)) for n in graph.inputs}
    save_vectors(folder / "tb" / "vectors.npz", make_vectors(graph, test, 20, 0))
    return folder
