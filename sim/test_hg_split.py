"""hg_split: one wide item to narrow beats; the item leaves with its last beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import pytest
from stream_bench import Ready, Shape, every_stall_pattern, resets_in_flight
from stream_bundle import Bundle, readers_agree, run_bundle

SHAPES = [
    {"Width": width, "Beats": beats} for width, beats in [(8, 1), (1, 2), (8, 2), (5, 3), (33, 4), (3, 16), (2, 31)]
]


class Split:
    def __init__(self, shape: Shape) -> None:
        self.out_width, self.beats, self.frame = shape["Width"], shape["Beats"], 4
        self.in_width = self.out_width * self.beats

    def outputs(self, items: list[int]) -> list[int]:
        mask = (1 << self.out_width) - 1
        return [item >> k * self.out_width & mask for item in items for k in range(self.beats)]

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        pushes: list[int] = []
        for offer in offers:
            for _ in range(self.beats):
                pushes.append(ready(max(offer, pushes[-1] + 1 if pushes else 0)))
        return pushes[self.beats - 1 :: self.beats], pushes


BUNDLE = Bundle("hg_split", SHAPES, Split)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Split, 10)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Split, 10)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_split(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_split_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
