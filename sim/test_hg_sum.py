"""hg_sum: a sum of many, four at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cocotb
import pytest
from data_bench import Plain, Shape, elements, every_cycle, levels, run_data

SUMS = [{"Width": w, "Inputs": n} for w, n in [(8, 1), (9, 2), (7, 3), (8, 4), (6, 5), (12, 16), (5, 17), (3, 70)]]


class Sum(Plain):
    def __init__(self, shape: Shape) -> None:
        self.width, self.count = shape["Width"], shape["Inputs"]
        self.ports = {"x_i": self.width * self.count, "y_o": self.width}
        self.latency = max(1, levels(4, self.count))

    def output(self, values: Mapping[str, int]) -> int:
        return sum(elements(values["x_i"], self.width, self.count, False)) & ((1 << self.width) - 1)


@cocotb.test()
async def every_output(dut: Any) -> None:
    await every_cycle(dut, Sum)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_sum(tmp_path: Path) -> None:
    run_data(tmp_path, "hg_sum", __name__, SUMS, Sum)
