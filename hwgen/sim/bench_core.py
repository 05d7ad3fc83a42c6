# mypy: disable-error-code="untyped-decorator"
"""cocotb bench of a core: latency, interval, stall patterns, resets in flight. It does not know the prediction."""

from __future__ import annotations

import itertools
import random
from typing import Any

import cocotb
from cocotb.clock import Clock

from hwgen.sim.bench_lib import Stream, given, pack_elements, randoms, report

PATTERNS = {"none": (0, 0), "source_gaps": (400, 0), "sink_stalls": (0, 400), "both": (400, 400)}
RESETS = 20

Frame = tuple[int, ...]


class Core:
    """The design under test with its vectors."""

    def __init__(self, dut: Any) -> None:
        document = given()
        design = document["design"]
        self.seed: int = document["seed"]
        self.handshake = design["handshake"] == "valid_ready"
        self.frames = self._packed(design["inputs"], document["inputs"])
        self.wanted = self._packed(design["outputs"], document["outputs"])
        ports = {key: [port["port"] for port in design[key]] for key in ("inputs", "outputs")}
        self.stream = Stream(dut, inputs=ports["inputs"], outputs=ports["outputs"], handshake=self.handshake)
        self.dut = dut

    @staticmethod
    def _packed(ports: list[dict[str, Any]], frames: list[dict[str, list[int]]]) -> list[Frame]:
        return [tuple(pack_elements(frame[port["name"]], port["width"]) for port in ports) for frame in frames]

    async def start(self) -> Stream:
        """Start the clock, reset."""
        for port in self.stream.inputs:
            getattr(self.dut, port).value = 0
        self.dut.in_valid_i.value = 0
        self.dut.rst_i.value = 1
        Clock(self.dut.clk_i, 10, unit="ns").start()
        await self.stream.reset()
        return self.stream

    def check(self, start: int = 0, frames: list[Frame] | None = None) -> dict[str, int]:
        """Compare what came out with what went in; return the counts."""
        wanted = [self.wanted[index] for _, index in self.stream.accepted]
        got = [outputs for _, outputs in self.stream.produced]
        changed = sum(a != b for a, b in zip(got, wanted, strict=False))
        missing, extra = max(len(wanted) - len(got), 0), max(len(got) - len(wanted), 0)
        return {"frames": len(wanted), "lost": missing, "repeated": extra, "changed": changed}


@cocotb.test()
async def latency_of_one_frame(dut: Any) -> None:
    """One frame into an empty design."""
    core = Core(dut)
    stream = await core.start()
    await stream.send(core.frames[:1])
    assert len(stream.accepted) == len(stream.produced) == 1, f"{len(stream.produced)} frames came out"
    assert stream.produced[0][1] == core.wanted[0], "the frame came out wrong"
    report(latency=stream.produced[0][0] - stream.accepted[0][0])


@cocotb.test()
async def back_to_back_frames(dut: Any) -> None:
    """Frames offered in every cycle."""
    core = Core(dut)
    stream = await core.start()
    frames = core.frames * (1 + 16 // len(core.frames))
    core.wanted *= 1 + 16 // len(core.wanted)
    await stream.send(frames)
    counts = core.check()
    assert counts == {"frames": len(frames), "lost": 0, "repeated": 0, "changed": 0}, str(counts)
    cycles = [cycle for cycle, _ in stream.produced]
    report(interval=max(b - a for a, b in itertools.pairwise(cycles)), interval_frames=len(frames))


@cocotb.test()
async def stalls(dut: Any) -> None:
    """Every pattern the handshake allows: nothing is lost, repeated or changed."""
    core = Core(dut)
    bad = []
    for number, (name, (gap, stall)) in enumerate(PATTERNS.items()):
        if stall and not core.handshake:
            continue
        stream = await core.start() if not number else core.stream
        await stream.reset()
        await stream.send(
            core.frames, gap=randoms(core.seed + number, gap), stall=randoms(core.seed + 99 - number, stall)
        )
        counts = core.check()
        report(stalls=[{"pattern": name, "counts": counts}])
        if counts["frames"] != len(core.frames) or any(counts[key] for key in ("lost", "repeated", "changed")):
            bad.append(f"{name}: {counts}")
        bad += [f"{name}: {text}" for text in stream.broken]
    assert not bad, "; ".join(bad)


@cocotb.test()
async def sink_waits_for_valid(dut: Any) -> None:
    """Valid never waits for ready: a sink that raises ready only after valid gets everything."""
    core = Core(dut)
    if not core.handshake:
        return
    stream = await core.start()
    await stream.send(core.frames, stall=lambda: stream.held is None)
    counts = core.check()
    assert counts["lost"] == counts["repeated"] == counts["changed"] == 0 and counts["frames"], str(counts)


@cocotb.test()
async def resets_in_flight(dut: Any) -> None:
    """Reset at random cycles; what comes afterwards is exactly what was sent afterwards."""
    core = Core(dut)
    stream = await core.start()
    draw = random.Random(core.seed)
    for number in range(RESETS):
        for _ in range(draw.randrange(24)):
            await stream.step(
                core.frames[draw.randrange(len(core.frames))], take=draw.random() < 0.7 or not core.handshake
            )
        hold = draw.randrange(1, 4)
        for _ in range(hold):
            await stream.step(core.frames[0], 0, take=True, reset=True)
        stream.accepted.clear()
        stream.produced.clear()
        some = draw.sample(range(len(core.frames)), min(3, len(core.frames)))
        for index in some:
            while not await stream.step(core.frames[index], index):
                assert stream.cycle < 10**6, "no frame is accepted after a reset"
        await stream.send([], quiet=100)
        counts = core.check()
        good = counts["frames"] == len(some) and not (counts["lost"] or counts["repeated"] or counts["changed"])
        assert good, f"reset {number}, held {hold} cycles: {counts}"
    assert not stream.broken, "; ".join(stream.broken)
    report(resets=RESETS)
