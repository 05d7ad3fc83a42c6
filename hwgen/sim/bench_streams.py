"""Driving a core's streams from cocotb: every source and every sink by itself, every transfer kept with its cycle."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from hwgen.sim.bench_lib import heartbeat, pack_elements, randoms

Beat = tuple[int, ...]
QUIET = 200
"""Cycles without a transfer after the last output, before a run ends."""


@dataclass
class Lane:
    """One stream: its ports, the beats of every frame, and what was transferred."""

    dut: Any
    row: dict[str, Any]
    frames: list[list[Beat]]
    cycles: list[int] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    held: Beat | None = None
    place: tuple[int, int] = (0, 0)
    offering: bool = False

    def __post_init__(self) -> None:
        self.valid = getattr(self.dut, self.row["valid"])
        self.ready = getattr(self.dut, self.row["ready"]) if self.row["ready"] else None
        self.data = [getattr(self.dut, port) for port in self.row["data"]]

    @property
    def size(self) -> int:
        """Beats of a frame."""
        return int(self.row["beats"])


def beats_of(row: dict[str, Any], ports: list[dict[str, Any]], frame: dict[str, list[int]]) -> list[Beat]:
    """Return a frame as the beats of one stream, each port packed into one integer."""
    result = []
    for k in range(row["beats"]):
        parts = [frame[p["name"]][k * p["elements"] : (k + 1) * p["elements"]] for p in ports]
        result.append(tuple(pack_elements(part, p["width"]) for part, p in zip(parts, ports, strict=True)))
    return result


class Core:
    """The design under test with its vectors."""

    def __init__(self, dut: Any, document: dict[str, Any]) -> None:
        design = document["design"]
        self.dut, self.seed, self.program = dut, int(document["seed"]), document["program"]
        self.clk, self.rst = getattr(dut, design["clock"]), getattr(dut, design["reset"])
        self.handshake = design["handshake"] == "valid_ready"
        self.streamed = design["io_type"] == "io_stream"
        self.sources = self._lanes(design["in_streams"], design["inputs"], document["inputs"])
        self.sinks = self._lanes(design["out_streams"], design["outputs"], document["outputs"])
        self.count = len(document["inputs"])
        self.cycle = 0
        self.broken: list[str] = []

    def _lanes(self, rows: list[dict[str, Any]], ports: list[dict[str, Any]], frames: Any) -> list[Lane]:
        named = {port["name"]: port for port in ports}
        lanes = []
        for row in rows:
            own = [named[name] for name in row["ports"]]
            row = row | {"data": [port["port"] for port in own]}
            lanes.append(Lane(self.dut, row, [beats_of(row, own, frame) for frame in frames]))
        return lanes

    async def start(self) -> None:
        """Start the clock, reset."""
        for lane in self.sources:
            for port in lane.data:
                port.value = 0
        Clock(self.clk, 10, unit="ns").start()
        cocotb.start_soon(heartbeat(self.clk))
        await RisingEdge(self.clk)
        await self.reset()

    async def reset(self, cycles: int = 3, *, offering: bool = False) -> None:
        """Hold reset, perhaps with beats offered meanwhile; then forget what was seen."""
        for lane in self.sources:
            lane.offering = offering
            if offering:
                self._show(lane, 0)
        for _ in range(cycles):
            await self.step([offering or not self.handshake] * len(self.sinks), reset=True)
        for lane in (*self.sources, *self.sinks):
            lane.cycles.clear()
            lane.beats.clear()
            lane.held, lane.place, lane.offering = None, (0, 0), False

    def _show(self, lane: Lane, frame: int) -> None:
        for port, value in zip(lane.data, lane.frames[frame][lane.place[1]], strict=True):
            port.value = value

    async def step(self, takes: Sequence[bool], *, reset: bool = False) -> bool:
        """Run one cycle: sources offer what they show, sinks take or not; return whether anything was transferred."""
        self.rst.value = int(reset)
        for lane in self.sources:
            lane.valid.value = int(lane.offering)
        for lane, take in zip(self.sinks, takes, strict=True):
            if lane.ready is not None:
                lane.ready.value = int(take)
        await ReadOnly()
        moved = False
        if not reset:
            for lane in self.sources:
                if lane.offering and (lane.ready is None or int(lane.ready.value)):
                    frame, beat = lane.place
                    lane.place = (frame, beat + 1) if beat + 1 < lane.size else (frame + 1, 0)
                    lane.cycles.append(self.cycle)
                    lane.offering, moved = False, True
            for lane, take in zip(self.sinks, takes, strict=True):
                moved |= self._sample(lane, take or lane.ready is None)
        await RisingEdge(self.clk)
        self.cycle += 1
        return moved

    def _sample(self, lane: Lane, take: bool) -> bool:
        beat = tuple(int(port.value) for port in lane.data) if int(lane.valid.value) else None
        if lane.held is not None and beat != lane.held:
            self.broken.append(f"cycle {self.cycle}: {lane.row['valid']} or its data did not hold until ready")
        lane.held = None if take else beat
        if beat is None or not take:
            return False
        lane.cycles.append(self.cycle)
        lane.beats.append(beat)
        return True

    async def send(
        self,
        indices: Sequence[int],
        *,
        gap: int = 0,
        stall: int = 0,
        waits: bool = False,
        pause: int = 0,
        seed: int = 0,
        cycles: int | None = None,
    ) -> None:
        """Offer frames at every source until all came out and nothing moves; or for so many `cycles`.

        Parameters
        ----------
        gap, stall : per mille of cycles
        waits : whether sinks are ready only after valid
        pause : cycles a source stops before the middle beat of every frame
        """
        gaps = [randoms(seed + 31 * k, gap) for k in range(len(self.sources))]
        stalls = [randoms(seed + 99 + 31 * k, stall) for k in range(len(self.sinks))]
        resume, still, began = [-1] * len(self.sources), 0, self.cycle
        patient = 50 * QUIET + 4 * int(self.program["latency"])
        while cycles is None or self.cycle < began + cycles:
            for k, lane in enumerate(self.sources):
                frame, beat = lane.place
                if pause and lane.size > 1 and beat == lane.size // 2 and resume[k] < 0:
                    resume[k] = self.cycle + pause
                if beat != lane.size // 2 and not lane.offering:
                    resume[k] = -1
                if not lane.offering and frame < len(indices) and self.cycle >= resume[k] and not gaps[k]():
                    lane.offering = True
                    self._show(lane, indices[frame])
            moved = await self.step(
                [not s() and (not waits or q.held is not None) for s, q in zip(stalls, self.sinks, strict=True)]
            )
            still = 0 if moved else still + 1
            sent = all(lane.place[0] >= len(indices) for lane in self.sources)
            complete = sent and all(len(lane.cycles) >= len(indices) * lane.size for lane in self.sinks)
            too_many = any(len(lane.cycles) > (len(indices) + 1) * lane.size + 100 for lane in self.sinks)
            if too_many or still > pause + (QUIET if complete else patient):
                return

    def accepted(self) -> int:
        """Return how many frames all sources have given whole."""
        return min(lane.place[0] for lane in self.sources)

    def check(self, indices: Sequence[int]) -> dict[str, int]:
        """Compare what came out with what went in; return the counts of frames."""
        counts = {"frames": self.accepted(), "lost": 0, "repeated": 0, "changed": 0}
        for lane in self.sinks:
            whole = len(lane.beats) // lane.size
            got = [lane.beats[k * lane.size : (k + 1) * lane.size] for k in range(whole)]
            changed = sum(a != lane.frames[index] for a, index in zip(got, indices, strict=False))
            extra = max(-(-len(lane.beats) // lane.size) - len(indices), 0)
            for what, value in (("lost", max(len(indices) - whole, 0)), ("repeated", extra), ("changed", changed)):
                counts[what] = max(counts[what], value)
        return counts

    def first_in(self) -> int:
        """Return the cycle of the first beat of the first frame, of any source."""
        return min(lane.cycles[0] for lane in self.sources)

    def distances(self) -> list[int]:
        """Return the cycles between frames, at every stream; of a streaming design the last four."""
        rows = []
        for lane, beat in [*((lane, 0) for lane in self.sources), *((lane, lane.size - 1) for lane in self.sinks)]:
            cycles = lane.cycles[beat :: lane.size]
            own = [b - a for a, b in itertools.pairwise(cycles)]
            rows += own[-4:] if self.streamed else own
        return rows

    def some(self, count: int, draw: random.Random) -> list[int]:
        """Return indices of `count` frames, each another one; fewer if there are fewer."""
        return draw.sample(range(self.count), min(count, self.count))
