"""What the native bench is asked, and what its transfers say: latency, interval, every vector, stalls, resets.

Nothing here knows the prediction; `evidence` compares afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.sim.compare import Outcome, match_run
from hwgen.sim.effort import INIT_SEEDS, PATTERNS, Effort
from hwgen.sim.native import Harness
from hwgen.sim.streams import Words
from hwgen.sim.transfers import Transfers


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
    stuck: bool = False
    waiting: tuple[str, ...] = ()


def measure_bulk(
    harness: Harness,
    frames: Words,
    expected: Words,
    budget_s: float | None,
    at_least: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Bulk:
    """Run every frame at full rate, or as many as fit into `budget_s`, but `at_least` so many."""
    limits: dict[str, Any] = {} if budget_s is None else {"seconds": budget_s, "min_frames": at_least}
    seen = harness.run(frames, on_progress=on_progress, init_seed=INIT_SEEDS[0], **limits, **options)
    outcome = match_run(seen, expected)
    if seen.ended == "no progress" and outcome.good:  # frames that the design would not take
        outcome += Outcome(0, lost=1, bad=(len(seen.accepted),))
    stuck = seen.ended == "no progress"
    return Bulk(outcome, seen.outputs, len(frames), seen.seconds, seen.cycles, broken(seen), stuck, seen.waiting)


def measure_stalls(
    harness: Harness, frames: Words, expected: Words, seed: int, plan: Effort, latency: int, **options: Any
) -> list[StallResult]:
    """Run each stall pattern that the design allows, with every intensity and power-up seed."""
    results = []
    count = min(plan.stall_frames, len(frames))
    for pattern, (gaps, stalls, waits, stops) in PATTERNS.items():
        if (stalls or waits) and harness.design["handshake"] == "none":
            continue
        if stops and max(stream["beats"] for stream in harness.design["in_streams"]) == 1:
            continue
        outcome, violation, cycles = Outcome(0), None, 0
        rates = plan.intensities if gaps or stalls else plan.intensities[-1:]
        for number, rate in enumerate(rates):
            for init in plan.stall_seeds:
                if violation:
                    break  # a design that stopped is waited for once, not in every run
                seen = harness.run(
                    frames[:count],
                    source_gap=rate * gaps,
                    sink_stall=rate * stalls,
                    sink_waits=waits,
                    source_pause=stops * (latency + 64),
                    seed=seed + 10 * number + init,
                    init_seed=init,
                    **options,
                )
                accepted = len(seen.accepted)
                outcome += match_run(seen, expected[:count])
                if accepted < count:  # the design stopped taking frames
                    outcome += Outcome(count - accepted, lost=count - accepted, bad=(accepted,))
                violation, cycles = violation or broken(seen), cycles + seen.cycles
        results.append(StallResult(pattern, outcome, violation, cycles))
    return results


def measure_resets(
    harness: Harness,
    frames: Words,
    expected: Words,
    seed: int,
    plan: Effort,
    latency: int,
    interval: int,
    **options: Any,
) -> StallResult:
    """Reset at every phase of a frame in flight and at random cycles; after each, the next frame must be exact.

    Half of the random resets come late enough for whole frames to have come out since the one before.

    Returns
    -------
    StallResult
        Its pattern is the number of resets.
    """
    rng = np.random.default_rng(seed)
    streamed = harness.design["io_type"] == "io_stream"
    reach = (latency if streamed else min(latency, 64)) + 4
    sweep = [(int(gap), 1) for gap in np.unique(np.linspace(0, reach, min(reach + 1, plan.sweep)).astype(int))]
    late = reach + 2 * interval if streamed else 3 * reach
    gaps = [int(rng.integers(0, reach) + rng.integers(0, 2) * late) for _ in range(plan.resets)]
    drawn = [(gap, int(rng.integers(1, 4))) for gap in gaps]
    stall = 0 if harness.design["handshake"] == "none" else 300
    plans = [(sweep, 0, 0, INIT_SEEDS[0]), (drawn, 0, 0, INIT_SEEDS[1]), (drawn, 300, stall, INIT_SEEDS[2])]
    total, violation, resets, cycles = Outcome(0), None, 0, 0
    for schedule, gap, sink, init in plans:
        seen = harness.run(
            frames,
            resets=schedule,
            source_gap=gap,
            sink_stall=sink,
            seed=seed + init,
            init_seed=init,
            tail=plan.tail,
            **options,
        )
        total += match_run(seen, expected)
        violation, resets, cycles = violation or broken(seen), resets + len(seen.resets), cycles + seen.cycles
        if len(seen.resets) != len(schedule):
            violation = violation or f"the bench could apply only {len(seen.resets)} of {len(schedule)} resets"
    return StallResult(str(resets), total, violation, cycles)


def broken(seen: Transfers) -> str | None:
    """Return what broke the protocol first, with its cycle; or, of a run that stopped, who waits on whom."""
    if seen.violation is None and seen.ended == "no progress":
        return "; ".join(["no progress", *seen.waiting])
    return f"{seen.violation[0]} (cycle {seen.violation[1]})" if seen.violation else None
