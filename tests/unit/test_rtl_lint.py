"""Generated SystemVerilog is clean for three readers: Verilator -Wall, slang, yosys; with and without taps."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_golden import CASES

from hwgen.rtl import RtlDesign, generate
from hwgen.tools import verilator, yosys
from hwgen.tools.run import run


def written(case: str, folder: Path) -> tuple[RtlDesign, list[Path]]:
    make, options = CASES[case]
    design = generate(make(), options)
    design.files.write(folder)
    return design, [folder / name for name in design.design["files"]]


def tops(design: RtlDesign) -> list[str]:
    return [design.top] + ([design.design["axis"]["top"]] if design.design["axis"] else [])


@pytest.mark.verilator
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("taps", [False, True])
def test_verilator_has_nothing_to_say(case: str, taps: bool, tmp_path: Path) -> None:
    design, files = written(case, tmp_path)
    tool = verilator.find()
    for top in tops(design):
        define = ["+define+HWGEN_TAPS"] if taps else []
        # The core alone leaves the AXI4-Stream files unused: they are read for the wrapper only.
        used = files if top != design.top else [f for f in files if "axis" not in f.name]
        done = run([tool.path, "--lint-only", "-Wall", "--assert", *define, "--top-module", top, *used], env=tool.env)
        assert "%" not in done.output, done.output


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("taps", [False, True])
def test_slang_has_nothing_to_say(case: str, taps: bool, tmp_path: Path) -> None:
    from pyslang import DiagnosticSeverity, driver

    design, files = written(case, tmp_path)
    for top in tops(design):
        slang = driver.Driver()
        slang.addStandardArgs()
        # A cast to a width that a parameter happens to make the same is no fault.
        command = f"slang -Wextra -Wno-useless-cast {'-DHWGEN_TAPS' if taps else ''} --top {top} "
        assert slang.parseCommandLine(command + " ".join(map(str, files)))
        assert slang.processOptions() and slang.parseAllSources()
        found = slang.createCompilation().getAllDiagnostics()
        loud = [d for d in found if slang.diagEngine.getSeverity(d.code, d.location) != DiagnosticSeverity.Ignored]
        assert not loud, [(repr(d.code), d.args) for d in loud]


@pytest.mark.yosys
@pytest.mark.parametrize("case", CASES)
def test_yosys_reads_it(case: str, tmp_path: Path) -> None:
    design, files = written(case, tmp_path)
    for top in tops(design):
        yosys.script(
            [*(f"read_verilog -sv {f}" for f in files), f"hierarchy -check -top {top}", "proc", "check -assert"]
        )
