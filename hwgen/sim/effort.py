"""How much of each part of the proof runs: by the cycles a frame takes, never by the speed of the machine.

An unrolled design takes a frame a cycle, a streaming one may take a hundred thousand cycles a frame. Each part has a
budget of cycles, a least program that always runs, and a largest one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INIT_SEEDS = (1, 2, 3, 4)
"""Random register contents at power-up; every one must give the same result."""
PATTERNS = {
    "none": (0, 0, 0, 0),
    "source_gaps": (1, 0, 0, 0),
    "sink_stalls": (0, 1, 0, 0),
    "both": (1, 1, 0, 0),
    "sink_waits_for_valid": (0, 0, 1, 0),
    "source_stops_in_mid_frame": (0, 0, 0, 1),
}
"""Stall patterns: whether the sources leave gaps, the sinks stall, the sinks are ready only after valid, the sources
stop once in every frame until the design has run empty."""
INTENSITIES = (200, 800)
"""Per mille of cycles with a gap or a stall; each pattern runs with both."""

TIMING_CYCLES, STALL_CYCLES, RESET_CYCLES, COCOTB_CYCLES = 1_000_000, 1_500_000, 750_000, 60_000
STALL_FRAMES, INTERVAL_FRAMES, RANDOM_RESETS, SWEEP, RESET_TAIL = 512, 64, 20, 40, 32
COCOTB_FRAMES, COCOTB_RESETS = 48, 20
COCOTB_WHOLE = 24_000
"""Latency and interval together, in cycles, up to which the cocotb bench runs more than one frame."""


@dataclass(frozen=True)
class Effort:
    """How many frames and runs each part gets.

    Parameters
    ----------
    stall_frames, stall_seeds, intensities : of each stall pattern
    resets, sweep, tail : random resets a run, resets swept over a frame in flight, frames after the last
    cocotb : the program of the cocotb benches: ``frames, interval_frames, resets`` and cycles (``latency, interval``)
    cuts : what a design of short frames would have got beyond this
    """

    stall_frames: int
    stall_seeds: tuple[int, ...]
    intensities: tuple[int, ...]
    resets: int
    sweep: int
    tail: int
    cocotb: dict[str, int]
    cuts: tuple[str, ...] = field(default=())


def effort(latency: int, interval: int, beats: int, settled: int = 0) -> Effort:
    """Return the program for a design.

    Parameters
    ----------
    latency, interval : cycles, measured
    beats : the most beats that a frame has on any stream
    settled : frames after which the interval was the same
    """
    unit = max(interval, 6 * beats)  # a frame's cycles under heavy stalls
    runs = len(PATTERNS) * len(INTENSITIES) * 2
    frames = (STALL_CYCLES // runs - 3 * latency) // unit
    small = frames < 2
    seeds, intensities = (INIT_SEEDS[:1], INTENSITIES[-1:]) if small else (INIT_SEEDS[:2], INTENSITIES)
    frames = min(max(frames, 2), STALL_FRAMES)
    a_reset = 2 * (latency + interval)
    resets = min(max(RESET_CYCLES // (3 * a_reset), 2), RANDOM_RESETS)
    sweep = min(max(RESET_CYCLES // (3 * (latency + 2)), 3), SWEEP)
    tail = min(max(RESET_CYCLES // (8 * unit), 2), RESET_TAIL)
    cocotb = _cocotb(latency, interval, beats, settled)
    texts = [f"stall patterns: {frames} frames each, one intensity"] if small else []
    texts += [f"resets: {resets} random ones a run"] if resets < RANDOM_RESETS // 2 else []
    if not cocotb["interval_frames"]:
        texts += ["cocotb bench of the core: interval, stalls, resets (one frame alone)"]
    cuts = tuple(f"{text}: {interval:,} cycles a frame" for text in texts)
    return Effort(frames, seeds, intensities, resets, sweep, tail, cocotb, cuts)


def _cocotb(latency: int, interval: int, beats: int, settled: int) -> dict[str, int]:
    times = {"latency": latency, "interval": interval}
    if latency + interval > COCOTB_WHOLE:
        return {"frames": 1, "interval_frames": 0, "resets": 0, **times}
    unit = max(interval, 2 * beats)
    frames = min(max((COCOTB_CYCLES // 6 - 2 * latency) // unit, 2), COCOTB_FRAMES)
    burst = min(max(COCOTB_CYCLES // (3 * unit), max(settled, 7)), max(settled, COCOTB_FRAMES))
    resets = min(max(COCOTB_CYCLES // (6 * (latency + interval)), 2), COCOTB_RESETS)
    return {"frames": frames, "interval_frames": burst, "resets": resets, **times}
