"""The mapped netlist, gate by gate: recorded ports are replayed on it, and what toggles on every net is counted.

Verilator takes minutes for a hundred thousand cells; a gate is a truth table, and looking it up is quick. The replay is
also a check of the netlist: from random register values and a reset, every output must be what the RTL gave.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.cost.liberty import Cell, Library
from hwgen.errors import ProofError
from hwgen.tools import cache_dir, gxx
from hwgen.tools.run import run

SOURCE = Path(__file__).parent / "templates" / "gates.cpp"
MOST_INPUTS = 6
ALWAYS = 0xFFFFFFFF
RESET_CYCLES = 4
REPLAY_TIMEOUT_S = 900.0


@dataclass
class Netlist:
    """Gates and registers over numbered nets; 0 and 1 are the constants.

    Parameters
    ----------
    gates : rows (output net, truth table, input nets), sources first
    flops : rows (state net, truth table of the next state, input nets)
    pins : (instance path, pin, net) of every pin but clocks
    ports : (port, bit) -> net
    nets : how many
    """

    nets: int = 2
    gates: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    flops: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    pins: list[tuple[str, str, int]] = field(default_factory=list)
    ports: dict[tuple[str, int], int] = field(default_factory=dict)

    def new(self) -> int:
        """Return a net that nobody uses yet."""
        self.nets += 1
        return self.nets - 1


@dataclass(frozen=True)
class Counts:
    """What a replay counted, by net: toggles, and cycles at 1, in `cycles` cycles."""

    toggles: np.ndarray[Any, np.dtype[np.uint32]]
    ones: np.ndarray[Any, np.dtype[np.uint32]]
    cycles: int


def truth_table(function: str, names: tuple[str, ...]) -> int:
    """Return the truth table of a Liberty function: bit i is its value where input k is bit k of i.

    Operators, strongest first: ``!`` before and ``'`` behind; ``*``, ``&`` or nothing: and; ``^``; ``+`` or ``|``: or.
    """
    full = (1 << (1 << len(names))) - 1
    columns = {name: sum(1 << i for i in range(1 << len(names)) if i >> k & 1) for k, name in enumerate(names)} | {
        "0": 0,
        "1": full,
    }
    tokens = [*re.findall(r"[A-Za-z_]\w*|[01()!'*&^+|]", function), ""]

    def primary(at: int) -> tuple[int, int]:
        if tokens[at] == "!":
            value, at = primary(at + 1)
            return full ^ value, at
        if tokens[at] == "(":
            value, at = either(at + 1)
            if tokens[at] != ")":
                raise KeyError(function)
        else:
            value = columns[tokens[at]]
        at += 1
        while tokens[at] == "'":
            value, at = full ^ value, at + 1
        return value, at

    def both(at: int) -> tuple[int, int]:
        value, at = primary(at)
        while tokens[at] not in ("", ")", "^", "+", "|"):
            other, at = primary(at + (tokens[at] in "*&"))
            value &= other
        return value, at

    def differ(at: int) -> tuple[int, int]:
        value, at = both(at)
        while tokens[at] == "^":
            other, at = both(at + 1)
            value ^= other
        return value, at

    def either(at: int) -> tuple[int, int]:
        value, at = differ(at)
        while tokens[at] in ("+", "|") and tokens[at]:
            other, at = differ(at + 1)
            value |= other
        return value, at

    value, end = either(0)
    if tokens[end]:
        raise KeyError(function)
    return value


class _Reader:
    """Flattens yosys' JSON: the top, and the modules of its instances."""

    def __init__(self, modules: Mapping[str, Any], library: Library) -> None:
        self.modules, self.library, self.netlist = modules, library, Netlist()
        self.tables: dict[tuple[str, tuple[str, ...]], int] = {}

    def module(self, name: str, path: str, outside: Mapping[int, int]) -> None:
        """Add a module; `outside` says which nets its port bits are."""
        module, known = self.modules[name], dict(outside)

        def net(bit: int | str) -> int:
            if isinstance(bit, str):
                return int(bit == "1")
            if bit not in known:
                known[bit] = self.netlist.new()
            return known[bit]

        if not path:
            for port, row in module["ports"].items():
                for index, bit in enumerate(row["bits"]):
                    self.netlist.ports[(port, index)] = net(bit)
        for inner, cell in module["cells"].items():
            kind, wires = cell["type"], cell["connections"]
            if kind in self.modules:
                self.module(
                    kind, f"{path}{inner}/", self.through(kind, {p: [net(b) for b in w] for p, w in wires.items()})
                )
            elif kind != "$scopeinfo":
                self.cell(f"{path}{inner}", self.library.cells[kind], {p: net(b[0]) for p, b in wires.items() if b})

    def through(self, kind: str, wires: Mapping[str, list[int]]) -> dict[int, int]:
        """Return which net each port bit of an instance is; outputs that are a constant or an input become gates."""
        inner: dict[int, int] = {}
        ports = self.modules[kind]["ports"]
        for port in sorted(wires, key=lambda p: ports[p]["direction"] == "output"):
            for bit, outer in zip(ports[port]["bits"], wires[port], strict=True):
                if isinstance(bit, str):
                    if ports[port]["direction"] == "output":
                        self.netlist.gates.append((outer, 0b10, (int(bit == "1"),)))
                elif inner.setdefault(bit, outer) != outer:
                    self.netlist.gates.append((outer, 0b10, (inner[bit],)))
        return inner

    def cell(self, path: str, cell: Cell, wires: Mapping[str, int]) -> None:
        """Add a gate or a register."""
        netlist = self.netlist
        names = tuple(pin for pin in cell.inputs if pin in wires and pin != cell.clock)
        inputs = tuple(wires[pin] for pin in names)
        if not cell.plain or len(names) + bool(cell.state) > MOST_INPUTS:
            raise ProofError(f"cell {cell.name} cannot be replayed: latch, set, clear, or too many inputs")
        netlist.pins += [(path, pin, wires[pin]) for pin in (*names, *cell.functions) if pin in wires]
        if cell.state:
            direct = next(
                (p for p, f in cell.functions.items() if f.strip("() ") == cell.state[0] and p in wires), None
            )
            state = wires[direct] if direct else netlist.new()
            if state == 0:
                state = netlist.new()
            names, inputs = (*names, cell.state[0]), (*inputs, state)
            netlist.flops.append((state, self.table(cell.next_state, names), inputs))
        else:
            direct = None
        for pin, function in cell.functions.items():
            if pin in wires and pin != direct:
                function = re.sub(rf"\b{cell.state[1]}\b", f"(!{cell.state[0]})", function) if cell.state else function
                netlist.gates.append((wires[pin], self.table(function, names), inputs))

    def table(self, function: str, names: tuple[str, ...]) -> int:
        """Return a truth table, each computed once."""
        key = (function, names)
        if key not in self.tables:
            try:
                self.tables[key] = truth_table(function, names)
            except KeyError as error:
                raise ProofError("a function of the liberty cannot be read", found=function) from error
        return self.tables[key]


def read_netlist(modules: Mapping[str, Any], top: str, library: Library) -> Netlist:
    """Return the netlist of yosys' JSON (its ``modules``), gates in an order in which each comes after its sources.

    Raises
    ------
    ProofError
        If a cell cannot be replayed, or gates feed each other in a circle.
    """
    reader = _Reader(modules, library)
    reader.module(top, "", {})
    netlist = reader.netlist
    driver = {out: k for k, (out, _, _) in enumerate(netlist.gates)}
    feeds: list[list[int]] = [[] for _ in netlist.gates]
    waits = [0] * len(netlist.gates)
    for k, (_, _, inputs) in enumerate(netlist.gates):
        for source in {driver[net] for net in inputs if net in driver}:
            feeds[source].append(k)
            waits[k] += 1
    order = [k for k, count in enumerate(waits) if not count]
    for k in order:
        for other in feeds[k]:
            waits[other] -= 1
            if not waits[other]:
                order.append(other)
    if len(order) != len(netlist.gates):
        raise ProofError("gates of the netlist feed each other in a circle", found=f"{len(netlist.gates) - len(order)}")
    netlist.gates = [netlist.gates[k] for k in order]
    return netlist


def replay(
    netlist: Netlist,
    inputs: Mapping[tuple[str, int], np.ndarray[Any, Any]],
    outputs: Mapping[tuple[str, int], tuple[np.ndarray[Any, Any], tuple[str, int] | None]],
    reset: tuple[str, int],
    first: int,
    count: int,
    seed: int = 1,
) -> Counts:
    """Drive recorded inputs into the netlist, compare its outputs, count in the cycles `first` … `first + count` − 1.

    Parameters
    ----------
    inputs : (port, bit) -> value each cycle
    outputs : (port, bit) -> value each cycle, and the port that says when it counts
    reset : which input is the reset; it is held before the first cycle
    seed : of the values with which registers start

    Raises
    ------
    ProofError
        If an output differs.
    """
    keys = [reset, *(key for key in inputs if key != reset and key in netlist.ports)]
    wanted = [key for key in outputs if key in netlist.ports]
    columns = [*(inputs[key] for key in keys), *(outputs[key][0] for key in wanted)]
    rows = np.ascontiguousarray(np.stack(columns, axis=1), dtype=np.uint8)
    head = [netlist.nets, len(netlist.gates), len(netlist.flops), len(keys), len(wanted), len(rows)]
    head += [first, count, RESET_CYCLES, seed]
    parts = [np.asarray(head, "<u4").tobytes(), _rows(netlist.gates), _rows(netlist.flops)]
    parts += [np.asarray([netlist.ports[key] for key in keys], "<u4").tobytes()]
    valids = [outputs[key][1] for key in wanted]
    pairs = [
        (netlist.ports[key], netlist.ports[valid] if valid else ALWAYS)
        for key, valid in zip(wanted, valids, strict=True)
    ]
    parts += [np.asarray(pairs, "<u4").tobytes(), rows.tobytes()]
    with tempfile.TemporaryDirectory(prefix="hwgen-gates-") as scratch:
        source, target = Path(scratch) / "in.bin", Path(scratch) / "out.bin"
        source.write_bytes(b"".join(parts))
        run([_program(), source, target], timeout_s=REPLAY_TIMEOUT_S)
        data = target.read_bytes()
    wrong, at = np.frombuffer(data, "<u8", 2)
    if wrong:
        raise ProofError(
            "the netlist does not give what the RTL gave", found=f"{wrong} output bits, the first in cycle {at}"
        )
    found = np.frombuffer(data, "<u4", 2 * netlist.nets, 16)
    return Counts(found[: netlist.nets], found[netlist.nets :], count)


def _rows(gates: list[tuple[int, int, tuple[int, ...]]]) -> bytes:
    rows = np.zeros((len(gates), 4 + MOST_INPUTS), "<u4")
    for k, (out, table, inputs) in enumerate(gates):
        rows[k, :4] = out, len(inputs), table & 0xFFFFFFFF, table >> 32
        rows[k, 4 : 4 + len(inputs)] = inputs
    return rows.tobytes()


def _program() -> Path:
    """Return the compiled replayer, from the cache."""
    compiler = gxx.find()
    key = hashlib.sha256(f"{compiler.version} {SOURCE.read_text()}".encode()).hexdigest()[:16]
    program = cache_dir() / f"gates-{key}" / "gates"
    if not program.is_file():
        program.parent.mkdir(parents=True, exist_ok=True)
        partial = program.with_name(f"gates.{id(compiler)}")
        run([compiler.path, "-O2", SOURCE, "-o", partial], timeout_s=120)
        partial.replace(program)
    return program
