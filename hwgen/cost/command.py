"""`hwgen cost DIR`: make the tables of a build folder again, for its own part or another; compare builds."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.cost.parts import find_part
from hwgen.cost.stage import COST, CostRequest, cost_tables, finished, merged, missing_tool, read_cost, write_cost
from hwgen.cost.synth import Limits
from hwgen.cost.table import KINDS, CostTable
from hwgen.errors import HwgenError, OutputError
from hwgen.folder import BuildFolder, read_manifest

if TYPE_CHECKING:
    from hwgen.flow import Screen


@dataclass(frozen=True)
class CostResult:
    """What `cost_folder` returns: the tables made now, and those that reports/cost.json holds besides.

    Parameters
    ----------
    status : "DONE"; "UNMET" (the part is too small), "FAILED" (a tool was killed or failed), "NOT RUN" (one is missing)
    """

    folder: Path
    part: str
    status: str
    reason: str | None
    tables: tuple[CostTable, ...]
    kept: tuple[CostTable, ...]

    @property
    def exit_status(self) -> int:
        """What the command line returns."""
        return {"DONE": 0, "UNMET": 3, "FAILED": 4, "NOT RUN": 4}[self.status]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        tables = [table.to_json() for table in self.tables]
        return {"version": 1, "part": self.part, "status": self.status, "reason": self.reason, "tables": tables}


@dataclass(frozen=True)
class Comparison:
    """The tables of several builds, by folder."""

    builds: dict[str, list[CostTable]]

    def to_json(self) -> dict[str, Any]:
        """Return the tables as plain values."""
        return {"version": 1, "builds": {name: [t.to_json() for t in ts] for name, ts in self.builds.items()}}

    def text(self) -> str:
        """Return the totals side by side."""
        from hwgen.report.cost_block import compared

        return "\n".join(compared(self.builds))


def cost_folder(
    folder: str | Path,
    *,
    part: str | None = None,
    kinds: Sequence[str] = (),
    limit_s: float | None = None,
    reports: str | Path | None = None,
    screen: Screen | None = None,
) -> CostResult:
    """Make the cost tables of a build folder; reports/cost.json keeps those of other kinds and other parts.

    Parameters
    ----------
    folder : a build folder with RTL
    part : as `hardware.part`; default: that of the build
    kinds : some of `KINDS`; default: all that the part's family has
    limit_s : seconds that a synthesis may take, a place and route five times as many; default: as the build was asked
    reports : a folder of Vivado's reports: they are read, nothing is run
    screen : told of progress; default: silent

    Raises
    ------
    HwgenError
        If the folder is not a build folder with RTL, or a part or kind is not known.
    """
    from hwgen.report.progress import Silent
    from hwgen.spec import load_spec

    folder, screen = Path(folder), screen or Silent()
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise HwgenError("not a kind of cost", where="--kind", found=", ".join(unknown), expected=", ".join(KINDS))
    if not (folder / "resolved.yaml").is_file() or not (folder / "rtl" / "design.json").is_file():
        raise OutputError("not a build folder with RTL", where=str(folder), hint="hwgen build FILE")
    spec = load_spec(folder / "resolved.yaml", files=False)
    name = part or spec.part_path
    find_part(name, "--part" if part else "hardware.part")
    seconds = spec.outputs.cost_budget_s if limit_s is None else limit_s
    request = CostRequest(name, tuple(kinds), Limits(seconds=seconds, place_seconds=5 * seconds))
    screen.start("cost")
    start = time.monotonic()
    with BuildFolder(folder) as held:
        before = read_cost(folder)
        made = _imported(Path(reports), folder) if reports is not None else cost_tables(folder, request, screen.update)
        write_cost(folder, spec.part_path, merged(before, made))
        held.replaced("cost", (COST,), complete=finished(made))
    _done(screen, time.monotonic() - start)
    if spec.outputs.report:
        _report(folder)
    status, reason = _status(made)
    kept = tuple(t for t in merged(before, made) if t not in made)
    return CostResult(folder, name, status, reason, tuple(made), kept)


def _report(folder: Path) -> None:
    """Write the report anew, with these figures; a folder without a manifest has tables, but no report."""
    from hwgen.api import show, write_report

    if "spec" in read_manifest(folder):
        write_report(show(folder).report, folder)


def _done(screen: Screen, seconds: float) -> None:
    from hwgen.flow import StageRun

    screen.done(StageRun("cost", seconds))


def _imported(reports: Path, folder: Path) -> list[CostTable]:
    """Read Vivado's reports."""
    from hwgen.cost.vivado import import_reports

    return import_reports(reports, json.loads((folder / "rtl" / "design.json").read_text()))


def _status(tables: Sequence[CostTable]) -> tuple[str, str | None]:
    if (missing := missing_tool(tables)) is not None:
        return "NOT RUN", missing
    failed = [f"{table.kind}: {table.reason}" for table in tables if table.status == "FAILED"]
    if failed:
        return "FAILED", "; ".join(failed)
    short = [
        f"{table.device} is too small: {', '.join(lines)}"
        for table in tables
        if (lines := (table.details.get("fit") or {}).get("short"))
    ]
    return ("UNMET", short[0]) if short else ("DONE", None)


def cost_text(result: CostResult, *, quiet: bool = False) -> str:
    """Return what the command shows."""
    from hwgen.report.cost_block import cost_block

    last = f"{result.status}  {result.folder / COST}"
    if result.reason:
        last = f"{result.status}  {result.reason}   exit {result.exit_status}"
    return last if quiet else "\n".join([*cost_block(result.tables), "", last])


def compare_folders(folders: Sequence[str | Path]) -> Comparison:
    """Read the tables of several build folders; nothing is run.

    Raises
    ------
    OutputError
        If one has none.
    """
    builds = {}
    for folder in (Path(f) for f in folders):
        tables = read_cost(folder)
        if not tables:
            raise OutputError("no costs are known of this build", where=str(folder), hint=f"hwgen cost {folder}")
        builds[folder.name if folder.name not in builds else str(folder)] = tables
    return Comparison(builds)
