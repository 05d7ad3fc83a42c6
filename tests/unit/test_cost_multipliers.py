"""Registers behind ECP5 multipliers become the blocks' own, where that changes nothing."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cost_designs import stream_folder

from hwgen.cost.multipliers import absorb_registers
from hwgen.cost.nextpnr import FRAME, _Work
from hwgen.cost.parts import find_part
from hwgen.cost.synth import Limits

CLOCK, OTHER = 2, 3


def flip_flop(data: int, out: int, **more: list[Any]) -> dict[str, Any]:
    links = {"CLK": [CLOCK], "DI": [data], "LSR": ["0"], "Q": [out], **more}
    ways = {port: "output" if port == "Q" else "input" for port in links}
    parameters = {"CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"}
    return {"type": "TRELLIS_FF", "parameters": parameters, "port_directions": ways, "connections": links}


def product() -> dict[str, Any]:
    """Return a netlist: two flip-flops, their product of two bits, each in a flip-flop; a third bit that nobody reads.

    The operands: a bit and its sign extension; a bit and a constant.
    """
    links: dict[str, list[Any]] = {"A0": [4], "A1": [4], "B0": [5], "B1": ["0"], "P0": [10], "P1": [11], "P2": [12]}
    ways = {port: "output" if port[0] == "P" else "input" for port in links}
    block = {"type": "MULT18X18D", "parameters": {}, "port_directions": ways, "connections": links}
    cells = {"block": block, "q0": flip_flop(10, 20), "q1": flip_flop(11, 21)}
    cells |= {"a": flip_flop(6, 4), "b": flip_flop(7, 5)}
    ports = {
        "clk": {"direction": "input", "bits": [CLOCK]},
        "x": {"direction": "input", "bits": [6, 7]},
        "y": {"direction": "output", "bits": [20, 21]},
    }
    return {"modules": {"top": {"ports": ports, "cells": cells}}}


def test_the_registers_around_a_product_go_into_the_block() -> None:
    netlist = product()
    assert absorb_registers(netlist) == 1
    cells = netlist["modules"]["top"]["cells"]
    assert list(cells) == ["block"]
    links, ways, parameters = (cells["block"][key] for key in ("connections", "port_directions", "parameters"))
    assert {port: bit for port, (bit,) in links.items()} == {
        **{"A0": 6, "A1": 6, "B0": 7, "B1": "0", "P0": 20, "P1": 21, "P2": 12},
        **{"CLK0": CLOCK, "CE0": "1", "RST0": "0"},
    }
    assert {ways[port] for port in ("CLK0", "CE0", "RST0")} == {"input"}
    for place in ("INPUTA", "INPUTB", "OUTPUT"):
        assert [parameters[f"REG_{place}_{pin}"] for pin in ("CLK", "CE", "RST")] == ["CLK0", "CE0", "RST0"]
    assert absorb_registers(netlist) == 0


def test_an_operand_that_others_read_stays_beside_the_blocks_own() -> None:
    netlist = product()
    top = netlist["modules"]["top"]
    top["ports"]["y"]["bits"].append(4)
    assert absorb_registers(netlist) == 1
    assert set(top["cells"]) == {"block", "a"} and top["cells"]["block"]["connections"]["A0"] == [6]


def test_one_operand_alone_is_not_taken_in() -> None:
    """nextpnr knows no delays of a block that has a register for one operand only."""
    netlist = product()
    del netlist["modules"]["top"]["cells"]["b"]
    netlist["modules"]["top"]["ports"]["x"]["bits"].append(5)
    assert absorb_registers(netlist) == 1
    parameters = netlist["modules"]["top"]["cells"]["block"]["parameters"]
    assert "REG_OUTPUT_CLK" in parameters and "REG_INPUTA_CLK" not in parameters


def _other_reader(top: dict[str, Any]) -> None:
    top["cells"]["q2"] = flip_flop(10, 22)


def _port(top: dict[str, Any]) -> None:
    top["ports"]["y"]["bits"].append(11)


def _logic(top: dict[str, Any]) -> None:
    links = {"A": [11], "Z": [30]}
    ways = {"A": "input", "Z": "output"}
    top["cells"]["q1"] = {"type": "LUT4", "parameters": {}, "port_directions": ways, "connections": links}


PRODUCT: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a bit has another reader": _other_reader,
    "a bit is a port of the design": _port,
    "a bit is read by logic": _logic,
    "not its data": lambda top: top["cells"].update(q1=flip_flop(8, 21, M=[11])),
}
REGISTER: dict[str, tuple[dict[str, str], dict[str, list[Any]]]] = {
    "an enable": ({}, {"CE": [7]}),
    "an enable as parameter": ({"CEMUX": "CE"}, {}),
    "a reset": ({}, {"LSR": [7]}),
    "a reset that is on when low": ({"LSRMUX": "INV"}, {}),
    "another clock": ({}, {"CLK": [OTHER]}),
    "the falling edge": ({"CLKMUX": "INV"}, {}),
}


@pytest.mark.parametrize("what", PRODUCT)
def test_a_product_that_something_else_reads_stays(what: str) -> None:
    netlist = product()
    PRODUCT[what](netlist["modules"]["top"])
    assert absorb_registers(netlist) == 1
    cells = netlist["modules"]["top"]["cells"]
    assert "REG_OUTPUT_CLK" not in cells["block"]["parameters"] and {"q0", "q1"} <= set(cells)


@pytest.mark.parametrize("what", REGISTER)
@pytest.mark.parametrize("name", ["q1", "a"])
def test_a_register_that_is_not_plain_stays(name: str, what: str) -> None:
    netlist = product()
    cells = netlist["modules"]["top"]["cells"]
    cells[name]["parameters"] |= REGISTER[what][0]
    cells[name]["connections"] |= REGISTER[what][1]
    cells[name]["port_directions"] |= dict.fromkeys(REGISTER[what][1], "input")
    before = json.dumps(cells[name])
    absorb_registers(netlist)
    assert json.dumps(cells[name]) == before
    assert ("REG_OUTPUT_CLK" if name == "q1" else "REG_INPUTA_CLK") not in cells["block"]["parameters"]


@pytest.mark.parametrize(
    ("used", "placer"), [(14, ()), (15, ("--placer", "static")), (28, ("--placer", "static")), (29, ())]
)
def test_more_than_half_of_the_multipliers_choose_the_placer(
    tmp_path: Path, used: int, placer: tuple[str, ...]
) -> None:
    """Too many choose the default one, which says so at once."""
    netlist = product()
    cells = netlist["modules"]["top"]["cells"]
    links = {"A0": ["0"], "B0": ["0"]}
    block = {
        "type": "MULT18X18D",
        "parameters": {},
        "connections": links,
        "port_directions": dict.fromkeys(links, "input"),
    }
    cells |= {f"block{k}": block for k in range(1, used)}
    (tmp_path / "netlist.json").write_text(json.dumps(netlist))
    work = _Work(tmp_path, {}, find_part("LFE5U-25F"), tmp_path, Limits(), 0.0)
    work._multipliers(tmp_path / "netlist.json")
    assert work.placer == placer
    written = json.loads((tmp_path / "netlist.json").read_text())["modules"]["top"]["cells"]
    assert "REG_OUTPUT_CLK" in written["block"]["parameters"]


@pytest.mark.yosys
def test_yosys_products_are_found(tmp_path: Path) -> None:
    part = find_part("LFE5U-25F")
    folder = stream_folder(tmp_path / "net", part.name)
    design = json.loads((folder / "rtl" / "design.json").read_text())
    _Work(folder, design, part, tmp_path, Limits(), time.monotonic()).netlist()
    module = json.loads((tmp_path / "netlist.json").read_text())["modules"][FRAME]
    kinds = Counter(cell["type"] for cell in module["cells"].values())
    blocks = [cell for cell in module["cells"].values() if cell["type"] == "MULT18X18D"]
    assert len(blocks) == 1, kinds
    parameters = blocks[0]["parameters"]
    assert parameters["REG_OUTPUT_CLK"] == parameters["REG_INPUTA_CLK"] == parameters["REG_INPUTB_CLK"] == "CLK0"
