"""hg_credit_fifo around a pipeline that cannot stop: nothing is lost under any stall, and it runs at full rate.

The pipeline itself (a delay of Depth - 2 cycles) is modelled by the bench.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from lib_bench import STALLS, run_module

from hwgen.sim.bench_lib import given, randoms


class Pipeline:
    def __init__(self, dut: Any, stages: int) -> None:
        self.dut, self.line = dut, [None] * stages
        self.cycle = 0
        self.sent: list[tuple[int, int]] = []
        self.got: list[tuple[int, int]] = []
        self.held: int | None = None

    async def step(self, item: int | None, take: bool, reset: bool = False) -> bool:
        dut = self.dut
        leaving = self.line[-1]
        dut.rst_i.value, dut.in_valid_i.value, dut.out_ready_i.value = int(reset), int(item is not None), int(take)
        dut.push_i.value = int(leaving is not None)
        dut.push_data_i.value = leaving if leaving is not None else 0
        await ReadOnly()
        accepted = item is not None and bool(int(dut.in_ready_o.value)) and not reset
        valid = bool(int(dut.out_valid_o.value)) and not reset
        data = int(dut.out_data_o.value) if valid else None
        if self.held is not None and not reset:
            assert data == self.held, f"cycle {self.cycle}: data did not hold"
        if accepted:
            self.sent.append((self.cycle, item))
        if valid and take:
            self.got.append((self.cycle, data))
        self.held = data if valid and not take else None
        self.line = [None] * len(self.line) if reset else [item if accepted else None, *self.line[:-1]]
        await RisingEdge(dut.clk_i)
        self.cycle += 1
        return accepted

    async def reset(self) -> None:
        for _ in range(2):
            await self.step(None, False, reset=True)
        self.sent.clear()
        self.got.clear()


async def started(dut: Any) -> tuple[Pipeline, random.Random, int]:
    document = given()
    width, depth = document["parameters"]["Width"], document["parameters"]["Depth"]
    Clock(dut.clk_i, 10, unit="ns").start()
    await RisingEdge(dut.clk_i)
    pipe = Pipeline(dut, max(depth - 2, 1))
    await pipe.reset()
    return pipe, random.Random(document["seed"]), width


@cocotb.test()
async def every_stall_pattern(dut: Any) -> None:
    pipe, draw, width = await started(dut)
    for name, (gap, stall) in STALLS.items():
        await pipe.reset()
        gaps, stalls = randoms(draw.getrandbits(30), gap), randoms(draw.getrandbits(30), stall)
        items = [draw.getrandbits(width) for _ in range(200)]
        index, cycles = 0, 0
        while len(pipe.got) < len(items):
            offer = index < len(items) and not gaps()
            index += await pipe.step(items[index] if offer else None, not stalls())
            cycles += 1
            assert cycles < 50_000, f"{name}: stuck after {len(pipe.got)} of {len(items)}"
        for _ in range(50):
            await pipe.step(None, True)
        assert [data for _, data in pipe.got] == items, name
        if name == "none" and pipe.line and len(pipe.line) > 1:
            assert pipe.got[-1][0] - pipe.got[0][0] == len(items) - 1, "not at full rate"


@cocotb.test()
async def no_more_than_its_slots_while_the_sink_sleeps(dut: Any) -> None:
    pipe, _, _ = await started(dut)
    depth = given()["parameters"]["Depth"]
    for _ in range(5 * depth + 20):
        await pipe.step(1, False)
    assert len(pipe.sent) == depth


@cocotb.test()
async def resets(dut: Any) -> None:
    pipe, draw, width = await started(dut)
    for _ in range(20):
        for _ in range(draw.randrange(30)):
            await pipe.step(draw.getrandbits(width), draw.random() < 0.5)
        await pipe.reset()
        items = [draw.getrandbits(width) for _ in range(3)]
        for item in items:
            while not await pipe.step(item, True):
                pass
        for _ in range(60):
            await pipe.step(None, True)
        assert [data for _, data in pipe.got] == items


@pytest.mark.verilator
@pytest.mark.parametrize(("width", "depth"), [(1, 3), (8, 2), (70, 4), (33, 11), (8, 16)])
def test_hg_credit_fifo(tmp_path: Path, width: int, depth: int) -> None:
    run_module(tmp_path, "hg_credit_fifo", __name__, {"Width": width, "Depth": depth})
