"""The content of the report as plain data: `report.json`, and what `report.html` shows.

Every section says, where it has nothing to show, why: under `reason`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hwgen
from hwgen.errors import HwgenError
from hwgen.files import file_digest
from hwgen.ir import Graph, load_graph
from hwgen.ir.vectors import load_vectors
from hwgen.report.collect import Report
from hwgen.report.cost_data import cost_data
from hwgen.report.distributions import activation_rows, weight_rows
from hwgen.report.robustness import robustness_data
from hwgen.report.table import verdict
from hwgen.report.timeline import timeline

VERSION = 1
STAGES = {
    "float": "float weights, as trained first",
    "quantized": "quantization-aware training",
    "compressed": "after compression",
    "integer": "the integer graph: what the hardware computes",
    "rtl": "SystemVerilog in Verilator, every test frame",
}


def page_data(report: Report, folder: Path) -> dict[str, Any]:
    """Return everything that the report says of a build folder.

    Parameters
    ----------
    report : what `hwgen.report.collect` read from the folder
    folder : the build folder; what is missing or unreadable in it is reported as absent, with the reason
    """
    design, prediction = _read(folder / "rtl" / "design.json"), _read(folder / "reports" / "prediction.json")
    evidence = _read(folder / "verification.json")
    graph, why = _graph(folder)
    return {
        "version": VERSION,
        "hwgen": hwgen.__version__,
        "name": report.name,
        "status": report.status,
        "exit_status": report.exit_status,
        "reason": report.reason,
        "verdict": verdict(report, "."),
        "design": {
            "io_type": report.io_type,
            "strategy": report.strategy,
            "clock_period_ns": report.clock_period_ns,
            "part": design.get("part"),
            "top": design.get("top"),
            "multipliers": (design.get("statistics") or {}).get("multipliers"),
            "adders": (design.get("statistics") or {}).get("adders"),
            "weights": report.weights,
            "nonzero": report.nonzero,
        },
        "evidence": _evidence(report, evidence),
        "accuracy": {
            "metric": report.metric,
            "test_frames": report.test_frames,
            "rows": [{"stage": k, "what": what, "value": report.accuracy.get(k)} for k, what in STAGES.items()],
            "others": list(report.others),
            "reason": None if report.metric else "the model has no data set, or has not been trained yet",
        },
        "robustness": robustness_data(report.robustness),
        "timeline": _timeline(design, prediction, graph),
        "folding": _folding(report, design),
        "cost": cost_data(_read(folder / "reports" / "cost.json"), prediction),
        **_distributions(folder, graph, why),
        "sparsity": _sparsity(report, folder),
        "fifos": _fifos(report, prediction),
        "provenance": _provenance(report, folder, evidence),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _graph(folder: Path) -> tuple[Graph | None, str | None]:
    """Return the graph or why there is none."""
    try:
        return load_graph(folder / "graph"), None
    except FileNotFoundError:
        return None, "the network has not been lowered to integers yet"
    except (HwgenError, OSError) as error:
        return None, f"the graph cannot be read: {error}"


def _evidence(report: Report, evidence: Mapping[str, Any]) -> dict[str, Any]:
    pairs = [asdict(pair) for pair in report.pairs]
    known = {(pair["a"], pair["b"]) for pair in pairs}
    for row in evidence.get("pairs") or []:
        if (row.get("a"), row.get("b")) not in known:
            keys = ("a", "b", "vectors", "mismatches", "sets", "reason", "first")
            pairs.append({key: row.get(key) for key in keys} | {"sets": row.get("sets") or {}})
    timing = {"latency": report.latency, "first output": report.first_out, "steady latency": report.steady}
    timing["interval"] = report.interval
    return {
        "pairs": pairs,
        "timing": {name: asdict(value) for name, value in timing.items() if value is not None},
        "protocol": report.protocol,
        "overflow": report.overflow,
        "requirements": [asdict(requirement) for requirement in report.requirements],
        "failed": list(report.failed),
        "mismatch": report.mismatch,
        "not_checked": list(report.not_checked),
        "notes": list(report.notes),
    }


def _timeline(design: Mapping[str, Any], prediction: Mapping[str, Any], graph: Graph | None) -> dict[str, Any]:
    try:
        return timeline(design, prediction, graph)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"the cycles of the layers cannot be read: {error}"
        return {"latency_cycles": None, "source": "predicted", "rows": [], "reason": reason}


def _whole(rows: Sequence[Any], keys: Sequence[str]) -> bool:
    """Whether every row of a file has the keys that the page shows."""
    return all(isinstance(row, Mapping) and set(keys) <= set(row) for row in rows)


def _folding(report: Report, design: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("layer", "kind", "firings", "lanes", "products", "multipliers", "cycles", "share", "bottleneck")
    if not _whole(report.folding, keys):
        return {"rows": [], "reason": "the folding table of rtl/design.json cannot be read"}
    reason = None
    if not report.folding:
        if not design:
            reason = "the RTL has not been generated"
        elif report.io_type == "io_parallel":
            reason = "unrolled: every layer has its own adders and takes a new inference every clock; nothing is shared"
        else:
            reason = "this build has no folding table"
    return {"rows": [dict(row) for row in report.folding], "reason": reason}


def _distributions(folder: Path, graph: Graph | None, why: str | None) -> dict[str, Any]:
    """Return the sections `weights` and `activations`; those of an earlier report.json if its inputs are the same."""
    if graph is None:
        return {name: {"rows": [], "inputs": None, "reason": why} for name in ("weights", "activations")}
    inputs = {
        name: file_digest(folder / name)
        for name in ("graph/graph.json", "graph/weights.npz", "tb/vectors.npz")
        if (folder / name).is_file()
    } | {"hwgen": hwgen.__version__}
    before = _read(folder / "report.json")
    if (
        before.get("version") == VERSION
        and all((before.get(name) or {}).get("inputs") == inputs for name in ("weights", "activations"))
    ):  # fmt: skip
        return {name: before[name] for name in ("weights", "activations")}
    weights = {"rows": weight_rows(graph), "inputs": inputs, "reason": None}
    return {"weights": weights, "activations": _activations(folder, graph, inputs)}


def _activations(folder: Path, graph: Graph, inputs: dict[str, str]) -> dict[str, Any]:
    section: dict[str, Any] = {"rows": [], "set": None, "frames": 0, "inputs": inputs, "reason": None}
    try:
        vectors = load_vectors(folder / "tb" / "vectors.npz")
        for name in ("test", "random"):
            frames = vectors.get(name)
            if frames and min(len(values) for values in frames.values()):
                section["rows"], section["frames"] = activation_rows(graph, frames)
                section["set"] = name
                return section
        section["reason"] = "there are no test vectors"
    except (HwgenError, KeyError) as error:
        section["reason"] = f"the test vectors cannot be evaluated: {error}"
    return section


def _sparsity(report: Report, folder: Path) -> dict[str, Any]:
    """Return zeros by layer: as float weights where pruned, as integers, and what skipping them saves."""
    floats = _read(folder / "reports" / "compress.json").get("sparsity") or {}
    counted = (_read(folder / "reports" / "lower.json").get("weights") or {}).get("layers") or {}
    schedules = {row["layer"]: row.get("sparse") for row in report.folding if _whole([row], ["layer"])}
    rows = []
    for layer in dict.fromkeys([*counted, *floats]):
        counts = counted.get(layer) or {}
        weights, nonzero = counts.get("weights"), counts.get("nonzero")
        integer = 1 - nonzero / weights if weights and nonzero is not None else None
        rows.append(
            {
                "layer": layer,
                "weights": weights,
                "nonzero": nonzero,
                "float": floats.get(layer),
                "integer": integer,
                "cycles_saved": (schedules.get(layer) or {}).get("saving"),
            }
        )
    return {"rows": rows, "reason": None if rows else "no weights are known: the network has not been lowered yet"}


def _fifos(report: Report, prediction: Mapping[str, Any]) -> dict[str, Any]:
    """Return every FIFO: its depth, how full it gets as predicted, and as measured in simulation."""
    planned = prediction.get("fifos") or []
    if not _whole(report.fifos, ("name", "depth", "predicted", "measured")):
        return {"rows": [], "reason": "the FIFOs of verification.json cannot be read"}
    if not _whole(planned, ("name", "depth", "high_water")):
        return {"rows": [], "reason": "the FIFOs of reports/prediction.json cannot be read"}
    rows = [dict(row) for row in report.fifos] or [
        {"name": row["name"], "depth": row["depth"], "predicted": row["high_water"], "measured": None}
        for row in planned
    ]
    reason = None
    if not rows:
        if report.io_type == "io_parallel":
            reason = "unrolled: no FIFOs between layers (the output FIFO of the handshake is not measured)"
        else:
            reason = "this design has no FIFOs" if "fifos" in prediction else "the RTL has not been generated"
    return {"rows": rows, "reason": reason}


def _provenance(report: Report, folder: Path, evidence: Mapping[str, Any]) -> dict[str, Any]:
    resolved = None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        resolved = (folder / "resolved.yaml").read_text()
    trained = _read(folder / "reports" / "train.json")
    made = _read(folder / "manifest.json").get("stages") or {}  # what each took when it last ran
    return {
        "hwgen": hwgen.__version__,
        "tools": evidence.get("tools") or {},
        "seeds": evidence.get("seeds") or {},
        "digests": evidence.get("inputs") or {},
        "data": trained.get("data"),
        "limits": evidence.get("limits") or {},
        "stage_seconds": {name: (made.get(name) or {}).get("seconds", s) for name, s in report.stages.items()},
        "resolved": resolved,
    }
