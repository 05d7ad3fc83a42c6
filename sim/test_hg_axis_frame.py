"""hg_axis_frame_in and hg_axis_frame_out around a queue: beats to pixels and back, frames that end early or late.

The wrapper is the smallest design there can be behind an AXI4-Stream boundary: a result is its input, and its first
pixel is there long before the input frame ends.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cocotb
import pytest
from stream_bench import Lane, Lanes, Ready, Shape, every_stall_pattern, resets_in_flight
from stream_bundle import Bundle, readers_agree, run_bundle

from hwgen.sim.bench_lib import pack_elements

NAMES = ("Bytes", "Pixels", "Elements", "InBytes", "OutBytes", "Width", "Signed", "Depth", "Tags")
SHAPES = [
    dict(zip(NAMES, values, strict=True))
    for values in [
        (8, 16, 1, 1, 1, 8, 0, 16, 4),  # grey pixels
        (8, 9, 3, 1, 2, 8, 0, 16, 4),  # three colours, a byte wider on their way out
        (8, 5, 3, 1, 1, 6, 1, 5, 3),
        (4, 7, 1, 2, 2, 11, 1, 7, 2),
        (4, 3, 5, 2, 1, 8, 1, 3, 8),
        (1, 6, 2, 1, 1, 3, 0, 6, 4),
        (16, 3, 1, 1, 4, 5, 1, 4, 4),
        (3, 4, 4, 1, 2, 7, 0, 4, 4),
        (8, 1, 10, 1, 1, 4, 1, 2, 4),  # vectors: one pixel a frame
        (8, 1, 1, 1, 4, 4, 1, 2, 2),
        (2, 1, 3, 2, 3, 16, 1, 2, 3),
    ]
]
TAPS = {"errors_o": "16", "sum_o": "16"}
# The bit above a beat is TLAST.
WRAPPER = """module hg_axis_frame_in_bench #(
    parameter int unsigned Bytes = 8,
    parameter int unsigned Pixels = 4,
    parameter int unsigned Elements = 1,
    parameter int unsigned InBytes = 1,
    parameter int unsigned OutBytes = 1,
    parameter int unsigned Width = 8,
    parameter bit Signed = 1'b1,
    parameter int unsigned Depth = 4,
    parameter int unsigned Tags = 4
) (
`ifdef HWGEN_TAPS
    output logic [     15:0] errors_o,
    output logic [     15:0] sum_o,
`endif
    input  logic             clk_i,
    input  logic             rst_i,
    input  logic             in_valid_i,
    output logic             in_ready_o,
    input  logic [8*Bytes:0] in_data_i,
    output logic             out_valid_o,
    input  logic             out_ready_i,
    output logic [8*Bytes:0] out_data_o
);
  wire pixel_valid, pixel_ready, result_valid, result_ready, tag_valid, tag_ready, bad;
  wire due_valid, due_ready, due_bad;
  wire [Elements*Width-1:0] pixel, result;
  wire frame_error;

  hg_axis_frame_in #(
      .Bytes       (Bytes),
      .Pixels      (Pixels),
      .Elements    (Elements),
      .ElementBytes(InBytes),
      .ElementWidth(Width)
  ) u_in (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .tdata_i      (in_data_i[8*Bytes-1:0]),
      .tvalid_i     (in_valid_i),
      .tready_o     (in_ready_o),
      .tlast_i      (in_data_i[8*Bytes]),
      .frame_error_o(frame_error),
      .tag_valid_o  (tag_valid),
      .tag_ready_i  (tag_ready),
      .tag_bad_o    (bad),
      .out_valid_o  (pixel_valid),
      .out_ready_i  (pixel_ready),
      .out_data_o   (pixel)
  );

  hg_fifo #(
      .Width(Elements * Width),
      .Depth(Depth)
  ) u_core (
`ifdef HWGEN_TAPS
      // verilator lint_off PINCONNECTEMPTY
      .high_o     (),
      // verilator lint_on PINCONNECTEMPTY
`endif
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .in_valid_i (pixel_valid),
      .in_ready_o (pixel_ready),
      .in_data_i  (pixel),
      .out_valid_o(result_valid),
      .out_ready_i(result_ready),
      .out_data_o (result)
  );

  hg_fifo #(
      .Width(1),
      .Depth(Tags)
  ) u_tags (
`ifdef HWGEN_TAPS
      // verilator lint_off PINCONNECTEMPTY
      .high_o     (),
      // verilator lint_on PINCONNECTEMPTY
`endif
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .in_valid_i (tag_valid),
      .in_ready_o (tag_ready),
      .in_data_i  (bad),
      .out_valid_o(due_valid),
      .out_ready_i(due_ready),
      .out_data_o (due_bad)
  );

  hg_axis_frame_out #(
      .Bytes       (Bytes),
      .Pixels      (Pixels),
      .Elements    (Elements),
      .ElementBytes(OutBytes),
      .ElementWidth(Width),
      .Signed      (Signed)
  ) u_out (
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .tag_valid_i(due_valid),
      .tag_ready_o(due_ready),
      .tag_bad_i  (due_bad),
      .in_valid_i (result_valid),
      .in_ready_o (result_ready),
      .in_data_i  (result),
      .tdata_o    (out_data_o[8*Bytes-1:0]),
      .tvalid_o   (out_valid_o),
      .tready_i   (out_ready_i),
      .tlast_o    (out_data_o[8*Bytes])
  );

`ifdef HWGEN_TAPS
  // pulses of frame_error, and the sum of all pixels that entered the design
  always_ff @(posedge clk_i) begin
    errors_o <= rst_i ? '0 : errors_o + 16'(frame_error);
    sum_o    <= rst_i ? '0 : sum_o + (pixel_valid && pixel_ready ? 16'(pixel) : '0);
  end
`else
  // verilator lint_off UNUSEDSIGNAL
  wire unused = frame_error;
  // verilator lint_on UNUSEDSIGNAL
`endif
endmodule
"""


class Boundary:
    def __init__(self, shape: Shape) -> None:
        self.p = dict(shape)
        self.bits = 8 * shape["Bytes"]
        self.in_width = self.out_width = self.bits + 1
        self.in_pixel, self.out_pixel = (shape["Elements"] * shape[name] for name in ("InBytes", "OutBytes"))
        self.frame, self.out_frame = (self.beats(pixel) for pixel in (self.in_pixel, self.out_pixel))

    def beats(self, pixel: int) -> int:
        return -(-pixel * self.p["Pixels"] // self.p["Bytes"])

    def beat(self, data: int, last: bool) -> int:
        return data | int(last) << self.bits

    def frames(self, items: list[int]) -> list[tuple[list[int], bool]]:
        """Return the beats of every frame that is whole (the last one may be cut off) and whether it is good."""
        found: list[tuple[list[int], bool]] = []
        now: list[int] = []
        skip = False
        for item in items:
            last = bool(item >> self.bits)
            if skip:
                skip = not last
                continue
            now.append(item)
            if last or len(now) == self.frame:
                found.append((now, len(now) == self.frame))
                skip, now = not last, []
        return found

    def errors(self, items: list[int]) -> int:
        return sum(not good or not beats[-1] >> self.bits for beats, good in self.frames(items))

    def elements(self, beats: list[int]) -> list[int]:
        """Return the elements of a frame, as bits; what an early end cuts off is zero."""
        p = self.p
        data = sum((beat & (1 << self.bits) - 1) << self.bits * k for k, beat in enumerate(beats))
        return [data >> 8 * p["InBytes"] * k & (1 << p["Width"]) - 1 for k in range(p["Pixels"] * p["Elements"])]

    def total(self, items: list[int]) -> int:
        """Return the sum of all pixels, those of bad frames as well."""
        size, found = self.p["Elements"], 0
        for beats, _ in self.frames(items):
            elements = self.elements(beats)
            found += sum(pack_elements(elements[k : k + size], self.p["Width"]) for k in range(0, len(elements), size))
        return found % 2**16

    def outputs(self, items: list[int]) -> list[int]:
        p, results = self.p, []
        for beats, good in self.frames(items):
            if not good:
                continue
            wide = 0
            for k, bits in enumerate(self.elements(beats)):
                value = bits - ((bits >> p["Width"] - 1) << p["Width"] if p["Signed"] else 0)
                wide |= value % (1 << 8 * p["OutBytes"]) << 8 * p["OutBytes"] * k
            for k in range(self.out_frame):
                results.append(self.beat(wide >> self.bits * k & (1 << self.bits) - 1, k == self.out_frame - 1))
        return results

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        """Step through the cycles with counts only: bytes held on both sides, items in the two queues."""
        p = self.p
        whole = p["Pixels"] == 1  # a pixel counts with the padding
        per_in = self.frame * p["Bytes"] if whole else self.in_pixel
        per_out = self.out_frame * p["Bytes"] if whole else self.out_pixel
        limit_in = per_in + min(per_in, p["Bytes"]) - 1
        limit_out = p["Bytes"] + min(per_out, p["Bytes"]) - 1
        last_in = p["Pixels"] * per_in - (self.frame - 1) * p["Bytes"]
        last_out = self.out_frame * p["Bytes"] - (p["Pixels"] - 1) * per_out
        tags: deque[bool] = deque()
        held_in = held_out = core = index = beat = pixel = 0
        complete = skip = False
        pops: list[int] = []
        pushes: list[int] = []
        for cycle in range(len(ready.next) - 1):
            offered = index < len(offers) and offers[index] <= cycle
            room_in, room_out = held_in <= limit_in, held_out <= limit_out
            tlast, at_last = bool(items[index] >> self.bits) if offered else False, beat == self.frame - 1
            taken = offered and not complete and (skip or (room_in and len(tags) < p["Tags"]))
            enters = (complete and room_in) or (taken and not skip)
            pixel_moves = held_in >= per_in and core < p["Depth"]
            due = core > 0 and bool(tags)
            result_moves = due and (tags[0] or room_out)
            if held_out >= p["Bytes"] and ready(cycle) == cycle:
                pushes.append(cycle)
                held_out -= p["Bytes"]
            held_in -= per_in if pixel_moves else 0
            core += pixel_moves - result_moves
            if result_moves:
                pixel += 1
                held_out += 0 if tags[0] else last_out if pixel == p["Pixels"] else per_out
                if pixel == p["Pixels"]:
                    pixel = 0
                    tags.popleft()
            if taken:
                pops.append(cycle)
                index += 1
                skip = not tlast and (skip or at_last)
            if enters:
                held_in += last_in if at_last else p["Bytes"]
                if taken and (tlast or at_last):
                    tags.append(not at_last)
                complete = not at_last and (complete or tlast)
                beat = 0 if at_last else beat + 1
        return pops, pushes


def random_frames(draw: random.Random, frames: int) -> Callable[[Boundary], list[int]]:
    """Return a source of frames of which a third ends early or late, and the last two are good."""

    def items(rule: Boundary) -> list[int]:
        found: list[int] = []
        for number in range(frames):
            kind = draw.randrange(6) if number < frames - 2 else 5
            size = rule.frame
            if kind == 0 and size > 1:
                size = draw.randrange(1, size)
            elif kind == 1:
                size += draw.choice([1, 2, size, 2 * size])
            found += [rule.beat(draw.getrandbits(rule.bits), k == size - 1) for k in range(size)]
        return found

    return items


def errors_and_zeros(bench: Lanes, lanes: list[Lane]) -> None:
    errors, sums = int(bench.dut.errors_o.value), int(bench.dut.sum_o.value)
    for number, lane in enumerate(lanes):
        assert errors >> 32 * number & 0xFFFFFFFF == lane.rule.errors(lane.items), f"frame_error of instance {number}"
        assert sums >> 32 * number & 0xFFFFFFFF == lane.rule.total(lane.items), f"pixels into instance {number}"


BUNDLE = Bundle(
    "hg_axis_frame_in",
    SHAPES,
    Boundary,
    wrapper=WRAPPER,
    needs=("hg_fifo", "hg_repack", "hg_axis_frame_out"),
    taps=TAPS,
)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Boundary, 16, errors_and_zeros, random_frames)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Boundary, 8, source=random_frames)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_axis_frame(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_axis_frame_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
