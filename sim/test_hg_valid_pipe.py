"""hg_valid_pipe: valid_o[t] = valid_i[t - Stages]; a reset forgets everything on its way."""

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
async def bits_travel_and_resets_clear_them(dut: Any) -> None:
    document = given()
    stages = document["parameters"]["Stages"]
    draw = random.Random(document["seed"])
    Clock(dut.clk_i, 10, unit="ns").start()
    model = [0] * stages
    for cycle in range(400):
        await RisingEdge(dut.clk_i)
        reset = cycle < 2 or draw.random() < 0.04
        valid = draw.getrandbits(1)
        dut.rst_i.value, dut.valid_i.value = int(reset), valid
        await ReadOnly()
        if cycle:
            assert int(dut.valid_o.value) == model[-1], f"cycle {cycle}"
        model = [0] * stages if reset else [valid, *model[:-1]]


@pytest.mark.verilator
@pytest.mark.parametrize("stages", [1, 2, 9, 40])
def test_hg_valid_pipe(tmp_path: Path, stages: int) -> None:
    run_module(tmp_path, "hg_valid_pipe", __name__, {"Stages": stages})
