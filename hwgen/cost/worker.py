"""One yosys job in a process of its own: `python worker.py JOB.json`. Imports nothing of hwgen.

``elaborate`` reads the design and writes it as RTLIL, with the instances of the top and how big each module is.
``map`` maps some of those modules, each by itself, and the top's own logic. ``commands`` runs yosys commands.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from pathlib import Path
from typing import Any

KEPT, OTHER = MARKS = ("keep_hierarchy", "hwgen_other")
"""Attributes of the modules that the top instantiates: mapped here, or by another job."""


def main() -> None:
    """Do the job that the file named on the command line describes."""
    job = json.loads(Path(sys.argv[1]).read_text())
    if job["memory_mb"]:
        limit = job["memory_mb"] << 20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    from pyosys import libyosys as ys

    design = ys.Design()
    result = {"elaborate": _elaborate, "map": _map, "commands": _commands}[job["task"]](job, ys, design)
    Path(job["result"]).write_text(json.dumps(result))


def _commands(job: dict[str, Any], ys: Any, design: Any) -> dict[str, Any]:
    for command in job["commands"]:
        ys.run_pass(command, design)
    return {}


def _elaborate(job: dict[str, Any], ys: Any, design: Any) -> dict[str, Any]:
    for file in job["files"]:
        ys.run_pass(f"read_verilog -sv {file}", design)
    ys.run_pass(f"hierarchy -check -top {job['top']}", design)
    ys.run_pass(f"write_rtlil {job['rtlil']}", design)
    modules = {str(name): module for name, module in design.modules_.items()}
    top = modules["\\" + job["top"]]
    known: dict[str, int] = {}
    instances = {
        str(name).lstrip("\\"): str(cell.type) for name, cell in top.cells_.items() if str(cell.type) in modules
    }
    wires = [top.wire(name) for name in top.ports]
    ports = {str(w.name).lstrip("\\"): ("in" if w.port_input else "out", int(w.width)) for w in wires}
    weights = {m: _weight(ys, modules, m, known) for m in sorted(set(instances.values()))}
    return {"instances": instances, "weights": weights, "ports": ports}


def _weight(ys: Any, modules: dict[str, Any], name: str, known: dict[str, int]) -> int:
    """Return about how much work a module is: bits of its cells' results, products by both widths."""
    if name not in known:
        known[name] = 1
        total = 100
        for cell in modules[name].cells_.values():
            kind = str(cell.type)
            if kind in modules:
                total += _weight(ys, modules, kind, known)
                continue
            widths = [
                cell.getParam(ys.IdString(f"\\{port}_WIDTH")).as_int()
                for port in ("A", "B", "Y", "WIDTH")
                if cell.hasParam(ys.IdString(f"\\{port}_WIDTH"))
            ]
            total += widths[0] * widths[1] if kind == "$mul" else max(widths, default=1)
        known[name] = total
    return known[name]


def _map(job: dict[str, Any], ys: Any, design: Any) -> dict[str, Any]:
    ys.run_pass(f"read_rtlil {job['rtlil']}", design)
    ys.run_pass(f"hierarchy -top {job['top']}", design)
    modules = {str(name): module for name, module in design.modules_.items()}
    top = modules["\\" + job["top"]]
    for kind in {str(cell.type) for cell in top.cells_.values()} & set(modules):
        mark = KEPT if kind in job["modules"] else OTHER
        modules[kind].set_bool_attribute(ys.IdString("\\" + mark), True)
    ys.run_pass(f"select -set other A:{OTHER}", design)
    ys.run_pass("blackbox @other", design)
    scratch = Path(job["scratch"])
    *before, after = job["commands"]
    for command in before:
        ys.run_pass(command, design)
    wanted = {*job["modules"], "\\" + job["top"]}
    memories = {
        str(name): [_memory(ys, cell) for cell in module.cells_.values() if str(cell.type) == "$mem_v2"]
        for name, module in design.modules_.items()
        if str(name) in wanted
    }
    ys.run_pass(f"tee -q -o {scratch / 'map.txt'} {after}", design)
    ys.run_pass(f"tee -q -o {scratch / 'stat.json'} stat -json", design)
    _cut(job["cuts"], ys, design)
    ys.run_pass(f"tee -q -o {scratch / 'ltp.txt'} ltp -noff", design)
    return {"memories": {name: rows for name, rows in memories.items() if rows}, "kinds": _kinds(scratch, design)}


def _cut(cuts: list[tuple[str, list[str] | None, list[str]]], ys: Any, design: Any) -> None:
    """Cut the mapped netlist at its registers, for the longest path between them (ltp knows no vendor's cells).

    A cut is a pattern of cell types; the ports that a clock edge reads, None for a cell that is registered as a whole;
    and parameters of which one must not be 0.
    """
    known = [(re.compile(pattern), ports, flags) for pattern, ports, flags in cuts]
    parts = {str(n) for n, m in design.modules_.items() if any(m.has_attribute(ys.IdString(f"\\{a}")) for a in MARKS)}
    for module in design.modules_.values():
        if module.get_blackbox_attribute():
            continue
        for cell in list(module.cells_.values()):
            if str(cell.type) in parts:  # what is between its ports is not known here
                module.remove(cell)
                continue
            kind = str(cell.type).lstrip("\\")
            for pattern, ports, flags in known:
                if not pattern.fullmatch(kind) or (flags and not any(_set(ys, cell, flag) for flag in flags)):
                    continue
                if ports is None:
                    module.remove(cell)
                else:
                    for port in (ys.IdString("\\" + name) for name in ports):
                        if cell.hasPort(port):
                            cell.unsetPort(port)
                break


def _kinds(scratch: Path, design: Any) -> dict[str, dict[str, int]]:
    """Return, for each module, the types of the cells on its longest path."""
    found: dict[str, dict[str, int]] = {}
    types = {
        str(name).lstrip("\\"): {str(c.name).lstrip("\\"): str(c.type).lstrip("\\") for c in module.cells_.values()}
        for name, module in design.modules_.items()
        if not module.get_blackbox_attribute()
    }
    module = ""
    for line in (scratch / "ltp.txt").read_text().splitlines():
        if head := re.match(r"Longest topological path in (\S+) \(length", line):
            module = head.group(1)
            found[module] = {}
        elif step := re.match(r" *\d+: .* \(via (\S+)\)$", line):
            kind = types.get(module, {}).get(step.group(1).lstrip("\\"), "?")
            found[module][kind] = found[module].get(kind, 0) + 1
    return found


def _set(ys: Any, cell: Any, flag: str) -> bool:
    name = ys.IdString("\\" + flag)
    return bool(cell.hasParam(name) and cell.getParam(name).as_int() != 0)


def _memory(ys: Any, cell: Any) -> dict[str, Any]:
    def number(key: str) -> int:
        return int(cell.getParam(ys.IdString("\\" + key)).as_int())

    return {
        "cell": str(cell.name),
        "words": number("SIZE"),
        "width": number("WIDTH"),
        "writes": number("WR_PORTS"),
        "registered": number("RD_CLK_ENABLE") != 0,
    }


if __name__ == "__main__":
    main()
