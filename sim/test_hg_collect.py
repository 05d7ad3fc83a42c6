"""hg_collect: narrow beats to one wide item; the last beat passes through with the stored ones."""

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


class Collect:
    def __init__(self, shape: Shape) -> None:
        self.in_width, self.frame = shape["Width"], shape["Beats"]
        self.out_width = self.in_width * self.frame

    def outputs(self, items: list[int]) -> list[int]:
        frames = range(len(items) // self.frame)
        return [sum(items[f * self.frame + k] << k * self.in_width for k in range(self.frame)) for f in frames]

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        pops: list[int] = []
        for n, offer in enumerate(offers):
            now = max(offer, pops[-1] + 1 if pops else 0)
            pops.append(ready(now) if n % self.frame == self.frame - 1 else now)
        return pops, pops[self.frame - 1 :: self.frame]


BUNDLE = Bundle("hg_collect", SHAPES, Collect)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Collect, 20)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Collect, 20)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_collect(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_collect_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
