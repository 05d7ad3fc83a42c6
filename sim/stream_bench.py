"""The bench of the stream modules: data against a model, and every cycle of every transfer against the firing rule.

Many shapes of a module run side by side in one simulator (`stream_bundle.py`), each with its own source and sink. A
module's test file gives a `Rule`. The rule is told when the source offered and when the sink was ready, never what the
hardware did.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from lib_bench import STALLS

from hwgen.sim.bench_lib import given, randoms

NEVER = 1 << 40
Shape = Mapping[str, int]
Source = Callable[[random.Random, int], Callable[[Any], list[int]]]
"""From a random generator and a number of frames, the items for a rule."""


class Rule(Protocol):
    """What a module does: its widths, and its outputs and cycles as functions of what stands at its ports."""

    def __init__(self, shape: Shape) -> None: ...

    in_width: int
    out_width: int
    frame: int  # items of an input frame

    def outputs(self, items: list[int]) -> list[int]:
        """Return what leaves for `items`."""

    def cycles(self, items: list[int], offers: list[int], ready: Ready) -> tuple[list[int], list[int]]:
        """Return the cycles of all transfers in and out (`NEVER`: not within this run)."""


class Ready:
    """The cycles in which a sink was ready: `ready(t)` is the first one not before t."""

    def __init__(self, pattern: list[bool]) -> None:
        self.next = [NEVER] * (len(pattern) + 1)
        for cycle in reversed(range(len(pattern))):
            self.next[cycle] = cycle if pattern[cycle] else self.next[cycle + 1]

    def __call__(self, cycle: int) -> int:
        return self.next[cycle] if cycle < len(self.next) else NEVER


@dataclass
class Lane:
    """One instance: its source, its sink, and what was seen."""

    rule: Rule
    items: list[int]
    gap: Callable[[], bool]
    stall: Callable[[], bool]
    index: int = 0
    offering: bool = False
    held: int | None = None
    offers: list[int] = field(default_factory=list)
    ready: list[bool] = field(default_factory=list)
    popped: list[int] = field(default_factory=list)
    pushed: list[int] = field(default_factory=list)
    data: list[int] = field(default_factory=list)

    def drive(self, cycle: int, noise: random.Random) -> tuple[int, int, int]:
        """Return valid, data and ready of this cycle."""
        if not self.offering and self.index < len(self.items) and not self.gap():
            self.offering = True
            self.offers.append(cycle)
        self.ready.append(not self.stall())
        data = self.items[self.index] if self.offering else noise.getrandbits(self.rule.in_width)
        return int(self.offering), data, int(self.ready[-1])

    def see(self, cycle: int, in_ready: bool, out_valid: bool, out_data: int) -> bool:
        """Note this cycle's transfers; return whether there was one."""
        assert self.held is None or (out_valid and out_data == self.held), f"cycle {cycle}: valid or data did not hold"
        if moved := self.offering and in_ready:
            self.popped.append(cycle)
            self.index, self.offering = self.index + 1, False
        self.held = out_data if out_valid and not self.ready[-1] else None
        if out_valid and self.ready[-1]:
            self.pushed.append(cycle)
            self.data.append(out_data)
        return moved or (out_valid and self.ready[-1])

    def check(self, what: str, cycle: int, complete: bool) -> None:
        """Compare what was seen in `cycle` cycles with the rule and the data model."""
        pops, pushes = self.rule.cycles(self.items, self.offers, Ready(self.ready))
        pops, pushes = [t for t in pops if t < cycle], [t for t in pushes if t < cycle]
        compare(f"{what}: cycles in", self.popped, pops)
        compare(f"{what}: cycles out", self.pushed, pushes)
        wanted = self.rule.outputs(self.items)
        compare(f"{what}: data", self.data, wanted[: len(self.data)])
        if complete:
            assert self.index == len(self.items), f"{what}: {self.index} of {len(self.items)} items were taken"
            whole = len(self.rule.outputs(self.items[: -self.rule.frame]))
            assert len(self.data) > whole, f"{what}: {len(self.data)} of {len(wanted)} items came out"


def compare(what: str, got: list[int], wanted: list[int]) -> None:
    """Fail with the first difference."""
    for index, pair in enumerate(zip(got, wanted, strict=False)):
        assert pair[0] == pair[1], f"{what}: item {index} is {pair[0]}, expected {pair[1]} (of {len(wanted)})"
    assert len(got) == len(wanted), f"{what}: {len(got)} items, expected {len(wanted)}"


class Lanes:
    """All instances of the bench, one cycle at a time."""

    def __init__(self, dut: Any, make: Callable[[Shape], Rule]) -> None:
        document = given()
        self.dut, self.shapes = dut, document["shapes"]
        self.rules = [make(shape) for shape in self.shapes]
        self.draw = random.Random(document["seed"])

    async def started(self) -> Lanes:
        Clock(self.dut.clk_i, 10, unit="ns").start()
        self.dut.rst_i.value = 0
        self.dut.in_valid_i.value = 0
        for _ in range(self.draw.randrange(1, 4)):  # the registers hold anything, and nothing must come of it
            self.dut.out_ready_i.value = self.draw.getrandbits(len(self.rules))
            await RisingEdge(self.dut.clk_i)
        return self

    async def reset(self, cycles: int = 1) -> None:
        """Hold reset, with a source that offers and a sink that is ready: no transfer may come of it."""
        for _ in range(cycles):
            for name in ("in_valid_i", "out_ready_i", "in_data_i"):
                port = getattr(self.dut, name)
                port.value = self.draw.getrandbits(len(port))
            self.dut.rst_i.value = 1
            await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0

    def lanes(self, items: Callable[[Rule], list[int]], gap: int, stall: int) -> list[Lane]:
        def toss(permille: int) -> Callable[[], bool]:
            return randoms(self.draw.getrandbits(30), permille)

        return [Lane(rule, items(rule), toss(gap), toss(stall)) for rule in self.rules]

    async def run(self, lanes: list[Lane], *, limit: int = 200_000, quiet: int = 60) -> int:
        """Run for `limit` cycles, or until nothing has moved for `quiet` cycles (more where sinks are slow)."""
        dut, cycle, still = self.dut, 0, 0
        while cycle < limit and still < quiet:
            valid = ready = data = at = 0
            for number, lane in enumerate(lanes):
                v, d, r = lane.drive(cycle, self.draw)
                valid, ready, data = valid | v << number, ready | r << number, data | d << at
                at += lane.rule.in_width
            dut.in_valid_i.value, dut.out_ready_i.value, dut.in_data_i.value = valid, ready, data
            await ReadOnly()
            in_ready, out_valid = int(dut.in_ready_o.value), int(dut.out_valid_o.value)
            out_data = int(dut.out_data_o.value) if out_valid else 0
            still += 1
            for number, lane in enumerate(lanes):
                here = out_data & ((1 << lane.rule.out_width) - 1)
                moved = lane.see(cycle, bool(in_ready >> number & 1), bool(out_valid >> number & 1), here)
                out_data >>= lane.rule.out_width
                still = 0 if moved else still
            await RisingEdge(dut.clk_i)
            cycle += 1
        return cycle

    def check(self, lanes: list[Lane], what: str, cycle: int, complete: bool = True) -> None:
        for shape, lane in zip(self.shapes, lanes, strict=True):
            lane.check(f"{what}: {dict(shape)}", cycle, complete)


def random_items(draw: random.Random, frames: int) -> Callable[[Rule], list[int]]:
    """Return a source of whole frames; among random items some are all zeros or all ones."""

    def item(width: int) -> int:
        kind = draw.randrange(8)
        return 0 if kind == 0 else (1 << width) - 1 if kind == 1 else draw.getrandbits(width)

    return lambda rule: [item(rule.in_width) for _ in range(frames * rule.frame)]


async def every_stall_pattern(
    dut: Any,
    make: Callable[[Shape], Rule],
    frames: int,
    after: Callable[[Lanes, list[Lane]], None] | None = None,
    source: Source = random_items,
) -> None:
    """Whole frames under every stall pattern: data and every cycle."""
    bench = await Lanes(dut, make).started()
    for name, (gap, stall) in STALLS.items():
        await bench.reset(bench.draw.randrange(1, 3))
        lanes = bench.lanes(source(bench.draw, frames), gap, stall)
        bench.check(lanes, name, await bench.run(lanes, quiet=300 if stall else 60))
        if after is not None:
            after(bench, lanes)


async def resets_in_flight(
    dut: Any, make: Callable[[Shape], Rule], frames: int, times: int = 25, source: Source = random_items
) -> None:
    """Resets at random cycles: what came before them is right, and what comes after them is exact from the start."""
    bench = await Lanes(dut, make).started()
    patterns = list(STALLS.values())
    for number in range(times):
        await bench.reset()
        gap, stall = patterns[number % 4]
        lanes = bench.lanes(source(bench.draw, frames), gap, stall)
        cycle = await bench.run(lanes, limit=bench.draw.randrange(1, 60 + 20 * number))
        bench.check(lanes, f"until reset {number}", cycle, complete=False)
    await bench.reset()
    lanes = bench.lanes(source(bench.draw, frames), 0, 0)
    bench.check(lanes, "after the resets", await bench.run(lanes))
