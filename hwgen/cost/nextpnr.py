"""Place and route of ECP5 and iCE40 devices with nextpnr: clock, critical path, utilisation.

The design is flattened and stands between two shift registers, since it has more ports than a package has pins.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hwgen.cost.families import family_of
from hwgen.cost.layers import GLUE, layers_of, plain_module
from hwgen.cost.multipliers import absorb_registers, blocks
from hwgen.cost.parts import Part, nextpnr_arguments
from hwgen.cost.synth import WORKER, Limits
from hwgen.cost.table import CostTable
from hwgen.errors import OutputError, ProofError, ToolMissing
from hwgen.tools import cache_dir, yosys
from hwgen.tools.run import run

Progress = Callable[[str, float | None], None]
FAMILIES = {"ecp5": "ecp5", "ice40": "ice40"}
"""Families with an open place and route that hwgen runs: the end of the name of nextpnr and of its package."""
FRAME = "hwgen_frame"
SEED = 1


def find(family: str) -> str:
    """Return the version of nextpnr for a family.

    Raises
    ------
    ToolMissing
        If its package is not installed.
    """
    package = f"yowasp-nextpnr-{FAMILIES[family]}"
    try:
        return f"nextpnr-{FAMILIES[family]} {version(package)}"
    except PackageNotFoundError as error:
        raise ToolMissing(f"{package} is missing: no place and route", hint=f"pip install {package}") from error


def place(folder: Path, part: Part, progress: Progress, limits: Limits) -> CostTable:
    """Return the placed and routed cost of the design in a build folder.

    Parameters
    ----------
    folder : a build folder with ``rtl/``
    part : of another family than ECP5 and iCE40: a table that says so
    limits : `Limits.place_seconds` is for all of it
    """
    if part.family not in FAMILIES:
        reason = "no open place and route for this family: the logic depth is in the synthesized table, no Fmax"
        return CostTable("placed", "nextpnr", part.name, None, "NOT RUN", reason)
    try:
        tool = f"{find(part.family)}, pyosys {yosys.find()}"
    except ToolMissing as error:
        return CostTable("placed", "nextpnr", part.name, None, "NOT RUN", error.what, details={"missing": error.what})
    start = time.monotonic()
    design = json.loads((folder / "rtl" / "design.json").read_text())
    with tempfile.TemporaryDirectory(prefix="hwgen-place-") as scratch:
        work = _Work(folder, design, part, Path(scratch), limits, start)
        try:
            progress("yosys: the whole design, flat", None)
            instances = work.netlist()
            progress("nextpnr: placing and routing", None)
            report = work.nextpnr()
        except (ProofError, OutputError) as error:
            log = Path(scratch) / "nextpnr.log"
            reason = why_failed(error, limits, log.read_text(errors="replace") if log.is_file() else "")
            return CostTable("placed", "nextpnr", part.name, tool, "FAILED", reason, seconds=time.monotonic() - start)
    return _table(part, tool, design, instances, report, time.monotonic() - start)


class _Work:
    """The processes of one place and route."""

    def __init__(
        self, folder: Path, design: Mapping[str, Any], part: Part, scratch: Path, limits: Limits, start: float
    ) -> None:
        self.folder, self.design, self.part = folder, design, part
        self.scratch, self.limits, self.start = scratch, limits, start
        self.placer: tuple[str, ...] = ()

    def _left(self) -> float:
        left = self.limits.place_seconds - (time.monotonic() - self.start)
        if left <= 0:
            raise ProofError("out of time")
        return left

    def _worker(self, name: str, job: dict[str, Any]) -> dict[str, Any]:
        place = self.scratch / name
        place.mkdir()
        result = place / "result.json"
        job |= {"result": str(result), "memory_mb": self.limits.memory_mb}
        (place / "job.json").write_text(json.dumps(job))
        run([sys.executable, WORKER, place / "job.json"], timeout_s=self._left(), log=place / "log")
        value = json.loads(result.read_text())
        assert isinstance(value, dict)
        return value

    def netlist(self) -> dict[str, str]:
        """Write the flat netlist; return the instances of the top with their modules."""
        top = str(self.design["top"])
        files = [str(self.folder / "rtl" / name) for name in self.design["files"] if name != f"{top}_axis.sv"]
        design = self.scratch / "design.il"
        found = self._worker("read", {"task": "elaborate", "files": files, "top": top, "rtlil": str(design)})
        frame = self.scratch / "frame.sv"
        frame.write_text(frame_text(top, found["ports"]))
        family = family_of(self.part)
        commands = [
            f"read_rtlil {design}",
            f"read_verilog -sv {frame}",
            f"{family.command} -top {FRAME}",
            f"write_json {self.scratch / 'netlist.json'}",
        ]
        self._worker("map", {"task": "commands", "commands": commands})
        if self.part.family == "ecp5":
            self._multipliers(self.scratch / "netlist.json")
        instances = found["instances"]
        assert isinstance(instances, dict)
        return instances

    def _multipliers(self, mapped: Path) -> None:
        """Give multipliers their own registers, and the design the placer that suits how many there are."""
        netlist = json.loads(mapped.read_text())
        if absorb_registers(netlist):
            mapped.write_text(json.dumps(netlist))
        available, used = self.part.capacity["DSP"], blocks(netlist)
        # They stand in three rows: where most are taken, the default placer leaves wires a quarter longer.
        self.placer = ("--placer", "static") if available / 2 < used <= available else ()

    def nextpnr(self) -> dict[str, Any]:
        """Place and route; return nextpnr's report."""
        package = f"yowasp_nextpnr_{FAMILIES[self.part.family]}"
        code = f"import sys, {package} as n; sys.exit(n.run_nextpnr_{FAMILIES[self.part.family]}(sys.argv[1:]))"
        # Paths are relative: the program is WebAssembly and has a /tmp of its own.
        free = "--lpf-allow-unconstrained" if self.part.family == "ecp5" else "--pcf-allow-unconstrained"
        arguments = ["--json", "netlist.json", "--report", "report.json", "--timing-allow-fail", free]
        arguments += [*nextpnr_arguments(self.part), "--seed", str(SEED), *self.placer]
        arguments += ["--freq", f"{1000 / float(self.design['clock_period_ns']):.3f}"]
        run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.scratch,
            timeout_s=self._left(),
            log=self.scratch / "nextpnr.log",
            env={"YOWASP_CACHE_DIR": str(cache_dir() / "yowasp")},
        )
        value = json.loads((self.scratch / "report.json").read_text())
        assert isinstance(value, dict)
        return value


def frame_text(top: str, ports: Mapping[str, tuple[str, int]]) -> str:
    """Return the frame: inputs come from a shift register, outputs are loaded into one; clock, reset and two pins.

    Parameters
    ----------
    top : the design's module
    ports : name -> ("in" or "out", bits)
    """
    inputs = {name: bits for name, (way, bits) in ports.items() if way == "in" and name not in ("clk_i", "rst_i")}
    outputs = {name: bits for name, (way, bits) in ports.items() if way == "out"}
    n_in, n_out = max(1, sum(inputs.values())), max(1, sum(outputs.values()))
    lines = [
        f"module {FRAME} (input logic clk, input logic rst, input logic shift, input logic si, output logic so);",
        f"  logic [{n_in - 1}:0] in_q;",
        f"  logic [{n_out - 1}:0] out_q;",
        f"  wire [{n_out - 1}:0] out;",
        "  logic rst_q;",
        "  always_ff @(posedge clk) begin",
        "    rst_q <= rst;",
        f"    in_q <= {'{in_q[' + str(n_in - 2) + ':0], si}' if n_in > 1 else 'si'};",
        f"    out_q <= shift ? {n_out}'(out_q >> 1) : out;",
        "  end",
        "  assign so = out_q[0];",
        f"  {top} dut (",
    ]
    links = ["    .clk_i(clk)"] + (["    .rst_i(rst_q)"] if "rst_i" in ports else [])
    for place, source in ((inputs, "in_q"), (outputs, "out")):
        low = 0
        for name, bits in place.items():
            links.append(f"    .{name}({source}[{low}+:{bits}])")
            low += bits
    return "\n".join([*lines, ",\n".join(links), "  );", "endmodule", ""])


def layers_on(path: Mapping[str, Any], layer_of: Mapping[str, str]) -> list[str]:
    """Return the layers that a critical path of nextpnr's report runs through, in order, no layer twice in a row."""
    met: list[str] = []
    for step in path["path"]:
        names = " ".join(str(part) for part in (step.get("net"), step["from"]["cell"], step["to"]["cell"]) if part)
        found = re.search(r"\bdut\.\\?(u_\w+)", names)
        layer = layer_of.get(found.group(1), GLUE) if found else None
        if layer is not None and (not met or met[-1] != layer):
            met.append(layer)
    return met


def read_report(report: Mapping[str, Any], layer_of: Mapping[str, str]) -> dict[str, Any]:
    """Return from nextpnr's report the clock, its critical path and the utilisation.

    Raises
    ------
    ProofError
        If the report has no clock.
    """
    clocks = report.get("fmax") or {}
    if not clocks:
        raise ProofError("nextpnr reports no clock", found=", ".join(report) or "an empty report")
    slowest = min(clocks, key=lambda name: float(clocks[name]["achieved"]))
    paths = [p for p in report.get("critical_paths") or () if p["from"].endswith(slowest) and p["to"].endswith(slowest)]
    critical = None
    if paths:
        steps = paths[0]["path"]
        met = layers_on(paths[0], layer_of)
        spent: dict[str, float] = {}
        for step in steps:
            spent[str(step["type"])] = spent.get(str(step["type"]), 0.0) + float(step["delay"])
        critical = {
            "layers": met,
            "layer": met[0] if met else None,
            "from": f"{steps[0]['from']['cell']}.{steps[0]['from']['port']}",
            "to": f"{steps[-1]['to']['cell']}.{steps[-1]['to']['port']}",
            "ns": round(sum(spent.values()), 3),
            "by_type_ns": {kind: round(ns, 3) for kind, ns in spent.items()},
            "logic_levels": sum(step["type"] == "logic" for step in steps),
            "nets": [step["net"] for step in steps if step.get("net")],
        }
    return {
        "fmax_mhz": float(clocks[slowest]["achieved"]),
        "critical_path": critical,
        "utilization": {key: dict(value) for key, value in (report.get("utilization") or {}).items()},
    }


COUNTS = {
    "ecp5": {"LUT": "TRELLIS_COMB", "FF": "TRELLIS_FF", "DSP": "MULT18X18D", "BRAM_18K": "DP16KD"},
    "ice40": {"LUT": "ICESTORM_LC", "DSP": "ICESTORM_DSP", "BRAM_18K": "ICESTORM_RAM"},
}
"""Our names for what nextpnr calls its cells; an iCE40 logic cell is a LUT with its register."""


def _table(
    part: Part, tool: str, design: Mapping[str, Any], instances: Mapping[str, str], report: Mapping[str, Any], s: float
) -> CostTable:
    layer_of = layers_of({name: plain_module(module) for name, module in instances.items()}, design)
    found = read_report(report, layer_of)
    used = {key: found["utilization"].get(cell, {}).get("used") for key, cell in COUNTS[part.family].items()}
    note = f"of the design between two shift registers ({FRAME}), whose registers are counted; seed {SEED}"
    total = {**{key: value for key, value in used.items() if value is not None}, "fmax_mhz": found["fmax_mhz"]}
    details = {"critical_path": found["critical_path"], "utilization": found["utilization"]}
    return CostTable("placed", "nextpnr", part.name, tool, "DONE", note, total, (), details, s)


def why_failed(error: ProofError | OutputError, limits: Limits, log: str) -> str:
    """Return in words why there is no placement, from the error of the process and nextpnr's log."""
    text = f"{error.what} {error.found or ''}"
    if "did not end" in text or "out of time" in text:
        return f"yosys and nextpnr did not end within {limits.place_seconds:g} s and were stopped"
    if re.search(r"bad_alloc|MemoryError|[Oo]ut of memory|Cannot allocate", text):
        return f"out of memory: more than {limits.memory_mb} MB"
    if full := re.search(r"no BELs remaining to implement cell type '(\w+)'", text):
        cell = full.group(1)
        counted = re.search(rf"\b{cell}:\s*(\d+)/\s*(\d+)", log)
        by = f": {counted.group(1)} are needed, it has {counted.group(2)}" if counted else ""
        return f"the part is too small: nextpnr finds no place for all {cell}{by}"
    last = [line.strip() for line in (error.found or "").splitlines() if "ERROR" in line]
    return last[-1] if last else error.what
