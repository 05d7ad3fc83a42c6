"""`verify`: simulate the RTL of a build folder and write the evidence. Needs no TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError, ProofError, ToolMissing
from hwgen.files import file_digest
from hwgen.ir import graph_digest
from hwgen.sim import parts
from hwgen.sim.case import Batch, Case, VerifyOptions, read_case
from hwgen.sim.cocotb_run import core_files
from hwgen.sim.diverge import first_divergence
from hwgen.sim.effort import INIT_SEEDS, effort
from hwgen.sim.emulated import PAIR as EMULATOR
from hwgen.sim.emulated import emulated
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
from hwgen.sim.native import build_harness
from hwgen.sim.netlist_check import PAIR as NETLIST
from hwgen.sim.netlist_check import netlist_check
from hwgen.sim.streams import in_streams, out_streams
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
    streams = case.design["io_type"] == "io_stream"
    predicted = case.prediction
    latency = {"predicted_cycles": predicted["latency_cycles"], "measured_cycles": None}
    if streams:
        for what, key in (("first_out", "first_out_cycles"), ("steady", "steady_latency_cycles")):
            latency |= {f"{what}_predicted_cycles": predicted.get(key), f"{what}_measured_cycles": None}
    return {
        "version": VERSION,
        "model": case.graph.name,
        "status": NOT_RUN,
        "pairs": list(case.pairs),
        "latency": {**latency, "clock_period_ns": predicted["clock_period_ns"]},
        "interval": {"predicted_cycles": predicted["interval_cycles"], "measured_cycles": None, "frames": 0},
        **({"fifos": []} if streams else {}),
        "stalls": [],
        "resets": None,
        "seeds": {"stalls_and_resets": options.seed, "power_up": list(INIT_SEEDS)},
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
    timing = parts.timing(case, ledger, harness, sim, say)
    if timing.dead:  # every further run would wait as long for nothing
        _deadlock(case, options, ledger, timing.waiting, say)
        return
    vectors, failed, stuck = parts.bulk(case, options, ledger, harness, timing, say)
    latency = timing.latency if timing.latency is not None else 16
    interval = timing.interval if timing.interval is not None else latency
    beats = max(stream.beats for stream in (*in_streams(case.design), *out_streams(case.design)))
    plan = effort(latency, interval, beats, timing.frames)
    ledger.document["not_checked"] += [NO_STALLS] if not options.stalls else []
    ledger.document["not_checked"] += plan.cuts
    if not stuck:  # a design that stops would stop again, and each time be waited for
        say("stall patterns and resets in flight", None)
        parts.stalls(case, options, ledger, harness, vectors, plan, timing)
    if options.cocotb and failed is None:
        parts.cocotb(case, options, ledger, sim, plan, say)
    emulated(case, options, ledger, say)
    netlist_check(case, options, ledger, timing, failed is None and not stuck, say)
    if failed is not None and options.locate:
        _locate(case, options, ledger, vectors, failed, say)


def _deadlock(case: Case, options: VerifyOptions, ledger: Ledger, waiting: tuple[str, ...], say: Progress) -> None:
    """Record that no frame comes out, and, from inside, which streams wait on which."""
    row = {"a": "graph", "b": "rtl", "vectors": 1, "mismatches": 1, "sets": {}, "lost": 1}
    ledger.document["pairs"].append(row)
    ledger.add("graph = rtl", False, "; ".join(["no frame comes out", *waiting]))
    if options.locate:
        _locate(case, options, ledger, case.batch(1), 0, say)


def _locate(case: Case, options: VerifyOptions, ledger: Ledger, vectors: Batch, failed: int, say: Progress) -> None:
    """Add the first divergence to the document; failing to find it does not hide the mismatch."""
    name, index = vectors.place(failed)
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
            vectors.frames,
            inputs,
            failed,
            wave=None if options.waves == "never" else "mismatch",
            replay=replay,
            progress=say,
            stuck=parts.patience(case),
        )
    except HwgenError as error:
        found = {"layer": None, "note": f"the search for the layer failed: {error.what}", "replay": replay}
    ledger.document["mismatch"] = {**head, **found}


def _first_frame(case: Case, say: Progress) -> str | None:
    """Write a waveform of the first frame alone and return its path in the build folder."""
    segments, inputs = case.inputs(1)
    files = core_files(case.design, case.files)
    found = first_divergence(
        case.graph,
        case.design,
        files,
        case.folder,
        case.pack(inputs),
        inputs,
        0,
        wave="first_frame",
        replay=segments[0][0],
        progress=say,
        stuck=parts.patience(case),
    )
    return str(found["waveform"])


def _replay(case: Case, options: VerifyOptions, ledger: Ledger, say: Progress) -> Evidence:
    """Simulate one vector with every layer visible; leaves `verification.json` alone."""
    ((name, index, _),) = case.order
    replay = f"hwgen verify {_shown(case.folder)} --seed {options.seed} --only {options.only} --waves"
    _, inputs = case.inputs(1)
    found = first_divergence(
        case.graph,
        case.design,
        core_files(case.design, case.files),
        case.folder,
        case.pack(inputs),
        inputs,
        0,
        wave="mismatch" if options.waves == "always" else None,
        replay=replay,
        progress=say,
        stuck=parts.patience(case),
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
    if "fifos" in ledger.document:
        required += ["first output as predicted", "steady latency as predicted", parts.MARKS]
    required += ["stalls"] if options.stalls else []
    required += [EMULATOR] if options.emulator else []
    required += [NETLIST] if options.netlist is True else []
    status = ledger.status(required)
    document = {**ledger.document, "status": status, "checks": len(ledger.checks)}
    bad = [f"{check.name}: {check.message}" for check in ledger.checks if check.status != PASS]
    if bad:
        document |= {"reason": reason or bad[0], "failed_checks": bad}
    return Evidence(status, document, tuple(ledger.checks))
