"""A build folder as the hand-off reads it: the design, its evidence, and the few vectors that go along."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hwgen.errors import OutputError, ProofError
from hwgen.files import FileSet, file_digest
from hwgen.fixed import IntArray
from hwgen.ir import Graph, load_graph
from hwgen.sim.case import VerifyOptions, read_case

MOST_FRAMES = 64
"""Golden frames of a hand-off, at most."""
FEWEST_FRAMES = 4
CYCLES = 100_000
"""Cycles that one pass over the golden frames should take, about: slow designs come with fewer frames."""


@dataclass(frozen=True)
class Golden:
    """Vectors that travel with a design.

    Parameters
    ----------
    names : where each frame is from: ``test``, ``random`` or ``corners``
    inputs, outputs : integers (frames, elements of a frame) by port name; outputs are what the graph makes of inputs
    """

    names: tuple[str, ...]
    inputs: dict[str, IntArray]
    outputs: dict[str, IntArray]

    @property
    def frames(self) -> int:
        """How many."""
        return len(self.names)


@dataclass(frozen=True)
class Source:
    """A verified build folder.

    Parameters
    ----------
    folder : the build folder
    design : rtl/design.json
    evidence : verification.json, whose status is PASS and whose digests are those of the files in rtl/
    prediction : reports/prediction.json
    """

    folder: Path
    design: dict[str, Any]
    evidence: dict[str, Any]
    prediction: dict[str, Any]

    @property
    def top(self) -> str:
        """The core's module."""
        return str(self.design["top"])

    @property
    def axis(self) -> dict[str, Any] | None:
        """What design.json says of the AXI4-Stream wrapper; None with ``handshake: none``."""
        found: dict[str, Any] | None = self.design["axis"]
        return found

    @property
    def part(self) -> str:
        """The device."""
        return str(self.design["part"])

    @property
    def period_ns(self) -> float:
        """The clock period asked for, ns."""
        return float(self.design["clock_period_ns"])

    @cached_property
    def sources(self) -> list[str]:
        """The SystemVerilog files in compile order, relative to rtl/."""
        return (self.folder / "rtl" / f"{self.top}.f").read_text().split()

    def rtl(self, under: str = "rtl") -> FileSet:
        """Return the SystemVerilog with its file list ``<top>.f``, below `under`; paths in the list are from there."""
        files = FileSet()
        for name in [*self.sources, f"{self.top}.f"]:
            files.add(f"{under}/{name}", (self.folder / "rtl" / name).read_bytes())
        return files

    @cached_property
    def graph(self) -> Graph:
        """The network in integers."""
        return load_graph(self.folder / "graph")

    @cached_property
    def golden(self) -> Golden:
        """A few frames of every set, and what the graph makes of them."""
        interval = max(int(self.prediction["interval_cycles"]), 1)
        if self.axis is not None:
            interval = max(interval, *self.axis["input_beats"].values(), *self.axis["output_beats"].values())
        count = min(MOST_FRAMES, max(FEWEST_FRAMES, CYCLES // interval))
        case = read_case(self.folder, VerifyOptions())
        names: list[str] = []
        inputs: dict[str, list[IntArray]] = {}
        for name, frames in case.few(count).items():
            for key, values in frames.items():
                inputs.setdefault(key, []).extend(values.reshape(len(values), -1))
            names += [name] * len(next(iter(frames.values())))
        stacked = {key: _rows(rows) for key, rows in inputs.items()}
        shaped = {n.name: stacked[n.name].reshape(-1, *n.shape) for n in case.graph.inputs}
        outputs = {key: _rows(list(v.reshape(len(v), -1))) for key, v in case.graph.evaluate(shaped).items()}
        return Golden(tuple(names), stacked, outputs)


def _rows(rows: list[IntArray]) -> IntArray:
    import numpy as np

    return np.stack(rows)


def read_source(folder: Path) -> Source:
    """Read a build folder that may be handed over.

    Raises
    ------
    OutputError
        If it is not a build folder as far as `verify`.
    ProofError
        If its verification is not PASS, or the RTL is not what was verified.
    """
    names = ("rtl/design.json", "verification.json", "reports/prediction.json")
    try:
        design, evidence, prediction = (json.loads((folder / name).read_text()) for name in names)
    except (OSError, ValueError) as error:
        missing = next((name for name in names if not (folder / name).is_file()), None)
        raise OutputError(
            "nothing to hand over: this is not a build folder as far as the verify stage",
            where=str(folder),
            found=f"no {missing}" if missing else str(error),
            hint="hwgen build FILE",
        ) from error
    if evidence.get("status") != "PASS":
        raise ProofError(
            "only a verified design is handed over",
            where=str(folder),
            found=f"verification.json says {evidence.get('status')}",
            expected="PASS",
            hint=f"hwgen show {folder} says what failed",
        )
    source = Source(folder, design, evidence, prediction)
    _check_untouched(source, evidence["inputs"].get("rtl", {}))
    return source


def _check_untouched(source: Source, proved: Mapping[str, str]) -> None:
    """Refuse RTL that is not what the evidence speaks of."""
    rtl = source.folder / "rtl"
    now = {name: file_digest(rtl / name) if (rtl / name).is_file() else "absent" for name in source.sources}
    changed = [name for name, digest in now.items() if proved.get(name) != digest]
    if changed:
        raise ProofError(
            "the RTL is not what was verified",
            where=str(rtl),
            found=f"changed since: {', '.join(changed[:5])}",
            hint=f"hwgen verify {source.folder}",
        )
