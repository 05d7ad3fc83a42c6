"""A build folder as the proof reads it: the graph, the design, the vectors, and what the graph makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import SpecError
from hwgen.fixed import IntArray
from hwgen.ir import Graph, load_graph
from hwgen.ir.vectors import load_vectors
from hwgen.sim.compare import Words
from hwgen.sim.native import pack_ports

ORDER = ("corners", "random", "test")
"""The order in which sets are simulated: what a time budget cuts is the end of the test set."""


@dataclass(frozen=True)
class VerifyOptions:
    """What to simulate.

    Parameters
    ----------
    vectors : int, "all" or "auto"
        Test frames: so many, all, or as many as `budget_s` allows. Random ones and corners always run.
    seed : int
        Of stalls and resets.
    only : str, optional
        ``SET:INDEX``: simulate this one vector and compare every layer.
    waves : "on_failure", "always" or "never"
        A waveform of the first frame that differs; with ``always``, of the first frame if none does.
    stalls : bool
        Try the stall patterns.
    budget_s : float
        Seconds of bulk simulation for ``auto``.
    cocotb, locate : bool
        Run the cocotb benches (without them nothing passes: NOT RUN); after a mismatch, look for the first layer.
    """

    vectors: int | str = "auto"
    seed: int = 0
    only: str | None = None
    waves: str = "on_failure"
    stalls: bool = True
    budget_s: float = 120.0
    cocotb: bool = True
    locate: bool = True


@dataclass(frozen=True)
class Case:
    """A build folder, read: the graph, the design, the vectors with what the graph makes of them."""

    folder: Path
    graph: Graph
    design: dict[str, Any]
    files: list[Path]
    vectors: dict[str, dict[str, IntArray]]
    expected: dict[str, dict[str, IntArray]]
    prediction: dict[str, Any]
    pairs: list[dict[str, Any]]

    @property
    def frames(self) -> Words:
        """All vectors, packed for the bench, in the order of their sets."""
        return np.concatenate([pack_ports(self.design["inputs"], self.vectors[name]) for name in self.vectors])

    @property
    def wanted(self) -> Words:
        """What the graph makes of `frames`, packed."""
        return np.concatenate([pack_ports(self.design["outputs"], self.expected[name]) for name in self.vectors])

    def place(self, index: int) -> tuple[str, int]:
        """Return the set and the index within it of a frame of `frames`."""
        for name, inputs in self.vectors.items():
            count = frame_count(inputs)
            if index < count:
                return name, index
            index -= count
        raise IndexError(index)


def read_case(folder: Path, options: VerifyOptions) -> Case:
    """Read a build folder and evaluate its graph on the vectors.

    Raises
    ------
    SpecError
        If a file is missing, or `options.only` names no vector.
    """
    try:
        graph = load_graph(folder / "graph")
        design = json.loads((folder / "rtl" / "design.json").read_text())
        prediction = json.loads((folder / "reports" / "prediction.json").read_text())
        vectors = load_vectors(folder / "tb" / "vectors.npz")
        names = (folder / "rtl" / f"{design['top']}.f").read_text().split()
    except OSError as error:
        raise SpecError(
            "this is not a build folder as far as the rtl stage",
            where=str(folder),
            found=f"{Path(str(error.filename)).name}: {error.strerror}",
            hint="run `hwgen build FILE` first",
        ) from error
    pairs_file = folder / "reports" / "pairs.json"
    stored = json.loads(pairs_file.read_text()) if pairs_file.is_file() else []
    pairs = stored["pairs"] if isinstance(stored, dict) else stored
    chosen = {name: _limited(vectors[name], options) if name == "test" else vectors[name] for name in ORDER}
    if options.only is not None:
        name, index = _parse_only(options.only, vectors)
        chosen = {name: {key: values[index : index + 1] for key, values in vectors[name].items()}}
    expected = {name: graph.evaluate(inputs) for name, inputs in chosen.items()}
    files = [folder / "rtl" / name for name in names]
    return Case(folder, graph, design, files, chosen, expected, prediction, pairs)


def _limited(inputs: dict[str, IntArray], options: VerifyOptions) -> dict[str, IntArray]:
    if isinstance(options.vectors, int):
        return {name: values[: options.vectors] for name, values in inputs.items()}
    return inputs


def _parse_only(text: str, vectors: Mapping[str, Mapping[str, IntArray]]) -> tuple[str, int]:
    name, _, number = text.partition(":")
    counts = {key: frame_count(inputs) for key, inputs in vectors.items()}
    if name in counts and number.isdecimal() and int(number) < counts[name]:
        return name, int(number)
    raise SpecError(
        "no such vector",
        where="--only",
        found=text,
        expected="SET:INDEX with " + ", ".join(f"{key}:0..{n - 1}" for key, n in counts.items() if n),
    )


def frame_count(inputs: Mapping[str, IntArray]) -> int:
    """Return the number of frames of a set."""
    return len(next(iter(inputs.values())))
