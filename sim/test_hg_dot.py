"""hg_dot: dot products, by a tree of sums of four."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cocotb
import pytest
from data_bench import Plain, Shape, elements, every_cycle, levels, run_data

DOT = ("InWidth", "InSigned", "WeightWidth", "Products", "OutWidth")
DOTS = [
    dict(zip(DOT, values, strict=True))
    for values in [
        (8, 1, 8, 1, 16),
        (8, 0, 8, 1, 20),
        (1, 0, 1, 2, 4),
        (6, 1, 5, 3, 14),
        (6, 0, 5, 4, 14),
        (7, 1, 7, 5, 9),  # modulo 2^9
        (18, 1, 25, 2, 48),
        (4, 0, 3, 16, 12),
        (3, 1, 2, 17, 10),
        (8, 1, 8, 65, 23),
    ]
]


class Dot(Plain):
    def __init__(self, shape: Shape) -> None:
        self.p = dict(shape)
        n = self.p["Products"]
        self.ports = {"x_i": n * self.p["InWidth"], "w_i": n * self.p["WeightWidth"], "y_o": self.p["OutWidth"]}
        self.latency = 1 + levels(4, n)

    def output(self, values: Mapping[str, int]) -> int:
        p = self.p
        x = elements(values["x_i"], p["InWidth"], p["Products"], bool(p["InSigned"]))
        w = elements(values["w_i"], p["WeightWidth"], p["Products"], True)
        return sum(a * b for a, b in zip(x, w, strict=True)) & ((1 << p["OutWidth"]) - 1)


@cocotb.test()
async def every_output(dut: Any) -> None:
    await every_cycle(dut, Dot)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_dot(tmp_path: Path) -> None:
    run_data(tmp_path, "hg_dot", __name__, DOTS, Dot)
