"""The block "Cost" of the table, and several builds beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwgen.cost.table import METRICS, CostTable
from hwgen.report.cost_remarks import remarks

COLUMNS = ("LUT", "FF", "DSP", "BRAM_18K", "depth", "fmax_mhz", "area_um2", "worst_slack_ns", "power_mw", "energy_nj")
WHAT = {
    "estimate": "formula of hwgen",
    "yosys": "mapped by yosys, not placed",
    "nextpnr": "placed and routed by nextpnr",
    "opensta": "mapped by yosys, timed by OpenSTA",
    "vivado": "read from Vivado's reports",
}


def cost_block(tables: Sequence[CostTable]) -> list[str]:
    """Return a line a table, the layers of the one with the most weight, and what does not fit."""
    if not tables:
        return []
    rows = [row for t in tables for row in (t.total, *t.layers)]
    shown = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    detailed = next((t for kind in ("synthesized", "asic", "predicted") for t in tables if t.kind == kind), None)
    layers = list(detailed.layers) if detailed is not None and detailed.status != "NOT RUN" else []
    width = max([18, *(len(str(row["layer"])) + 2 for row in layers)])
    lines = [f" {'Cost':<{width}}" + "".join(f"{_title(key):>12}" for key in shown)]
    for table in tables:
        name = f" {table.kind:<{width}}"
        if table.status == "NOT RUN" or (table.status == "FAILED" and not table.layers):
            lines.append(f"{name}     {table.status}: {table.reason}")
            continue
        lines.append(f"{name}{_figures(table.total, shown)}  {WHAT[table.source]}, {table.device}")
        lines += [
            f"   {row['layer']:<{width - 2}}{_figures(row, shown)}".rstrip() for row in layers if table is detailed
        ]
        if table.status == "FAILED":
            lines.append(f"   FAILED: {table.reason}")
    return [*lines, *_remarks(tables)]


def _title(key: str) -> str:
    title, unit = METRICS[key]
    return f"{title} {unit}" if unit and key in ("fmax_mhz", "power_mw", "area_um2") else title


def _figures(row: Mapping[str, Any], shown: Sequence[str]) -> str:
    return "".join(f"{_figure(row.get(key)):>12}" for key in shown)


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}" if value < 1e5 else f"{value:,.0f}"


def _remarks(tables: Sequence[CostTable]) -> list[str]:
    lines = []
    for table in tables:
        if table.kind in ("asic", "energy") and table.status == "DONE" and table.reason:
            lines.append(f" {table.kind.upper() if table.kind == 'asic' else 'Energy'}: {table.reason}")
        whose = {"Too small": f"{table.device} ({table.kind}) "}
        lines += [f" {title}: {whose.get(title, '')}{text}" for title, text in remarks(table)]
    return lines


def compared(builds: Mapping[str, Sequence[CostTable]]) -> list[str]:
    """Return the totals of several builds beside each other, a block a kind of table.

    Parameters
    ----------
    builds : name of a build -> its tables
    """
    lines: list[str] = []
    kinds = list(dict.fromkeys((t.kind, t.device) for tables in builds.values() for t in tables))
    width = max(len(name) for name in builds) + 2
    for kind, device in kinds:
        rows = {n: next((t for t in ts if (t.kind, t.device) == (kind, device)), None) for n, ts in builds.items()}
        shown = [key for key in COLUMNS if any(t is not None and t.total.get(key) is not None for t in rows.values())]
        if not shown:
            continue
        lines += ["", f" {kind}, {device}", f" {'':<{width}}" + "".join(f"{_title(key):>12}" for key in shown)]
        for name, table in rows.items():
            what = _figures(table.total, shown) if table is not None else "  no table of this kind"
            lines.append(f" {name:<{width}}{what}")
    return lines[1:]
