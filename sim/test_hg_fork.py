"""hg_fork: every branch takes every item once, in its own time; the item leaves in the cycle of the last one."""

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
async def each_branch_takes_each_item_once(dut: Any) -> None:
    document = given()
    branches = document["parameters"]["Branches"]
    draw = random.Random(document["seed"])
    Clock(dut.clk_i, 10, unit="ns").start()
    taken = [0] * branches
    item = 0
    offering = False
    held = 0
    for cycle in range(3000):
        await RisingEdge(dut.clk_i)
        reset = cycle < 2
        rate = (1.0, 0.5, 0.1)[cycle // 1000]
        offering = not reset and (offering or draw.random() < rate)
        ready = sum((draw.random() < rate) << branch for branch in range(branches))
        dut.rst_i.value, dut.in_valid_i.value, dut.out_ready_i.value = int(reset), int(offering), ready
        await ReadOnly()
        if reset:
            continue
        valid = int(dut.out_valid_o.value)
        assert valid & held == held, f"cycle {cycle}: valid fell before ready"
        waiting = sum((offering and taken[branch] == item) << branch for branch in range(branches))
        assert valid == waiting, f"cycle {cycle}: offered to {valid:b}, not taken by {waiting:b}"
        held = valid & ~ready
        for branch in range(branches):
            if (valid & ready) >> branch & 1:
                assert taken[branch] == item, f"cycle {cycle}: branch {branch} took item {item} again"
                taken[branch] += 1
        left = offering and bool(int(dut.in_ready_o.value))
        assert left == (offering and taken == [item + 1] * branches), f"cycle {cycle}: it leaves as soon as all have it"
        if left:
            item, offering, held = item + 1, False, 0
    assert item > 500


@cocotb.test()
async def a_reset_forgets_who_has_taken(dut: Any) -> None:
    branches = given()["parameters"]["Branches"]
    Clock(dut.clk_i, 10, unit="ns").start()
    for reset, valid, ready in ((1, 0, 0), (0, 1, 1), (1, 0, 0), (0, 1, 0)):
        await RisingEdge(dut.clk_i)
        dut.rst_i.value, dut.in_valid_i.value, dut.out_ready_i.value = reset, valid, ready
    await ReadOnly()
    assert int(dut.out_valid_o.value) == (1 << branches) - 1


@pytest.mark.verilator
@pytest.mark.parametrize("branches", [2, 3, 5])
def test_hg_fork(tmp_path: Path, branches: int) -> None:
    run_module(tmp_path, "hg_fork", __name__, {"Branches": branches})
