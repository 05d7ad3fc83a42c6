"""When each layer gives its first and its last output in one inference: the rows of the report's waterfall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.ir import Graph
from hwgen.ir import nodes as ir


def timeline(design: Mapping[str, Any], prediction: Mapping[str, Any], graph: Graph | None) -> dict[str, Any]:
    """Return the cycles of every layer, counted from the first beat of a frame that enters the empty design.

    Parameters
    ----------
    design : ``rtl/design.json``; its taps hold the cycle of each layer of an unrolled design
    prediction : ``reports/prediction.json``; its taps hold the first and last cycle of each layer of a streaming one
    graph : to know which layers a layer reads; None: every bar of an unrolled design begins at 0

    Returns
    -------
    dict
        ``rows`` with ``layer``, ``first``, ``last`` and ``kind`` (``emits``: from its first to its last output beat;
        ``computes``: from its operands to its result), ``latency_cycles`` and, without rows, ``reason``.
    """
    latency = prediction.get("latency_cycles")
    taps = prediction.get("taps")
    if taps:
        rows = [
            {"layer": tap["node"], "first": tap["first_cycle"], "last": tap["last_cycle"], "kind": "emits"}
            for tap in taps
        ]
        rows.sort(key=lambda row: (row["first"], row["last"]))
    else:
        rows = _unrolled(design, graph)
        if rows and latency is not None and latency > max(row["last"] for row in rows):
            end = max(row["last"] for row in rows)
            rows.append({"layer": "(output registers)", "first": end, "last": latency, "kind": "computes"})
    reason = None if rows else ("this build has no cycles by layer" if design else "the RTL has not been generated")
    return {"latency_cycles": latency, "source": "predicted", "rows": rows, "reason": reason}


def _unrolled(design: Mapping[str, Any], graph: Graph | None) -> list[dict[str, Any]]:
    """Return a row a module of an unrolled design: from its latest operand to its result."""
    taps = [tap for tap in design.get("taps") or [] if tap.get("cycle") is not None]
    done = {tap["node"]: int(tap["cycle"]) for tap in taps}
    rows = [
        {"layer": tap["node"], "first": _start(tap["node"], done, graph), "last": done[tap["node"]], "kind": "computes"}
        for tap in taps
    ]
    return sorted(rows, key=lambda row: (row["last"], row["first"]))


def _start(name: str, done: Mapping[str, int], graph: Graph | None) -> int:
    """Return when the latest operand of a layer is there: that of the nearest layers before it whose cycle is known."""
    if graph is None or name not in graph.by_name:
        return 0
    latest, pending, seen = 0, list(graph.by_name[name].inputs), set()
    while pending:
        operand = pending.pop()
        if operand in seen:
            continue
        seen.add(operand)
        if operand in done:
            latest = max(latest, done[operand])
        elif not isinstance(graph.by_name[operand], ir.Const):
            pending += graph.by_name[operand].inputs
    return min(latest, done[name])
