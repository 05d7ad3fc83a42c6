"""hg_pad: zeros around a picture; those before its first pixel come with it, the others need no input."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from stream_bench import NEVER, Ready, Shape, every_stall_pattern, resets_in_flight
from stream_bundle import Bundle, readers_agree, run_bundle

NAMES = ("Width", "H", "W", "Top", "Bottom", "Left", "Right")
SHAPES = [
    dict(zip(NAMES, values, strict=True))
    for values in [
        (8, 4, 4, 1, 1, 1, 1),
        (5, 3, 4, 0, 0, 0, 0),
        (5, 3, 4, 2, 0, 0, 3),
        (1, 2, 3, 0, 2, 2, 0),
        (9, 1, 6, 0, 0, 2, 0),  # causal
        (9, 1, 6, 0, 0, 0, 1),
        (3, 5, 1, 0, 1, 0, 0),
        (70, 1, 1, 1, 1, 1, 1),
        (4, 1, 1, 0, 0, 0, 0),
        (4, 1, 1, 3, 4, 5, 2),
    ]
]


class Pad:
    def __init__(self, shape: Shape) -> None:
        self.in_width = self.out_width = shape["Width"]
        self.frame = shape["H"] * shape["W"]
        inner = np.zeros((shape["Top"] + shape["H"] + shape["Bottom"], shape["Left"] + shape["W"] + shape["Right"]))
        inner[shape["Top"] : shape["Top"] + shape["H"], shape["Left"] : shape["Left"] + shape["W"]] = 1
        self.inner = [bool(inside) for inside in inner.ravel()]
        self.first = self.inner.index(True)

    def outputs(self, items: list[int]) -> list[int]:
        left, results = list(items), []
        for place, inside in itertools.cycle(enumerate(self.inner)):
            if not left and (inside or place < self.first):
                return results
            results.append(left.pop(0) if inside else 0)
        raise AssertionError("no pixel inside")

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        waiting, pops, pushes = [*offers, NEVER], [], []
        for place, inside in itertools.cycle(enumerate(self.inner)):
            offer = waiting[0] if inside or place < self.first else 0
            waiting = waiting[1:] if inside else waiting
            pushes.append(ready(max(offer, pushes[-1] + 1 if pushes else 0)))
            pops += [pushes[-1]] if inside else []
            if pushes[-1] >= NEVER:
                return pops, pushes
        raise AssertionError("no pixel inside")


BUNDLE = Bundle("hg_pad", SHAPES, Pad)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Pad, 8)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Pad, 8)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_pad(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_pad_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
