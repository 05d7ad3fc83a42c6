# mypy: disable-error-code="untyped-decorator"
"""cocotb bench of a core: latency, interval, stall patterns, resets in flight. It does not know the prediction.

A long frame makes the program shorter (`hwgen/sim/effort.py`); the shortest is one frame: `latency_of_one_frame` alone.
"""

from __future__ import annotations

import random
from typing import Any

import cocotb

from hwgen.sim.bench_lib import given, report
from hwgen.sim.bench_streams import Core

PATTERNS = {"none": (0, 0, 0), "source_gaps": (400, 0, 0), "sink_stalls": (0, 400, 0), "both": (400, 400, 0)}
STOPS = {"source_stops_in_mid_frame": (0, 0, 1)}


async def started(dut: Any) -> Core:
    """Return the core after its first reset."""
    core = Core(dut, given())
    await core.start()
    return core


def wrong(counts: dict[str, int], frames: int) -> bool:
    """Return whether anything but `frames` good frames was counted."""
    return counts != {"frames": frames, "lost": 0, "repeated": 0, "changed": 0}


@cocotb.test()
async def latency_of_one_frame(dut: Any) -> None:
    """One frame into an empty design."""
    core = await started(dut)
    await core.send([0])
    counts = core.check([0])
    assert not wrong(counts, 1), f"one frame in: {counts}"
    start = core.first_in()
    report(
        latency=max(lane.cycles[-1] for lane in core.sinks) - start,
        first_output=max(lane.cycles[0] for lane in core.sinks) - start,
    )


@cocotb.test()
async def back_to_back_frames(dut: Any) -> None:
    """Sources that always offer."""
    core = await started(dut)
    indices = [k % core.count for k in range(core.program["interval_frames"])]
    await core.send(indices)
    counts = core.check(indices)
    assert not wrong(counts, len(indices)), str(counts)
    report(interval=max(core.distances()), interval_frames=len(indices))


@cocotb.test()
async def stalls(dut: Any) -> None:
    """Every pattern the design allows: nothing is lost, repeated or changed."""
    core = await started(dut)
    bad = []
    indices = list(range(core.count))
    patterns = PATTERNS | (STOPS if max(lane.size for lane in core.sources) > 1 else {})
    for number, (name, (gap, stall, stop)) in enumerate(patterns.items()):
        if stall and not core.handshake:
            continue
        await core.reset()
        pause = stop * (core.program["latency"] + 16)
        await core.send(indices, gap=gap, stall=stall, pause=pause, seed=core.seed + number)
        counts = core.check(indices)
        report(stalls=[{"pattern": name, "counts": counts}])
        bad += [f"{name}: {counts}"] if wrong(counts, len(indices)) else []
    bad += core.broken
    assert not bad, "; ".join(bad)


@cocotb.test()
async def sink_waits_for_valid(dut: Any) -> None:
    """Valid never waits for ready: sinks that raise ready only after valid get everything."""
    core = await started(dut)
    if not core.handshake:
        return
    indices = list(range(core.count))
    await core.send(indices, waits=True)
    counts = core.check(indices)
    assert not wrong(counts, len(indices)), str(counts)


@cocotb.test()
async def resets_in_flight(dut: Any) -> None:
    """Reset at random cycles; what comes afterwards is exactly what was sent afterwards."""
    core = await started(dut)
    draw = random.Random(core.seed)
    reach = core.program["latency"] + core.program["interval"] + 16
    for number in range(core.program["resets"]):
        before = [draw.randrange(core.count) for _ in range(reach)]
        stall = 300 if core.handshake else 0
        await core.send(before, stall=stall, seed=core.seed + number, cycles=draw.randrange(reach))
        hold = draw.randrange(1, 4)
        await core.reset(hold, offering=True)
        some = core.some(1 + number % 2 if core.streamed else 3, draw)
        await core.send(some)
        counts = core.check(some)
        assert not wrong(counts, len(some)), f"reset {number}, held {hold} cycles: {counts}"
    assert not core.broken, "; ".join(core.broken)
    report(resets=core.program["resets"])
