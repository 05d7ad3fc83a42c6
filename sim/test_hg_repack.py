"""hg_repack: a stream of units cut anew; some items are shorter or longer than the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import pytest
from stream_bench import Ready, Shape, every_stall_pattern, resets_in_flight
from stream_bundle import Bundle, readers_agree, run_bundle

NAMES = ("UnitWidth", "InUnits", "LastUnits", "OutUnits")
SHAPES = [
    dict(zip(NAMES, values, strict=True))
    for values in [
        (8, 1, 1, 1),
        (8, 2, 2, 3),
        (8, 8, 5, 3),
        (8, 3, 8, 8),
        (1, 8, 1, 1),
        (5, 1, 1, 8),
        (5, 1, 8, 8),
        (16, 4, 3, 7),
        (16, 7, 9, 4),
        (64, 1, 1, 5),
        (64, 5, 5, 1),
        (3, 2, 11, 3),
    ]
]
# The bit above an item says whether it is a last one.
WRAPPER = """module hg_repack_bench #(
    parameter int unsigned UnitWidth = 8,
    parameter int unsigned InUnits = 2,
    parameter int unsigned LastUnits = 2,
    parameter int unsigned OutUnits = 3,
    localparam int unsigned InWidth = UnitWidth * (InUnits > LastUnits ? InUnits : LastUnits)
) (
    input  logic                          clk_i,
    input  logic                          rst_i,
    input  logic                          in_valid_i,
    output logic                          in_ready_o,
    input  logic [             InWidth:0] in_data_i,
    output logic                          out_valid_o,
    input  logic                          out_ready_i,
    output logic [OutUnits*UnitWidth-1:0] out_data_o
);
  hg_repack #(
      .UnitWidth(UnitWidth),
      .InUnits  (InUnits),
      .LastUnits(LastUnits),
      .OutUnits (OutUnits)
  ) u_repack (
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .in_valid_i (in_valid_i),
      .in_ready_o (in_ready_o),
      .in_last_i  (in_data_i[InWidth]),
      .in_data_i  (in_data_i[InWidth-1:0]),
      .out_valid_o(out_valid_o),
      .out_ready_i(out_ready_i),
      .out_data_o (out_data_o)
  );
endmodule
"""


class Repack:
    def __init__(self, shape: Shape) -> None:
        self.unit, self.normal, self.last, self.out = (shape[name] for name in NAMES)
        self.in_width = self.unit * max(self.normal, self.last) + 1
        self.out_width = self.unit * self.out
        self.frame = 2 * self.out + 2

    def units(self, item: int) -> int:
        return self.last if item >> (self.in_width - 1) else self.normal

    def outputs(self, items: list[int]) -> list[int]:
        units = [item >> self.unit * k & (1 << self.unit) - 1 for item in items for k in range(self.units(item))]
        whole = range(0, len(units) // self.out * self.out, self.out)
        return [sum(units[start + k] << self.unit * k for k in range(self.out)) for start in whole]

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        limit = self.out + min(self.normal, self.out) - 1
        pushes: list[int] = []
        pops: list[int] = []
        entered = 0
        for n, offer in enumerate(offers):
            must_have_left = -(-max(entered - limit, 0) // self.out)
            room = pops[must_have_left - 1] + 1 if must_have_left else 0
            pushes.append(max(offer, room, pushes[-1] + 1 if pushes else 0))
            entered += self.units(items[n])
            while (len(pops) + 1) * self.out <= entered:
                pops.append(ready(max(pushes[n] + 1, pops[-1] + 1 if pops else 0)))
        return pushes, pops


BUNDLE = Bundle("hg_repack", SHAPES, Repack, wrapper=WRAPPER)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Repack, 10)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Repack, 10)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_repack(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_repack_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
