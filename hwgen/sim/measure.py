"""What the native bench is asked, and what its transfers say: latency, interval, every vector, stalls, resets.

Nothing here knows the prediction; `evidence` compares afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.sim.compare import Outcome, Words, match_stream
from hwgen.sim.native import Harness, Transfers

INIT_SEEDS = (1, 2, 3, 4)
"""Random register contents at power-up; every one must give the same result."""
INTERVAL_FRAMES = 64
STALL_FRAMES = 512
RANDOM_RESETS = 20
PATTERNS = {
    "none": (0, 0, 0),
    "source_gaps": (1, 0, 0),
    "sink_stalls": (0, 1, 0),
    "both": (1, 1, 0),
    "sink_waits_for_valid": (0, 0, 1),
}
"""Stall patterns: whether the source leaves gaps, whether the sink stalls, whether it is ready only after valid."""
INTENSITIES = (200, 800)
"""Per mille of cycles with a gap or a stall; each pattern runs with both."""


@dataclass(frozen=True)
class Timing:
    """Measured cycles: one frame into an empty design, and back-to-back frames. None: it could not be measured."""

    latency: int | None
    interval: int | None
    interval_frames: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StallResult:
    """One stall pattern."""

    pattern: str
    outcome: Outcome
    violation: str | None = None
    cycles: int = 0

    @property
    def good(self) -> bool:
        """Whether nothing was lost, repeated or changed and no rule was broken."""
        return self.outcome.good and self.violation is None and self.outcome.frames > 0


@dataclass(frozen=True)
class Bulk:
    """All vectors at full rate: how many of them ran, the outputs' words, and the simulator's speed."""

    outcome: Outcome
    outputs: Words
    asked: int
    seconds: float
    cycles: int
    violation: str | None = None


def measure_timing(harness: Harness, frames: Words, seeds: Sequence[int] = INIT_SEEDS) -> Timing:
    """Measure latency with single frames and interval with back-to-back ones, for every power-up seed."""
    latencies: set[int] = set()
    intervals: set[int] = set()
    notes: list[str] = []
    count = min(INTERVAL_FRAMES, max(16, len(frames)))
    burst = np.resize(frames, (count, frames.shape[1]))
    for seed in seeds:
        for index in range(min(3, len(frames))):
            single = harness.run(frames[index : index + 1], init_seed=seed)
            if len(single.accepted) != 1 or len(single.produced) != 1:
                notes.append(f"one frame in, {len(single.produced)} out (power-up seed {seed})")
                continue
            latencies.add(int(single.produced[0] - single.accepted[0]))
        many = harness.run(burst, init_seed=seed)
        if len(many.accepted) != count or len(many.produced) != count:
            notes.append(f"{count} frames offered back to back, {len(many.produced)} out (power-up seed {seed})")
            continue
        intervals.update(int(v) for v in np.diff(many.produced))
        intervals.update(int(v) for v in np.diff(many.accepted))
    for what, seen in (("latency", latencies), ("interval", intervals)):
        if len(seen) > 1:
            notes.append(f"{what} varies: {', '.join(map(str, sorted(seen)))} cycles")
    return Timing(max(latencies, default=None), max(intervals, default=None), count, tuple(notes))


def measure_bulk(
    harness: Harness,
    frames: Words,
    expected: Words,
    budget_s: float | None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Bulk:
    """Run every frame at full rate, or as many as fit into `budget_s`."""
    limits: dict[str, Any] = {} if budget_s is None else {"seconds": budget_s}
    seen = harness.run(frames, on_progress=on_progress, init_seed=INIT_SEEDS[0], **limits)
    done = len(seen.accepted)
    outcome = match_stream(seen.outputs, expected[:done])
    return Bulk(outcome, seen.outputs, len(frames), seen.seconds, seen.cycles, _broken(seen))


def measure_stalls(harness: Harness, frames: Words, expected: Words, seed: int) -> list[StallResult]:
    """Run each stall pattern that the handshake allows, with every intensity and power-up seed."""
    results = []
    count = min(STALL_FRAMES, len(frames))
    for pattern, (gaps, stalls, waits) in PATTERNS.items():
        if (stalls or waits) and harness.design["handshake"] == "none":
            continue
        outcome, violation, cycles = Outcome(0), None, 0
        for number, rate in enumerate(INTENSITIES if gaps or stalls else INTENSITIES[:1]):
            for init in INIT_SEEDS[:2]:
                seen = harness.run(
                    frames[:count],
                    source_gap=rate * gaps,
                    sink_stall=rate * stalls,
                    sink_waits=waits,
                    seed=seed + 10 * number + init,
                    init_seed=init,
                )
                accepted = len(seen.accepted)
                outcome += match_stream(seen.outputs, expected[:accepted])
                if accepted < count:  # the design stopped taking frames
                    outcome += Outcome(count - accepted, lost=count - accepted, bad=(accepted,))
                violation, cycles = violation or _broken(seen), cycles + seen.cycles
        results.append(StallResult(pattern, outcome, violation, cycles))
    return results


def measure_resets(harness: Harness, frames: Words, expected: Words, seed: int, latency: int) -> StallResult:
    """Reset at every phase of a frame in flight and at random cycles; after each, the next frame must be exact.

    Returns
    -------
    StallResult
        Its pattern is the number of resets.
    """
    rng = np.random.default_rng(seed)
    reach = min(latency, 64) + 4
    sweep = [(int(gap), 1) for gap in np.unique(np.linspace(0, reach, min(reach + 1, 40)).astype(int))]
    drawn = [(int(rng.integers(0, 4 * reach)), int(rng.integers(1, 4))) for _ in range(RANDOM_RESETS)]
    stall = 0 if harness.design["handshake"] == "none" else 300
    plans = [(sweep, 0, 0, INIT_SEEDS[0]), (drawn, 0, 0, INIT_SEEDS[1]), (drawn, 300, stall, INIT_SEEDS[2])]
    total, violation, resets, cycles = Outcome(0), None, 0, 0
    for plan, gap, sink, init in plans:
        seen = harness.run(
            frames, resets=plan, source_gap=gap, sink_stall=sink, seed=seed + init, init_seed=init, tail=32
        )
        total += match_epochs(seen, expected)
        violation, resets, cycles = violation or _broken(seen), resets + len(seen.resets), cycles + seen.cycles
        if len(seen.resets) != len(plan):
            violation = violation or f"the bench could apply only {len(seen.resets)} of {len(plan)} resets"
    return StallResult(str(resets), total, violation, cycles)


def match_epochs(seen: Transfers, expected: Words) -> Outcome:
    """Compare the outputs between resets with the frames accepted between them."""
    starts = [-1, *(int(cycle) for cycle in seen.resets[:, 1])]
    ends = [*(int(cycle) for cycle in seen.resets[:, 0]), seen.cycles + 1]
    total = Outcome(0)
    for start, end in zip(starts, ends, strict=True):
        sent = np.flatnonzero((seen.accepted >= start) & (seen.accepted < end))
        came = (seen.produced >= start) & (seen.produced < end)
        last = end == ends[-1]
        total += match_stream(
            seen.outputs[came], expected[sent % len(expected)], int(sent[0]) if len(sent) else 0, cut=not last
        )
        if last and not len(sent):
            total += Outcome(1, lost=1)  # nothing was accepted after the last reset
    return total


def _broken(seen: Transfers) -> str | None:
    return f"{seen.violation[0]} (cycle {seen.violation[1]})" if seen.violation else None
