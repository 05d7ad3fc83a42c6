"""Area, slack and power of a design in a cell library: yosys maps it, OpenSTA reads the netlist and the SDC.

Every instance of the top keeps its module, so that area, power and the critical path have the names of layers. There is
no placement: no wires, no clock tree.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.cost.buffers import MAX_FANOUT, add_buffers
from hwgen.cost.layers import GLUE, layers_of, plain_module
from hwgen.cost.liberty import Library, find_library
from hwgen.cost.sdc import sdc_text
from hwgen.cost.table import CostTable
from hwgen.errors import HwgenError, ProofError, SpecError, ToolMissing
from hwgen.files import write_if_changed
from hwgen.sim.cocotb_run import core_files
from hwgen.tools import opensta, yosys

Progress = Callable[[str, float | None], None]
NO_WIRES = "before placement: no wires, no clock tree; power at OpenSTA's default activity"


@dataclass(frozen=True)
class Mapped:
    """A design mapped to a cell library, in a folder of its own.

    Parameters
    ----------
    folder : holds ``netlist.v``, ``netlist.json``, ``stat.json`` and ``<top>.sdc``
    layers : instance of the top -> its layer, in graph order
    """

    folder: Path
    library: Library
    design: Mapping[str, Any]
    layers: Mapping[str, str]
    period_ns: float

    @property
    def period(self) -> float:
        """The clock period in the library's unit of time."""
        return self.period_ns * 1e-9 / self.library.time_unit_s

    def row_names(self) -> list[str]:
        """Return the layers in graph order, what belongs to none last."""
        return [*dict.fromkeys(name for name in self.layers.values() if name != GLUE), GLUE]


def asic_table(
    folder: Path,
    library: str,
    clock_period_ns: float | None = None,
    progress: Progress | None = None,
    timeout_s: float = yosys.SYNTHESIS_TIMEOUT_S,
) -> CostTable:
    """Synthesize a build folder's core for a cell library and return area, cells, worst slack and power.

    Parameters
    ----------
    folder : a build folder as far as the rtl stage
    library : ``osu018``, ``osu035``, or the path of a liberty
    clock_period_ns : the design's own if None
    timeout_s : of the synthesis

    Raises
    ------
    SpecError
        If the liberty does not parse, naming file and line, or the folder is not a build folder.
    """
    start = time.monotonic()
    say = progress or (lambda message, fraction: None)
    try:
        mapped = map_design(folder, find_library(library), clock_period_ns, say, timeout_s)
        area = _areas(mapped)
    except (ToolMissing, ProofError) as error:
        missing = isinstance(error, ToolMissing)
        status = "NOT RUN" if missing else "FAILED"
        known = {"missing": error.what} if missing else {}
        return CostTable("asic", "yosys", library, status=status, reason=error.what, details=known)
    tool, reason = f"pyosys {yosys.find()}", NO_WIRES
    details: dict[str, Any] = {"clock_period_ns": mapped.period_ns}
    timing: dict[str, Any] = {"worst_slack_ns": None, "power_mw": None}
    try:
        say("OpenSTA: slack and power", None)
        seen = _timing(mapped)
        timing = {key: seen[key] for key in timing}
        details |= {"critical_path": seen["path"], "negative_slack_ns": seen["total"]}
        tool += f", OpenSTA {opensta.find().version}"
    except HwgenError as error:
        reason = f"slack and power are not known: {error.what}"
        details |= {"missing": error.what} if isinstance(error, ToolMissing) else {}
    names = mapped.row_names()
    rows = [{"layer": name, **area[name]} for name in names]
    total = {key: sum(area[name][key] for name in names) for key in ("cells", "FF", "area_um2")}
    return CostTable(
        "asic",
        "opensta" if timing["worst_slack_ns"] is not None else "yosys",
        mapped.library.name,
        tool,
        reason=reason,
        total=total | timing,
        layers=tuple(rows),
        details=details,
        seconds=round(time.monotonic() - start, 1),
    )


def map_design(
    folder: Path,
    library: Library,
    clock_period_ns: float | None = None,
    progress: Progress | None = None,
    timeout_s: float = yosys.SYNTHESIS_TIMEOUT_S,
) -> Mapped:
    """Map the core to the library's cells, unless that has been done; return where.

    Raises
    ------
    ToolMissing
        Without pyosys.
    ProofError
        If yosys fails or leaves something that is no cell of the library.
    """
    design, files = _read(folder)
    period_ns = clock_period_ns or float(design["clock_period_ns"])
    where = folder / "cost" / f"asic_{Path(library.name).stem}"
    period = period_ns * 1e-9 / library.time_unit_s
    unit = {1e-9: "ns", 1e-12: "ps"}.get(library.time_unit_s, f"{library.time_unit_s:g} s")
    key = _key(files, library, period_ns)
    stamp = where / "mapped.json"
    if stamp.is_file() and (known := json.loads(stamp.read_text()))["key"] == key:
        return Mapped(where, library, design, known["layers"], period_ns)
    where.mkdir(parents=True, exist_ok=True)
    (progress or (lambda message, fraction: None))(f"yosys: {library.name}", None)
    write_if_changed(where / f"{design['top']}.sdc", sdc_text(design, period, unit).encode())
    instances = _elaborate(where, files, str(design["top"]))
    layers = layers_of({name: plain_module(kind) for name, kind in instances.items()}, design)
    _map(where, library, design, sorted(set(instances.values())), period_ns, timeout_s)
    write_if_changed(stamp, json.dumps({"key": key, "layers": layers}, indent=2).encode())
    return Mapped(where, library, design, layers, period_ns)


def _read(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    try:
        design = json.loads((folder / "rtl" / "design.json").read_text())
    except OSError as error:
        raise SpecError(
            "this is not a build folder as far as the rtl stage", where=str(folder), hint="run `hwgen build FILE` first"
        ) from error
    return design, core_files(design, [folder / "rtl" / name for name in design["files"]])


def _key(files: list[Path], library: Library, period_ns: float) -> str:
    total = hashlib.sha256(f"{yosys.find()} {library.digest} {period_ns} {MAX_FANOUT} 2".encode())
    for path in files:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def _elaborate(where: Path, files: list[Path], top: str) -> dict[str, str]:
    """Read the design and keep it as RTLIL; return the instances of the top and their modules."""
    commands = [*(f"read_verilog -sv -DSYNTHESIS {file}" for file in files), f"hierarchy -check -top {top}"]
    commands += [f"write_rtlil {where / 'design.il'}", f"select {top}", "proc"]
    commands += [f"write_json -selected {where / 'top.json'}"]
    yosys.script(commands, log=where / "elaborate.log")
    cells = json.loads((where / "top.json").read_text())["modules"][top]["cells"]
    return {name: cell["type"] for name, cell in cells.items() if not re.match(r"\$[a-z_0-9]+$", cell["type"])}


def _map(
    where: Path, library: Library, design: Mapping[str, Any], kinds: list[str], period_ns: float, timeout_s: float
) -> None:
    """Map everything to cells, with buffers; modules named by yosys get names that every reader takes."""
    optimise = "strash; &get -n; &fraig -x; &put; scorr; dc2; strash; &get -n; &dch -f; &nf -D {0}; &put; "
    optimise += f"buffer -N {MAX_FANOUT}; topo; upsize -D {{0}}; dnsize -D {{0}}; stime -p\n"
    (where / "abc.script").write_text(optimise.format(round(period_ns * 1000)))
    yosys.script(
        [
            f"read_rtlil {where / 'design.il'}",
            *(f"setattr -mod -set keep_hierarchy 1 {kind}" for kind in kinds),
            f"synth -noabc -flatten -top {design['top']}",
            f"dfflibmap -liberty {library.path}",
            f"abc -liberty {library.path} -script {where / 'abc.script'}",
            "setundef -zero",
            "opt_clean -purge",
            "delete t:$scopeinfo",
            "splitnets",
            "rename -enumerate",
            f"write_json {where / 'netlist.json'}",
        ],
        log=where / "synth.log",
        timeout_s=timeout_s,
    )
    text = (where / "netlist.json").read_text()
    for number, kind in enumerate(kind for kind in kinds if "$" in kind):
        text = text.replace(kind.replace("\\", "\\\\"), f"{plain_module(kind)}_{number}")
    document = json.loads(text)
    add_buffers(document["modules"], library, str(design["clock"]))
    (where / "netlist.json").write_text(json.dumps(document))
    commands = [f"read_json {where / 'netlist.json'}"]
    commands += [f"write_verilog -noattr -noexpr -nohex -nodec -simple-lhs {where / 'netlist.v'}"]
    yosys.script(commands, log=where / "write.log")


def _areas(mapped: Mapped) -> dict[str, dict[str, float]]:
    """Return cells, flip-flops and area by layer."""
    modules = json.loads((mapped.folder / "netlist.json").read_text())["modules"]
    top = str(mapped.design["top"])
    rows = {name: {"cells": 0, "FF": 0, "area_um2": 0.0} for name in mapped.row_names()}
    for name, cell in modules[top]["cells"].items():
        layer = mapped.layers.get(name, GLUE)
        inside = modules[cell["type"]]["cells"].values() if cell["type"] in modules else [cell]
        for part in inside:
            kind = mapped.library.cells.get(part["type"])
            if kind is None:
                raise ProofError(
                    "yosys left what is no cell of the library",
                    where=f"{mapped.folder / 'netlist.v'}: {layer}",
                    found=part["type"],
                )
            rows[layer]["cells"] += 1
            rows[layer]["FF"] += kind.state is not None
            rows[layer]["area_um2"] += kind.area
    return rows


def _timing(mapped: Mapped) -> dict[str, Any]:
    """Return what OpenSTA says of the netlist: slack, the longest path and power."""
    commands = [*link(mapped), "report_worst_slack -digits 6", "report_tns -digits 6", "report_checks -digits 4"]
    text = opensta.script("\n".join([*commands, "report_power -digits 6"]) + "\n", mapped.folder / "sta.log")
    to_ns = mapped.library.time_unit_s / 1e-9
    slack, total = (re.search(rf"^{what} (\S+)$", text, re.M) for what in ("worst slack", "tns"))
    power = re.search(r"^Total(?:\s+\S+){3}\s+(\S+)", text, re.M)
    if not (slack and total and power):
        raise ProofError("OpenSTA's reports cannot be read", where=str(mapped.folder / "sta.log"))
    return {
        "worst_slack_ns": round(float(slack.group(1)) * to_ns, 4),
        "total": round(float(total.group(1)) * to_ns, 4),
        "power_mw": float(f"{float(power.group(1)) * 1e3:.6g}"),  # reported in watts
        "path": _path(text, mapped),
    }


def link(mapped: Mapped) -> list[str]:
    """Return the commands that read library, netlist and constraints into OpenSTA."""
    top = mapped.design["top"]
    return [
        f"read_liberty {mapped.library.path}",
        f"read_verilog {mapped.folder / 'netlist.v'}",
        f"link_design {top}",
        f"read_sdc {mapped.folder / f'{top}.sdc'}",
    ]


def _path(text: str, mapped: Mapped) -> dict[str, Any] | None:
    """Return start, end, delay and the layers on the way of the first path of `report_checks`."""
    start, end = (re.search(rf"^{what}: (\S+)", text, re.M) for what in ("Startpoint", "Endpoint"))
    if start is None or end is None:
        return None
    words = [line.split() for line in text.partition("data arrival time")[0].splitlines()]
    points = [row[-2] for row in words if len(row) >= 5 and row[-3] in ("v", "^") and row[-1].startswith("(")]
    arrival = re.search(r"^ +(\S+) +data arrival time$", text, re.M)
    instances = [point.split("/")[0] for point in points if "/" in point]
    known = [mapped.layers.get(instance, GLUE) for instance in instances]
    return {
        "from": start.group(1),
        "to": end.group(1),
        "layers": list(dict.fromkeys(known)) or [GLUE],
        "logic_levels": max(len(points) - 2, 0),
        "ns": round(float(arrival.group(1)) * mapped.library.time_unit_s * 1e9, 4) if arrival else None,
    }
