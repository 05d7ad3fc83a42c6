"""The parts of a verification: each runs a bench, compares, and leaves its checks and figures in the ledger."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.fixed import IntArray
from hwgen.sim import measure
from hwgen.sim.case import Batch, Case, VerifyOptions
from hwgen.sim.cocotb_run import BenchResult, build_benches, core_files, run_bench
from hwgen.sim.compare import pair_row
from hwgen.sim.effort import Effort
from hwgen.sim.evidence import Ledger
from hwgen.sim.native import Harness, build_harness
from hwgen.sim.streams import Words, out_streams, unpack_frames
from hwgen.sim.timing import Timing, measure_layers, measure_paced, measure_timing

Progress = Callable[[str, float | None], None]
PREDICTED = {
    "latency as predicted": ("latency", "predicted_cycles", "measured_cycles"),
    "first output as predicted": ("latency", "first_out_predicted_cycles", "first_out_measured_cycles"),
    "steady latency as predicted": ("latency", "steady_predicted_cycles", "steady_measured_cycles"),
    "interval as predicted": ("interval", "predicted_cycles", "measured_cycles"),
}
"""Checks of cycles: where the evidence keeps what was predicted and what was measured."""
MARKS = "high-water marks as predicted"
LAYERS = "cycles of every layer as predicted"
PATIENCE = 1_000_000
"""Cycles without a transfer after which a simulation ends; eight times the predicted latency if that is more."""
MARGIN = 1.5
"""How many more vectors are prepared than the measured speed would get through in the budget."""


def patience(case: Case) -> int:
    """Return after how many cycles without a transfer the benches give up."""
    return max(PATIENCE, 8 * int(case.prediction["latency_cycles"]))


def streamed(case: Case) -> bool:
    """Return whether the design takes its frames in beats."""
    return bool(case.design["io_type"] == "io_stream")


def timing(case: Case, ledger: Ledger, harness: Harness, sim: Path, say: Progress) -> Timing:
    """Measure latency and interval; for a streaming design also in steady state, with the FIFOs' high-water marks."""
    document = ledger.document
    frames = case.pack(case.inputs(64)[1])
    say("measuring latency and interval", None)
    seen = measure_timing(harness, frames, stuck=patience(case))
    notes = list(seen.notes)
    document["latency"]["measured_cycles"] = seen.latency
    document["interval"] |= {"measured_cycles": seen.interval, "frames": seen.frames}
    if streamed(case):
        document["latency"]["first_out_measured_cycles"] = seen.first_out
        if seen.interval is not None:
            notes += _paced(case, ledger, harness, sim, frames, seen.interval, say)
    ledger.add("frames come out", not notes and not seen.dead, "; ".join([*notes, *seen.waiting]))
    for name, (part, predicted, measured) in PREDICTED.items():
        if predicted in document[part] and (document[part][predicted] is not None):
            found = document[part][measured]
            message = f"predicted {document[part][predicted]} cycles, measured {found}"
            ledger.add(name, found == document[part][predicted], message)
    return seen


def _paced(
    case: Case, ledger: Ledger, harness: Harness, sim: Path, frames: Words, interval: int, say: Progress
) -> list[str]:
    """Pace the sources at the measured interval, with the design as it is and with its inside visible."""
    say("steady state", None)
    paced = measure_paced(harness, frames, interval, stuck=patience(case))
    ledger.document["latency"]["steady_measured_cycles"] = paced.steady_latency
    say("building the simulator with every layer visible", None)
    watched = build_harness(case.design, core_files(case.design, case.files), sim / "watched", taps=True)
    marked = measure_paced(watched, frames, interval, stuck=patience(case))
    notes = [*paced.notes, *marked.notes]
    if paced.interval != interval:
        notes.append(f"paced at {interval} cycles, frames leave every {paced.interval}")
    if marked.steady_latency != paced.steady_latency:
        notes.append(f"with HWGEN_TAPS the steady latency is {marked.steady_latency}, not {paced.steady_latency}")
    _marks(case, ledger, marked.marks)
    if "taps" in case.prediction:
        _layers(case, ledger, measure_layers(watched, frames, stuck=patience(case)))
    return notes


def _marks(case: Case, ledger: Ledger, marks: Mapping[str, int]) -> None:
    """Compare the FIFOs' high-water marks with the prediction, each by name."""
    if "fifos" not in case.prediction:
        return
    predicted = {row["name"]: row for row in case.prediction["fifos"]}
    rows, bad = [], []
    for fifo in case.design["fifos"]:
        name, depth = fifo["name"], fifo["depth"]
        wanted = predicted.get(name, {})
        rows.append({"name": name, "depth": depth, "predicted": wanted.get("high_water"), "measured": marks.get(name)})
        if wanted.get("high_water") != marks.get(name) or wanted.get("depth") != depth:
            bad.append(
                f"{name}: predicted {wanted.get('high_water')} of {wanted.get('depth')}, "
                f"measured {marks.get(name)} of {depth}"
            )
    bad += [f"{name}: predicted, but not in the design" for name in predicted if name not in {r["name"] for r in rows}]
    ledger.document["fifos"] = rows
    ledger.add(MARKS, not bad, "; ".join(bad))


def _layers(case: Case, ledger: Ledger, measured: Mapping[str, tuple[int, int] | None]) -> None:
    """Compare the cycles of every layer's first and last beat, of one frame; the first that is off is named."""
    rows, bad = [], []
    for row in case.prediction["taps"]:
        wanted, found = (row["first_cycle"], row["last_cycle"]), measured.get(row["node"])
        rows.append(
            {"node": row["node"], "predicted": list(wanted), "measured": None if found is None else list(found)}
        )
        if found != wanted:
            bad.append(f"{row['node']}: first and last beat predicted in cycles {wanted}, measured {found}")
    ledger.document["layers"] = rows
    ledger.add(LAYERS, bool(rows) and not bad, bad[0] if bad else "the prediction names no layer")


def batch(case: Case, options: VerifyOptions, seen: Timing) -> tuple[Batch, float | None]:
    """Return the vectors that will run, or may in the budget, and the budget in seconds."""
    if options.vectors == "all" or (isinstance(options.vectors, int) and not streamed(case)):
        return case.batch(case.total), None
    per_second = seen.cycles_per_s / (seen.interval or seen.latency or 1)
    within = math.ceil(MARGIN * options.budget_s * per_second)
    return case.batch(case.at_least + max(within, 64)), options.budget_s


def bulk(
    case: Case, options: VerifyOptions, ledger: Ledger, harness: Harness, seen: Timing, say: Progress
) -> tuple[Batch, int | None, bool]:
    """Run the vectors; return them, the index of the first frame that differs, and whether the design stopped."""
    say("evaluating the graph", None)
    vectors, budget = batch(case, options, seen)
    if not len(vectors.frames):
        ledger.add("graph = rtl", False, "there are no vectors")
        return vectors, None, False

    def progress(done: int, total: int) -> None:
        say("simulating vectors", done / max(total, 1))

    ran = measure.measure_bulk(
        harness, vectors.frames, vectors.wanted, budget, case.at_least, progress, stuck=patience(case)
    )
    done = ran.outcome.frames
    row = ran_row("rtl", case, vectors, ran, done)
    ledger.document["pairs"].append(row)
    ledger.document["limits"] |= {
        "rtl_frames": done,
        "rtl_frames_asked": case.total,
        "rtl_frames_per_s": round(done / max(ran.seconds, 1e-9), 0 if not streamed(case) else 2),
        "rtl_seconds": round(ran.seconds, 4),
        "rtl_cycles_per_s": round(ran.cycles / max(ran.seconds, 1e-9)),
    }
    if done < case.total:
        ledger.document["not_checked"].append(
            f"{case.total - done} of {case.total} vectors in RTL: {options.budget_s:g} s allow {done} (--vectors all)"
        )
    message = f"{row['mismatches']} of {row['vectors']} vectors differ"
    if ran.stuck:
        message = "; ".join([message, *ran.waiting])
    good = ledger.add("graph = rtl", done > 0 and ran.outcome.good and not row["mismatches"], message, ran.seconds)
    ledger.add("protocol at full rate", ran.violation is None, ran.violation or "")
    return vectors, None if good or not ran.outcome.bad else ran.outcome.bad[0], ran.stuck


def ran_row(b: str, case: Case, vectors: Batch, ran: measure.Bulk, done: int) -> dict[str, Any]:
    """Return the pair row of the graph and what was simulated, `b`, over the frames that ran."""
    sets: dict[str, list[slice]] = {}
    at = 0
    for name, start, stop in vectors.segments:
        sets.setdefault(name, []).append(slice(min(at, done), min(at + stop - start, done)))
        at += stop - start

    def by_set(values: Mapping[str, IntArray]) -> dict[str, dict[str, IntArray]]:
        return {
            name: {key: np.concatenate([array[part] for part in parts]) for key, array in values.items()}
            for name, parts in sets.items()
        }

    o = ran.outcome
    if len(ran.outputs) != done or o.lost or o.repeated:  # a comparison position by position says nothing
        row = {"a": "graph", "b": b, "vectors": done, "mismatches": max(1, o.lost + o.repeated + o.changed)}
        row["sets"] = {name: sum(part.stop - part.start for part in parts) for name, parts in sets.items()}
        return {**row, "lost": o.lost, "repeated": o.repeated, "changed": o.changed}
    actual = unpack_frames(out_streams(case.design), ran.outputs)
    expected = {
        name: values[:done].reshape(done, math.prod(values.shape[1:])) for name, values in vectors.expected.items()
    }
    return pair_row("graph", b, by_set(expected), by_set(actual), case.graph)


def stalls(
    case: Case, options: VerifyOptions, ledger: Ledger, harness: Harness, vectors: Batch, plan: Effort, seen: Timing
) -> None:
    """Run the stall patterns and the resets in flight."""
    latency = seen.latency if seen.latency is not None else 16
    interval = seen.interval if seen.interval is not None else latency
    some = np.random.default_rng(options.seed).permutation(len(vectors.frames))[: plan.stall_frames]
    frames, wanted = vectors.frames[some], vectors.wanted[some]
    limit = {"stuck": patience(case)}
    if options.stalls:
        for result in measure.measure_stalls(harness, frames, wanted, options.seed, plan, latency, **limit):
            _stall_row(ledger, result, "native")
    _reset_row(ledger, measure.measure_resets(harness, frames, wanted, options.seed, plan, latency, interval, **limit))


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


def cocotb(case: Case, options: VerifyOptions, ledger: Ledger, sim: Path, plan: Effort, say: Progress) -> None:
    """Run the cocotb benches of the core and of the AXI4-Stream wrapper."""
    names = ["core"] + (["axis"] if case.design.get("axis") else [])
    if not case.design.get("axis"):
        ledger.document["not_checked"].append("AXI4-Stream wrapper: the design has none")
    say("building the cocotb benches", None)
    benches = build_benches(names, case.design, case.files, sim)
    vectors = case.few(plan.cocotb["frames"])
    expected = {name: case.evaluate(inputs) for name, inputs in vectors.items()}
    ledger.document["cocotb"] = {}
    for name in names:
        say(f"cocotb: {name}", None)
        result = run_bench(name, benches[name], case.design, vectors, expected, options.seed, sim, plan.cocotb)
        _bench_rows(ledger, name, result, plan)


def _bench_rows(ledger: Ledger, name: str, result: BenchResult, plan: Effort) -> None:
    document = ledger.document
    document["cocotb"][name] = {"tests": len(result.tests), "measured": result.measured}
    for test, message, seconds in result.tests:
        ledger.add(f"cocotb {name}: {test}", message is None, message or "", seconds)
    for row in result.measured.get("stalls", []):
        document["stalls"].append({"pattern": row["pattern"], "bench": f"cocotb {name}", **row["counts"]})
    if name == "core":
        first_out = document["latency"].get("first_out_measured_cycles")
        rows = [("latency", document["latency"]["measured_cycles"])]
        rows += [("first output", first_out)] if first_out is not None else []
        rows += [("interval", document["interval"]["measured_cycles"])] if plan.cocotb["interval_frames"] else []
        for what, native in rows:
            found = result.measured.get(what.replace(" ", "_"))
            ledger.add(f"{what}: cocotb agrees", native == found, f"native bench {native}, cocotb {found}")
