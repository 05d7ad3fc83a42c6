"""Reports that Vivado wrote, read back: `import_reports` makes cost tables of them.

Read are report_utilization (flat and ``-hierarchical``), report_timing_summary and report_power, as Vivado 2019.2 to
2024.2 write them (UG906, UG835). Which report a file is stands in its header (``| Command``), not in its name. A file
of another version, or one that is cut short, is refused with its line: a figure that may be wrong is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.cost.layers import GLUE, layers_of
from hwgen.cost.table import CostTable
from hwgen.errors import HwgenError

VERSIONS = tuple(f"{year}.{n}" for year in range(2019, 2025) for n in (1, 2) if (year, n) != (2019, 1))
"""Versions of Vivado whose reports are read."""

STEPS = ("synth", "place", "route")
STATES = {"synthesized": "synth", "optimized": "synth", "placed": "place", "routed": "route"}
"""What ``| Design State`` ends with, and the step it follows."""

KINDS = ("report_utilization", "report_timing_summary", "report_power")
FMAX = "Fmax is derived: 1000 / (clock period - worst slack)"

USED = {
    "LUT": ("CLB LUTs", "Slice LUTs"),
    "FF": ("CLB Registers", "Slice Registers"),
    "DSP": ("DSPs",),
    "BRAM_18K": ("Block RAM Tile",),
}
"""Rows of the flat utilization by metric; the first name is UltraScale's, the second 7-series'. A tile is two 18K."""

HIERARCHY = {"LUT": "Total LUTs", "FF": "FFs"}


@dataclass(frozen=True)
class Report:
    """A report: its file, its lines, and what its header says."""

    file: Path
    lines: tuple[str, ...]
    version: str
    command: str
    step: str
    device: str | None

    @property
    def kind(self) -> str:
        """Which report it is; a hierarchical utilization is one of its own."""
        name = self.command.split()[0]
        return f"{name} -hierarchical" if name == KINDS[0] and "-hierarchical" in self.command else name

    def fault(self, line: int, what: str, **more: str) -> HwgenError:
        """Return an error at a line, counted from 0."""
        return HwgenError(what, where=f"{self.file}:{line + 1}", **more)

    def rows(self, start: int = 0) -> Iterator[tuple[int, list[str]]]:
        """Yield every table row from a line on: its line and its cells, the first with its indentation."""
        for index in range(start, len(self.lines)):
            text = self.lines[index]
            if text.startswith("|") and text.rstrip().endswith("|"):
                cells = text.rstrip()[1:-1].split("|")
                yield index, [cells[0].rstrip(), *(cell.strip() for cell in cells[1:])]


def import_reports(folder: Path, design: Mapping[str, Any] | None = None) -> list[CostTable]:
    """Return a table for each step (synth, place, route) of which `folder` holds reports.

    Parameters
    ----------
    folder : where the ``.rpt`` files are, as ``synth_ooc.tcl`` of the hand-off writes them
    design : the content of design.json, which says what layer an instance belongs to (`layers_of`); without it every
        instance below the core is a row

    Raises
    ------
    HwgenError
        If there is no report, one is of an unknown version or cut short, or two say the same thing.
    """
    paths = sorted(folder.glob("*.rpt")) if folder.is_dir() else []
    found: dict[tuple[str, str], Report] = {}
    for path in paths:
        report = read_report(path)
        if report is None:
            continue
        key = (report.step, report.kind)
        if key in found:
            raise HwgenError(
                f"two reports of {report.kind} after {report.step}",
                where=str(path),
                found=f"{found[key].file.name} is one too",
                hint="one folder for each run",
            )
        found[key] = report
    if not found:
        raise HwgenError(
            "no report of Vivado's", where=str(folder), found=f"{len(paths)} files *.rpt", expected=", ".join(KINDS)
        )
    by_step = {step: {kind: r for (at, kind), r in found.items() if at == step} for step in STEPS}
    return [_table(step, reports, design) for step, reports in by_step.items() if reports]


def read_report(path: Path) -> Report | None:
    """Return a report, or None if the file is another report of Vivado's than `KINDS`.

    Raises
    ------
    HwgenError
        If it has no header of Vivado's, a version that is not in `VERSIONS`, or is cut short.
    """
    text = path.read_text(errors="replace")
    lines = tuple(text.splitlines())
    header = _header(path, lines)
    command = header.get("Command", (0, ""))[1]
    if command.split()[:1] and command.split()[0] not in KINDS:
        return None
    if "Command" not in header:
        raise HwgenError("the header names no command", where=f"{path}:{len(lines)}", expected="| Command : report_...")
    line, tool = header.get("Tool Version", (0, ""))
    match = re.match(r"Vivado v\.(\d{4}\.\d)", tool)
    if match is None or match.group(1) not in VERSIONS:
        raise HwgenError(
            "a report of a version of Vivado whose format is not known here",
            where=f"{path}:{line + 1}",
            found=tool or "no Tool Version",
            expected=f"Vivado {VERSIONS[0]} to {VERSIONS[-1]}",
        )
    named = re.search(r"_post_(synth|place|route)_", path.name)
    line, state = header.get("Design State", (0, ""))
    step = named.group(1) if named else STATES.get(state.split()[-1].lower() if state else "")
    if step is None:
        expected = "a name with _post_synth_, _post_place_ or _post_route_, or a Design State that says it"
        raise HwgenError("after which step?", where=f"{path}:{line + 1}", found=state or None, expected=expected)
    device = header.get("Device", (0, None))[1]
    report = Report(path, lines, match.group(1), command, step, device)
    if not text.endswith("\n"):
        raise report.fault(len(lines) - 1, "the report is cut short: its last line has no end", found=lines[-1][:60])
    _check_sections(report)
    return report


def _header(path: Path, lines: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Return the fields of the box at the top with their lines."""
    fields = {}
    for index, text in enumerate(lines[:40]):
        match = re.match(r"\|\s*([A-Z][\w ]*?)\s*:\s*(.*?)\s*$", text)
        if match and match.group(1) not in fields:
            fields[match.group(1)] = (index, match.group(2))
    if "Tool Version" not in fields:
        first = lines[0][:60] if lines else "an empty file"
        raise HwgenError(
            "not a report of Vivado's", where=f"{path}:1", found=first, expected="| Tool Version : Vivado v."
        )
    return fields


def _check_sections(report: Report) -> None:
    """Refuse a report that lacks a section of its own table of contents."""
    if "Table of Contents" not in report.lines:
        return
    start = report.lines.index("Table of Contents") + 2
    titles = []
    for text in report.lines[start:]:
        if not re.match(r"\d+(\.\d+)*\.? \S", text):
            break
        titles.append(text)
    body = report.lines[start + len(titles) :]
    for title in titles:
        if title not in body:
            raise report.fault(
                len(report.lines) - 1, "the report is cut short", found=f"no section {title!r}", hint="write it again"
            )


def _table(step: str, reports: dict[str, Report], design: Mapping[str, Any] | None) -> CostTable:
    total: dict[str, float | None] = {}
    details: dict[str, Any] = {"step": step, "files": {kind: r.file.name for kind, r in reports.items()}}
    rows: tuple[dict[str, Any], ...] = ()
    reasons = []
    for kind, report in reports.items():
        match kind:
            case "report_utilization":
                total |= _utilization(report)
            case "report_utilization -hierarchical":
                whole, rows = _hierarchy(report, design)
                total = {**whole, **total}
            case "report_timing_summary":
                figures, clocks, why = _timing(report)
                total |= figures
                details["clocks_ns"] = clocks
                reasons += why
            case _:
                total["power_mw"] = _power(report)
                reasons.append("power is Vivado's, without recorded activity unless you gave it some")
    versions = sorted({r.version for r in reports.values()})
    devices = [r.device for r in reports.values() if r.device]
    order = ("report_utilization", "report_timing_summary", "report_power")
    device = next(
        (reports[k].device for k in order if k in reports and reports[k].device), devices[0] if devices else None
    )
    reason = "; ".join([f"after {step}", *reasons])
    return CostTable(
        "imported",
        "vivado",
        device,
        f"Vivado {', '.join(versions)}",
        reason=reason,
        total=total,
        layers=rows,
        details=details,
    )


def _utilization(report: Report) -> dict[str, float | None]:
    """Return the figures of a flat utilization."""
    used: dict[str, tuple[int, str]] = {}
    column = None
    for index, cells in report.rows():
        if "Used" in cells:
            column = cells.index("Used")
        elif column is not None and column < len(cells):
            used.setdefault(cells[0].strip().rstrip("*"), (index, cells[column]))
    total: dict[str, float | None] = {}
    for metric, names in USED.items():
        name = next((n for n in names if n in used), None)
        if name is None:
            raise report.fault(
                len(report.lines) - 1,
                "the report is cut short",
                found=f"no row {' or '.join(names)}",
                hint="write it again",
            )
        index, text = used[name]
        value = _number(report, index, text)
        total[metric] = 2 * value if metric == "BRAM_18K" else value
    return total


def _hierarchy(
    report: Report, design: Mapping[str, Any] | None
) -> tuple[dict[str, float | None], tuple[dict[str, Any], ...]]:
    """Return the figures of the top and of the layers in a hierarchical utilization."""
    instances = _instances(report)
    inside = next((k for k, row in enumerate(instances) if row[1] == "u_core"), 0)
    core, parts = instances[inside][0], []
    for row in instances[inside + 1 :]:
        if row[0] <= core:
            break
        parts += [row] if row[0] == core + 1 else []
    modules = {
        name: re.sub(r"(__parameterized\d+|_\d+)*$", "", m) if m.startswith("hg_") else m for _, name, m, _ in parts
    }
    layers = layers_of(modules, design) if design else {name: name.removeprefix("u_") for name in modules}
    whole = instances[0][3]
    rows = {layer: dict.fromkeys(whole, 0.0) for layer in layers.values() if layer != GLUE}
    for _, name, _, figures in parts:
        for key, value in figures.items() if layers[name] != GLUE else ():
            rows[layers[name]][key] += value
    rest = {key: value - sum(row[key] for row in rows.values()) for key, value in whole.items()}
    return _plain(whole), (
        *({"layer": name, **_plain(row)} for name, row in rows.items()),
        {"layer": GLUE, **_plain(rest)},
    )


def _instances(report: Report) -> list[tuple[int, str, str, dict[str, float]]]:
    """Return depth, name, module and figures of every instance."""
    head: list[str] | None = None
    found = []
    for index, cells in report.rows():
        if cells[0].strip() == "Instance":
            head = cells
        elif head is not None and len(cells) == len(head):
            depth = (len(cells[0]) - len(cells[0].lstrip()) - 1) // 2
            name = cells[0].strip()
            if not name.startswith("("):  # what an instance has itself, beside those in it
                found.append((depth, name, cells[1], _instance(report, index, dict(zip(head, cells, strict=True)))))
    if not found:
        raise report.fault(len(report.lines) - 1, "the report is cut short", found="no table of instances")
    return found


def _instance(report: Report, index: int, row: dict[str, str]) -> dict[str, float]:
    figures = {metric: _number(report, index, row.get(title, "")) for metric, title in HIERARCHY.items()}
    blocks = next((row[title] for title in ("DSP Blocks", "DSP48 Blocks") if title in row), "")
    figures["DSP"] = _number(report, index, blocks)
    halves = [_number(report, index, row.get(title, "")) for title in ("RAMB36", "RAMB18")]
    return figures | {"BRAM_18K": 2 * halves[0] + halves[1]}


def _plain(row: dict[str, float]) -> dict[str, float | None]:
    return {key: int(value) if value == int(value) else value for key, value in row.items()}


def _timing(report: Report) -> tuple[dict[str, float | None], dict[str, float], list[str]]:
    """Return worst slack and derived Fmax, the clocks' periods by name, and what a reader must know."""
    at = next((k for k, text in enumerate(report.lines) if re.match(r"\s+WNS\(ns\)\s+TNS\(ns\)", text)), None)
    if at is None or at + 2 >= len(report.lines):
        raise report.fault(len(report.lines) - 1, "the report is cut short", found="no Design Timing Summary")
    cells = report.lines[at + 2].split()
    titles = re.split(r"\s{2,}", report.lines[at].strip())
    if len(cells) < len(titles):
        raise report.fault(at + 2, "the report is cut short", found=report.lines[at + 2].strip() or "an empty line")
    clocks = {}
    for text in report.lines[at:]:
        match = re.match(r"\s*(\S+)\s+\{[^}]*\}\s+(\d+\.\d+)\s+(\d+\.\d+)\s*$", text)
        if match:
            clocks[match.group(1)] = float(match.group(2))
    if "| Timing Details" not in report.lines:
        raise report.fault(len(report.lines) - 1, "the report is cut short", found="no section Timing Details")
    if cells[0] == "NA":
        return {"worst_slack_ns": None, "fmax_mhz": None}, clocks, ["no path is constrained: no slack"]
    slack = _number(report, at + 2, cells[0])
    if len(clocks) != 1:
        why = f"{len(clocks)} clocks: no Fmax is derived"
        return {"worst_slack_ns": slack, "fmax_mhz": None}, clocks, [why]
    (period,) = clocks.values()
    return {"worst_slack_ns": slack, "fmax_mhz": round(1000 / (period - slack), 2)}, clocks, [FMAX]


def _power(report: Report) -> float:
    """Return the total on-chip power, mW."""
    for index, cells in report.rows():
        if cells[0].strip() == "Total On-Chip Power (W)":
            return round(1000 * _number(report, index, cells[1].split("(")[0].strip()), 6)
    raise report.fault(len(report.lines) - 1, "the report is cut short", found="no row Total On-Chip Power (W)")


def _number(report: Report, index: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise report.fault(index, "not a number", found=text or "an empty cell") from None
    return int(value) if value == int(value) else value
