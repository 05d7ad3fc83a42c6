"""The pair graph = netlist: the core, synthesized, through the native bench on the vectors that the RTL ran on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError, ProofError
from hwgen.sim import measure, parts
from hwgen.sim.case import Case, VerifyOptions
from hwgen.sim.cocotb_run import core_files
from hwgen.sim.effort import INIT_SEEDS
from hwgen.sim.evidence import Ledger
from hwgen.sim.four_state import four_state
from hwgen.sim.native import Harness, build_harness
from hwgen.sim.netlist import Netlist, synthesize
from hwgen.sim.timing import Timing, measure_timing

Progress = Callable[[str, float | None], None]
PAIR = "graph = netlist"
HOW = "verify.netlist: true, or hwgen verify --netlist"
TOO_LARGE = "too large for auto (hwgen verify --netlist)"

SMALL_CELLS, SMALL_BYTES = 4_000, 30_000
"""Predicted LUTs and flip-flops up to which `auto` checks the netlist (about 30 s of one core); where none are
predicted, bytes of the core's own SystemVerilog."""
AUTO_TIMEOUT_S, TIMEOUT_S = 60.0, 1800.0
"""How long yosys may take, with ``auto`` and when asked."""
BUDGET_S = 20.0
"""Seconds of simulation, at most."""


def netlist_check(case: Case, options: VerifyOptions, ledger: Ledger, rtl: Timing, good: bool, say: Progress) -> None:
    """Synthesize the core, simulate its netlist, compare integers and cycles; leave the row and the checks.

    Parameters
    ----------
    rtl : Timing
        What was measured of the RTL: the netlist must take the same cycles.
    good : bool
        Whether the RTL agrees with the graph; if not, its netlist says nothing more.
    """
    files = core_files(case.design, case.files)
    why = _not_asked(case, files, options)
    if why is not None:
        ledger.document.setdefault("not_requested", {})["netlist"] = why
        ledger.document["not_checked"].append("synthesized netlist")
        return
    if not good:
        _not_run(ledger, options, "the RTL itself differs from the graph", "")
        return
    folder = case.folder / "tb" / "sim" / "netlist"
    try:
        say("synthesizing the netlist", None)
        timeout = TIMEOUT_S if options.netlist is True else AUTO_TIMEOUT_S
        netlist = synthesize(files, case.design["top"], options.part, folder, timeout)
        say(f"building the simulator of the netlist, {netlist.total:,} cells", None)
        start = time.monotonic()
        harness = build_harness(case.design, netlist.files, folder / "native")
        built = time.monotonic() - start
        _closed(netlist, folder / "native" / "verilator.log")
    except HwgenError as error:  # no yosys, out of time or memory, a cell without a model: the rest is kept
        _not_run(ledger, options, error.what, error.render())
        return
    _simulate(case, options, ledger, netlist, harness, rtl, built, say)
    four_state(case, ledger, netlist, folder, rtl.latency or 16, say)


def _not_asked(case: Case, files: list[Path], options: VerifyOptions) -> str | None:
    """Return why the netlist is not checked, None if it is."""
    if options.netlist is True:
        return None
    if options.netlist is False:
        return HOW
    total = (case.prediction.get("cost") or {}).get("total") or {}
    if total.get("LUT") is not None and total.get("FF") is not None:
        cells = int(total["LUT"] + total["FF"])
        return None if cells <= SMALL_CELLS else f"about {cells:,} LUTs and flip-flops, {TOO_LARGE}"
    size = sum(path.stat().st_size for path in files if not path.name.startswith("hg_"))
    return None if size <= SMALL_BYTES else f"{size:,} bytes of SystemVerilog, {TOO_LARGE}"


def _closed(netlist: Netlist, log: Path) -> None:
    """Refuse a netlist of iCE40 cells with open pins: those have default values, which the models are built without."""
    if netlist.family == "ice40" and "PINMISSING" in log.read_text(errors="replace"):
        raise ProofError("a cell has an open pin, whose default value is not simulated", where=str(log))


def _not_run(ledger: Ledger, options: VerifyOptions, what: str, text: str) -> None:
    """Record that the netlist could not be checked; the verdict suffers only where it was asked for."""
    ledger.document.setdefault("not_run", {})["netlist"] = what
    ledger.document["not_checked"].append(f"synthesized netlist: {what}")
    if options.netlist is True:
        ledger.missing(PAIR, text or what)


def _simulate(
    case: Case,
    options: VerifyOptions,
    ledger: Ledger,
    netlist: Netlist,
    harness: Harness,
    rtl: Timing,
    built: float,
    say: Progress,
) -> None:
    say("latency and interval of the netlist", None)
    frames = case.pack(case.inputs(64)[1])
    seen = measure_timing(harness, frames, INIT_SEEDS[:2], stuck=parts.patience(case))
    row: dict[str, Any] = {"a": "graph", "b": "netlist", "vectors": 1, "mismatches": 1, "sets": {}, "lost": 1}
    if seen.dead:
        ledger.document["pairs"].append(row)
        ledger.add(PAIR, False, "; ".join(["no frame comes out of the netlist", *seen.waiting]))
        return
    for name, mine, yours in (("latency", seen.latency, rtl.latency), ("interval", seen.interval, rtl.interval)):
        ledger.add(f"netlist {name}", mine == yours, f"RTL {yours} cycles, netlist {mine}")
    budget = min(options.budget_s, BUDGET_S)
    per_second = seen.cycles_per_s / (seen.interval or seen.latency or 1)
    vectors = case.batch(min(case.total, max(int(parts.MARGIN * budget * per_second), 16)))
    say("simulating vectors in the netlist", None)
    ran = measure.measure_bulk(harness, vectors.frames, vectors.wanted, budget, 1, stuck=parts.patience(case))
    done = ran.outcome.frames
    row = parts.ran_row("netlist", case, vectors, ran, done)
    row |= {
        "family": netlist.family,
        "cells": netlist.cells,
        "latency_cycles": seen.latency,
        "interval_cycles": seen.interval,
        "synthesis_seconds": round(netlist.seconds, 3),
        "build_seconds": round(built, 3),
        "seconds": round(ran.seconds, 4),
        "cycles_per_s": round(ran.cycles / max(ran.seconds, 1e-9)),
    }
    ledger.document["pairs"].append(row)
    if done < case.total:
        ledger.document["not_checked"].append(
            f"{case.total - done} of {case.total} vectors in the netlist: {budget:g} s allow {done}"
        )
    good = done > 0 and ran.outcome.good and not row["mismatches"]
    ledger.add(PAIR, good, mismatch_text(row), ran.seconds)
    ledger.add("netlist protocol at full rate", ran.violation is None, ran.violation or "")


def mismatch_text(row: dict[str, Any]) -> str:
    """Return how many vectors differ, and the first: its set and index, output, element and both integers."""
    text = f"{row['mismatches']} of {row['vectors']} vectors differ"
    if first := row.get("first"):
        text += (
            f"; first: {first['set']}:{first['index']}, {first['output']}[{first['element']}], "
            f"graph {first['a_integer']}, netlist {first['b_integer']}"
        )
    return text
