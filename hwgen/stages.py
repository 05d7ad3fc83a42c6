"""The bodies of the stages listed in `flow.py`: each reads and writes the build folder, and calls its sub-package.

Sub-packages are imported inside the bodies: TensorFlow is only loaded when `train`, `compress` or `lower` really run.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.errors import ErrorList, HwgenError, ProofError, SpecError, ToolMissing
from hwgen.files import FileSet, json_bytes, write_if_changed
from hwgen.spec import ModelSpec, resolved_yaml
from hwgen.spec_compress import with_factors

if TYPE_CHECKING:
    from hwgen.fixed import IntArray
    from hwgen.ir import Graph
    from hwgen.train.data import DataSet

Progress = Callable[[str, float | None], None]


@dataclass
class Context:
    """What every stage is given: the model.yaml, the build folder, and where to say what it is at.

    A body clears `complete` if its work could not be finished; it then runs again next time. `missing` keeps the
    tool that was not there, if that is why.
    """

    spec: ModelSpec
    folder: Path
    progress: Progress
    retrain: bool = False
    trust: bool = False
    complete: bool = True
    missing: ToolMissing | None = field(default=None)

    @cached_property
    def data(self) -> DataSet | None:
        """The data set, loaded once."""
        from hwgen.train.data import load_data

        self.progress("loading data", None)
        return load_data(self.spec)

    def write_json(self, path: str, value: Any) -> None:
        """Write a JSON file into the build folder."""
        write_if_changed(self.folder / path, json_bytes(value))

    def read_json(self, path: str) -> Any:
        """Read a JSON file of the build folder."""
        return json.loads((self.folder / path).read_text())


Body = Callable[[Context], None]


def write_spec(context: Context) -> None:
    """Write resolved.yaml."""
    FileSet({"resolved.yaml": resolved_yaml(context.spec, context.folder)}).write(context.folder)


def train(context: Context) -> None:
    """Make the network, refuse what cannot become hardware, train it (or take its weights)."""
    from hwgen.lower import check_model
    from hwgen.train.build import make_model
    from hwgen.train.compress.pruning import targets_of
    from hwgen.train.compress.rank_plan import check_ranks
    from hwgen.train.fit import train_model
    from hwgen.train.outputs import judged_by
    from hwgen.train.robustness import check_robustness
    from hwgen.train.store import save_model

    spec, data = context.spec, context.data
    context.progress("making the network", None)
    model = make_model(spec, data, trust=context.trust)
    check_named_layers(spec, [layer.name for layer in model.layers])
    if spec.compress.steps[:1] == ("pruning",):  # before anything is trained, where no step before changes shapes
        targets_of(spec, model)
    check_ranks(spec, model)
    check_model(model, spec)
    if data is not None:
        check_robustness(spec, data)
    result = train_model(spec, data, model, context.progress, retrain=context.retrain)
    save_model(result.model, context.folder / "train" / "model.keras")
    report = {
        "version": 1,
        "metric": judged_by(spec, data) if data else None,
        "source": result.source,
        "float": result.float_metric,
        "quantized": result.quantized_metric,
        "others": result.others,
        "data": data.describe() if data else None,
        "history": result.history,
    }
    context.write_json("reports/train.json", report)


def check_named_layers(spec: ModelSpec, names: list[str]) -> None:
    """Refuse names under a ``layers:`` that a built or brought network does not have.

    Raises
    ------
    ErrorList
        With every such name and the nearest one that exists.
    """
    tables = [("precision", list(spec.precision.layers)), ("hardware", list(spec.hardware.layers))]
    tables += [(f"compress.{step}", list(getattr(spec.compress, step).layers)) for step in spec.compress.steps]
    errors: list[HwgenError] = []
    names = with_factors(names) if spec.compress.low_rank else names
    for section, table in tables:
        for name in table:
            if name not in names:
                key = f"{section}.layers.{name}"
                close = difflib.get_close_matches(name, names, 1)
                expected = f"{close[0]}?" if close else f"one of {', '.join(names)}"
                where = f"{spec.line_of(key)}: {key}"
                errors.append(SpecError("no layer has this name", where=where, found=name, expected=expected))
    if errors:
        raise ErrorList(errors)


def compress(context: Context) -> None:
    """Apply what `compress` asks for; without any technique the network stays as it is."""
    target = context.folder / "compress" / "model.keras"
    report: dict[str, Any] = {"version": 1, "compressed": None, "sparsity": {}, "steps": [], "unmet": None}
    report["remarks"] = []
    if not context.spec.compress.steps:
        write_if_changed(target, (context.folder / "train" / "model.keras").read_bytes())
    else:
        from hwgen.train.compress import compress_model, compressed_before
        from hwgen.train.compress.kept import keep, layers_of
        from hwgen.train.compress.workshop import Workshop
        from hwgen.train.store import load_model, save_model

        spec = context.spec
        model = load_model(context.folder / "train" / "model.keras", trust=context.trust)
        notes = context.folder / "compress" / "search"
        shop = Workshop(spec, context.data, context.progress, notes=notes)
        kept = spec.base_dir / spec.compress.weights if spec.compress.weights else None
        if kept and kept.exists() and not context.retrain:
            result = compressed_before(shop, model, kept)
        else:
            before = layers_of(model)
            result = compress_model(shop, model)
            if kept and context.retrain:
                keep(shop, before, result.model, kept, result.unmet)
        save_model(result.model, target)
        shutil.rmtree(notes, ignore_errors=True)
        report |= {
            "compressed": result.metric,
            "sparsity": result.sparsity,
            "steps": result.steps,
            "unmet": result.unmet,
            "remarks": result.remarks,
        }
        report["others"] = _others(context, result.model)
    context.write_json("reports/compress.json", report)
    _robustness(context)


def _others(context: Context, model: Any) -> dict[str, float]:
    """Return the metrics of the outputs that `train.metric` names after the first."""
    from hwgen.train.loop import evaluate_all
    from hwgen.train.outputs import other_metrics

    if context.data is None or not other_metrics(context.spec):
        return {}
    return evaluate_all(context.spec, context.data, model).others


def _robustness(context: Context) -> None:
    """Write reports/robustness.json if `verify.robustness` asks for it; one of an earlier build goes."""
    spec, folder = context.spec, context.folder
    (folder / "reports" / "robustness.json").unlink(missing_ok=True)
    if spec.verify.robustness is None or context.data is None:
        return
    from hwgen.train.robustness import measure_robustness
    from hwgen.train.store import load_model

    before = load_model(folder / "train" / "model.keras", trust=context.trust)
    after = load_model(folder / "compress" / "model.keras", trust=context.trust) if spec.compress.steps else None
    context.write_json(
        "reports/robustness.json", measure_robustness(spec, context.data, before, after, context.progress)
    )


def lower(context: Context) -> None:
    """Make the graph and the HLS project, choose the vectors, and compare QKeras, graph and HLS C++ on them."""
    from hwgen.ir import graph_files
    from hwgen.ir.vectors import make_vectors, save_vectors
    from hwgen.lower import check_model, firmware, lower_model
    from hwgen.lower.reference import QKerasReference
    from hwgen.report.score import graph_scores, weight_counts
    from hwgen.sim.compare import pair_row
    from hwgen.train.outputs import output_names
    from hwgen.train.store import load_model

    spec, folder, data = context.spec, context.folder, context.data
    model = load_model(folder / "compress" / "model.keras", trust=context.trust)
    check_model(model, spec)
    lowered = lower_model(model, spec, context.progress)
    graph = lowered.graph
    replace_folder(graph_files(graph), folder / "graph")
    context.progress("writing the HLS project", None)
    firmware.write_project(model, lowered, spec, folder / "firmware")
    context.progress("choosing vectors", None)
    vectors = make_vectors(graph, on_grid(graph, data), spec.verify.random_vectors, spec.verify.seed)
    save_vectors(folder / "tb" / "vectors.npz", vectors)
    context.progress("evaluating the graph", None)
    expected = {name: graph.evaluate(frames) for name, frames in vectors.items()}
    context.progress("running QKeras", None)
    reference = QKerasReference(model, graph, spec)
    pairs = [pair_row("qkeras", "graph", {name: reference.run(v) for name, v in vectors.items()}, expected, graph)]
    try:
        emulator = firmware.Emulator.build(folder / "firmware", context.progress)
        budget = None if spec.verify.vectors == "all" else spec.verify.budget_s
        emulated, rows = emulator.run_sets(vectors, budget, context.progress)
        pairs.append(emulated_row(graph, expected, emulated, rows))
    except ToolMissing as error:
        context.complete, context.missing = False, error
    context.write_json("reports/pairs.json", {"version": 1, "pairs": pairs})
    scores = graph_scores(spec, data, graph, expected["test"], output_names(model)) if data else None
    report = {
        "version": 1,
        "integer": scores.score if scores else None,
        "others": scores.others if scores else {},
        "weights": weight_counts(graph),
        "notes": lowered.notes,
    }
    context.write_json("reports/lower.json", report)


def on_grid(graph: Graph, data: DataSet | None) -> dict[str, Any] | None:
    """Return the test part as integers of the graph's inputs: what the host sends."""
    if data is None:
        return None
    names = list(data.inputs) or [node.name for node in graph.inputs]
    arrays = dict(zip(names, data.xs_test, strict=True))
    if set(arrays) != {node.name for node in graph.inputs}:
        arrays = dict(zip([node.name for node in graph.inputs], data.xs_test, strict=True))
    return {node.name: node.fmt.quantize(arrays[node.name].reshape(-1, *node.shape)) for node in graph.inputs}


def emulated_row(
    graph: Graph,
    expected: Mapping[str, Mapping[str, IntArray]],
    emulated: Mapping[str, Mapping[str, IntArray]],
    rows: Mapping[str, IntArray],
) -> dict[str, Any]:
    """Compare graph and HLS C++ on the frames that ran; `not_checked` says what the time budget cut."""
    from hwgen.sim.compare import pair_row

    chosen = {name: {key: v[rows[name]] for key, v in outputs.items()} for name, outputs in expected.items()}
    row = pair_row("graph", "hls_cpp", chosen, emulated, graph)
    if "first" in row:
        row["first"]["index"] = int(rows[row["first"]["set"]][row["first"]["index"]])
    asked = sum(len(next(iter(outputs.values()))) for outputs in expected.values())
    if row["vectors"] < asked:
        row["not_checked"] = (
            f"{asked - row['vectors']} of {asked} vectors in HLS C++: verify.budget_s allows {row['vectors']} "
            "(verify.vectors: all)"
        )
    return row


def rtl(context: Context) -> None:
    """Generate the RTL; its predicted latency and interval are on the disk before any SystemVerilog is."""
    from hwgen.ir import load_graph
    from hwgen.planning import plan_network

    graph = load_graph(context.folder / "graph")
    parallel = context.spec.hardware.io_type == "io_parallel"
    context.progress("sharing adders, placing registers" if parallel else "folding layers, computing every cycle", None)
    decided = plan_network(graph, context.spec)
    prediction, make_files = _prediction(decided)
    context.write_json("reports/prediction.json", prediction)
    context.progress("writing SystemVerilog", None)
    replace_folder(make_files(), context.folder / "rtl")


def _prediction(decided: Any) -> tuple[dict[str, Any], Callable[[], FileSet]]:
    """Return what is predicted of a plan, and what makes its files."""
    from hwgen.cost.estimate import estimate_plan
    from hwgen.cost.predict import predict_cost
    from hwgen.rtl import emit
    from hwgen.rtl.generate import Plan
    from hwgen.rtl.stream import emit_stream, prediction_document

    cost = {"cost": predict_cost(decided).to_json(), "estimate": asdict(estimate_plan(decided))}
    if not isinstance(decided, Plan):
        return prediction_document(decided) | cost, lambda: emit_stream(decided).files
    prediction = {
        "version": 1,
        "latency_cycles": decided.predicted.latency_cycles,
        "interval_cycles": decided.predicted.interval_cycles,
        "clock_period_ns": decided.options.clock_period_ns,
    }
    return prediction | cost, lambda: emit(decided).files


def verify(context: Context) -> None:
    """Simulate the RTL and write the evidence."""
    from hwgen.sim.verify import VerifyOptions
    from hwgen.sim.verify import verify as simulate

    wanted = context.spec.verify
    options = VerifyOptions(
        vectors=wanted.vectors,
        seed=wanted.seed,
        only=None,
        waves=wanted.waves,
        stalls=wanted.stalls,
        budget_s=wanted.budget_s,
        netlist=wanted.netlist,
        emulator=context.spec.outputs.emulator,
        part=context.spec.hardware.part,
    )
    context.complete = False
    with contextlib.suppress(ProofError):  # a simulator that crashed or hung: the evidence says FAIL, and why
        context.complete = simulate(context.folder, options, context.progress).status == "PASS"


def cost(context: Context) -> None:
    """Predict, synthesize, place and route for `hardware.part`, each in its table; not for a design that failed."""
    from hwgen.cost.stage import COST, CostRequest, cost_tables, finished, missing_tool, write_cost
    from hwgen.cost.synth import Limits

    spec, folder = context.spec, context.folder
    if (folder / "verification.json").is_file() and context.read_json("verification.json").get("status") == "FAIL":
        (folder / COST).unlink(missing_ok=True)
        context.complete = False
        return
    budget = spec.outputs.cost_budget_s
    limits = Limits(seconds=budget, place_seconds=5 * budget)
    request = CostRequest(spec.part_path, () if spec.outputs.cost else ("predicted",), limits)
    tables = cost_tables(folder, request, context.progress)
    write_cost(folder, spec.part_path, tables)
    context.complete = finished(tables)
    if (missing := missing_tool(tables)) is not None:
        context.missing = context.missing or ToolMissing(missing)


def handoff(context: Context) -> None:
    """Write ``handoff/<target>/`` for each of `outputs.handoff`; a design that is not proved is not handed over."""
    from hwgen.handoff import hand_over

    targets, evidence = context.spec.outputs.handoff, context.folder / "verification.json"
    proved = evidence.is_file() and context.read_json("verification.json")["status"] == "PASS"
    if targets and proved:
        context.progress(", ".join(targets), None)
        hand_over(context.folder, targets)
    elif targets:
        context.complete = False
        for target in targets:  # of an earlier design
            shutil.rmtree(context.folder / "handoff" / target, ignore_errors=True)


def replace_folder(files: Mapping[str, bytes], folder: Path) -> None:
    """Make `folder` hold exactly `files`: what changed is written, what an earlier build left is removed."""
    FileSet(files).write(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            shutil.rmtree(path)
