"""hg_fifo: pop >= push + 1, push >= pop of Depth items before + 1, and the high-water mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import pytest
from stream_bench import Lane, Lanes, Ready, Shape, every_stall_pattern, resets_in_flight
from stream_bundle import Bundle, readers_agree, run_bundle

SHAPES = [
    {"Width": width, "Depth": depth} for width, depth in [(1, 2), (8, 2), (9, 3), (70, 4), (33, 5), (8, 16), (3, 31)]
]
TAPS = {"high_o": "$clog2({Depth} + 1)"}


class Fifo:
    def __init__(self, shape: Shape) -> None:
        self.in_width = self.out_width = shape["Width"]
        self.depth, self.frame = shape["Depth"], 20

    def outputs(self, items: list[int]) -> list[int]:
        return items

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        pushes: list[int] = []
        pops: list[int] = []
        for n, offer in enumerate(offers):
            room = pops[n - self.depth] + 1 if n >= self.depth else 0
            pushes.append(max(offer, room))
            pops.append(ready(max(pushes[n] + 1, pops[n - 1] + 1 if n else 0)))
        return pushes, pops


def highest_fill(bench: Lanes, lanes: list[Lane]) -> None:
    shown = int(bench.dut.high_o.value)
    for number, lane in enumerate(lanes):
        fill, highest, pops = 0, 0, set(lane.pushed)
        for cycle in range(len(lane.ready)):
            fill += (cycle in lane.popped) - (cycle in pops)
            highest = max(highest, fill)
        assert shown >> 32 * number & 0xFFFFFFFF == highest, f"high-water mark of instance {number}"


BUNDLE = Bundle("hg_fifo", SHAPES, Fifo, taps=TAPS)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Fifo, 10, highest_fill)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Fifo, 10)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_fifo(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_fifo_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
