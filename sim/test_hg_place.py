"""hg_place: rows and columns, joined with a stream of pixels; each pixel meets its own place, whatever stalls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import pytest
from stream_bench import Ready, Shape, every_stall_pattern, resets_in_flight
from stream_bundle import Bundle, readers_agree, run_bundle

SHAPES = [
    {"H": 4, "W": 4, "FieldWidth": 2},
    {"H": 3, "W": 7, "FieldWidth": 3},
    {"H": 5, "W": 1, "FieldWidth": 4},
    {"H": 1, "W": 6, "FieldWidth": 3},
    {"H": 1, "W": 1, "FieldWidth": 1},
]

WRAPPER = """module hg_place_bench #(
    parameter int unsigned H = 4,
    parameter int unsigned W = 4,
    parameter int unsigned FieldWidth = 2
) (
    input  logic                    clk_i,
    input  logic                    rst_i,
    input  logic                    in_valid_i,
    output logic                    in_ready_o,
    input  logic [             7:0] in_data_i,
    output logic                    out_valid_o,
    input  logic                    out_ready_i,
    output logic [2*FieldWidth+7:0] out_data_o
);
  wire place_valid;
  assign out_valid_o = in_valid_i && place_valid;
  assign in_ready_o = place_valid && out_ready_i;
  assign out_data_o[7:0] = in_data_i;
  hg_place #(.H(H), .W(W), .FieldWidth(FieldWidth)) u_place (
      .clk_i(clk_i), .rst_i(rst_i), .out_valid_o(place_valid), .out_ready_i(in_valid_i && out_ready_i),
      .out_data_o(out_data_o[2*FieldWidth+7:8]));
endmodule
"""


class Places:
    def __init__(self, shape: Shape) -> None:
        self.rows, self.columns, self.field = shape["H"], shape["W"], shape["FieldWidth"]
        self.in_width, self.out_width = 8, 8 + 2 * self.field
        self.frame = self.rows * self.columns

    def outputs(self, items: list[int]) -> list[int]:
        places = [divmod(n % self.frame, self.columns) for n in range(len(items))]
        return [item | (y | x << self.field) << 8 for item, (y, x) in zip(items, places, strict=True)]

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        pops: list[int] = []
        for offer in offers:
            pops.append(ready(max(offer, pops[-1] + 1 if pops else 0)))
        return pops, list(pops)


BUNDLE = Bundle("hg_place", SHAPES, Places, wrapper=WRAPPER)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Places, 8)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Places, 8)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_place(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_place_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
