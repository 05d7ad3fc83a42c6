"""hg_requantize against FixedPoint, on every input: all rounding modes, overflow modes, shifts and ranges at once."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import Timer
from lib_bench import run_module

from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.sim.bench_lib import given

MODES = list(Rounding)  # in the order of hg_requantize's numbers
CODES = {"TRN": 0, "TRN_ZERO": 1, "RND": 2, "RND_ZERO": 3, "RND_INF": 4, "RND_MIN_INF": 5, "RND_CONV": 6}


def cases(width: int) -> list[dict[str, Any]]:
    """Return the parameters of one instance a row, with what FixedPoint makes of every input."""
    rows = []
    x = np.arange(-(1 << (width - 1)), 1 << (width - 1))
    formats = [(4, True), (4, False), (1, False), (7, True), (width + 3, True), (3, False)]
    for mode, shift, (out, signed), over in itertools.product(MODES, (-2, 0, 1, 3, width + 1), formats, (0, 1, 2)):
        for half in (False, True) if shift >= 1 and mode in (Rounding.RND, Rounding.RND_CONV) else (False,):
            overflow = (Overflow.SAT, Overflow.WRAP, Overflow.SAT_ZERO)[over]
            fmt = FixedPoint(out, out, signed, mode, overflow)
            y = fmt.requantize(x, shift)
            lo, hi = fmt.int_min, fmt.int_max
            if over == 1:  # a clamp below the format, as a ReLU's upper bound
                lo, hi = max(lo, -2), min(hi, 5)
                y = np.clip(y, lo, hi)
            rows.append(
                {
                    "InWidth": width + (2 if half else 0),
                    "OutWidth": out,
                    "Shift": shift,
                    "Rounding": CODES[str(mode)],
                    "HalfAdded": int(half),
                    "Overflow": over,
                    "WrapWidth": out,
                    "WrapSigned": int(signed),
                    "Lo": lo,
                    "Hi": hi,
                    "y": [int(v) & ((1 << out) - 1) for v in y],
                }
            )
            if half and shift > width:  # the added half needs more bits than the instance has
                rows.pop()
    return rows


def top_text(rows: list[dict[str, Any]], width: int) -> str:
    total = sum(row["OutWidth"] for row in rows)
    lines = [f"module requantizers (input logic signed [{width - 1}:0] x_i, output logic [{total - 1}:0] y_o);"]
    low = 0
    for index, row in enumerate(rows):
        values = ", ".join(f".{key}({row[key]})" for key in row if key != "y")
        wide = row["InWidth"]
        half = 1 << (row["Shift"] - 1) if row["HalfAdded"] else 0
        lines.append(
            f"  hg_requantize #({values}) u_{index} "
            f"(.x_i({wide}'(x_i) + {wide}'sd{half}), .y_o(y_o[{low + row['OutWidth'] - 1}:{low}]));"
        )
        low += row["OutWidth"]
    return "\n".join([*lines, "endmodule", ""])


@cocotb.test()
async def every_input(dut: Any) -> None:
    document = given()
    width, rows = document["width"], document["rows"]
    bad = []
    for index, x in enumerate(range(-(1 << (width - 1)), 1 << (width - 1))):
        dut.x_i.value = x & ((1 << width) - 1)
        await Timer(1, unit="ns")
        flat, low = int(dut.y_o.value), 0
        for row in rows:
            y = flat >> low & ((1 << row["OutWidth"]) - 1)
            low += row["OutWidth"]
            if y != row["y"][index]:
                bad.append(
                    f"x {x}: y {y:#x}, expected {row['y'][index]:#x}, { ({k: v for k, v in row.items() if k != 'y'}) }"
                )
    assert not bad, f"{len(bad)} wrong, first: {bad[0]}"


@pytest.mark.verilator
def test_hg_requantize(tmp_path: Path) -> None:
    width = 7
    rows = cases(width)
    top = tmp_path / "requantizers.sv"
    top.write_text(top_text(rows, width))
    run_module(tmp_path, "hg_requantize", __name__, {}, top=top, width=width, rows=rows)
