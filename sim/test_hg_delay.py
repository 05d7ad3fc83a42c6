"""hg_delay: y[t] = x[t - Cycles]."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from lib_bench import run_module

from hwgen.sim.bench_lib import given


@cocotb.test()
async def a_vector_comes_back_after_its_cycles(dut: Any) -> None:
    document = given()
    width, cycles = document["parameters"]["Width"], document["parameters"]["Cycles"]
    draw = random.Random(document["seed"])
    Clock(dut.clk_i, 10, unit="ns").start()
    sent: list[int] = []
    for _ in range(100):
        await RisingEdge(dut.clk_i)
        sent.append(draw.getrandbits(width))
        dut.x_i.value = sent[-1]
        await ReadOnly()
        if len(sent) > cycles:
            assert int(dut.y_o.value) == sent[-1 - cycles]


@pytest.mark.verilator
@pytest.mark.parametrize(("width", "cycles"), [(1, 1), (7, 3), (65, 2), (200, 5), (9, 0)])
def test_hg_delay(tmp_path: Path, width: int, cycles: int) -> None:
    run_module(tmp_path, "hg_delay", __name__, {"Width": width, "Cycles": cycles})
