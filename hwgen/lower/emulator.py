"""The emulation of a project: compiled with g++, run on whole sets of integers, within a time budget."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import ProofError
from hwgen.files import FileSet
from hwgen.fixed import IntArray

EMULATOR_CPP = "hwgen_emulator.cpp"
PORTS_JSON = "hwgen_ports.json"
COMPILE_TIMEOUT_S = 1800.0
RUN_TIMEOUT_S = 3600.0
FLAGS = ("-O1",)
"""Of g++: measured on ResNet-8, more optimisation takes longer to compile and does not run faster."""
FEWEST_FRAMES = 50
"""Frames of each set that the emulation runs, at least, whatever it takes."""
PROBE_FRAMES = 4
"""Frames of each set that tell how long one takes."""
BLOCK_FRAMES = 2000


class Emulator:
    """The compiled emulation of a project. Make one with `Emulator.build`."""

    def __init__(self, program: Path, ports: Mapping[str, Any]) -> None:
        self._program, self._ports = program, ports

    @classmethod
    def build(cls, folder: Path, progress: Callable[[str, float | None], None] = lambda m, f: None) -> Emulator:
        """Compile the project in `folder` with g++, again only if it changed.

        Raises
        ------
        ToolMissing
            If there is no C++ compiler.
        ProofError
            If the project does not compile.
        """
        from hwgen.tools import gxx
        from hwgen.tools.run import run

        ports = json.loads((folder / PORTS_JSON).read_text())
        compiler = gxx.find()
        flags = [*FLAGS, "-std=c++11", "-w", "-Ifirmware/ap_types"]
        key = _digest(folder, [*flags, compiler.path, compiler.version, str(folder.resolve())])
        program = folder / "build" / f"emulator-{key}"
        if not program.is_file():
            progress("compiling the HLS C++ with g++", None)
            program.parent.mkdir(exist_ok=True)
            for old in program.parent.glob("emulator-*"):
                old.unlink()
            weights = json.dumps(str(folder.resolve() / "firmware" / "weights"))
            partial = program.with_suffix(".partial")
            sources = [f"firmware/{ports['top']}.cpp", EMULATOR_CPP]
            command = [compiler.path, *flags, f"-DWEIGHTS_DIR={weights}", *sources, "-o", str(partial.resolve())]
            run(
                command, cwd=folder, timeout_s=COMPILE_TIMEOUT_S, log=folder / "build" / "compile.log", error=ProofError
            )
            partial.replace(program)
        return cls(program, ports)

    def run(self, inputs: Mapping[str, IntArray]) -> dict[str, IntArray]:
        r"""Run every frame.

        Parameters
        ----------
        inputs : {input name: integers (frames, \*shape)}

        Raises
        ------
        ProofError
            If the program crashes or hangs.
        """
        from hwgen.tools.run import run

        ports = self._ports["inputs"]
        arrays = [np.asarray(inputs[p["name"]], dtype=np.int64) for p in ports]
        frames = len(arrays[0])
        rows = np.concatenate(
            [a.reshape(frames, int(np.prod(p["shape"]))) for a, p in zip(arrays, ports, strict=True)], 1
        )
        with tempfile.TemporaryDirectory(prefix="hwgen-emulate-") as scratch:
            source, target = Path(scratch) / "inputs", Path(scratch) / "outputs"
            rows.tofile(source)
            command: list[str | Path] = [self._program.resolve(), str(frames), source, target]
            run(command, timeout_s=RUN_TIMEOUT_S, error=ProofError)
            sizes = [int(np.prod(p["shape"])) for p in self._ports["outputs"]]
            values = np.fromfile(target, dtype=np.int64).reshape(frames, sum(sizes))
        columns = np.split(values, np.cumsum(sizes)[:-1], axis=1)
        pairs = zip(self._ports["outputs"], columns, strict=True)
        return {p["name"]: v.reshape(frames, *p["shape"]) for p, v in pairs}

    def run_sets(
        self,
        sets: Mapping[str, Mapping[str, IntArray]],
        budget_s: float | None = None,
        progress: Callable[[str, float | None], None] = lambda m, f: None,
    ) -> tuple[dict[str, dict[str, IntArray]], dict[str, IntArray]]:
        """Run as many frames of each set as `budget_s` seconds allow, at least `FEWEST_FRAMES` of each.

        Returns
        -------
        results : {set: {output name: integers}} of the frames that ran
        rows : {set: which frames these are}; the first ones, of the corners some spread over all
        """
        counts = {name: len(next(iter(frames.values()))) for name, frames in sets.items()}
        some = {name: _some(name, count, PROBE_FRAMES) for name, count in counts.items()}
        start = time.monotonic()
        probe = [self.run({k: v[rows] for k, v in sets[name].items()}) for name, rows in some.items() if len(rows)]
        spent = time.monotonic() - start
        ran = sum(len(next(iter(outputs.values()))) for outputs in probe)
        allowed = sum(counts.values())
        if budget_s is not None and ran:
            allowed = int(budget_s / max(spent / ran, 1e-9))
        shares = _shares(counts, allowed)
        rows = {name: _some(name, count, max(shares[name], FEWEST_FRAMES)) for name, count in counts.items()}
        results, done, total = {}, 0, sum(map(len, rows.values()))
        for name, chosen in rows.items():
            parts = []
            for part in np.array_split(chosen, max(1, -(-len(chosen) // BLOCK_FRAMES))):
                progress("running the HLS C++", done / max(total, 1))
                parts.append(self.run({k: v[part] for k, v in sets[name].items()}))
                done += len(part)
            results[name] = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        return results, rows


def _some(name: str, count: int, most: int) -> IntArray:
    """Return the rows of a set that run if at most `most` may."""
    if name != "corners" or most >= count:
        return np.arange(min(count, most))
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


def _shares(counts: Mapping[str, int], allowed: int) -> dict[str, int]:
    """Divide `allowed` frames among sets: equal shares, what a small set does not need goes to the others."""
    shares, left = {}, allowed
    for position, name in enumerate(sorted(counts, key=lambda name: counts[name])):
        shares[name] = min(counts[name], -(-left // (len(counts) - position)))
        left -= shares[name]
    return {name: shares[name] for name in counts}


def _digest(folder: Path, more: list[str]) -> str:
    """Return a short digest of everything the compiler reads."""
    files = FileSet({"flags": "\n".join(more)})
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and (relative.startswith("firmware/") or relative in (EMULATOR_CPP, PORTS_JSON)):
            files.add(relative, path.read_bytes())
    return files.digest()[:16]
