"""Building and running the emulator of a graph, as its README says."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwgen.emulator.generate import Port, emulator_files, emulator_ports
from hwgen.emulator.program import pack, unpack
from hwgen.errors import ProofError
from hwgen.files import write_if_changed
from hwgen.fixed import IntArray
from hwgen.ir import Graph
from hwgen.tools import gxx
from hwgen.tools.run import run

FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror=return-type")
BUILD_TIMEOUT_S = 1800.0
STAMP = "built.key"


@dataclass(frozen=True)
class Emulator:
    """A built emulator.

    Parameters
    ----------
    program : Path
    inputs, outputs : what a frame and a result consist of
    """

    program: Path
    inputs: list[Port]
    outputs: list[Port]

    def run(self, frames: Mapping[str, IntArray], timeout_s: float | None = None) -> tuple[dict[str, IntArray], float]:
        """Return {output name: integers (frames, elements)} and the seconds of inference alone.

        Raises
        ------
        ProofError
            If the program fails, or says something else than its results.
        """
        with tempfile.TemporaryDirectory(prefix="hwgen-emulator-") as scratch:
            source, target = Path(scratch) / "in.bin", Path(scratch) / "out.bin"
            source.write_bytes(pack(self.inputs, frames))
            done = run([self.program, source, target], timeout_s=timeout_s)
            said = re.search(r"^frames (\d+) seconds ([\d.]+)$", done.output, re.M)
            count = len(next(iter(frames.values())))
            if said is None or int(said.group(1)) != count:
                raise ProofError(
                    "the emulator lost frames", found=done.output.strip() or "no output", expected=f"{count} frames"
                )
            return unpack(self.outputs, target.read_bytes()), float(said.group(2))


def build_emulator(graph: Graph, sources: Path, folder: Path) -> tuple[Emulator, float]:
    """Write the emulator's files to `sources`, compile them into `folder`; return it and the seconds it took.

    Raises
    ------
    ToolMissing
        Without a C++ compiler.
    ProofError
        If it does not compile.
    GraphError
        If the graph has integers that the emulator does not.
    """
    compiler, start = gxx.find(), time.monotonic()
    files = emulator_files(graph)
    files.write(sources)
    program, stamp = folder / "emulator", folder / STAMP
    key = f"{files.digest()} {compiler.path} {compiler.version} {FLAGS}"
    if not (program.is_file() and stamp.is_file() and stamp.read_text() == key):
        folder.mkdir(parents=True, exist_ok=True)
        parts = [sources / name for name in files if name.endswith(".cpp")]
        command: list[str | Path] = [compiler.path, *FLAGS, *parts, "-o", program]
        run(command, timeout_s=BUILD_TIMEOUT_S, log=folder / "compile.log")
        write_if_changed(stamp, key.encode())
    return Emulator(program, *emulator_ports(graph)), time.monotonic() - start
