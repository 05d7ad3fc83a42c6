"""hg_decimate: some rows' some pixels; those that go are dropped at once, whatever the sink's ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from stream_bench import Ready, Shape, every_stall_pattern, resets_in_flight
from stream_bundle import Bundle, readers_agree, run_bundle

SHAPES = [
    {"Width": 8, "H": 6, "W": 6, "SY": 2, "SX": 2},
    {"Width": 5, "H": 5, "W": 7, "SY": 2, "SX": 3},
    {"Width": 1, "H": 1, "W": 9, "SY": 1, "SX": 2},
    {"Width": 9, "H": 7, "W": 1, "SY": 3, "SX": 1},
    {"Width": 9, "H": 3, "W": 4, "SY": 1, "SX": 1},
    {"Width": 40, "H": 3, "W": 3, "SY": 7, "SX": 9},
    {"Width": 2, "H": 1, "W": 1, "SY": 1, "SX": 1},
    {"Width": 2, "H": 1, "W": 1, "SY": 2, "SX": 2},
    {"Width": 6, "H": 8, "W": 9, "SY": 2, "SX": 2, "Ho": 3, "Wo": 2},
    {"Width": 6, "H": 5, "W": 6, "SY": 1, "SX": 1, "Ho": 1, "Wo": 4},
]


class Decimate:
    def __init__(self, shape: Shape) -> None:
        self.in_width = self.out_width = shape["Width"]
        self.frame = shape["H"] * shape["W"]
        kept = np.zeros((shape["H"], shape["W"]), bool)
        rows = range(0, shape["H"], shape["SY"])[: shape.get("Ho", 10**6)]
        kept[np.ix_(rows, range(0, shape["W"], shape["SX"])[: shape.get("Wo", 10**6)])] = True
        self.kept = [bool(stays) for stays in kept.ravel()]

    def outputs(self, items: list[int]) -> list[int]:
        return [item for n, item in enumerate(items) if self.kept[n % self.frame]]

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        pops: list[int] = []
        for n, offer in enumerate(offers):
            now = max(offer, pops[-1] + 1 if pops else 0)
            pops.append(ready(now) if self.kept[n % self.frame] else now)
        return pops, self.outputs(pops)


BUNDLE = Bundle("hg_decimate", SHAPES, Decimate)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Decimate, 8)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Decimate, 8)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_decimate(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_decimate_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
