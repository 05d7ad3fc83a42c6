"""hg_mac: a matrix times a vector (dense), or a vector a lane (depthwise), in a fixed number of cycles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from engine_bench import every_stall_pattern, resets_in_flight, run_engine

from hwgen.sim.bench_lib import pack_elements

NAMES = ("Shared", "Steps", "Groups", "Products", "Lanes", "InWidth", "InSigned", "WeightWidth", "AccWidth")
SHAPES = [
    dict(zip(NAMES, values, strict=True))
    for values in [
        (1, 1, 1, 1, 1, 8, 1, 8, 16),
        (1, 1, 1, 4, 3, 6, 0, 5, 14),
        (1, 5, 1, 1, 1, 8, 1, 8, 20),
        (1, 1, 4, 3, 2, 5, 1, 4, 12),
        (1, 3, 2, 2, 3, 7, 0, 6, 18),
        (1, 4, 3, 5, 1, 8, 1, 2, 9),
        (1, 2, 5, 17, 2, 1, 0, 3, 11),
        (1, 7, 3, 1, 4, 8, 1, 8, 12),  # sums modulo 2^12
        (0, 1, 1, 1, 1, 8, 0, 8, 20),
        (0, 1, 1, 9, 4, 6, 1, 5, 17),
        (0, 9, 1, 1, 3, 8, 1, 8, 22),
        (0, 3, 2, 3, 2, 5, 0, 7, 20),
        (0, 2, 4, 2, 1, 4, 1, 4, 14),
        (1, 2, 1, 2, 2, 6, 1, 6, 16),  # two steps, three steps: the weights asked for two ahead
        (1, 1, 2, 5, 1, 6, 0, 6, 16),
        (1, 3, 1, 2, 2, 6, 1, 6, 16),
        (0, 1, 3, 1, 2, 6, 1, 6, 16),
    ]
]


class Mac:
    def __init__(self, shape: Mapping[str, Any]) -> None:
        draw = np.random.default_rng(sum(shape.values()))
        p = self.p = dict(shape)
        bias_bits = int(draw.integers(1, 10))
        self.shifts = int(draw.integers(0, 4)), int(draw.integers(0, 4))
        more = {"ProductShift": self.shifts[0], "BiasWidth": bias_bits, "BiasShift": self.shifts[1]}
        self.parameters = {**p, **more}
        half = 1 << (p["WeightWidth"] - 1)
        self.cycles = p["Steps"] * p["Groups"]
        self.w = draw.integers(-half, half, (p["Groups"], p["Steps"], p["Lanes"], p["Products"]))
        self.bias = draw.integers(-(1 << bias_bits - 1), 1 << bias_bits - 1, (p["Groups"], p["Lanes"]))
        self.words = [pack_elements(row.ravel().tolist(), p["WeightWidth"]) for row in self.w.reshape(self.cycles, -1)]
        self.biases = [pack_elements(row.tolist(), bias_bits) for row in self.bias]
        slice_size = p["Products"] * (1 if p["Shared"] else p["Lanes"])
        self.elements = slice_size * p["Steps"] * (1 if p["Shared"] else p["Groups"])
        self.in_width = self.elements * p["InWidth"]
        self.out_width, self.bias_width = p["Lanes"] * p["AccWidth"], p["Lanes"] * bias_bits
        self.word_width = p["Lanes"] * p["Products"] * p["WeightWidth"]
        levels = next(n for n in range(9) if 4**n >= p["Products"])
        self.offsets = [(g + 1) * p["Steps"] + 2 + (self.cycles > 1) + levels for g in range(p["Groups"])]

    def results(self, item: int) -> list[int]:
        p, width = self.p, self.p["InWidth"]
        x = np.array([item >> width * k & (1 << width) - 1 for k in range(self.elements)], dtype=np.int64)
        if p["InSigned"]:
            x -= (x >> (width - 1)) << width
        if p["Shared"]:
            sums = np.einsum("sp,gslp->gl", x.reshape(p["Steps"], p["Products"]), self.w)
        else:
            sums = (x.reshape(self.w.shape) * self.w).sum(axis=(1, 3))
        y = (self.bias << self.shifts[1]) + (sums << self.shifts[0])
        return [pack_elements(row.tolist(), p["AccWidth"]) for row in y]


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Mac)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Mac)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_mac(tmp_path: Path) -> None:
    run_engine(tmp_path, "hg_mac", __name__, SHAPES, Mac, ["hg_dot", "hg_delay"])
