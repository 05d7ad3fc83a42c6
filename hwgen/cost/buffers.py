"""Buffer trees for outputs that drive many inputs; abc puts none behind registers and the ports of a module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.cost.liberty import Library
from hwgen.errors import SpecError

MAX_FANOUT = 16
"""Inputs that one output drives."""


def buffer_cell(library: Library) -> tuple[str, str, str]:
    """Return a buffer of middle size, its input and its output; no clock buffer.

    Raises
    ------
    SpecError
        If the library has none.
    """
    found = []
    for cell in library.cells.values():
        if cell.state or not cell.plain or len(cell.inputs) != 1 or "clk" in cell.name.lower():
            continue
        outputs = [pin for pin, function in cell.functions.items() if function.strip("() ") == cell.inputs[0]]
        found += [(cell.area, cell.name, cell.inputs[0], outputs[0])] if outputs else []
    if not found:
        raise SpecError("the liberty has no buffer", where=str(library.path))
    return sorted(found)[len(found) // 2][1:]


def add_buffers(modules: Mapping[str, Any], library: Library, clock: str) -> int:
    """Put buffer trees into yosys' JSON (its ``modules``), in place; return how many buffers.

    Parameters
    ----------
    clock : the clock's port, which is left alone: it gets a tree of its own when the design is placed
    """
    kind, source, target = buffer_cell(library)
    total = 0
    for module in modules.values():
        cells = module["cells"]
        skipped = set(module["ports"].get(clock, {}).get("bits", []))
        sinks: dict[int, list[tuple[str, str, int]]] = {}
        highest = 1
        for name, cell in cells.items():
            known = library.cells.get(cell["type"])
            for pin, bits in cell["connections"].items():
                for place, bit in enumerate(bits):
                    if not isinstance(bit, int):
                        continue
                    highest = max(highest, bit)
                    if bit not in skipped and _reads(cell, known, pin):
                        sinks.setdefault(bit, []).append((name, pin, place))
        highest = max([highest, *(b for p in module["ports"].values() for b in p["bits"] if isinstance(b, int))])
        highest = max([highest, *(b for n in module["netnames"].values() for b in n["bits"] if isinstance(b, int))])
        for bit, users in sinks.items():
            while len(users) > MAX_FANOUT:
                level: list[tuple[str, str, int]] = []
                for start in range(0, len(users), MAX_FANOUT):
                    highest, name = highest + 1, f"_b{total}_"
                    for user, pin, place in users[start : start + MAX_FANOUT]:
                        cells[user]["connections"][pin][place] = highest
                    cells[name] = _cell(kind, source, bit, target, highest)
                    module["netnames"][f"_n{total}_"] = {"hide_name": 1, "bits": [highest], "attributes": {}}
                    level.append((name, source, 0))
                    total += 1
                users = level
    return total


def _reads(cell: Mapping[str, Any], known: Any, pin: str) -> bool:
    """Return whether a pin reads its net: a data input of a cell, or an input port of a module."""
    if known is not None:
        return pin in known.inputs and pin != known.clock
    return bool(cell.get("port_directions", {}).get(pin) == "input")


def _cell(kind: str, source: str, bit: int, target: str, out: int) -> dict[str, Any]:
    return {
        "hide_name": 0,
        "type": kind,
        "parameters": {},
        "attributes": {},
        "port_directions": {source: "input", target: "output"},
        "connections": {source: [bit], target: [out]},
    }
