"""`hwgen handoff --target asic`: sources, SDC and a LibreLane configuration for a cell-based flow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hwgen.cost.sdc import sdc_text
from hwgen.errors import ProofError
from hwgen.files import FileSet, json_bytes
from hwgen.handoff.bench import bench_of
from hwgen.handoff.boundary import core_boundary
from hwgen.handoff.common import common_files, readme
from hwgen.handoff.render import banner
from hwgen.handoff.source import Source, read_source
from hwgen.sim.cocotb_run import core_files

GENERATED = "LibreLane was not run; the netlist checks are those of `hwgen cost --part osu018`"
MACRO_BITS = 4096
"""Memories of constants from this size on come as a stub for a macro too."""

RUN = """
## Use

1. `librelane config.json`, from this folder. Process and die are LibreLane's defaults until `config.json` says more.
2. Any other flow: the files of `rtl/{top}.f` in their order, top `{top}`, constraints `{top}.sdc` (times in ns).
3. The bench: `verilator --binary --timing --top-module {top}_tb -f {top}_sim.f && ./obj_dir/V{top}_tb`.

There are no vendor primitives and no initial values: registers that matter are reset by `rst_i` (synchronous, active
high), all others are written before they are read. Tables of constants are `case` statements, that is logic.
{macros}"""

MACROS = """
### Memories of constants as macros

Tables of {bits} bits and more have a stub in `macros/`: a module with the ports of the one in `rtl/` and nothing
inside, for a macro that your memory compiler makes, and its contents, one hexadecimal word a line, word 0 first. To use
one: put the stub into `VERILOG_FILES` in place of the file in `rtl/`, and add the macro (`MACROS` in LibreLane). It
must give the word one clock edge after its address, as the module does.

| macro | words | bits a word |
|---|---|---|
{rows}
"""


@dataclass(frozen=True)
class Rom:
    """A table of constants: its module, its words, the bits of a word and of an address."""

    module: str
    words: tuple[int, ...]
    width: int
    address: int


def asic(folder: Path) -> FileSet:
    """Return the hand-off of a build folder's core to an ASIC flow.

    Raises
    ------
    HwgenError
        If the folder holds no verified design, or one whose RTL needs initial values.
    """
    source = read_source(folder)
    names = [path.name for path in core_files(source.design, [folder / "rtl" / name for name in source.sources])]
    files = common_files(source)
    for name in names:
        text = (folder / "rtl" / name).read_text()
        check_portable(name, text)
        files.add(f"rtl/{name}", text)
    top = source.top
    files.add(f"rtl/{top}.f", "".join(f"{name}\n" for name in names))
    files.add(f"{top}.sdc", f"# {banner(source)}\n" + sdc_text(source.design, source.period_ns))
    files.add("config.json", json_bytes(librelane(source, names)))
    files.merge(bench_of(source, axis=False))
    files.add(f"{top}_sim.f", "".join(f"{name}\n" for name in [*(f"rtl/{n}" for n in names), f"tb/{top}_tb.sv"]))
    roms = [rom for name in names if (rom := read_rom((folder / "rtl" / name).read_text())) is not None]
    roms = [rom for rom in roms if len(rom.words) * rom.width >= MACRO_BITS]
    for rom in roms:
        files.merge(macro_files(rom, banner(source)))
    files.add("README.md", _readme(source, roms))
    return files


def check_portable(name: str, text: str) -> None:
    """Refuse RTL that only an FPGA can start: initial values, or a vendor's primitive.

    Raises
    ------
    ProofError
        Naming file and line.
    """
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("//")[0]
        found = re.search(r"\binitial\b|\b(DSP48\w*|RAMB\d+\w*|SRL\w*E|LUT[1-6]|FD[RSCP]E|SB_\w+|TRELLIS_\w+)\b", code)
        if found:
            raise ProofError(
                "this RTL is for FPGAs only: an ASIC has no initial values and no vendor primitives",
                where=f"rtl/{name}:{number}",
                found=found.group(0),
                hint="hwgen build makes it anew",
            )


def librelane(source: Source, names: list[str]) -> dict[str, object]:
    """Return LibreLane's configuration of the core."""
    return {
        "DESIGN_NAME": source.top,
        "VERILOG_FILES": [f"dir::rtl/{name}" for name in names],
        "CLOCK_PORT": source.design["clock"],
        "CLOCK_PERIOD": source.period_ns,
        "PNR_SDC_FILE": f"dir::{source.top}.sdc",
        "SIGNOFF_SDC_FILE": f"dir::{source.top}.sdc",
    }


def read_rom(text: str) -> Rom | None:
    """Return the table that a module holds, if it is one of `hwgen.rtl.stream.rom` with more than one word."""
    words = re.findall(r"^ +\d+'d(\d+): data_o <= \d+'h([0-9a-f]+);$", text, re.M)
    head = re.search(r"^module (\w+) \(", text, re.M)
    width = re.search(r"output logic \[(\d+):0\] data_o", text)
    address = re.search(r"input  logic \[(\d+):0\] addr_i", text)
    if not (words and head and width and address) or [int(k) for k, _ in words] != list(range(len(words))):
        return None
    return Rom(head.group(1), tuple(int(w, 16) for _, w in words), int(width.group(1)) + 1, int(address.group(1)) + 1)


def macro_files(rom: Rom, head: str) -> FileSet:
    """Return a table's stub and contents."""
    digits = -(-rom.width // 4)
    stub = [
        f"// {head}",
        "//",
        f"// {rom.module}: the ports of {len(rom.words)} words of {rom.width} bits, without contents: they are in",
        f"// {rom.module}.hex. The word stands on data_o one clock edge after its address.",
        "(* blackbox *)",
        f"module {rom.module} (",
        "  input  logic clk_i,",
        f"  input  logic [{rom.address - 1}:0] addr_i,",
        f"  output logic [{rom.width - 1}:0] data_o",
        ");",
        "endmodule",
        "",
    ]
    words = "".join(f"{word:0{digits}x}\n" for word in rom.words)
    return FileSet({f"macros/{rom.module}.sv": "\n".join(stub), f"macros/{rom.module}.hex": words})


def _readme(source: Source, roms: list[Rom]) -> str:
    top = source.top
    rows = "\n".join(f"| `{rom.module}` | {len(rom.words)} | {rom.width} |" for rom in roms)
    macros = MACROS.format(bits=MACRO_BITS, rows=rows) if roms else ""
    listed = [
        (f"rtl/{top}.f", "the SystemVerilog of the core, in compile order"),
        (f"{top}.sdc", "clock, input and output delays; times in ns"),
        ("config.json", "LibreLane's configuration"),
        (f"tb/{top}_tb.sv", "the self-checking bench, with its golden words beside it"),
        (f"{top}_sim.f", "the bench's file list"),
    ]
    listed += [("macros/", "stubs and contents of large tables of constants")] if roms else []
    return readme(
        source,
        core_boundary(source),
        title="an ASIC flow",
        what="The core with valid/ready streams, its constraints and a LibreLane configuration.",
        status=GENERATED,
        run=RUN.format(top=top, macros=macros),
        files=listed,
    )
