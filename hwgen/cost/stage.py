"""The cost stage: the list of tables of a build folder, and reports/cost.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hwgen.cost.fit import with_fit
from hwgen.cost.parts import Part, find_part
from hwgen.cost.synth import Limits, not_run, synthesize
from hwgen.cost.table import KINDS, CostTable
from hwgen.errors import HwgenError, ToolMissing
from hwgen.files import json_bytes, write_if_changed

Progress = Callable[[str, float | None], None]
COST = "reports/cost.json"


@dataclass(frozen=True)
class CostRequest:
    """What is asked for.

    Parameters
    ----------
    part : as ``hardware.part``
    kinds : which of `KINDS`; empty: those that the part's family has
    limits : of one synthesis, and of one place and route
    """

    part: str
    kinds: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


def _predicted(folder: Path, request: CostRequest, part: Part, progress: Progress) -> CostTable | None:
    """Return the table that the rtl stage predicted, if it is for this part."""
    try:
        table = json.loads((folder / "reports" / "prediction.json").read_text()).get("cost")
    except (OSError, ValueError):
        return None
    return CostTable.from_json(table) if table and table.get("device") == part.name else None


def _synthesized(folder: Path, request: CostRequest, part: Part, progress: Progress) -> CostTable | None:
    if part.asic:
        return None
    try:
        return with_fit(synthesize(folder, part, progress, request.limits), part, folder)
    except ToolMissing as error:
        return not_run(part, error)


def _placed(folder: Path, request: CostRequest, part: Part, progress: Progress) -> CostTable | None:
    if part.asic:
        return None
    from hwgen.cost.nextpnr import place

    return with_fit(place(folder, part, progress, request.limits), part, folder)


def _asic(folder: Path, request: CostRequest, part: Part, progress: Progress) -> CostTable | None:
    if not part.asic:
        return None
    from hwgen.cost.asic import asic_table

    return asic_table(folder, part.device, progress=progress, timeout_s=request.limits.seconds)


def _energy(folder: Path, request: CostRequest, part: Part, progress: Progress) -> CostTable | None:
    from hwgen.cost.energy import energy_table

    device, seconds = (part.device if part.asic else part.name), request.limits.seconds
    return energy_table(folder, device, part.family, progress=progress, timeout_s=seconds)


Maker = Callable[[Path, CostRequest, Part, Progress], CostTable | None]

# The tables in the order in which they are made and shown; a function returns None where its kind does not apply.
MAKERS: list[tuple[str, Maker]] = [
    ("predicted", _predicted),
    ("synthesized", _synthesized),
    ("placed", _placed),
    ("asic", _asic),
    ("energy", _energy),
]


def cost_tables(folder: Path, request: CostRequest, progress: Progress) -> list[CostTable]:
    """Make the tables that are asked for.

    Raises
    ------
    SpecError
        If the part is not known.
    """
    part = find_part(request.part)
    wanted = request.kinds or KINDS
    made = [make(folder, request, part, progress) for kind, make in MAKERS if kind in wanted]
    return [table for table in made if table is not None]


def missing_tool(tables: Sequence[CostTable]) -> str | None:
    """Return which tool was not there, if a table could not be made for that reason."""
    return next((str(t.details["missing"]) for t in tables if t.status == "NOT RUN" and t.details.get("missing")), None)


def finished(tables: Sequence[CostTable]) -> bool:
    """Return whether every table was made; what a missing, killed or failed tool left out is tried again next time."""
    return missing_tool(tables) is None and all(table.status != "FAILED" for table in tables)


def write_cost(folder: Path, part: str, tables: Sequence[CostTable]) -> None:
    """Write reports/cost.json: the new tables, and those kept of other kinds or devices that are already there."""
    document = {"version": 1, "part": part, "tables": [table.to_json() for table in tables]}
    write_if_changed(folder / COST, json_bytes(document))


def read_cost(folder: Path) -> list[CostTable]:
    """Return the tables of reports/cost.json; none if the stage has not run.

    Raises
    ------
    HwgenError
        If the file is damaged.
    """
    path = folder / COST
    try:
        document = json.loads(path.read_text())
        return [CostTable.from_json(row) for row in document["tables"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HwgenError(
            f"not a table of costs: {error}", where=str(path), hint="hwgen cost writes it again"
        ) from error


def merged(old: Sequence[CostTable], new: Sequence[CostTable]) -> list[CostTable]:
    """Return `new` with those of `old` that are of another kind or for another device."""
    fresh = {(table.kind, table.device) for table in new}
    tables = [*(t for t in old if (t.kind, t.device) not in fresh), *new]
    return sorted(tables, key=lambda t: KINDS.index(t.kind))
