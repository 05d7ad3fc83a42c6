"""`verify`: simulate the RTL of a build folder and write the evidence. Needs no TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, ProofError, ToolMissing
from hwgen.files import file_digest
from hwgen.fixed import IntArray
from hwgen.ir import graph_digest
from hwgen.sim import measure
from hwgen.sim.case import Case, VerifyOptions, frame_count, read_case
from hwgen.sim.cocotb_run import BenchResult, build_benches, core_files, run_bench
from hwgen.sim.compare import Words, pair_row
from hwgen.sim.diverge import first_divergence
from hwgen.sim.evidence import (
    FAIL,
    NOT_CHECKED,
    NOT_RUN,
    PASS,
    VERSION,
    Evidence,
    Ledger,
    tool_versions,
    write_evidence,
)
from hwgen.sim.native import Harness, build_harness, unpack_ports
from hwgen.tools import gxx, verilator

__all__ = ["VerifyOptions", "verify"]

Progress = Callable[[str, float | None], None]
UNFINISHED = "verification did not finish"
NO_STALLS = "stall patterns (verify.stalls: false)"


def verify(folder: Path, options: VerifyOptions, progress: Progress | None = None) -> Evidence:
    """Simulate the RTL of `folder` and compare it with the graph; write and return the evidence.

    Raises
    ------
    ProofError
        If a simulator crashes or hangs; `verification.json` then says FAIL.
    SpecError
        If the folder is not a build folder, or the options do not fit it.
    """
    say = progress or (lambda message, fraction: None)
    folder = folder.resolve()
    case = read_case(folder, options)
    replay = options.only is not None
    ledger = Ledger(_heading(case, options))
    if not replay:  # whatever stood here before is not about this RTL; a killed run must not leave a PASS
        write_evidence(folder, Evidence(NOT_RUN, {**ledger.document, "reason": UNFINISHED}))
    try:
        if replay:
            return _replay(case, options, ledger, say)
        _simulate(case, options, ledger, say)
        if options.waves == "always" and ledger.document["mismatch"] is None:
            ledger.document["waveform"] = _first_frame(case, say)
    except ToolMissing as error:
        ledger.missing("simulation", error.render())
        evidence = _finish(ledger, options, reason=error.what)
        write_evidence(folder, evidence)
        return evidence
    except ProofError as error:
        ledger.add("simulation", False, error.render())
        write_evidence(folder, _finish(ledger, options, reason=error.what))
        raise
    evidence = _finish(ledger, options)
    write_evidence(folder, evidence)
    return evidence


def _heading(case: Case, options: VerifyOptions) -> dict[str, Any]:
    """Return what is known before anything is simulated."""
    period = case.prediction["clock_period_ns"]
    return {
        "version": VERSION,
        "model": case.graph.name,
        "status": NOT_RUN,
        "pairs": list(case.pairs),
        "latency": {
            "predicted_cycles": case.prediction["latency_cycles"],
            "measured_cycles": None,
            "clock_period_ns": period,
        },
        "interval": {"predicted_cycles": case.prediction["interval_cycles"], "measured_cycles": None, "frames": 0},
        "stalls": [],
        "resets": None,
        "seeds": {"stalls_and_resets": options.seed, "power_up": list(measure.INIT_SEEDS)},
        "limits": {"vectors": options.vectors, "budget_s": options.budget_s},
        "tools": tool_versions(),
        "inputs": {
            "graph": graph_digest(case.graph),
            "rtl": {path.name: file_digest(path) for path in case.files},
            "vectors": file_digest(case.folder / "tb" / "vectors.npz"),
        },
        "not_checked": list(NOT_CHECKED),
        "mismatch": None,
    }


def _simulate(case: Case, options: VerifyOptions, ledger: Ledger, say: Progress) -> None:
    """Run every part; each leaves its check in the ledger."""
    for a, b in (("qkeras", "graph"), ("graph", "hls_cpp")):
        rows = [row for row in case.pairs if (row["a"], row["b"]) == (a, b)]
        if not rows:
            ledger.missing(f"{a} = {b}", "the lower stage did not compare them")
        for row in rows:
            message = f"{row['mismatches']} of {row['vectors']} vectors differ"
            ledger.document["not_checked"] += [row["not_checked"]] if "not_checked" in row else []
            ledger.add(f"{a} = {b}", row["vectors"] > 0 and row["mismatches"] == 0, message)
    verilator.find(), gxx.find()
    sim = case.folder / "tb" / "sim"
    say("building the simulator", None)
    start = time.monotonic()
    harness = build_harness(case.design, core_files(case.design, case.files), sim / "native")
    ledger.document["build_seconds"] = round(time.monotonic() - start, 3)
    frames, wanted = case.frames, case.wanted
    say("measuring latency and interval", None)
    timing = _timing(case, ledger, harness, frames)
    failed = _bulk(case, options, ledger, harness, frames, wanted, say)
    some = np.random.default_rng(options.seed).permutation(len(frames))[: measure.STALL_FRAMES]
    if options.stalls:
        say("stall patterns", None)
        for result in measure.measure_stalls(harness, frames[some], wanted[some], options.seed):
            _stall_row(ledger, result, "native")
    else:
        ledger.document["not_checked"].append(NO_STALLS)
    say("resets in flight", None)
    reach = timing.latency if timing.latency is not None else 16
    reset = measure.measure_resets(harness, frames[some], wanted[some], options.seed, reach)
    _reset_row(ledger, reset)
    if options.cocotb and failed is None:
        _cocotb(case, options, ledger, say, sim, some)
    if failed is not None and options.locate:
        _locate(case, options, ledger, failed, frames, say)


def _timing(case: Case, ledger: Ledger, harness: Harness, frames: Words) -> measure.Timing:
    timing = measure.measure_timing(harness, frames)
    document = ledger.document
    document["latency"]["measured_cycles"] = timing.latency
    document["interval"] |= {"measured_cycles": timing.interval, "frames": timing.interval_frames}
    ledger.add("frames come out", not timing.notes, "; ".join(timing.notes))
    for what, measured in (("latency", timing.latency), ("interval", timing.interval)):
        predicted = document[what]["predicted_cycles"]
        ledger.add(f"{what} as predicted", measured == predicted, f"predicted {predicted} cycles, measured {measured}")
    return timing


def _bulk(
    case: Case, options: VerifyOptions, ledger: Ledger, harness: Harness, frames: Words, wanted: Words, say: Progress
) -> int | None:
    """Run the vectors; return the index of the first frame that differs."""
    if not len(frames):
        ledger.add("graph = rtl", False, "there are no vectors")
        return None
    budget = options.budget_s if options.vectors == "auto" else None
    bulk = measure.measure_bulk(
        harness, frames, wanted, budget, lambda done, total: say("simulating vectors", done / max(total, 1))
    )
    done = bulk.outcome.frames
    row = _rtl_row(case, bulk, done)
    ledger.document["pairs"].append(row)
    ledger.document["limits"] |= {
        "rtl_frames": done,
        "rtl_frames_asked": bulk.asked,
        "rtl_frames_per_s": round(done / max(bulk.seconds, 1e-9)),
        "rtl_seconds": round(bulk.seconds, 4),
    }
    if done < bulk.asked:
        ledger.document["not_checked"].append(
            f"{bulk.asked - done} of {bulk.asked} vectors in RTL: {options.budget_s:g} s allow {done} (--vectors all)"
        )
    message = f"{row['mismatches']} of {row['vectors']} vectors differ"
    good = ledger.add("graph = rtl", done > 0 and row["mismatches"] == 0, message, bulk.seconds)
    ledger.add("protocol at full rate", bulk.violation is None, bulk.violation or "")
    return None if good or not bulk.outcome.bad else bulk.outcome.bad[0]


def _rtl_row(case: Case, bulk: measure.Bulk, done: int) -> dict[str, Any]:
    """Return the pair row of graph and rtl over the frames that ran."""
    expected: dict[str, dict[str, IntArray]] = {}
    left = done
    for name, outputs in case.expected.items():
        take = min(left, frame_count(outputs))
        expected[name] = {key: values[:take] for key, values in outputs.items()}
        left -= take
    if len(bulk.outputs) != done:  # frames are missing or too many: a position by position comparison says nothing
        o = bulk.outcome
        row = {"a": "graph", "b": "rtl", "vectors": done, "mismatches": max(1, o.lost + o.repeated + o.changed)}
        row["sets"] = {name: frame_count(outputs) for name, outputs in expected.items()}
        return {**row, "lost": o.lost, "repeated": o.repeated, "changed": o.changed}
    flat = unpack_ports(case.design["outputs"], bulk.outputs)
    actual: dict[str, dict[str, IntArray]] = {}
    start = 0
    for name, outputs in expected.items():
        stop = start + frame_count(outputs)
        actual[name] = {key: flat[key][start:stop] for key in outputs}
        start = stop
    return pair_row("graph", "rtl", expected, actual, case.graph)


def _stall_row(ledger: Ledger, result: measure.StallResult, bench: str) -> None:
    o = result.outcome
    counts = {"frames": o.frames, "lost": o.lost, "repeated": o.repeated, "changed": o.changed}
    ledger.document["stalls"].append({"pattern": result.pattern, "bench": bench, **counts})
    message = f"{o.lost} lost, {o.repeated} repeated, {o.changed} changed of {o.frames}; {result.violation or ''}"
    ledger.add(f"stalls: {result.pattern}, {bench}", result.good, message.rstrip("; "))


def _reset_row(ledger: Ledger, result: measure.StallResult) -> None:
    o = result.outcome
    count = int(result.pattern)
    wrong = o.lost + o.repeated + o.changed
    ledger.document["resets"] = {"count": count, "frames": o.frames, "wrong": wrong}
    message = f"{wrong} of {o.frames} frames around {count} resets are wrong; {result.violation or ''}"
    ledger.add("resets in flight", result.good and count > 0, message.rstrip("; "))


def _cocotb(
    case: Case, options: VerifyOptions, ledger: Ledger, say: Progress, sim: Path, some: np.ndarray[Any, Any]
) -> None:
    """Run the cocotb benches of the core and of the AXI4-Stream wrapper."""
    names = ["core"] + (["axis"] if case.design.get("axis") else [])
    if not case.design.get("axis"):
        ledger.document["not_checked"].append("AXI4-Stream wrapper: the design has none")
    say("building the cocotb benches", None)
    benches = build_benches(names, case.design, case.files, sim)
    ledger.document["cocotb"] = {}
    for name in names:
        say(f"cocotb: {name}", None)
        result = run_bench(name, benches[name], case.design, case.vectors, case.expected, options.seed, sim)
        _bench_rows(ledger, name, result)


def _bench_rows(ledger: Ledger, name: str, result: BenchResult) -> None:
    document = ledger.document
    document["cocotb"][name] = {"tests": len(result.tests), "measured": result.measured}
    for test, message, seconds in result.tests:
        ledger.add(f"cocotb {name}: {test}", message is None, message or "", seconds)
    for row in result.measured.get("stalls", []):
        document["stalls"].append({"pattern": row["pattern"], "bench": f"cocotb {name}", **row["counts"]})
    if name == "core":
        for what in ("latency", "interval"):
            native, cocotb = document[what]["measured_cycles"], result.measured.get(what)
            ledger.add(f"{what}: cocotb agrees", native == cocotb, f"native bench {native}, cocotb {cocotb}")


def _locate(case: Case, options: VerifyOptions, ledger: Ledger, failed: int, frames: Words, say: Progress) -> None:
    """Add the first divergence to the document; failing to find it does not hide the mismatch."""
    name, index = case.place(failed)
    replay = f"hwgen verify {_shown(case.folder)} --seed {options.seed} --only {name}:{index} --waves"
    row = next(row for row in ledger.document["pairs"] if row["b"] == "rtl")
    head = {
        "set": name,
        "index": index,
        "seed": options.seed,
        "vectors": row["vectors"],
        "mismatches": row["mismatches"],
    }
    inputs = {key: values[index : index + 1] for key, values in case.vectors[name].items()}
    try:
        found = first_divergence(
            case.graph,
            case.design,
            core_files(case.design, case.files),
            case.folder,
            frames,
            inputs,
            failed,
            wave=None if options.waves == "never" else "mismatch",
            replay=replay,
            progress=say,
        )
    except HwgenError as error:
        found = {"layer": None, "note": f"the search for the layer failed: {error.what}", "replay": replay}
    ledger.document["mismatch"] = {**head, **found}


def _first_frame(case: Case, say: Progress) -> str | None:
    """Write a waveform of the first frame alone and return its path in the build folder."""
    name, vectors = next(iter(case.vectors.items()))
    inputs = {key: values[:1] for key, values in vectors.items()}
    files = core_files(case.design, case.files)
    found = first_divergence(
        case.graph,
        case.design,
        files,
        case.folder,
        case.frames,
        inputs,
        0,
        wave="first_frame",
        replay=name,
        progress=say,
    )
    return str(found["waveform"])


def _replay(case: Case, options: VerifyOptions, ledger: Ledger, say: Progress) -> Evidence:
    """Simulate one vector with every layer visible; leaves `verification.json` alone."""
    (name,) = case.vectors
    index = int(str(options.only).partition(":")[2])
    replay = f"hwgen verify {_shown(case.folder)} --seed {options.seed} --only {options.only} --waves"
    inputs = case.vectors[name]
    found = first_divergence(
        case.graph,
        case.design,
        core_files(case.design, case.files),
        case.folder,
        case.frames,
        inputs,
        0,
        wave="mismatch" if options.waves == "always" else None,
        replay=replay,
        progress=say,
    )
    differs = found.get("layer") is not None
    ledger.document["mismatch"] = {"set": name, "index": index, "seed": options.seed, "vectors": 1, **found}
    if not differs:
        ledger.document["mismatch"] = None
    ledger.document["pairs"] = [{"a": "graph", "b": "rtl", "vectors": 1, "mismatches": int(differs)}]
    ledger.document["waveform"] = found.get("waveform")
    ledger.document["status"] = FAIL if differs else NOT_RUN
    evidence = Evidence(ledger.document["status"], ledger.document, tuple(ledger.checks), replay=True)
    write_evidence(case.folder, evidence)
    return evidence


def _shown(folder: Path) -> str:
    """Return the folder as a user in the current directory writes it."""
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)


def _finish(ledger: Ledger, options: VerifyOptions, reason: str | None = None) -> Evidence:
    """Return the evidence: PASS only if every required part ran and none failed."""
    required = ["qkeras = graph", "graph = hls_cpp", "graph = rtl", "latency as predicted", "interval as predicted"]
    required += ["resets in flight", "cocotb core"]
    required += ["stalls"] if options.stalls else []
    status = ledger.status(required)
    document = {**ledger.document, "status": status, "checks": len(ledger.checks)}
    bad = [f"{check.name}: {check.message}" for check in ledger.checks if check.status != PASS]
    if bad:
        document |= {"reason": reason or bad[0], "failed_checks": bad}
    return Evidence(status, document, tuple(ledger.checks))
