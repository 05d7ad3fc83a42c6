"""The pair graph = emulator: every vector through the C++ emulator that `outputs.emulator` asks for."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from hwgen.emulator.run import build_emulator
from hwgen.errors import GraphError, ToolMissing
from hwgen.fixed import IntArray
from hwgen.sim.case import Case, VerifyOptions, frame_count
from hwgen.sim.compare import pair_row
from hwgen.sim.evidence import Ledger

Progress = Callable[[str, float | None], None]
PAIR = "graph = emulator"
HOW = "outputs.emulator: true, or hwgen verify --emulator"
PIECE = 256
"""Frames a call: after each, the time is looked at."""


def emulated(case: Case, options: VerifyOptions, ledger: Ledger, say: Progress) -> None:
    """Write the emulator to ``emulator/``, build it, and compare it with the graph on every vector.

    Every frame runs unless that takes longer than `options.budget_s`; then what was left out is named.
    """
    if not options.emulator:
        ledger.document.setdefault("not_requested", {})["emulator"] = HOW
        return
    say("building the C++ emulator", None)
    try:
        emulator, built = build_emulator(case.graph, case.folder / "emulator", case.folder / "tb" / "sim" / "emulator")
    except (GraphError, ToolMissing) as error:
        ledger.document.setdefault("not_run", {})["emulator"] = error.what
        ledger.missing(PAIR, error.render())
        return
    left: dict[str, list[dict[str, IntArray]]] = {}
    right: dict[str, list[dict[str, IntArray]]] = {}
    start, seconds, done = time.monotonic(), 0.0, 0
    limit = options.budget_s if options.vectors == "auto" else float("inf")
    for name, first, last in case.order:
        for at in range(first, last, PIECE):
            if done and time.monotonic() - start > limit:
                break
            frames = {key: values[at : min(at + PIECE, last)] for key, values in case.vectors[name].items()}
            say("running the C++ emulator", done / max(case.total, 1))
            outputs, taken = emulator.run(frames)
            right.setdefault(name, []).append(outputs)
            left.setdefault(name, []).append(case.graph.evaluate(frames))
            seconds, done = seconds + taken, done + frame_count(frames)
    row = pair_row("graph", "emulator", _whole(left), _whole(right), case.graph)
    row |= {"build_seconds": round(built, 3), "seconds": round(seconds, 6)}
    row |= {"frames_per_s": round(done / seconds, 1)} if seconds > 0 else {}
    ledger.document["pairs"].append(row)
    if done < case.total:
        ledger.document["not_checked"].append(
            f"{case.total - done} of {case.total} vectors in the C++ emulator: verify.budget_s allows {done}"
        )
    message = f"{row['mismatches']} of {row['vectors']} vectors differ"
    ledger.add(PAIR, row["vectors"] > 0 and not row["mismatches"], message, seconds)


def _whole(parts: dict[str, list[dict[str, IntArray]]]) -> dict[str, dict[str, IntArray]]:
    return {
        name: {key: np.concatenate([row[key].reshape(len(row[key]), -1) for row in rows]) for key in rows[0]}
        for name, rows in parts.items()
    }
