"""The synthesized netlist of a core, and the cell models to simulate it with.

yosys maps the core to cells that have a behavioural model: a Xilinx part to the cells of the 7 series without block
RAM, an iCE40 to its own, anything else to gates. The models are yosys' own (``cells_sim.v`` of its share folder),
without their timing; `SIMPLE` stands in for the few that cost a simulator much, and a test proves them equal.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import ProofError, ToolMissing
from hwgen.files import file_digest, write_if_changed
from hwgen.tools import yosys

FLOWS = {
    "xc7": ("synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -nobram -top {top}", "xilinx/cells_sim.v"),
    "ice40": ("synth_ice40 -dsp -top {top}", "ice40/cells_sim.v"),
    "gates": ("synth -flatten -top {top}", "simcells.v"),
}
"""By family: the yosys command, and the file of cell models in yosys' share folder."""
NO_CELL = ("$scopeinfo",)
BEHAVIOUR = re.compile(
    r"\b(assign|always|always_comb|always_ff)\b|^\s*(not|and|or|buf|xor)\b|^\s*\w+ (#\(.*\) )?\w+ \(", re.M
)


@dataclass(frozen=True)
class Netlist:
    """A synthesized core.

    Parameters
    ----------
    family : of `FLOWS`
    files : the netlist and the models of its cells, to simulate
    cells : number of cells by type
    seconds : of synthesis; 0 if the netlist was there already
    """

    family: str
    files: tuple[Path, ...]
    cells: dict[str, int]
    seconds: float

    @property
    def total(self) -> int:
        """All cells."""
        return sum(self.cells.values())


def family_of(part: str) -> str:
    """Return what the core of a device is synthesized to for simulation."""
    name = part.lower()
    return "xc7" if name.startswith("xc") else "ice40" if name.startswith("ice40") else "gates"


def synthesize(files: Sequence[Path], top: str, part: str, folder: Path, timeout_s: float) -> Netlist:
    """Synthesize a core and write its netlist and cell models to `folder`; reused if nothing has changed.

    Raises
    ------
    ToolMissing
        Without yosys.
    ProofError
        If yosys fails or takes longer than `timeout_s`, or a cell has no behavioural model.
    """
    family = family_of(part)
    command = FLOWS[family][0].format(top=top)
    netlist, models, stat, stamp = (folder / name for name in ("netlist.v", "cells.v", "cells.json", "netlist.key"))
    parts = [yosys.find(), command, *(f"{path.name} {file_digest(path)}" for path in files)]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    start = time.monotonic()
    if not (stamp.is_file() and stamp.read_text() == key and netlist.is_file()):
        stamp.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        commands = [*(f"read_verilog -sv {path}" for path in files), command, f"tee -q -o {stat} stat -json"]
        # One net a bit: a carry chain then is no loop through the bits of a vector.
        commands += ["splitnets", f"write_verilog -noattr {netlist}"]
        yosys.script(commands, log=folder / "yosys.log", timeout_s=timeout_s)
        write_if_changed(stamp, key.encode())
        seconds = time.monotonic() - start
    else:
        seconds = 0.0
    cells = cells_of(stat)
    write_if_changed(models, cell_models(family, list(cells)).encode())
    return Netlist(family, (models, netlist), cells, seconds)


def cells_of(stat: Path) -> dict[str, int]:
    """Return the number of cells by type from ``stat -json``."""
    counts = json.loads(stat.read_text())["design"]["num_cells_by_type"]
    return {kind: int(n) for kind, n in sorted(counts.items()) if kind not in NO_CELL}


def cell_models(family: str, cells: Sequence[str], simple: bool = True) -> str:
    """Return Verilog modules for `cells`: yosys' models without their timing.

    Parameters
    ----------
    simple : bool
        Take the models of `SIMPLE` where there are.

    Raises
    ------
    ProofError
        If one has no model, or one without behaviour.
    """
    modules = library(FLOWS[family][1])
    missing = [kind for kind in cells if not BEHAVIOUR.search(_body(modules.get(kind, "")))]
    if missing:
        raise ProofError(
            "cells without a behavioural model: the netlist cannot be simulated",
            found=", ".join(missing),
            where=FLOWS[family][1],
        )
    own = SIMPLE if simple and family == "xc7" else {}
    return modules[""] + "".join(own.get(kind, modules[kind]) + "\n" for kind in cells)


def library(name: str) -> dict[str, str]:
    """Return the modules of a file in yosys' share folder by name, without timing; under "" what stands before."""
    spec = importlib.util.find_spec("pyosys")
    if spec is None or spec.origin is None:
        raise ToolMissing("yosys is missing: no cell models", hint="pip install pyosys==0.70")
    text = (Path(spec.origin).parent / "share" / name).read_text()
    text = re.sub(r"^\s*specify\b.*?\bendspecify\s*$", "", text, flags=re.M | re.S)
    text = re.sub(r"\(\*(?!\)).*?\*\)", "", text, flags=re.S)
    # Verilator takes the default value of a port for a second driver: without; no pin may be open.
    head = "`define NO_ICE40_DEFAULT_ASSIGNMENTS\n"
    head += "\n".join(line for line in text.partition("\nmodule ")[0].splitlines() if not line.startswith("//"))
    return {"": head + "\n"} | {
        m[1]: m[0] for m in re.finditer(r"^module\s+\\?([^\s(;#]+).*?^endmodule", text, re.M | re.S)
    }


def _body(module: str) -> str:
    """Return a module without its ports and its comments."""
    return re.sub(r"//.*", "", module).partition(";")[2]


def _lut(inputs: int) -> str:
    pins = [f"I{k}" for k in range(inputs)]
    return (
        f"module LUT{inputs}(output O, input {', '.join(pins)});\n"
        f"  parameter [{2**inputs - 1}:0] INIT = 0;\n"
        f"  assign O = INIT[{{{', '.join(reversed(pins))}}}];\n"
        "endmodule\n"
    )


def _flip_flop(name: str, pin: str, value: int) -> str:
    return f"""\
module {name}(output reg Q, input C, input CE, input D, input {pin});
  parameter [0:0] INIT = 1'b{value};
  parameter [0:0] IS_C_INVERTED = 1'b0;
  parameter [0:0] IS_D_INVERTED = 1'b0;
  parameter [0:0] IS_{pin}_INVERTED = 1'b0;
  initial Q = INIT;
  wire clock = C ^ IS_C_INVERTED;
  always @(posedge clock) if ({pin} ^ IS_{pin}_INVERTED) Q <= 1'b{value}; else if (CE) Q <= D ^ IS_D_INVERTED;
endmodule
"""


SIMPLE = {
    **{f"LUT{n}": _lut(n) for n in range(2, 7)},
    "FDRE": _flip_flop("FDRE", "R", 0),
    "FDSE": _flip_flop("FDSE", "S", 1),
    "CARRY4": """\
module CARRY4(output [3:0] CO, output [3:0] O, input CI, input CYINIT, input [3:0] DI, input [3:0] S);
  wire first = CI | CYINIT;
  wire c0 = S[0] ? first : DI[0];
  wire c1 = S[1] ? c0 : DI[1];
  wire c2 = S[2] ? c1 : DI[2];
  wire c3 = S[3] ? c2 : DI[3];
  assign O = S ^ {c2, c1, c0, first};
  assign CO = {c3, c2, c1, c0};
endmodule
""",
}
"""Models that say the same as yosys': a look-up is one operation, a carry chain has a net for each bit."""
