"""The report's size and time, on ResNet-8 streaming: 78 k weights, every layer's values counted."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from hwgen.bench.networks import conv_network, resnet8_graph
from hwgen.bench.result import Options, Result, Row
from hwgen.files import FileSet, json_bytes
from hwgen.ir import Graph, graph_files
from hwgen.ir.vectors import save_vectors
from hwgen.report.collect import collect
from hwgen.report.page import PAGE, write_page
from hwgen.report.score import weight_counts
from hwgen.rtl import RtlOptions
from hwgen.rtl.stream import FoldRequest, emit_stream, plan_stream, prediction_document
from hwgen.spec import load_spec

YAML = 'model: {name: bench, file: net.keras}\nprecision: {input: "ufixed<8,0>"}\nhardware: {io_type: io_stream}\n'


def run(options: Options) -> Result:
    """Write the report of a build folder twice; the second time nothing has changed."""
    graph = conv_network("small", 0.5, options.seed) if options.quick else resnet8_graph(seed=options.seed)
    with tempfile.TemporaryDirectory(prefix="hwgen-report-") as scratch:
        folder = Path(scratch)
        fill(folder, graph, options.seed)
        report = collect(
            load_spec(folder / "resolved.yaml", files=False), folder, {"spec": 0.0, "lower": 0.0, "rtl": 0.0}
        )
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            write_page(report, folder)
            seconds.append(time.perf_counter() - start)
        size = (folder / PAGE).stat().st_size
    print(f"{graph.name}: {size:,} bytes, {seconds[0]:.2f} s, unchanged {seconds[1]:.2f} s")
    return Result(
        [
            Row("size_mb", f"report.html of {graph.name}, MB", size / 1e6, at_most=3),
            Row("seconds", "time to write it, s", seconds[0]),
            Row("again_s", "time to write it again, nothing changed, s", seconds[1]),
        ]
    )


def fill(folder: Path, graph: Graph, seed: int) -> None:
    """Write what lower and rtl leave in a build folder."""
    plan = plan_stream(graph, RtlOptions(), FoldRequest(reuse_factor=None, max_multipliers=512))
    files = FileSet({"resolved.yaml": YAML})
    files.merge(graph_files(graph), under="graph")
    files.add("reports/prediction.json", json_bytes(prediction_document(plan)))
    files.add("reports/lower.json", json_bytes({"version": 1, "integer": None, "weights": weight_counts(graph)}))
    files.add("rtl/design.json", json_bytes(emit_stream(plan).design))
    files.write(folder)
    rng = np.random.default_rng(seed)
    test = {n.name: rng.integers(n.fmt.int_min, n.fmt.int_max + 1, (200, *n.shape)) for n in graph.inputs}
    save_vectors(folder / "tb" / "vectors.npz", {"test": test})
