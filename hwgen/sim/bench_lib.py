"""What the cocotb benches share: the document they are given, packing, the cycle, the figures they leave.

This runs inside the simulator. A cycle starts just after a rising edge: inputs are driven, everything settles, and
outputs are read in the read-only phase; a transfer is a cycle in which valid and ready are high and reset is low.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge


def given() -> dict[str, Any]:
    """Return the document of this bench."""
    return json.loads(Path(os.environ["HWGEN_BENCH"]).read_text())


def report(**figures: Any) -> None:
    """Add figures to ``measured.json``; lists are extended."""
    path = Path(os.environ["HWGEN_BENCH"]).with_name("measured.json")
    known = json.loads(path.read_text()) if path.is_file() else {}
    for key, value in figures.items():
        known[key] = known.get(key, []) + value if isinstance(value, list) else value
    path.write_text(json.dumps(known))


def pack_elements(values: list[int], width: int) -> int:
    """Return one flat vector, element 0 at the least significant end."""
    mask = (1 << width) - 1
    return sum((value & mask) << (index * width) for index, value in enumerate(values))


def pack_bytes(values: list[int], width: int, beat_bytes: int) -> bytes:
    """Return a frame for AXI4-Stream: whole bytes an element, two's complement, padded to whole beats."""
    size = -(-width // 8)
    raw = b"".join((value & ((1 << (8 * size)) - 1)).to_bytes(size, "little") for value in values)
    return raw + bytes(-len(raw) % beat_bytes)


def randoms(seed: int, permille: int) -> Callable[[], bool]:
    """Return a generator of coin tosses that come up true `permille` times in a thousand."""
    source = random.Random(seed)
    return lambda: source.randrange(1000) < permille


async def heartbeat(clock: Any, cycles: int = 4096) -> None:
    """Say now and then that the simulation goes on: who waits for it takes a long silence for a hang."""
    while True:
        await ClockCycles(clock, cycles)
        print(f"cocotb bench: {cycles} cycles more", flush=True)


class Stream:
    """Drives the ports of a module in the stream contract, one cycle at a time, and keeps every transfer."""

    def __init__(
        self, dut: Any, *, inputs: list[str], outputs: list[str], handshake: bool = True, clock: str = "clk_i"
    ) -> None:
        self.dut, self.inputs, self.outputs, self.handshake = dut, inputs, outputs, handshake
        self.clk = getattr(dut, clock)
        self.cycle = 0
        self.accepted: list[tuple[int, int]] = []  # (cycle, index of the frame)
        self.produced: list[tuple[int, tuple[int, ...]]] = []  # (cycle, outputs)
        self.broken: list[str] = []
        self.held: tuple[int, ...] | None = None

    async def step(
        self, frame: tuple[int, ...] | None, index: int = -1, *, take: bool = True, reset: bool = False
    ) -> bool:
        """Run one cycle, offering `frame` (None: nothing); return whether it was accepted."""
        dut = self.dut
        dut.rst_i.value = int(reset)
        dut.in_valid_i.value = int(frame is not None)
        for port, value in zip(self.inputs, frame or (), strict=frame is not None):
            getattr(dut, port).value = value
        if self.handshake:
            dut.out_ready_i.value = int(take)
        await ReadOnly()
        ready = not self.handshake or bool(int(dut.in_ready_o.value))
        accepted = frame is not None and ready and not reset
        valid = bool(int(dut.out_valid_o.value)) and not reset
        outputs = tuple(int(getattr(dut, port).value) for port in self.outputs) if valid else None
        if self.held is not None and not reset and outputs != self.held:
            self.broken.append(f"cycle {self.cycle}: valid or data did not hold until ready")
        if accepted:
            self.accepted.append((self.cycle, index))
        if outputs is not None and (take or not self.handshake):
            self.produced.append((self.cycle, outputs))
        self.held = outputs if not (take or not self.handshake) and not reset else None
        await RisingEdge(self.clk)
        self.cycle += 1
        return accepted

    async def reset(self, cycles: int = 3) -> None:
        """Hold reset, then forget what was seen."""
        await RisingEdge(self.clk)
        for _ in range(cycles):
            await self.step(None, take=False, reset=True)
        self.accepted.clear()
        self.produced.clear()

    async def send(
        self,
        frames: list[tuple[int, ...]],
        *,
        gap: Callable[[], bool] = lambda: False,
        stall: Callable[[], bool] = lambda: False,
        quiet: int = 200,
        limit: int = 100_000,
    ) -> None:
        """Offer all frames, then wait for `quiet` cycles without a transfer (50 times that if one is missing)."""
        index, still, offering = 0, 0, False
        for _ in range(limit):
            offering = index < len(frames) and (offering or not gap())
            before = len(self.produced)
            moved = await self.step(frames[index] if offering else None, index, take=not stall())
            if moved:
                index, offering = index + 1, False
            still = 0 if moved or len(self.produced) > before else still + 1
            complete = index == len(frames) and len(self.produced) >= len(self.accepted)
            if still > (quiet if complete else 50 * quiet):
                return
