"""The native bench from Python: frames in, every transfer with its cycle out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.sim.build import FAST, TEMPLATES, ModelSource, Program, build
from hwgen.sim.glue import glue
from hwgen.sim.streams import Words
from hwgen.sim.transfers import Transfers, read_transfers
from hwgen.tools.run import run

STALL_TIMEOUT_S = 60.0
"""The harness reports several times a second; silent for this long, it hangs."""


@dataclass(frozen=True)
class Harness:
    """A built native bench of one core."""

    program: Path
    design: dict[str, Any]
    taps: bool = False

    def run(
        self,
        frames: Words,
        *,
        resets: Sequence[tuple[int, int]] = (),
        on_progress: Callable[[int, int], None] | None = None,
        log: Path | None = None,
        **options: int | float | str,
    ) -> Transfers:
        """Offer packed `frames` and return every transfer.

        Parameters
        ----------
        resets : (cycles since the last release, cycles held) of each reset
        options : of the harness, ``_`` for ``-``:
            ``source_gap``, ``sink_stall`` (per mille of cycles), ``sink_waits`` (ready only after valid),
            ``source_pause`` (cycles a source stops once in every frame), ``pace`` (cycles between the first beats of
            frames), ``seed``, ``init_seed``, ``seconds`` and ``min_frames`` (stop at a frame's end), ``stuck`` (cycles
            without a transfer), ``first``, ``frames``, ``tail``, ``tap_frame``, ``tap_cycles``, ``wave``,
            ``wave_from`` (its first cycle), ``wave_cycles``, ``record`` (a file: every cycle of the ports)

        Raises
        ------
        ProofError
            If the simulator crashes or hangs.
        """
        with tempfile.TemporaryDirectory(prefix="hwgen-sim-") as scratch:
            source, target = Path(scratch) / "in.bin", Path(scratch) / "out.bin"
            source.write_bytes(frames.astype("<u4").tobytes())
            command: list[str | Path] = [self.program, "--in", source, "--out", target]
            if len(resets):
                schedule = Path(scratch) / "resets.bin"
                schedule.write_bytes(np.asarray(resets, dtype="<u4").tobytes())
                command += ["--resets", schedule]
            for key, value in options.items():
                command += [f"--{key.replace('_', '-')}", str(value)]
            listen = _progress_reader(on_progress) if on_progress else None
            run(command, stall_timeout_s=STALL_TIMEOUT_S, log=log, on_output=listen)
            written = target.read_bytes() if target.is_file() else b""
            return read_transfers(written, self.design, tapped=self.taps)


def _progress_reader(on_progress: Callable[[int, int], None]) -> Callable[[str], None]:
    def listen(text: str) -> None:
        for line in text.splitlines():
            match line.split():
                case ["progress", done, total]:
                    on_progress(int(done), int(total))

    return listen


def harness_program(design: dict[str, Any], *, taps: bool = False, trace: str | None = None) -> Program:
    """Return the native bench of `design`, to build with its model."""
    return Program({"glue.cpp": glue(design, taps=taps, trace=trace)}, (TEMPLATES / "harness.cpp",))


def build_harness(
    design: dict[str, Any],
    files: Sequence[Path],
    folder: Path,
    *,
    taps: bool = False,
    trace: str | None = None,
    vpi_depth: int = 0,
    optimise: str = FAST,
) -> Harness:
    """Build the native bench alone."""
    defines = ("HWGEN_TAPS",) if taps else ()
    source = ModelSource(files, design["top"], defines, trace=trace, vpi_depth=vpi_depth, optimise=optimise)
    made = build(source, {"harness": harness_program(design, taps=taps, trace=trace)}, folder)
    return Harness(made["harness"], design, taps)
