"""Memories of constants and multipliers as synthesis sees them."""

from __future__ import annotations

import random
import re
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


@pytest.mark.yosys
def test_a_wide_shallow_memory_has_a_register_of_the_address_for_every_64_bits(tmp_path: Path) -> None:
    """They are not made one again, and no logic is shared across them."""
    chosen = random.Random(0)
    words = [chosen.getrandbits(128) for _ in range(32)]
    text = rom_text("rom", words, 128, "// test", "words", 2, spread=True)
    (tmp_path / "rom.sv").write_text(text)
    cells = synthesize_xilinx([tmp_path / "rom.sv"], "rom", "xcup", dsp=True).cells
    assert sum(n for name, n in cells.items() if name.startswith("FD")) == 128 + 2 * 5, cells
    assert rom_text("rom", [w >> 64 for w in words], 64, "//", "//", 2, spread=True) == rom_text(
        "rom", [w >> 64 for w in words], 64, "//", "//", 2
    ), "a narrow one has one"


def test_the_parts_of_a_spread_memory_make_up_its_words() -> None:
    words = [(k * 0x9E3779B97F4A7C15F39CC0605CEDC834) % (1 << 100) for k in range(5)]
    text = rom_text("rom", words, 100, "//", "//", 2, spread=True)
    found = re.findall(r"3'd(\d): data_o\[(\d+)\+:(\d+)\] <= (\d+)'h([0-9a-f]+);", text)
    assert [(int(low), int(bits)) for _, low, bits, _, _ in found] == [(0, 64)] * 5 + [(64, 36)] * 5
    assert all(bits == said for _, _, bits, said, _ in found)
    total = [0] * 5
    for word, low, _, _, digits in found:
        total[int(word)] |= int(digits, 16) << int(low)
    assert total == words
