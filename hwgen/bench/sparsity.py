"""What 75 % zeros save in hardware: single weights, n of m, blocks; unrolled and folded; a network that was trained.

The dense network and each pruned one come from the same training on real digits. Unrolled, LUTs of the adder graphs are
compared, predicted and synthesized; folded, cycles at the same number of multipliers, predicted and simulated, and what
an engine costs at the same reuse factor. Quick leaves out synthesis and simulation.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hwgen.bench.result import Options, Result, Row
from hwgen.cost.estimate import Estimate, estimate_plan
from hwgen.cost.parts import find_part
from hwgen.cost.synth import Limits, synthesize
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlOptions, generate, plan
from hwgen.rtl.stream import FoldRequest, StreamPlan, emit_stream, plan_stream
from hwgen.spec import ModelSpec, load_spec
from hwgen.tools import cache_dir

PART = "xcvu13p-flga2577-2-e"
SPARSITY = 0.75
MULTIPLIERS = (16, 32, 64)
"""Of the folded networks whose cycles are compared."""
SIMULATED = 32
KERNEL = "fc2"
"""The layer that is synthesized by itself, unrolled and folded."""
REUSE = 128
"""Of the folded networks whose engines are compared: a 64 × 64 layer with a quarter of its weights then has 8 lanes."""

NETWORK: dict[str, Any] = {
    "model": {
        "name": "sparsity",
        "layers": [
            {"QDense": {"name": "fc1", "units": 64}},
            {"QActivation": {"name": "relu1"}},
            {"QDense": {"name": "fc2", "units": 32}},
            {"QActivation": {"name": "relu2"}},
            {"QDense": {"name": "logits", "units": 10}},
        ],
    },
    "data": {"set": "digits", "scale": 0.0625},
    "train": {"learning_rate": 0.004},
    "precision": {
        "input": "ufixed<5,1>",
        "weight": "quantized_bits(6,0,alpha=1)",
        "bias": "quantized_bits(6,0,alpha=1)",
        "activation": "quantized_relu(6)",
    },
}
EPOCHS = 30
OPEN = {"layers": {"logits": 0.0}}
"""The last layer has 10 outputs, which blocks of 8 do not divide: where patterns are compared, it stays as it is."""
VARIANTS: dict[str, dict[str, Any]] = {
    "all": {"pruning": {"sparsity": SPARSITY}},
    "global": {"pruning": {"sparsity": SPARSITY, "scope": "global"}},
    "magnitude": {"pruning": {"sparsity": SPARSITY, **OPEN}},
    "n_m": {"pruning": {"method": "n_m", "pattern": "1:4", **OPEN}},
    "block": {"pruning": {"method": "block", "block": [1, 8], "sparsity": SPARSITY, **OPEN}},
    "structured": {"structured": {"share": 0.5}},
}


WHAT = {
    "dense": "not pruned",
    "all": "single weights, every layer",
    "global": "single weights, one budget over all layers",
    "magnitude": "single weights, but the last layer",
    "n_m": "1 of 4 inputs, but the last layer",
    "block": "blocks of 1 × 8, but the last layer",
    "structured": "half of the neurons",
}


@dataclass(frozen=True)
class Network:
    """A trained network as integers, and its accuracy on the test part."""

    graph: Graph
    accuracy: float


def run(options: Options) -> Result:
    """Train, prune, and compare; what is synthesized and simulated last."""
    with tempfile.TemporaryDirectory(prefix="hwgen-sparsity-") as scratch:
        networks = trained(Path(scratch), options.seed)
        parallel = {name: unrolled(net.graph) for name, net in networks.items()}
        kernels = {name: kernel_of(net.graph) for name, net in networks.items()}
        cycles = {name: [folded(net.graph, n) for n in MULTIPLIERS] for name, net in networks.items()}
        engines = {name: at_reuse(net.graph) for name, net in networks.items()}
        synthesized: dict[str, dict[str, float | None]] = {}
        off: int | None = None
        if not options.quick:
            synthesized = {f"{k} kernel": synthesize_graph(kernels[k], Path(scratch)) for k in networks}
            synthesized |= {f"{k} folded": synthesize_stream(at_reuse(kernels[k]), Path(scratch)) for k in networks}
            at = MULTIPLIERS.index(SIMULATED)
            off = sum(cycles_off(cycles[k][at], networks[k].graph, Path(scratch) / k) for k in ("dense", "all"))
    table = {
        name: {
            "what": WHAT[name],
            "accuracy": net.accuracy,
            "unrolled": _figures(parallel[name]),
            "kernel": _figures(unrolled(kernels[name])) | {"lut_synthesized": _lut(synthesized, f"{name} kernel")},
            "interval_cycles": [p.timing.interval_cycles for p in cycles[name]],
            "folded": _figures(estimate_plan(engines[name])) | {"banks": _banks(engines[name])},
            "kernel_folded": _figures(estimate_plan(at_reuse(kernels[name])))
            | {"lut_synthesized": _lut(synthesized, f"{name} folded")},
        }
        for name, net in networks.items()
    }
    show(table)
    return Result(_rows(table, off, options.quick), {"networks": table, "synthesized": synthesized})


def trained(folder: Path, seed: int) -> dict[str, Network]:
    """Train the network once, and prune a copy of it in each way."""
    from hwgen.train.build import make_model
    from hwgen.train.compress import compress_model
    from hwgen.train.compress.workshop import Workshop
    from hwgen.train.data import load_data
    from hwgen.train.fit import train_model
    from hwgen.train.store import load_model, save_model

    spec = _spec(folder, seed, {})
    data = load_data(spec)
    result = train_model(spec, data, make_model(spec, data))
    assert result.quantized_metric is not None
    save_model(result.model, folder / "dense.keras")
    networks = {"dense": Network(_graph(result.model, spec), result.quantized_metric)}
    for name, wanted in VARIANTS.items():
        spec = _spec(folder, seed, {"compress": {"epochs": EPOCHS, **wanted}})
        compressed = compress_model(Workshop(spec, data), load_model(folder / "dense.keras"))
        assert compressed.metric is not None
        networks[name] = Network(_graph(compressed.model, spec), compressed.metric)
        print(f"trained: {WHAT[name]}, accuracy {networks[name].accuracy:.3f}", flush=True)
    return networks


def _spec(folder: Path, seed: int, more: Mapping[str, Any]) -> ModelSpec:
    value = NETWORK | {"train": NETWORK["train"] | {"seed": seed}} | dict(more)
    (folder / "model.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
    return load_spec(folder / "model.yaml")


def _graph(model: Any, spec: ModelSpec) -> Graph:
    from hwgen.lower.lowering import analyse

    graph: Graph = analyse(model, spec).graph
    return graph


def unrolled(graph: Graph) -> Estimate:
    """Return the figures of the network with every layer as an adder graph."""
    return estimate_plan(plan(graph, RtlOptions(part=PART, cache=cache_dir())))


def kernel_of(graph: Graph) -> Graph:
    """Return the layer `KERNEL` alone, between ports of its formats."""
    layer = graph.by_name[KERNEL]
    source, consts = graph.types[layer.inputs[0]], [graph.by_name[name] for name in layer.inputs[1:]]
    nodes = [ir.Input(name="x", shape=source.shape, fmt=source.fmt), *consts]
    nodes.append(replace(layer, inputs=("x", *layer.inputs[1:])))
    return Graph("kernel", (*nodes, ir.Output(name="y", inputs=(KERNEL,)))).verify()


def folded(graph: Graph, multipliers: int) -> StreamPlan:
    """Plan the fastest network with so many multipliers."""
    request = FoldRequest(reuse_factor=None, max_multipliers=multipliers)
    return plan_stream(graph, RtlOptions(part=PART, cache=cache_dir()), request)


def at_reuse(graph: Graph) -> StreamPlan:
    """Plan the smallest network of at most `REUSE` cycles a layer."""
    return plan_stream(graph, RtlOptions(part=PART, cache=cache_dir()), FoldRequest(reuse_factor=REUSE))


def synthesize_graph(graph: Graph, scratch: Path) -> dict[str, float | None]:
    """Return what an unrolled graph takes, synthesized."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        generate(graph, RtlOptions(part=PART, cache=cache_dir())).files.write(Path(name) / "rtl")
        return _synthesized(Path(name))


def synthesize_stream(decided: StreamPlan, scratch: Path) -> dict[str, float | None]:
    """Return what the folded network takes, synthesized."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        emit_stream(decided).files.write(Path(name) / "rtl")
        return _synthesized(Path(name))


def _synthesized(folder: Path) -> dict[str, float | None]:
    table = synthesize(folder, find_part(PART), lambda text, share: None, Limits(seconds=900))
    return {key: table.total.get(key) for key in ("LUT", "FF", "DSP", "BRAM_18K")}


def cycles_off(decided: StreamPlan, graph: Graph, folder: Path) -> int:
    """Return how far latency and interval in Verilator are from the prediction, in cycles.

    Raises
    ------
    AssertionError
        If a frame differs from the graph.
    """
    from hwgen.sim.native import build_harness
    from hwgen.sim.streams import in_streams, out_streams, pack_frames, unpack_frames

    design = emit_stream(decided)
    design.files.write(folder / "rtl")
    names = (folder / "rtl" / f"{design.top}.f").read_text().split()
    core = [n for n in names if not n.startswith("hg_axis_") and not n.endswith("_axis.sv")]
    harness = build_harness(design.design, [folder / "rtl" / n for n in core], folder / "sim")
    rng = np.random.default_rng(0)
    frames = {i.name: rng.integers(i.fmt.int_min, i.fmt.int_max + 1, (16, *i.shape)) for i in graph.inputs}
    seen = harness.run(pack_frames(in_streams(design.design), frames))
    got = unpack_frames(out_streams(design.design), seen.outputs)
    for name, wanted in graph.evaluate(frames).items():
        np.testing.assert_array_equal(np.asarray(got[name]).reshape(wanted.shape), wanted, name)
    latency, interval = int(seen.produced[0] - seen.accepted[0]), int(np.diff(seen.produced)[-1])
    timing = decided.timing
    return abs(latency - timing.latency_cycles) + abs(interval - timing.interval_cycles)


def _figures(estimate: Estimate) -> dict[str, Any]:
    keys = ("nonzero", "weights", "multipliers", "interval_cycles", "latency_cycles", "memory_bits", "lut", "dsp")
    return {key: getattr(estimate, key) for key in keys}


def _lut(synthesized: Mapping[str, Mapping[str, float | None]], key: str) -> float | None:
    return synthesized[key]["LUT"] if key in synthesized else None


def _banks(decided: StreamPlan) -> list[int]:
    return [s.schedule.banks for s in decided.network.stages if hasattr(s, "schedule") and hasattr(s.schedule, "banks")]


def show(table: Mapping[str, Mapping[str, Any]]) -> None:
    """Print everything that was measured."""
    heads = ("accuracy", "weights", "non-zero", "LUT unr.", KERNEL, "synth.", *(f"cyc @{n}" for n in MULTIPLIERS))
    heads += ("mult.", "cycles", "bits", "LUT fold.", "DSP", KERNEL, "synth.")
    print(f"\n{'':<45}" + "".join(f"{head:>10}" for head in heads) + "  banks")
    for row in table.values():
        flat, kernel, fold = row["unrolled"], row["kernel"], row["folded"]
        cells = [f"{row['accuracy']:.3f}", flat["weights"], flat["nonzero"], flat["lut"]]
        cells += [kernel["lut"], kernel["lut_synthesized"]]
        cells += [*row["interval_cycles"], fold["multipliers"], fold["interval_cycles"], fold["memory_bits"]]
        cells += [fold["lut"], fold["dsp"], row["kernel_folded"]["lut"], row["kernel_folded"]["lut_synthesized"]]
        texts = ["–" if c is None else c if isinstance(c, str) else f"{c:,.0f}" for c in cells]
        print(f"{row['what']:<45}" + "".join(f"{t:>10}" for t in texts) + f"  {fold['banks']}")
    print(f"(cyc @N: interval with N multipliers; from mult. on: reuse factor {REUSE})\n", flush=True)


def _rows(table: Mapping[str, Mapping[str, Any]], off: int | None, quick: bool) -> list[Row]:
    dense, pruned = table["dense"], table["all"]
    nonzero = dense["unrolled"]["nonzero"] / dense["unrolled"]["weights"]
    cycles = [a / b for a, b in zip(pruned["interval_cycles"], dense["interval_cycles"], strict=True)]
    left = "left out by --quick" if quick else None
    rows = [
        Row("dense_nonzero", "integers of the dense network that are not 0, share", nonzero),
        Row("accuracy_drop", "accuracy lost by 75 % zeros", dense["accuracy"] - pruned["accuracy"]),
        Row("unrolled_lut", "unrolled, 75 % zeros ÷ dense: LUT, predicted", _ratio(table, "all"), at_most=0.40),
        Row("kernel_lut", f"… of {KERNEL} alone, predicted", _ratio(table, "all", "kernel"), at_most=0.40),
        Row(
            "kernel_lut_synthesized",
            f"… of {KERNEL} alone, synthesized",
            _ratio(table, "all", "kernel", "lut_synthesized"),
            at_most=0.40,
            reason=left,
        ),
        Row("folded_cycles", f"folded, 75 % ÷ dense: cycles at {MULTIPLIERS} multipliers", max(cycles), at_most=0.30),
        Row("folded_cycles_off", "… simulated − predicted, cycles", off, at_most=0, reason=left),
    ]
    for name in [n for n in table if n not in ("dense", "all")]:
        what = WHAT[name]
        rows.append(Row(f"{name}_accuracy_drop", f"{what}: accuracy lost", dense["accuracy"] - table[name]["accuracy"]))
        for kind, key, title in (
            ("unrolled", "lut", "LUT unrolled, predicted"),
            ("kernel", "lut_synthesized", f"LUT of {KERNEL} unrolled, synthesized"),
            ("folded", "lut", "LUT folded, predicted"),
            ("kernel_folded", "lut_synthesized", f"LUT of {KERNEL} folded, synthesized"),
            ("folded", "memory_bits", "weight memory folded"),
        ):
            value = _ratio(table, name, kind, key)
            why = left if value is None else None
            rows.append(Row(f"{name}_{kind}_{key}", f"… ÷ dense: {title}", value, reason=why))
    return rows


def _ratio(table: Mapping[str, Mapping[str, Any]], name: str, kind: str = "unrolled", key: str = "lut") -> float | None:
    """Return a figure of a network ÷ that of the dense one."""
    ours, dense = table[name][kind][key], table["dense"][kind][key]
    return None if ours is None or not dense else ours / dense
