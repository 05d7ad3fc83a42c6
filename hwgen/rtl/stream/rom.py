"""Memories of constants: weights, biases, schedules."""

from __future__ import annotations

from collections.abc import Sequence


def rom_text(module: str, words: Sequence[int], width: int, banner: str, title: str) -> str:
    """Return a memory's module: synchronous read, contents inline.

    Parameters
    ----------
    module : str
    words : the contents, word 0 first
    width : bits of a word
    banner, title : comment lines

    Raises
    ------
    ValueError
        If a word does not fit.
    """
    if any(word < 0 or word >> width for word in words):
        raise ValueError(f"{module}: a word does not fit {width} bits")
    bits = max(1, (len(words) - 1).bit_length())
    digits = -(-width // 4)
    lines = [
        banner,
        "//",
        f"// {title}. Read in one cycle.",
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
    else:
        # A case becomes a block RAM as an array with initial contents does, and Verilator's C++ of it compiles faster.
        lines += ["  always_ff @(posedge clk_i) begin", "    case (addr_i)"]
        lines += [f"      {bits}'d{k}: data_o <= {width}'h{word:0{digits}x};" for k, word in enumerate(words)]
        lines += ["      default: data_o <= '0;", "    endcase", "  end"]
    return "\n".join([*lines, "", "endmodule", ""])
