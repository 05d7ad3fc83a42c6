"""After a mismatch: which layer diverged first, at which element, cycle and signal; and a waveform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.fixed import FixedPoint, IntArray
from hwgen.ir.graph import Graph
from hwgen.sim.compare import Words
from hwgen.sim.native import Transfers, build_harness, unpack_ports
from hwgen.tools import gxx

WINDOW = 512
"""Cycles after a frame's acceptance in which its taps are read, at most."""
AFTER = 8
"""Cycles after the last tap that the waveform still shows."""


def wave_format() -> str:
    """Return "fst" if the headers its writer needs are there (liblz4-dev, zlib1g-dev), else "vcd"."""
    return "fst" if gxx.has_header("lz4.h") and gxx.has_header("zlib.h") else "vcd"


def first_divergence(
    graph: Graph,
    design: dict[str, Any],
    files: list[Path],
    folder: Path,
    frames: Words,
    inputs: dict[str, IntArray],
    frame: int,
    *,
    wave: str | None,
    replay: str,
    progress: Callable[[str, float | None], None],
) -> dict[str, Any]:
    """Simulate again with every layer visible and name the first one that leaves the graph's trace.

    Parameters
    ----------
    files : the RTL, in compile order
    folder : the build folder
    frames : packed frames, as the failing run offered them
    inputs : integers of the failing frame, one-frame arrays by input name
    frame : index of the failing frame in `frames`
    wave : the waveform's name: ``reports/<wave>.fst`` or ``.vcd``; None for none
    replay : the command that shows it again
    """
    progress("rebuilding with every layer visible", None)
    trace = wave_format() if wave else None
    harness = build_harness(design, files, folder / "tb" / "sim" / "taps", taps=True, trace=trace)
    expected = graph.evaluate(inputs, trace=True)
    target = folder / "reports" / f"{wave}.{trace}"
    options: dict[str, Any] = {"wave": str(target)} if trace else {}
    target.parent.mkdir(parents=True, exist_ok=True)
    window = max([tap["cycle"] for tap in design["taps"]], default=0) + AFTER
    options["tap_cycles"] = min(window, WINDOW)
    alone = harness.run(frames[frame : frame + 1], tap_frame=0, **options)
    found = _compare(graph, design, alone, expected, 0)
    if found is None:  # only wrong after other frames: offer them all
        stream = harness.run(frames[: frame + 1], tap_frame=frame, **options)
        found = _compare(graph, design, stream, expected, frame)
        if found is not None:
            found["note"] = f"only after the {frame} frames before it"
    if found is None:
        found = {"layer": None, "note": "it does not happen again with every layer visible"}
    found["waveform"] = target.relative_to(folder).as_posix() if trace and target.is_file() else None
    found["replay"] = replay
    return found


def _compare(
    graph: Graph, design: dict[str, Any], seen: Transfers, expected: dict[str, IntArray], frame: int
) -> dict[str, Any] | None:
    """Return the first tap, in graph order, whose value for `frame` is not the trace's; then the outputs."""
    if len(seen.accepted) <= frame:
        return {"layer": "input", "note": "the design never accepted the frame"}
    start = int(seen.accepted[frame])
    cycles, words = seen.taps
    last = max([tap["cycle"] for tap in design["taps"]], default=0)
    agree: list[str] = []
    taps = unpack_ports(design["taps"], words, key="node")
    for tap in design["taps"]:
        row = np.flatnonzero(cycles == start + tap["cycle"])
        if not len(row):
            continue
        got = taps[tap["node"]][row[0]]
        where = {
            "cycle": tap["cycle"],
            "of_cycles": last,
            "signal": tap.get("signal") or f"{design['top']}.{tap['port']}",
        }
        found = _differs(graph, tap["node"], tap, expected[tap["node"]], got)
        if found is not None:
            return {**found, **where, "agree": agree}
        agree.append(tap["node"])
    if len(seen.produced) <= frame:
        return {"layer": "output", "note": "the frame never came out", "agree": agree}
    outputs = unpack_ports(design["outputs"], seen.outputs)
    for port in design["outputs"]:
        found = _differs(graph, port["name"], port, expected[port["name"]], outputs[port["name"]][frame])
        if found is not None:
            cycle = int(seen.produced[frame]) - start
            where = {"cycle": cycle, "of_cycles": cycle, "signal": f"{design['top']}.{port['port']}"}
            return {**found, **where, "agree": agree}
    return None


def _differs(graph: Graph, node: str, port: dict[str, Any], expected: IntArray, got: IntArray) -> dict[str, Any] | None:
    want = np.asarray(expected).reshape(-1)
    bad = np.flatnonzero(np.asarray(want != got, dtype=bool))
    if not len(bad):
        return None
    element = int(bad[0])
    fmt = graph.types[node].fmt
    low = element * port["width"]
    return {
        "layer": node,
        "element": element,
        "differing_elements": len(bad),
        "graph_integer": int(want[element]),
        "rtl_integer": int(got[element]),
        "graph_value": _value(fmt, want[element]),
        "rtl_value": _value(fmt, got[element]),
        "type": str(fmt),
        "bits": [low + port["width"] - 1, low],
    }


def _value(fmt: FixedPoint, integer: Any) -> float:
    return float(fmt.to_float(np.asarray(integer)))
