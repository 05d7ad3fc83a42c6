"""hg_upsample: every pixel and every row several times, the rows out of a buffer from the second pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from stream_bench import Ready, Shape, every_stall_pattern, resets_in_flight
from stream_bundle import Bundle, readers_agree, run_bundle

NAMES = ("Width", "H", "W", "FY", "FX")
SHAPES = [
    dict(zip(NAMES, values, strict=True))
    for values in [
        (8, 4, 4, 2, 2),
        (5, 3, 5, 3, 2),
        (5, 2, 3, 2, 5),
        (1, 3, 4, 1, 2),
        (9, 3, 4, 2, 1),
        (9, 3, 4, 1, 1),
        (3, 1, 7, 1, 3),  # a (W, C) tensor
        (3, 6, 1, 2, 2),
        (3, 4, 1, 3, 1),
        (70, 1, 1, 2, 2),
        (4, 1, 1, 1, 1),
    ]
]


class Upsample:
    def __init__(self, shape: Shape) -> None:
        self.in_width = self.out_width = shape["Width"]
        self.p, self.frame = dict(shape), shape["H"] * shape["W"]

    def outputs(self, items: list[int]) -> list[int]:
        frames = np.array(items, dtype=object).reshape(-1, self.p["H"], self.p["W"])
        return [int(v) for v in frames.repeat(self.p["FY"], axis=1).repeat(self.p["FX"], axis=2).ravel()]

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        width, passes, repetitions = self.p["W"], self.p["FY"], self.p["FX"]
        pops: list[int] = []
        pushes: list[int] = []
        for start in range(0, len(offers), width):
            here = offers[start : start + width]
            for number in range(passes if len(here) == width else 1):
                for offer in here:
                    for _ in range(repetitions):
                        now = pushes[-1] + 1 if pushes else 0
                        pushes.append(ready(max(now, offer) if number == 0 else now))
                    pops += [pushes[-1]] if number == 0 else []
        return pops, pushes


BUNDLE = Bundle("hg_upsample", SHAPES, Upsample)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Upsample, 6)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Upsample, 6)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_upsample(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_upsample_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
