"""hg_mux: one of many, sixteen to one a cycle."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cocotb
import pytest
from data_bench import Plain, Shape, elements, every_cycle, levels, run_data

MUXES = [{"Width": w, "Inputs": n} for w, n in [(8, 1), (1, 2), (5, 3), (8, 16), (8, 17), (4, 50), (2, 256), (3, 257)]]


class Mux(Plain):
    def __init__(self, shape: Shape) -> None:
        self.width, self.count = shape["Width"], shape["Inputs"]
        self.ports = {
            "x_i": self.width * self.count,
            "select_i": max(1, (self.count - 1).bit_length()),
            "y_o": self.width,
        }
        self.latency = max(1, levels(16, self.count))

    def draw(self, port: str, noise: random.Random) -> int:
        return noise.randrange(self.count) if port == "select_i" else noise.getrandbits(self.ports[port])

    def output(self, values: Mapping[str, int]) -> int:
        return elements(values["x_i"], self.width, self.count, False)[values["select_i"]]


@cocotb.test()
async def every_output(dut: Any) -> None:
    await every_cycle(dut, Mux)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_mux(tmp_path: Path) -> None:
    run_data(tmp_path, "hg_mux", __name__, MUXES, Mux, ["hg_delay"])
