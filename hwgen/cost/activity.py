"""Switching activity: what toggles in a design while it works on real vectors, recorded in Verilator.

Frames follow each other without a pause and the sink is always ready: the design works at its interval. Values are
taken once a cycle, settled, before the rising edge, so that what a signal does on its way to its value (glitches) is
not seen. The first frames fill the design and are not counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, ProofError
from hwgen.sim.build import SLOW
from hwgen.sim.case import Case, VerifyOptions, read_case
from hwgen.sim.cocotb_run import core_files
from hwgen.sim.native import build_harness
from hwgen.sim.streams import Words, in_streams, out_streams, pack_frames

Progress = Callable[[str, float | None], None]
LEAST_CYCLES, MOST_CYCLES = 256, 20_000
"""Cycles that are counted: whole frames, at least one, at least the first number where that fits into the second."""

LONGEST = 300_000
"""Cycles that are simulated in all; what needs more is refused."""


class Unrecorded(HwgenError):
    """Activity cannot be recorded: no vectors, or it would take too long."""


@dataclass(frozen=True)
class Window:
    """Cycles that are counted, from the release of the first reset on.

    Parameters
    ----------
    first, cycles : the first one, and how many
    frames : inferences in them, at the interval
    """

    first: int
    cycles: int
    frames: float


@dataclass(frozen=True)
class Activity:
    """What was recorded.

    Parameters
    ----------
    toggles : instance of the top ("" for the top itself) -> toggles in the window: of register bits, of other bits
    bits : the same, how many bits there are
    ports : every cycle from reset: reset, then of each stream valid, ready and data words
    window : what was counted
    vectors : where the frames are from
    """

    toggles: Mapping[str, tuple[int, int]]
    bits: Mapping[str, tuple[int, int]]
    ports: Words
    window: Window
    vectors: str


def choose_window(case: Case) -> tuple[Window, int]:
    """Return the cycles to count, and the frames that have to be offered.

    Raises
    ------
    Unrecorded
        If it would take too many cycles.
    """
    interval = int(case.prediction["interval_cycles"])
    latency = int(case.prediction["latency_cycles"])
    counted = max(1, min(-(-LEAST_CYCLES // interval), MOST_CYCLES // interval))
    filling = -(-latency // interval) + 1
    if (total := (filling + counted + 2) * interval + latency) > LONGEST:
        raise Unrecorded(f"{total} cycles would have to be recorded, more than {LONGEST}")
    window = Window(filling * interval, counted * interval, float(counted))
    return window, filling + counted + 2


def record(folder: Path, progress: Progress | None = None) -> Activity:
    """Run a build folder's core on its own test vectors in Verilator and return what toggles.

    Raises
    ------
    ToolMissing
        Without Verilator or a C++ compiler.
    Unrecorded
        Without vectors, or if it would take too many cycles.
    ProofError
        If the simulation fails, or does not give what the graph gives.
    """
    say = progress or (lambda message, fraction: None)
    absent = [name for name in ("reports/prediction.json", "tb/vectors.npz") if not (folder / name).is_file()]
    if absent:
        raise Unrecorded(f"nothing to record: the folder has no {' and no '.join(absent)}")
    case = read_case(folder, VerifyOptions())
    window, count = choose_window(case)
    frames, expected, vectors = _frames(case, count)
    work = folder / "cost" / "activity"
    work.mkdir(parents=True, exist_ok=True)
    say("building the simulator that records what toggles", None)
    files = core_files(case.design, case.files)
    # A few thousand cycles: compiling without optimisation takes less than it loses.
    harness = build_harness(case.design, files, work / "sim", trace="saif", optimise=SLOW)
    say("recording what toggles", None)
    saif, ports = work / "activity.saif", work / "ports.bin"
    seen = harness.run(
        frames, tap_frame=0, wave=str(saif), wave_from=window.first, wave_cycles=window.cycles, record=str(ports)
    )
    if len(seen.outputs) != count or not np.array_equal(seen.outputs, expected):
        raise ProofError("the simulation that records activity does not give the graph's outputs", where=str(folder))
    words = 1 + sum(2 + s.words for s in (*in_streams(case.design), *out_streams(case.design)))
    recorded = np.fromfile(ports, "<u4").reshape(-1, words)
    toggles, bits = read_saif(saif.read_text(), str(case.design["top"]))
    saif.unlink()
    return Activity(toggles, bits, recorded, window, vectors)


def _frames(case: Case, count: int) -> tuple[Words, Words, str]:
    """Return packed frames, real test vectors first, again from the start where there are too few."""
    name = next(key for key in ("test", "random", "corners") if len(next(iter(case.vectors[key].values()))))
    stored = case.vectors[name]
    some = {key: values[np.arange(count) % len(values)] for key, values in stored.items()}
    outputs = pack_frames(out_streams(case.design), case.evaluate(some))
    return case.pack(some), outputs, name


_NET = re.compile(r"\s*\((\S+) \(T0 \d+\) \(T1 \d+\).*\(TC (\d+)\)\)")
_REGISTER = re.compile(r"(_q|_d\d+)(\[\d+\])*$")


def read_saif(text: str, top: str) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    """Return toggles and bits by instance of the top, registers and other signals apart.

    Ports of modules inside are other names of signals outside (by the house style they end in ``_i`` and ``_o``) and
    are not counted again, nor are parameters, which never toggle.

    Parameters
    ----------
    text : a SAIF file as Verilator writes it
    top : the module whose instances are told apart
    """
    path: list[str] = []
    toggles: dict[str, list[int]] = {}
    bits: dict[str, list[int]] = {}
    for line in text.splitlines():
        if (head := line.strip()).startswith("(INSTANCE "):
            path.append(head.split()[1])
        elif head == "(NET":
            path.append("(NET")
        elif head == ")":
            if path:
                path.pop()
        elif match := _NET.match(line):
            inside = path[path.index(top) + 1 : -1] if top in path else None
            name = match.group(1).split("\\")[0]
            if inside is None or name.endswith("clk_i") or (inside and re.search(r"_[io](\[\d+\])*$", name)):
                continue
            owner, kind = (inside[0] if inside else ""), 0 if _REGISTER.search(name) else 1
            toggles.setdefault(owner, [0, 0])[kind] += int(match.group(2))
            bits.setdefault(owner, [0, 0])[kind] += name[:1].islower()
    if not bits:
        raise ProofError("no signals in the SAIF file", found=text[:80])
    return {k: (v[0], v[1]) for k, v in toggles.items()}, {k: (v[0], v[1]) for k, v in bits.items()}


def port_bits(design: Mapping[str, Any], ports: Words) -> dict[tuple[str, int], np.ndarray[Any, Any]]:
    """Return the recorded value, 0 or 1 a cycle, of every bit of every port by name and index."""
    found: dict[tuple[str, int], np.ndarray[Any, Any]] = {(str(design["reset"]), 0): ports[:, 0].astype(np.uint8)}
    at = 1
    for stream in (*in_streams(design), *out_streams(design)):
        for offset, name in enumerate((stream.valid, stream.ready)):
            if name:
                found[(name, 0)] = ports[:, at + offset].astype(np.uint8)
        at += 2
        for port, words in zip(stream.ports, stream.port_words, strict=True):
            for bit in range(port["elements"] * port["width"]):
                column = ports[:, at + bit // 32]
                found[(port["port"], bit)] = ((column >> np.uint32(bit % 32)) & 1).astype(np.uint8)
            at += words
    return found
