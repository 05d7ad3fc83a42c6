"""Many shapes of a stream module in one generated top: written, read by three readers, built once, run from some seeds.

All instances share flat ports, instance 0 at the least significant end.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib_bench import LIBRARY
from stream_bench import Rule, Shape

from hwgen.sim.build import SLOW, ModelSource, build
from hwgen.sim.cocotb_run import cocotb_program, run_cocotb
from hwgen.tools import yosys


@dataclass(frozen=True)
class Bundle:
    """What a bundle is made of.

    Parameters
    ----------
    module : name of the library module
    wrapper : SystemVerilog of a module `<module>_bench` with the ports of a stream module, to stand around it
    needs : other library modules
    taps : output ports under HWGEN_TAPS, with the expression of their width
    """

    module: str
    shapes: Sequence[Shape]
    make: Callable[[Shape], Rule]
    wrapper: str = ""
    needs: tuple[str, ...] = ()
    taps: dict[str, str] = field(default_factory=dict)

    @property
    def top(self) -> str:
        return f"bundle_{self.module}"

    def text(self) -> str:
        """Return the top."""
        rules = [self.make(shape) for shape in self.shapes]
        count = len(rules)
        last_in, last_out = sum(rule.in_width for rule in rules) - 1, sum(rule.out_width for rule in rules) - 1
        lines = [f"module {self.top} (", "    input logic clk_i,", "    input logic rst_i,"]
        lines += [f"`ifdef HWGEN_TAPS\n    output logic [{32 * count - 1}:0] {tap},\n`endif" for tap in self.taps]
        lines += [f"    input logic [{count - 1}:0] in_valid_i,", f"    output logic [{count - 1}:0] in_ready_o,"]
        lines += [f"    input logic [{last_in}:0] in_data_i,", f"    output logic [{count - 1}:0] out_valid_o,"]
        lines += [f"    input logic [{count - 1}:0] out_ready_i,", f"    output logic [{last_out}:0] out_data_o", ");"]
        at_in = at_out = 0
        for number, (shape, rule) in enumerate(zip(self.shapes, rules, strict=True)):
            lines.append(self._instance(number, shape, rule, at_in, at_out))
            at_in, at_out = at_in + rule.in_width, at_out + rule.out_width
        return "\n".join([*lines, "endmodule", ""])

    def _instance(self, k: int, shape: Shape, rule: Rule, at_in: int, at_out: int) -> str:
        parameters = ", ".join(f".{name}({value})" for name, value in shape.items())
        lines = [f"  {self.module}{'_bench' if self.wrapper else ''} #({parameters}) u_{k} ("]
        rest = []
        for tap, expression in self.taps.items():
            width = expression.format(**shape)
            lines.append(f"`ifdef HWGEN_TAPS\n      .{tap}({tap}[{32 * k}+:{width}]),\n`endif")
            rest.append(f"`ifdef HWGEN_TAPS\n  assign {tap}[32*{k}+32-1:32*{k}+{width}] = '0;\n`endif")
        lines.append("      .clk_i(clk_i), .rst_i(rst_i),")
        lines.append(f"      .in_valid_i(in_valid_i[{k}]), .in_ready_o(in_ready_o[{k}]),")
        lines.append(f"      .in_data_i(in_data_i[{at_in}+:{rule.in_width}]), .out_valid_o(out_valid_o[{k}]),")
        lines.append(f"      .out_ready_i(out_ready_i[{k}]), .out_data_o(out_data_o[{at_out}+:{rule.out_width}]));")
        return "\n".join(lines + rest)

    def write(self, folder: Path) -> list[Path]:
        """Write the top, its modules and a `design.json` that names them; return the files."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"{name}.sv" for name in (*self.needs, self.module)]
        for name in names:
            shutil.copy(LIBRARY / name, folder)
        if self.wrapper:
            names.append(f"{self.module}_bench.sv")
            (folder / names[-1]).write_text(self.wrapper)
        names.append(f"{self.top}.sv")
        (folder / names[-1]).write_text(self.text())
        (folder / "design.json").write_text(json.dumps({"top": self.top, "files": names, "axis": None}))
        return [folder / name for name in names]


def run_bundle(folder: Path, bundle: Bundle, bench: str) -> None:
    """Fail unless every cocotb test of `bench` passes on all shapes, from several random initial states.

    One of the runs is on the module as yosys reads it: what a synthesizer makes of a parameter's sign is not always
    what a simulator does.
    """
    files = bundle.write(folder / "rtl")
    netlist = folder / "netlist.v"
    define = ["-DHWGEN_TAPS"] if bundle.taps else []
    read = [" ".join(["read_verilog -sv", *define, str(path)]) for path in files]
    yosys.script(
        [*read, f"hierarchy -check -top {bundle.top}", "proc", "flatten", f"write_verilog -noattr {netlist}"],
        folder / "yosys.log",
    )
    for name, sources, seeds in (("source", files, (1, 2)), ("netlist", [netlist], (3,))):
        place = folder / name
        program = _simulator(sources, bundle, place / "build")
        for seed in seeds:
            document = {"module": bundle.module, "shapes": [dict(shape) for shape in bundle.shapes], "seed": seed}
            result = run_cocotb(program, bench, document, place / f"seed{seed}", top=bundle.top, seed=seed)
            failures = [f"{test}: {message}" for test, message, _ in result.tests if message is not None]
            assert result.tests and not failures, f"{failures}\nlog: {place / f'seed{seed}' / 'cocotb.log'}"


def _simulator(files: Sequence[Path], bundle: Bundle, folder: Path) -> Path:
    defines = ("HWGEN_TAPS",) if bundle.taps else ()
    source = ModelSource(files, bundle.top, defines=defines, vpi_depth=1, optimise=SLOW)
    return build(source, {"cocotb": cocotb_program()}, folder)["cocotb"]


def readers_agree(folder: Path, bundle: Bundle) -> None:
    """Fail unless Verilator -Wall, slang and yosys read all shapes and have nothing to say."""
    from rtl_readers import slang_says, verilator_says, yosys_reads

    bundle.write(folder)
    for define in (False, True) if bundle.taps else (False,):
        said = verilator_says(folder, define) + slang_says(folder, define)
        assert not said, said
    yosys_reads(folder)
