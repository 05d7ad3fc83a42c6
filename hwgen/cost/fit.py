"""Whether a design fits its part; if not, by how much, and what fold would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwgen.cost.parts import RESOURCES, Part
from hwgen.cost.table import CostTable
from hwgen.errors import HwgenError, RequirementError


def with_fit(table: CostTable, part: Part, folder: Path) -> CostTable:
    """Return the table with ``details["fit"]``: what share of the part is used, what is missing, what would help."""
    used = {key: table.total.get(key) for key in RESOURCES}
    share = {key: used[key] / have for key, have in part.capacity.items() if used.get(key) is not None and have}  # type: ignore[operator]
    short = shortfalls(used, part)
    fit: dict[str, Any] = {"share": {k: round(v, 4) for k, v in share.items()}, "short": short, "source": part.source}
    if short:
        fit["advice"] = advice(used, part, folder)
    return replace(table, details={**table.details, "fit": fit})


def shortfalls(used: Mapping[str, float | None], part: Part) -> list[str]:
    """Return a sentence for each resource of which the part has too few."""
    lines = []
    for key, have in part.capacity.items():
        need = used.get(key)
        if need is not None and need > have:
            percent = f", {100 * need / have:.0f} %" if have else ""
            lines.append(f"{key}: {need:,.0f} of {have:,} ({need - have:,.0f} too many{percent})")
    return lines


def advice(used: Mapping[str, float | None], part: Part, folder: Path) -> str:
    """Return what would fit: a number of multipliers with its interval, or what to change first."""
    design = json.loads((folder / "rtl" / "design.json").read_text())
    if design.get("io_type") != "io_stream":
        return "io_parallel has hardware for every weight: io_stream folds (hardware.reuse_factor), or a larger part"
    multipliers = int((design.get("statistics") or {}).get("multipliers") or 0)
    scale = min(part.capacity[key] / need for key, need in used.items() if need and key in ("LUT", "FF", "DSP"))
    if scale >= 1 or not multipliers:
        return (
            "block RAM does not depend on the fold: fewer weights or narrower ones, smaller pictures, or a larger part"
        )
    budget = int(multipliers * scale * (1.0 if used.get("DSP", 0) else 0.9))
    try:
        interval = _interval(folder, budget)
    except RequirementError as error:
        return f"no fold is that small (one multiplier a layer is {error.expected}): a larger part, or fewer channels"
    except HwgenError:
        return f"hardware.target.max_multipliers: {budget} instead of {multipliers} multipliers, or a larger part"
    return (
        f"hardware.target.max_multipliers: {budget} instead of {multipliers} multipliers, an interval of about "
        f"{interval:,} cycles; or a larger part"
    )


def _interval(folder: Path, budget: int) -> int:
    """Return the interval that a number of multipliers reaches."""
    from hwgen.ir import load_graph
    from hwgen.rtl.stream.folding import FoldRequest, choose_folds

    graph = load_graph(folder / "graph")
    chosen = choose_folds(graph, FoldRequest(reuse_factor=None, max_multipliers=budget))
    return max([chosen.floor_cycles, *(row.cycles for row in chosen.rows)])
