"""hg_row_store: windows against numpy, and every cycle of writer and reader against their rules."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from stream_bench import NEVER, Ready, Shape, every_stall_pattern, resets_in_flight
from stream_bundle import Bundle, readers_agree, run_bundle

NAMES = ("ElementWidth", "Channels", "H", "W", "KH", "KW", "SH", "SW", "PT", "PL", "Ho", "Wo", "PadValue")


def shape(*values: int) -> dict[str, int]:
    return dict(zip(NAMES, values, strict=True))


SHAPES = [
    # bits, channels, H, W,   KH, KW, SH, SW,  PT, PL, Ho, Wo, pad
    shape(8, 1, 6, 7, 3, 3, 1, 1, 1, 1, 6, 7, 0),  # same
    shape(4, 3, 5, 6, 3, 3, 1, 1, 0, 0, 3, 4, 0),  # valid
    shape(6, 2, 7, 8, 3, 3, 2, 2, 0, 0, 4, 4, 0),  # same, stride 2: hangs over at the bottom and on the right
    shape(6, 2, 7, 7, 3, 3, 2, 2, 1, 1, 4, 4, -32),  # same, stride 2, of a maximum
    shape(5, 1, 8, 8, 2, 2, 2, 2, 0, 0, 4, 4, 0),  # pooling
    shape(5, 1, 7, 9, 2, 2, 2, 2, 0, 0, 3, 4, 0),  # last row and column never in a window
    shape(8, 2, 4, 5, 1, 1, 1, 1, 0, 0, 4, 5, 0),  # pointwise
    shape(8, 2, 5, 5, 1, 1, 2, 2, 0, 0, 3, 3, 0),  # stride above the kernel
    shape(3, 1, 11, 10, 2, 1, 5, 4, 0, 0, 2, 2, 0),  # much above it, five rows never read
    shape(3, 1, 10, 11, 1, 3, 4, 5, 0, 1, 3, 3, 0),
    shape(7, 2, 1, 9, 1, 3, 1, 1, 0, 1, 1, 9, 0),  # H = 1: a (W, C) tensor
    shape(7, 2, 1, 9, 1, 3, 1, 1, 0, 2, 1, 9, 5),  # causal
    shape(7, 2, 1, 8, 1, 4, 1, 2, 0, 1, 1, 4, 0),
    shape(8, 1, 6, 1, 3, 1, 1, 1, 1, 0, 6, 1, 0),  # W = 1
    shape(8, 1, 6, 1, 3, 3, 1, 1, 1, 1, 6, 1, 77),
    shape(8, 1, 5, 1, 2, 1, 1, 1, 0, 0, 4, 1, 0),
    shape(4, 1, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1, -1),  # one pixel
    shape(4, 2, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0),
    shape(4, 1, 1, 1, 5, 5, 1, 1, 2, 2, 1, 1, 3),
    shape(5, 1, 2, 3, 5, 5, 1, 1, 2, 2, 2, 3, 3),  # H < KH, W < KW
    shape(5, 1, 2, 2, 4, 4, 1, 1, 3, 3, 5, 5, 9),  # full padding: windows of one pixel in each corner
    shape(5, 1, 3, 2, 4, 6, 3, 2, 1, 3, 1, 2, 0),
    shape(1, 5, 9, 4, 5, 2, 1, 3, 2, 0, 9, 2, 1),
    shape(9, 1, 12, 3, 3, 3, 1, 1, 0, 0, 2, 1, 0),  # eight rows never read
    shape(9, 1, 3, 12, 2, 3, 1, 1, 0, 0, 2, 2, 0),  # eight columns never read
    shape(6, 1, 4, 4, 7, 3, 1, 2, 3, 1, 4, 2, 2),
    shape(40, 1, 3, 3, 2, 2, 1, 1, 1, 1, 3, 3, -1),
    shape(3, 11, 4, 4, 3, 3, 1, 1, 1, 1, 4, 4, 0),
]


class RowStore:
    def __init__(self, shape: Shape) -> None:
        self.__dict__ |= shape
        self.p = dict(shape)
        self.pixel = shape["ElementWidth"] * shape["Channels"]
        self.in_width, self.out_width = self.pixel, self.pixel * shape["KH"] * shape["KW"]
        self.frame = shape["H"] * shape["W"]

    def outputs(self, items: list[int]) -> list[int]:
        p = self.p
        pad = sum((p["PadValue"] % 2 ** p["ElementWidth"]) << p["ElementWidth"] * c for c in range(p["Channels"]))
        windows = []
        for start in range(0, len(items), self.frame):
            wide = np.full((p["H"] + 99, p["W"] + 99), pad, dtype=object)
            top, left = p["PT"], p["PL"]
            wide[top : top + p["H"], left : left + p["W"]] = np.array(
                items[start : start + self.frame], dtype=object
            ).reshape(p["H"], p["W"])
            for oy, ox in itertools.product(range(p["Ho"]), range(p["Wo"])):
                y, x = oy * p["SH"], ox * p["SW"]
                taps = wide[y : y + p["KH"], x : x + p["KW"]].ravel()
                windows.append(sum(int(tap) << self.pixel * k for k, tap in enumerate(taps)))
        return windows

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        p = self.p
        rows, columns, slots = p["H"], p["W"], p["KH"] + p["SH"]
        last = (p["Wo"] - 1) * p["SW"] - p["PL"] + p["KW"] - 1
        pops: list[int] = []
        released: list[int] = []  # the cycle of each row's release
        takes: list[int] = []

        def pop(index: int) -> int:
            while len(pops) <= index:
                n = len(pops)
                row = n // columns - slots
                free = 0 if row < 0 else released[row] + 1 if row < len(released) else NEVER
                offer = offers[n] if n < len(offers) else NEVER
                pops.append(min(max(offer, free, pops[-1] + 1 if pops else 0), NEVER))
            return pops[index]

        issue = shift = -1
        for frame in range(-(-len(offers) // (rows * columns))):
            for oy in range(p["Ho"]):
                need = frame * rows + min(oy * p["SH"] - p["PT"] + p["KH"] - 1, rows - 1)
                for c in range(max(columns, last + 1)):
                    issue = max(issue + 1, shift, pop(need * columns + c) + 1 if c < columns else 0)
                    shift = max(issue + 1, shift + 1, takes[-1] if takes else 0)
                    ox, rest = divmod(c - (p["KW"] - 1 - p["PL"]), p["SW"])
                    if rest == 0 and 0 <= ox < p["Wo"]:
                        takes.append(ready(shift + 1))
                below = rows if oy == p["Ho"] - 1 else min(max((oy + 1) * p["SH"] - p["PT"], 0), rows)
                released += [issue] * (frame * rows + below - len(released))
        if offers:
            pop(len(offers) - 1)
        return pops, takes


BUNDLE = Bundle("hg_row_store", SHAPES, RowStore)


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, RowStore, 5)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, RowStore, 3)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_row_store(tmp_path: Path) -> None:
    run_bundle(tmp_path, BUNDLE, __name__)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_row_store_is_read(tmp_path: Path) -> None:
    readers_agree(tmp_path, BUNDLE)
