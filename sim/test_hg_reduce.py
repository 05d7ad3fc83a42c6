"""hg_reduce: sums and maxima of whole frames, every channel of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from stream_bench import Ready, Shape, every_stall_pattern, resets_in_flight
from stream_bundle import Bundle, readers_agree, run_bundle

from hwgen.sim.bench_lib import pack_elements

NAMES = ("ElementWidth", "Channels", "Beats", "OutWidth", "Op", "InSigned")
SHAPES = [
    dict(zip(NAMES, values, strict=True))
    for values in [
        (8, 1, 4, 10, 0, 1),
        (8, 3, 4, 10, 0, 0),
        (5, 2, 7, 8, 0, 1),
        (5, 2, 9, 5, 0, 1),  # a sum modulo 2^5
        (1, 4, 6, 3, 0, 0),
        (1, 4, 6, 1, 1, 1),
        (8, 2, 4, 8, 1, 1),
        (8, 2, 4, 8, 1, 0),
        (6, 3, 5, 9, 1, 1),
        (6, 3, 5, 9, 1, 0),
        (7, 2, 1, 9, 0, 1),
        (7, 2, 1, 9, 1, 0),
        (4, 1, 2, 5, 0, 1),
        (20, 2, 64, 26, 0, 1),
    ]
]


class Reduce:
    def __init__(self, shape: Shape) -> None:
        self.p = dict(shape)
        self.in_width = shape["ElementWidth"] * shape["Channels"]
        self.out_width = shape["OutWidth"] * shape["Channels"]
        self.frame = shape["Beats"]

    def outputs(self, items: list[int]) -> list[int]:
        width, channels = self.p["ElementWidth"], self.p["Channels"]
        values = np.array([[item >> width * c & (1 << width) - 1 for c in range(channels)] for item in items])
        if self.p["InSigned"]:
            values -= (values >> (width - 1)) << width
        frames = values.reshape(-1, self.frame, channels)
        results = frames.max(axis=1) if self.p["Op"] else frames.sum(axis=1)
        return [pack_elements([int(v) for v in result], self.p["OutWidth"]) for result in results]

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        pops: list[int] = []
        for n, offer in enumerate(offers):
            now = max(offer, pops[-1] + 1 if pops else 0)
            pops.append(ready(now) if n % self.frame == self.frame - 1 else now)
        return pops, pops[self.frame - 1 :: self.frame]


BUNDLE = Bundle("hg_reduce", SHAPES, Reduce)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Reduce, 16)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Reduce, 16)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_reduce(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_reduce_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
