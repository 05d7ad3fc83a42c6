"""Generated SystemVerilog is clean for three readers, with and without taps."""

from __future__ import annotations

from pathlib import Path

import pytest
from rtl_readers import slang_says, verilator_says, yosys_reads
from test_golden import CASES


@pytest.fixture(params=CASES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    CASES[request.param]().files.write(tmp_path)
    return tmp_path


@pytest.mark.verilator
@pytest.mark.parametrize("taps", [False, True])
def test_verilator_has_nothing_to_say(written: Path, taps: bool) -> None:
    assert verilator_says(written, taps) == ""


@pytest.mark.parametrize("taps", [False, True])
def test_slang_has_nothing_to_say(written: Path, taps: bool) -> None:
    assert slang_says(written, taps) == ""


@pytest.mark.yosys
def test_yosys_reads_it(written: Path) -> None:
    yosys_reads(written)


@pytest.mark.verilator
def test_the_readers_see_a_fault(written: Path) -> None:
    """A width that does not fit: what a clean bill is worth."""
    layer = next(
        p for p in sorted(written.glob("*.sv")) if not p.name.startswith("hg_") and "wire signed" in p.read_text()
    )
    text = layer.read_text()
    layer.write_text(text.replace("endmodule", "  wire [2:0] odd = 5'd21 + 5'd1;\n  wire [odd[0]:0] worse;\nendmodule"))
    assert verilator_says(written, False) and slang_says(written, False)


def test_every_library_module_has_a_bench(root: Path) -> None:
    benches = "".join(p.read_text() for p in (root / "sim").glob("test_*.py"))
    modules = [p.stem for p in (root / "hwgen" / "rtl" / "lib").glob("*.sv")]
    assert len(modules) >= 8 and not [m for m in modules if f'"{m}"' not in benches]
