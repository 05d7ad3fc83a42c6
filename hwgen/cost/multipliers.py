"""Registers around ECP5 multipliers, moved into the input and output registers of those blocks; yosys does not do it.

A block without its own registers is a path from a flip-flop over wires into the block, through it (3.9 ns on the
slowest grade) and over wires into a flip-flop. With both, the wires before and behind it have a cycle for themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

BLOCK, REGISTER = "MULT18X18D", "TRELLIS_FF"
_LINKS = {"CLK0": None, "CE0": "1", "RST0": "0"}


def absorb_registers(netlist: dict[str, Any]) -> int:
    """Let multipliers keep operands and products in registers of their own, in place; return how many now do.

    A product is taken in if every bit that is read is read by one flip-flop and nothing else; a pair of operands, if
    every bit of both comes from a flip-flop (which stays if it has other readers). All of one clock, without enable and
    without set or reset: the same function, in the same cycle.

    Parameters
    ----------
    netlist : yosys' JSON of a flat, mapped design
    """
    return sum(_Module(module).absorb() for module in netlist["modules"].values())


def blocks(netlist: Mapping[str, Any]) -> int:
    """Return how many multipliers a mapped design has."""
    cells = [cell for module in netlist["modules"].values() for cell in module["cells"].values()]
    return sum(cell["type"] == BLOCK for cell in cells)


class _Module:
    """A module of the netlist: who drives and who reads each net."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        self.cells: dict[str, Any] = module["cells"]
        self.driver: dict[int, str] = {}
        self.readers: dict[int, list[tuple[str, str]]] = {}  # cell and port, or "" and a port of the module
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                for bit in bits:
                    if cell["port_directions"][port] == "output":
                        self.driver[bit] = name
                    else:
                        self.readers.setdefault(bit, []).append((name, port))
        for port, row in module["ports"].items():
            for bit in row["bits"] if row["direction"] != "input" else ():
                self.readers.setdefault(bit, []).append(("", port))

    def absorb(self) -> int:
        """Move what can be moved; return the number of blocks that took something in."""
        found = [(name, cell) for name, cell in self.cells.items() if cell["type"] == BLOCK]
        return sum(self._absorb(name, block) for name, block in found if "CLK0" not in block["connections"])

    def _absorb(self, name: str, block: dict[str, Any]) -> bool:
        behind, before = self._behind(block), self._before(block)
        clocks = {self._clock(register) for register in (*behind.values(), *before.values())}
        if len(clocks) > 1:
            return False
        links, parameters = block["connections"], block["parameters"]
        for port, register in behind.items():
            links[port] = self.cells.pop(register)["connections"]["Q"]
            self.driver[links[port][0]] = name
        for port, register in before.items():
            ((bit,), links[port]) = links[port], self.cells[register]["connections"]["DI"]
            self.readers[bit].remove((name, port))
            self.readers.setdefault(links[port][0], []).append((name, port))
            if not self.readers[bit]:
                del self.cells[register]
        for clock in clocks:
            links |= {port: [clock if bit is None else bit] for port, bit in _LINKS.items()}
            block["port_directions"] |= dict.fromkeys(_LINKS, "input")
        for place in (["OUTPUT"] if behind else []) + (["INPUTA", "INPUTB"] if before else []):
            parameters |= {f"REG_{place}_{port[:-1]}": port for port in _LINKS}
        return bool(clocks)

    def _clock(self, register: str) -> Any:
        return self.cells[register]["connections"]["CLK"][0]

    def _behind(self, block: Mapping[str, Any]) -> dict[str, str]:
        """Return by output port of a block the flip-flop behind it; nothing if they cannot be taken in."""
        found: dict[str, str] = {}
        for port, bit in _ports(block, "P"):
            users = self.readers.get(bit, [])
            if not users:
                continue
            name, pin = users[0]
            if len(users) > 1 or pin != "DI" or not _plain(self.cells.get(name)):
                return {}
            found[port] = name
        return found

    def _before(self, block: Mapping[str, Any]) -> dict[str, str]:
        """Return by input port of a block the flip-flop before it; nothing if they cannot be taken in."""
        found = {}
        for port, bit in _ports(block, "AB"):
            if isinstance(bit, str):  # a constant is the same a cycle later
                continue
            name = self.driver.get(bit, "")
            if not _plain(self.cells.get(name)):
                return {}
            found[port] = name
        return found


def _ports(block: Mapping[str, Any], letters: str) -> Iterator[tuple[str, Any]]:
    """Yield the ports of a block whose names are one of these letters and a number, with their nets."""
    for port, (bit,) in list(block["connections"].items()):
        if re.fullmatch(rf"[{letters}]\d+", port):
            yield port, bit


def _plain(cell: Mapping[str, Any] | None) -> bool:
    """Return whether a cell is a flip-flop that takes its input at every rising edge, whatever else happens."""
    if cell is None or cell["type"] != REGISTER:
        return False
    parameters, links = cell["parameters"], cell["connections"]
    always = str(parameters.get("CEMUX", "1")).strip() == "1" and "CE" not in links
    unset = links.get("LSR", ["0"]) == ["0"] and str(parameters.get("LSRMUX", "LSR")).strip() == "LSR"
    return always and unset and "DI" in links and str(parameters.get("CLKMUX", "CLK")).strip() == "CLK"
