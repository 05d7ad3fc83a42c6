# mypy: disable-error-code="untyped-decorator"
"""cocotb bench of the AXI4-Stream wrapper: frames, back-pressure, frames that end early or late, resets."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import First, ReadOnly, RisingEdge, Timer
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource  # type: ignore[import-untyped]

from hwgen.sim.bench_lib import given, heartbeat, pack_bytes, report

PATTERNS = {"none": (0, 0), "source_gaps": (400, 0), "sink_stalls": (0, 400), "both": (400, 400)}
PERIOD_NS = 10


def pauses(seed: int, permille: int) -> Iterator[bool]:
    """Return an endless sequence of random pauses."""
    source = random.Random(seed)
    return (source.randrange(1000) < permille for _ in itertools.count())


class Wrapper:
    """The wrapper under test with a source for every input and a sink for every output."""

    def __init__(self, dut: Any) -> None:
        document = given()
        design = document["design"]
        self.dut, self.seed, self.size = dut, document["seed"], design["axis"]["bytes"]
        self.program = document["program"]
        self.patience = 20_000 + 8 * (self.program["latency"] + self.program["interval"])
        several = len(design["inputs"]) > 1
        self.errors = [f"frame_error_{p['name']}" if several else "frame_error" for p in design["inputs"]]
        self.frames = self._packed(design["inputs"], document["inputs"])
        self.wanted = self._packed(design["outputs"], document["outputs"])
        self.sources = [self._end(AxiStreamSource, "s_axis", port, design["inputs"]) for port in design["inputs"]]
        self.sinks = [self._end(AxiStreamSink, "m_axis", port, design["outputs"]) for port in design["outputs"]]

    def _packed(self, ports: list[dict[str, Any]], frames: list[dict[str, list[int]]]) -> list[tuple[bytes, ...]]:
        return [tuple(pack_bytes(frame[p["name"]], p["width"], self.size) for p in ports) for frame in frames]

    def _end(self, kind: Any, prefix: str, port: dict[str, Any], ports: list[dict[str, Any]]) -> Any:
        name = prefix if len(ports) == 1 else f"{prefix}_{port['name']}"
        bus = AxiStreamBus.from_prefix(self.dut, name)
        end = kind(bus, self.dut.aclk, self.dut.aresetn, reset_active_level=False, byte_lanes=self.size)
        end.log.setLevel("WARNING")
        return end

    async def start(self) -> None:
        """Start the clock, reset."""
        self.dut.aresetn.value = 0
        Clock(self.dut.aclk, PERIOD_NS, unit="ns").start()
        cocotb.start_soon(heartbeat(self.dut.aclk))
        await self.reset()

    async def reset(self, cycles: int = 3) -> None:
        """Hold reset for some cycles and forget what the sinks have."""
        self.dut.aresetn.value = 0
        for _ in range(cycles):
            await RisingEdge(self.dut.aclk)
        for sink in self.sinks:
            sink.clear()
        self.dut.aresetn.value = 1
        await RisingEdge(self.dut.aclk)

    async def send(self, frame: tuple[bytes, ...]) -> None:
        """Queue one frame at every source."""
        for source, data in zip(self.sources, frame, strict=True):
            await source.send(AxiStreamFrame(data))

    async def receive(self, count: int) -> list[tuple[bytes, ...]]:
        """Return `count` frames; fail if they do not come."""
        got = []
        for index in range(count):
            row = []
            for sink in self.sinks:
                task = cocotb.start_soon(sink.recv())
                done = await First(task, Timer(PERIOD_NS * self.patience, "ns"))
                assert not isinstance(done, Timer), f"frame {index} of {count} did not come"
                row.append(bytes(done.tdata))
            got.append(tuple(row))
        return got

    async def count_errors(self, counts: list[int]) -> None:
        """Add up the cycles in which each input's ``frame_error`` is high; start it as a task."""
        ports = [getattr(self.dut, name) for name in self.errors]
        while True:
            await RisingEdge(self.dut.aclk)
            await ReadOnly()
            for index, port in enumerate(ports):
                counts[index] += int(port.value) if int(self.dut.aresetn.value) else 0

    async def nothing_more(self) -> None:
        """Fail if the sinks get anything beyond what was taken."""
        for _ in range(300):
            await RisingEdge(self.dut.aclk)
        left = sum(sink.count() for sink in self.sinks)
        assert not left, f"{left} frames too many"


@cocotb.test()
async def frames_under_stalls(dut: Any) -> None:
    """Every pattern: all frames come out once, in order, whole."""
    wrapper = Wrapper(dut)
    await wrapper.start()
    errors = [0] * len(wrapper.errors)
    cocotb.start_soon(wrapper.count_errors(errors))
    bad = []
    patterns = PATTERNS if wrapper.program["interval_frames"] else {"both": PATTERNS["both"]}
    for number, (name, (gap, stall)) in enumerate(patterns.items()):
        for source in wrapper.sources:
            source.set_pause_generator(pauses(wrapper.seed + number, gap) if gap else None)
            source.pause = False
        for sink in wrapper.sinks:
            sink.set_pause_generator(pauses(wrapper.seed + 50 + number, stall) if stall else None)
            sink.pause = False
        for frame in wrapper.frames:
            await wrapper.send(frame)
        got = await wrapper.receive(len(wrapper.frames))
        changed = sum(a != b for a, b in zip(got, wrapper.wanted, strict=True))
        await wrapper.nothing_more()
        counts = {"frames": len(got), "lost": 0, "repeated": 0, "changed": changed}
        report(stalls=[{"pattern": name, "counts": counts}])
        bad += [f"{name}: {counts}"] if changed else []
    assert not bad, "; ".join(bad)
    assert not any(errors), f"frame_error rose for good frames: {dict(zip(wrapper.errors, errors, strict=True))}"


@cocotb.test()
async def frames_that_end_early_or_late(dut: Any) -> None:
    """A short frame is dropped, a long one is cut; the frames around them are exact."""
    wrapper = Wrapper(dut)
    await wrapper.start()
    if len(wrapper.sources) > 1:
        return  # which frames of several streams belong together is then the host's affair
    size, (source,) = wrapper.size, wrapper.sources
    frames = [frame[0] for frame in wrapper.frames]
    wanted: list[tuple[bytes, ...]] = []
    errors, wrong = [0], 0
    cocotb.start_soon(wrapper.count_errors(errors))
    for index, data in enumerate(frames[:12]):
        other = frames[(index + 1) % len(frames)]
        if index % 3 == 0 and len(data) > size:
            wrong += 1
            await source.send(AxiStreamFrame(other[: -size * (1 + index // 3 % (len(data) // size - 1))]))
        longer = data + other[:size] * (index % 4) if index % 2 else data
        wrong += longer != data
        await source.send(AxiStreamFrame(longer))
        wanted.append(wrapper.wanted[index])
    got = await wrapper.receive(len(wanted))
    bad = [index for index, (a, b) in enumerate(zip(got, wanted, strict=True)) if a != b]
    assert not bad, f"frames {bad} are wrong beside ones that ended early or late"
    await wrapper.nothing_more()
    assert errors == [wrong], f"frame_error was high in {errors[0]} cycles for {wrong} frames of a wrong length"


@cocotb.test()
async def resets(dut: Any) -> None:
    """After a reset at a random cycle, the source restarts at a frame and everything is exact."""
    wrapper = Wrapper(dut)
    await wrapper.start()
    draw = random.Random(wrapper.seed)
    count = -(-wrapper.program["resets"] // 2)
    reach = wrapper.program["latency"] + wrapper.program["interval"] + 24
    for number in range(count):
        for frame in draw.sample(wrapper.frames, min(4, len(wrapper.frames))):
            await wrapper.send(frame)
        for _ in range(draw.randrange(1, reach)):
            await RisingEdge(dut.aclk)
        dut.aresetn.value = 0
        for source in wrapper.sources:
            source.clear()
        await wrapper.reset(draw.randrange(2, 5))
        some = draw.sample(range(len(wrapper.frames)), min(3, len(wrapper.frames)))
        for index in some:
            await wrapper.send(wrapper.frames[index])
        got = await wrapper.receive(len(some))
        assert got == [wrapper.wanted[index] for index in some], f"reset {number}: frames after it are wrong"
        await wrapper.nothing_more()
    report(resets=count)
