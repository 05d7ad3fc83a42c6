"""Measuring latency into an empty design, interval, latency in steady state. Nothing here knows the prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.sim.effort import INIT_SEEDS, INTERVAL_FRAMES, TIMING_CYCLES
from hwgen.sim.native import Harness
from hwgen.sim.streams import Words, tap_streams
from hwgen.sim.transfers import Epoch, Transfers

PATIENT_FRAMES = 28
"""Frames up to which a burst may grow whatever it costs: queues fill over several frames."""
WARM_UP, STEADY = 3, 4
"""Frames before, and frames in, the part of a run in which every distance must be the same."""


@dataclass(frozen=True)
class Timing:
    """Measured cycles. None: it could not be measured.

    Parameters
    ----------
    latency, first_out : one frame into an empty design: first beat accepted to last and first beat out
    interval : between frames, the sources always offering
    frames : frames of that run
    steady_latency : first beat accepted to last beat out, the sources paced at the interval
    marks : the most items each FIFO has held then
    notes : what did not come out or was not constant
    waiting : which streams wait on which, if nothing came out
    cycles_per_s : simulated
    """

    latency: int | None = None
    first_out: int | None = None
    interval: int | None = None
    frames: int = 0
    steady_latency: int | None = None
    marks: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    cycles_per_s: float = 0.0

    @property
    def dead(self) -> bool:
        """Whether nothing ever came out."""
        return bool(self.waiting)


@dataclass
class _Seen:
    """Values of each quantity over all runs, and what went wrong."""

    values: dict[str, set[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    cycles: int = 0
    seconds: float = 0.0

    def add(self, what: str, cycles: Any) -> None:
        self.values.setdefault(what, set()).update(int(value) for value in cycles)

    def count(self, seen: Transfers) -> Transfers:
        self.cycles, self.seconds = self.cycles + seen.cycles, self.seconds + seen.seconds
        return seen

    def one(self, what: str) -> int | None:
        values = self.values.get(what, set())
        if len(values) > 1:
            self.notes.append(f"{what} varies: {', '.join(map(str, sorted(values)[:8]))} cycles")
        return max(values, default=None)


def measure_timing(harness: Harness, frames: Words, seeds: Sequence[int] = INIT_SEEDS, **options: Any) -> Timing:
    """Measure latency with single frames and interval with back-to-back ones, for several power-up seeds."""
    seen = _Seen()
    for run, (index, seed) in enumerate((i, s) for i in range(min(3, len(frames))) for s in seeds):
        if run >= 2 and seen.cycles > TIMING_CYCLES // 2:
            break
        single = seen.count(harness.run(frames[index : index + 1], init_seed=seed, **options))
        if len(single.accepted) != 1 or len(single.produced) != 1:
            seen.notes.append(f"one frame in, {len(single.produced)} out (power-up seed {seed})")
            if single.ended in ("no progress", "outputs missing") and not any(
                len(sink.cycles) for sink in single.sinks
            ):
                # no use in waiting again and again
                return Timing(notes=tuple(seen.notes), waiting=single.waiting or ("nothing came out",))
            continue
        seen.add("latency", single.whole.outs(-1) - single.accepted)
        seen.add("first output", single.whole.outs(0) - single.accepted)
    count = 0
    for run, seed in enumerate(seeds):
        if run >= 2 and seen.cycles > 2 * TIMING_CYCLES:
            break
        for epoch, settled in _bursts(harness, frames, seen, init_seed=seed, **options):
            distances = _distances(harness, epoch)
            count = len(epoch.first_in)
            if settled or len(set(distances)) == 1:
                seen.add("interval", distances)
                break
    latency, first_out, interval = (seen.one(what) for what in ("latency", "first output", "interval"))
    rate = seen.cycles / max(seen.seconds, 1e-9)
    return Timing(latency, first_out, interval, count, notes=tuple(seen.notes), cycles_per_s=rate)


def measure_paced(harness: Harness, frames: Words, interval: int, **options: Any) -> Timing:
    """Measure the latency in steady state and the FIFOs' high-water marks, the sources paced at `interval`."""
    seen = _Seen()
    for epoch, settled in _bursts(harness, frames, seen, pace=interval, init_seed=INIT_SEEDS[0], **options):
        latencies = (epoch.outs(-1) - epoch.first_in)[-STEADY:]
        if settled or len(set(latencies)) == 1:
            seen.add("latency in steady state", latencies)
            seen.add("interval of paced frames", _distances(harness, epoch))
            break
    latency, found = (seen.one(what) for what in ("latency in steady state", "interval of paced frames"))
    return Timing(interval=found, steady_latency=latency, marks=dict(seen.marks), notes=tuple(seen.notes))


def measure_layers(harness: Harness, frames: Words, **options: Any) -> dict[str, tuple[int, int] | None]:
    """Return in which cycles the first and the last beat of every tapped node pass, of one frame in an empty design."""
    seen = harness.run(frames[:1], tap_frame=0, **options)
    start = int(seen.accepted[0])
    whole = {stream.name: stream.beats for stream in tap_streams(harness.design)}
    rows = {name: beats.cycles - start for name, beats in seen.taps.items()}
    return {name: (int(c[0]), int(c[-1])) if len(c) == whole[name] else None for name, c in rows.items()}


def _bursts(harness: Harness, frames: Words, seen: _Seen, **options: Any) -> Iterator[tuple[Epoch, bool]]:
    """Run ever longer bursts; give each with whether it is the longest that the budget of cycles allows."""
    streamed = harness.design["io_type"] == "io_stream"
    count = WARM_UP + STEADY if streamed else min(INTERVAL_FRAMES, max(16, len(frames)))
    while True:
        burst = np.resize(frames, (count, frames.shape[1]))
        many = seen.count(harness.run(burst, **options))
        if len(many.accepted) != count or len(many.produced) != count:
            seen.notes.append(f"{count} frames offered back to back, {len(many.produced)} out")
            return
        seen.marks = dict(many.marks)
        spent = count >= PATIENT_FRAMES and seen.cycles + 2 * many.cycles > 2 * TIMING_CYCLES
        last = not streamed or count >= INTERVAL_FRAMES or spent
        yield many.whole, last
        if last:
            return
        count *= 2


def _distances(harness: Harness, epoch: Epoch) -> list[int]:
    """Return the cycles between the last frames, at every stream; unrolled hardware has no warm-up: between all."""
    keep = STEADY if harness.design["io_type"] == "io_stream" else epoch.accepted
    ins = [np.diff(c[::b])[-keep:] for c, b in zip(epoch.sources, epoch.in_beats, strict=True)]
    outs = [np.diff(s.cycles[b - 1 :: b])[-keep:] for s, b in zip(epoch.sinks, epoch.out_beats, strict=True)]
    return [int(value) for value in np.concatenate([*ins, *outs])]
