"""hg_add_const on every input: widths, signs of the constant, both directions, all instances at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import pytest
from cocotb.triggers import Timer
from lib_bench import run_module

from hwgen.sim.bench_lib import given

WIDTH = 7


def cases() -> list[tuple[int, int, int]]:
    """Return (Width, Negate, Const) of every instance."""
    constants = (0, 1, -1, 5, -64, 63, 100, 1 << 40, -(1 << 40) - 3)
    return [(width, negate, const) for width in (1, 2, WIDTH) for negate in (0, 1) for const in constants]


def top_text(rows: list[tuple[int, int, int]]) -> str:
    total = sum(width for width, _, _ in rows)
    lines = [f"module constants (input logic [{WIDTH - 1}:0] x_i, output logic [{total - 1}:0] y_o);"]
    low = 0
    for index, (width, negate, const) in enumerate(rows):
        value = f"-64'sd{-const}" if const < 0 else f"64'sd{const}"
        lines.append(
            f"  hg_add_const #(.Width({width}), .Negate({negate}), .Const({value})) u_{index} "
            f"(.x_i(x_i[{width - 1}:0]), .y_o(y_o[{low + width - 1}:{low}]));"
        )
        low += width
    return "\n".join([*lines, "endmodule", ""])


@cocotb.test()
async def every_input(dut: Any) -> None:
    bad = []
    for x in range(1 << WIDTH):
        dut.x_i.value = x
        await Timer(1, unit="ns")
        flat, low = int(dut.y_o.value), 0
        for width, negate, const in given()["rows"]:
            mask = (1 << width) - 1
            expected = (const - x if negate else x + const) & mask
            if flat >> low & mask != expected:
                bad.append((x, width, negate, const, flat >> low & mask, expected))
            low += width
    assert not bad, f"{len(bad)} wrong, first: {bad[0]}"


@pytest.mark.verilator
def test_hg_add_const(tmp_path: Path) -> None:
    top = tmp_path / "constants.sv"
    top.write_text(top_text(cases()))
    run_module(tmp_path, "hg_add_const", __name__, {}, top=top, rows=cases())
