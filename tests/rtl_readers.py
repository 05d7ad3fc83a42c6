"""Three readers of generated SystemVerilog: Verilator -Wall, slang -Wextra, yosys. Each must have nothing to say."""

from __future__ import annotations

import json
from pathlib import Path

from hwgen.tools import verilator, yosys
from hwgen.tools.run import run


def _tops(folder: Path) -> list[tuple[str, list[Path]]]:
    """Return (top module, files) of the core and of the AXI4-Stream wrapper in an rtl/ folder."""
    design = json.loads((folder / "design.json").read_text())
    files = [folder / name for name in design["files"]]
    if not design["axis"]:
        return [(design["top"], files)]
    # The core alone leaves the AXI4-Stream files unused: they are read for the wrapper only.
    extra = "hg_repack.sv" if design["io_type"] == "io_stream" else "hg_fork.sv"
    core = [f for f in files if "axis" not in f.name and f.name != extra]
    return [(design["top"], core), (design["axis"]["top"], files)]


def verilator_says(folder: Path, taps: bool) -> str:
    """Return Verilator's warnings."""
    tool = verilator.find()
    define = ["+define+HWGEN_TAPS"] if taps else []
    said = ""
    for top, files in _tops(folder):
        command = [tool.path, "--lint-only", "-Wall", "--assert", *define, "--top-module", top, *files]
        output = run(command, env=tool.env, check=False).output
        said += output if "%" in output else ""
    return said


def slang_says(folder: Path, taps: bool) -> str:
    """Return slang's diagnostics."""
    from pyslang import DiagnosticSeverity, driver

    said = ""
    for top, files in _tops(folder):
        slang = driver.Driver()
        slang.addStandardArgs()
        # A cast to a width that a parameter happens to make the same is no fault.
        command = f"slang -Wextra -Wno-useless-cast {'-DHWGEN_TAPS' if taps else ''} --top {top} "
        assert slang.parseCommandLine(command + " ".join(map(str, files)))
        assert slang.processOptions() and slang.parseAllSources()
        for found in slang.createCompilation().getAllDiagnostics():
            if slang.diagEngine.getSeverity(found.code, found.location) != DiagnosticSeverity.Ignored:
                said += f"{found.code!r} {found.args}\n"
    return said


def yosys_reads(folder: Path) -> None:
    """Read and check the design with yosys' own front end; a problem raises."""
    for top, files in _tops(folder):
        read = [f"read_verilog -sv {f}" for f in files]
        yosys.script([*read, f"hierarchy -check -top {top}", "proc", "check -assert"])
