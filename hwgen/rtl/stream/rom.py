"""Memories of constants: weights, biases, schedules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_

from hwgen.cost.memories import rom_in_blocks

SPREAD = 64
"""Bits of a wide memory in logic that read a register of the address of their own."""


def is_logic(words: Sequence[int]) -> bool:
    """Return whether constants are cheaper in logic than in block RAM, by the rule that yosys follows for UltraScale+.

    Bits that are the same in all words cost nothing; a table that is not full is filled up with zeros.
    """
    ones = reduce(or_, words)
    full = len(words) & (len(words) - 1) == 0
    live = ones ^ reduce(and_, words) if full else ones
    return rom_in_blocks(live.bit_count(), len(words)) == 0


def rom_text(
    module: str, words: Sequence[int], width: int, banner: str, title: str, cycles: int = 1, spread: bool = False
) -> str:
    """Return a memory's module: synchronous read, contents inline.

    A read of two cycles has a second register behind the memory, since the output of a block RAM is slow; in a
    memory that is logic (`is_logic`) the address has it instead: it is narrower, and what makes the address is not
    mixed up with the logic of every bit. A single word is a constant.

    Parameters
    ----------
    module : str
    words : the contents, word 0 first
    width : bits of a word
    banner, title : comment lines
    cycles : from the address to the data, 1 or 2
    spread : logic read in two cycles has a register of the address for every `SPREAD` bits: its bits go to
        multipliers all over the device; with one register they are far from it, and from what they share of its logic

    Raises
    ------
    ValueError
        If a word does not fit.
    """
    if any(word < 0 or word >> width for word in words):
        raise ValueError(f"{module}: a word does not fit {width} bits")
    bits = max(1, (len(words) - 1).bit_length())
    digits = -(-width // 4)
    logic = is_logic(words)
    lines = [
        banner,
        "//",
        f"// {title}. Read in {'one cycle' if cycles == 1 or len(words) == 1 else 'two cycles'}.",
        f"module {module} (",
        "  input  logic clk_i,",
        "  // verilator lint_off UNUSEDSIGNAL",
        f"  input  logic [{bits - 1}:0] addr_i,",
        "  // verilator lint_on UNUSEDSIGNAL",
        f"  output logic [{width - 1}:0] data_o",
        ");",
        "",
    ]
    if len(words) == 1:
        lines += [f"  always_ff @(posedge clk_i) data_o <= {width}'h{words[0]:0{digits}x};"]
    elif cycles == 1:
        lines += _case("addr_i", "data_o", words, width)
    elif logic and spread and width > SPREAD:
        for copy, low in enumerate(range(0, width, SPREAD)):
            part = min(SPREAD, width - low)
            parts = [word >> low & ((1 << part) - 1) for word in words]
            lines += [f"  logic [{bits - 1}:0] addr{copy}_q;", "  (* keep *)"]
            lines += [f"  always_ff @(posedge clk_i) addr{copy}_q <= addr_i;", ""]
            lines += [*_case(f"addr{copy}_q", f"data_o[{low}+:{part}]", parts, part), ""]
        lines.pop()
    elif logic:
        lines += [f"  logic [{bits - 1}:0] addr_q;", "  always_ff @(posedge clk_i) addr_q <= addr_i;", ""]
        lines += _case("addr_q", "data_o", words, width)
    else:
        lines += [f"  logic [{width - 1}:0] word_q;", *_case("addr_i", "word_q", words, width), ""]
        lines += ["  always_ff @(posedge clk_i) data_o <= word_q;"]
    return "\n".join([*lines, "", "endmodule", ""])


def _case(address: str, target: str, words: Sequence[int], width: int) -> list[str]:
    """Return the read: a case becomes a block RAM as an array with initial contents does, and Verilator's C++ of it
    compiles faster."""
    bits, digits = max(1, (len(words) - 1).bit_length()), -(-width // 4)
    lines = ["  always_ff @(posedge clk_i) begin", f"    case ({address})"]
    lines += [f"      {bits}'d{k}: {target} <= {width}'h{word:0{digits}x};" for k, word in enumerate(words)]
    return [*lines, f"      default: {target} <= '0;", "    endcase", "  end"]
