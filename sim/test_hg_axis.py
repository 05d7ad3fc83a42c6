"""hg_axis_in and hg_axis_out: beats to frames and back, frames that end early or late, every stall pattern, resets."""

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

Beat = tuple[int, int]  # data, last


def beats_of(value: int, size: int, count: int) -> list[Beat]:
    return [(value >> (8 * size * b) & ((1 << (8 * size)) - 1), int(b == count - 1)) for b in range(count)]


async def move_in(dut: Any, beats: list[Beat], gap: Any, stall: Any) -> tuple[list[int], int, list[int]]:
    """Offer beats to hg_axis_in; return the frames taken, the errors pulsed and the cycles of the frames."""
    index, still, cycle, errors = 0, 0, 0, 0
    frames: list[int] = []
    cycles: list[int] = []
    offering = False
    held: int | None = None
    while still < 400:
        offering = index < len(beats) and (offering or not gap())
        take = not stall()
        dut.rst_i.value, dut.tvalid_i.value, dut.frame_ready_i.value = 0, int(offering), int(take)
        dut.tdata_i.value, dut.tlast_i.value = beats[index] if offering else (0, 1)
        await ReadOnly()
        still += 1
        errors += int(dut.frame_error_o.value)
        valid = bool(int(dut.frame_valid_o.value))
        frame = int(dut.frame_o.value) if valid else None
        assert held is None or frame == held, "the frame did not hold"
        if valid and take:
            frames.append(int(dut.frame_o.value))
            cycles.append(cycle)
            still = 0
        held = frame if not take else None
        if offering and int(dut.tready_o.value):
            index, offering, still = index + 1, False, 0
        await RisingEdge(dut.clk_i)
        cycle += 1
    assert index == len(beats), "not every beat was taken"
    return frames, errors, cycles


async def reset(dut: Any) -> None:
    for _ in range(2):
        dut.rst_i.value = 1
        await RisingEdge(dut.clk_i)


async def started(dut: Any) -> tuple[random.Random, int, int]:
    document = given()
    Clock(dut.clk_i, 10, unit="ns").start()
    dut.tvalid_i.value = 0
    await RisingEdge(dut.clk_i)
    await reset(dut)
    return random.Random(document["seed"]), document["parameters"]["Bytes"], document["parameters"]["Beats"]


def only(module: str) -> bool:
    return given()["module"] == module


@cocotb.test()
async def frames_in(dut: Any) -> None:
    if not only("hg_axis_in"):
        return
    draw, size, count = await started(dut)
    for name, (gap, stall) in STALLS.items():
        await reset(dut)
        values = [draw.getrandbits(8 * size * count) for _ in range(40)]
        beats = [beat for value in values for beat in beats_of(value, size, count)]
        toss = randoms(draw.getrandbits(20), gap), randoms(draw.getrandbits(20), stall)
        frames, errors, cycles = await move_in(dut, beats, *toss)
        assert (frames, errors) == (values, 0), name
        if name == "none":
            assert cycles[-1] - cycles[0] == (len(values) - 1) * count, "interval is not Beats"


@cocotb.test()
async def frames_in_that_end_early_or_late(dut: Any) -> None:
    if not only("hg_axis_in"):
        return
    draw, size, count = await started(dut)
    beats: list[Beat] = []
    wanted, wrong = [], 0
    for _ in range(120):
        value = draw.getrandbits(8 * size * count)
        whole = beats_of(value, size, count)
        kind = draw.randrange(3)
        if kind == 0 and count > 1:
            short = whole[: draw.randrange(1, count)]
            beats += [*short[:-1], (short[-1][0], 1)]
            wrong += 1
        elif kind == 1:
            extra = [(draw.getrandbits(8 * size), 0) for _ in range(draw.randrange(3))]
            beats += [*whole[:-1], (whole[-1][0], 0), *extra, (5, 1)]
            wanted.append(value)
            wrong += 1
        else:
            beats += whole
            wanted.append(value)
    frames, errors, _ = await move_in(dut, beats, randoms(1, 200), randoms(2, 300))
    assert frames == wanted
    assert errors == wrong


@cocotb.test()
async def resets_in(dut: Any) -> None:
    if not only("hg_axis_in"):
        return
    draw, size, count = await started(dut)
    for _ in range(15):
        part = [(draw.getrandbits(8 * size), 0) for _ in range(draw.randrange(2 * count + 1))]
        for data, _ in part:
            dut.rst_i.value, dut.tvalid_i.value, dut.tdata_i.value, dut.tlast_i.value = 0, 1, data, 0
            dut.frame_ready_i.value = draw.getrandbits(1)
            await RisingEdge(dut.clk_i)
        await reset(dut)
        value = draw.getrandbits(8 * size * count)
        frames, _, _ = await move_in(dut, beats_of(value, size, count), randoms(1, 0), randoms(1, 0))
        assert frames == [value]


@cocotb.test()
async def frames_out(dut: Any) -> None:
    if not only("hg_axis_out"):
        return
    document = given()
    size, count = document["parameters"]["Bytes"], document["parameters"]["Beats"]
    draw = random.Random(document["seed"])
    Clock(dut.clk_i, 10, unit="ns").start()
    dut.frame_valid_i.value = 0
    await RisingEdge(dut.clk_i)
    for name, (gap, stall) in STALLS.items():
        await reset(dut)
        gaps, stalls = randoms(draw.getrandbits(20), gap), randoms(draw.getrandbits(20), stall)
        values = [draw.getrandbits(8 * size * count) for _ in range(40)]
        wanted = [beat for value in values for beat in beats_of(value, size, count)]
        got: list[Beat] = []
        cycles: list[int] = []
        held: Beat | None = None
        index, still, cycle, offering = 0, 0, 0, False
        while still < 400:
            offering = index < len(values) and (offering or not gaps())
            take = not stalls()
            dut.rst_i.value, dut.frame_valid_i.value, dut.tready_i.value = 0, int(offering), int(take)
            dut.frame_i.value = values[index] if offering else 0
            await ReadOnly()
            still += 1
            valid = bool(int(dut.tvalid_o.value))
            beat = (int(dut.tdata_o.value), int(dut.tlast_o.value)) if valid else None
            assert held is None or beat == held, f"{name}: the beat did not hold"
            held = beat if not take else None
            if beat is not None and take:
                got.append(beat)
                cycles.append(cycle)
                still = 0
            if offering and int(dut.frame_ready_o.value):
                index, offering = index + 1, False
            await RisingEdge(dut.clk_i)
            cycle += 1
        assert got == wanted, name
        if name == "none":
            assert cycles[-1] - cycles[0] == len(wanted) - 1, "not a beat a cycle"


@pytest.mark.verilator
@pytest.mark.parametrize("module", ["hg_axis_in", "hg_axis_out"])
@pytest.mark.parametrize(("size", "beats"), [(8, 1), (1, 3), (4, 7), (16, 2)])
def test_hg_axis(tmp_path: Path, module: str, size: int, beats: int) -> None:
    run_module(tmp_path, module, __name__, {"Bytes": size, "Beats": beats})
