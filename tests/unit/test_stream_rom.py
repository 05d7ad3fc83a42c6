"""Memories of constants and multipliers as synthesis sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

import hwgen.rtl
from hwgen.rtl.stream.rom import rom_text
from hwgen.tools.yosys import synthesize_xilinx

LIBRARY = Path(hwgen.rtl.__file__).parent / "lib"

ENGINE = """module engine (
    input logic clk_i, input logic rst_i, input logic in_valid_i, output logic in_ready_o,
    input logic [{last_in}:0] in_data_i, input logic credit_i, output logic fire_o, output logic [1:0] rom_addr_o,
    input logic [{last_weight}:0] weight_i, output logic [0:0] bias_addr_o, input logic [15:0] bias_i,
    output logic out_valid_o, output logic [79:0] out_data_o);
  hg_mac #(.InWidth({inputs}), .Steps(3), .Products(2), .Lanes(2), .WeightWidth({weights}), .AccWidth(40)) u_mac (.*);
endmodule
"""


@pytest.mark.yosys
@pytest.mark.parametrize(("family", "cell"), [("xcup", "DSP48E2"), ("xc7", "DSP48E1")])
@pytest.mark.parametrize(("inputs", "weights"), [(8, 8), (18, 25)])
def test_a_multiplier_is_one_dsp(tmp_path: Path, family: str, cell: str, inputs: int, weights: int) -> None:
    top = tmp_path / "engine.sv"
    sizes = {"inputs": inputs, "weights": weights}
    top.write_text(ENGINE.format(last_in=6 * inputs - 1, last_weight=4 * weights - 1, **sizes))
    files = [LIBRARY / "hg_delay.sv", LIBRARY / "hg_dot.sv", LIBRARY / "hg_mac.sv", top]
    cells = synthesize_xilinx(files, "engine", family, dsp=True).cells
    assert cells.get(cell) == 4, cells


@pytest.mark.yosys
@pytest.mark.parametrize("cycles", [1, 2])
def test_a_deep_memory_is_block_ram_and_a_second_cycle_is_a_register_behind_it(tmp_path: Path, cycles: int) -> None:
    words = [(k * 2654435761) % (1 << 36) for k in range(1024)]
    (tmp_path / "rom.sv").write_text(rom_text("rom", words, 36, "// test", "words", cycles))
    cells = synthesize_xilinx([tmp_path / "rom.sv"], "rom", "xcup", dsp=True).cells
    assert cells.get("RAMB36E2", 0) + cells.get("RAMB18E2", 0) >= 1, cells
    assert sum(n for name, n in cells.items() if name.startswith("FD")) == 36 * (cycles - 1), cells


def test_a_word_that_does_not_fit_is_refused() -> None:
    assert "2'h3" in rom_text("rom", [3, 0], 2, "//", "//")
    for word in (4, -1):
        with pytest.raises(ValueError, match="does not fit"):
            rom_text("rom", [word], 2, "//", "//")
