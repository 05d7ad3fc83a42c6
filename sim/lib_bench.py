"""Running a cocotb bench of one library module: build it with its parameters, run every test, read the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hwgen.rtl
from hwgen.sim.bench_lib import Stream, randoms
from hwgen.sim.cocotb_run import build_bench, run_cocotb

LIBRARY = Path(hwgen.rtl.__file__).parent / "lib"
STALLS = {"none": (0, 0), "source_gaps": (500, 0), "sink_stalls": (0, 500), "both": (500, 500), "heavy": (900, 900)}


def run_module(
    folder: Path,
    module: str,
    bench: str,
    parameters: Mapping[str, int],
    *,
    seed: int = 1,
    top: Path | None = None,
    **document: Any,
) -> None:
    """Fail unless every cocotb test of `bench` passes on the library's `module` (or on the file `top` around it)."""
    files = [LIBRARY / f"{module}.sv"] + ([top] if top else [])
    name = top.stem if top else module
    program = build_bench(name, files, folder / "build", parameters=parameters)
    result = run_cocotb(
        program,
        bench,
        {"module": module, "parameters": dict(parameters), "seed": seed, **document},
        folder,
        top=name,
        seed=seed,
    )
    failures = [f"{test}: {message}" for test, message, _ in result.tests if message is not None]
    assert result.tests and not failures, f"{failures}\nlog: {folder / 'cocotb.log'}, seed {seed}"


async def every_stall(
    stream: Stream, frames: list[tuple[int, ...]], seed: int, check: Callable[[list[tuple[int, ...]]], None]
) -> None:
    """Send the frames under every stall pattern and let `check` look at what came out."""
    for number, (name, (gap, stall)) in enumerate(STALLS.items()):
        await stream.reset()
        await stream.send(frames, gap=randoms(seed + number, gap), stall=randoms(seed + 77 + number, stall))
        assert len(stream.accepted) == len(frames), f"{name}: only {len(stream.accepted)} accepted"
        assert not stream.broken, f"{name}: {stream.broken}"
        check([outputs for _, outputs in stream.produced])
