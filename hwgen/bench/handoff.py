"""A hand-off to Vivado: how long it takes, how large it is, and whether a second one has the same bytes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from hwgen.bench.mutants import base_folder
from hwgen.bench.result import Options, Result, Row
from hwgen.digests import folder_digests
from hwgen.errors import ProofError
from hwgen.handoff import hand_over
from hwgen.sim.verify import VerifyOptions, verify


def run(options: Options) -> Result:
    """Verify a small dense design, hand it over twice, and compare."""
    with tempfile.TemporaryDirectory(prefix="hwgen-handoff-") as scratch:
        folder = Path(scratch)
        base_folder(folder, options.seed)
        if verify(folder, VerifyOptions()).status != "PASS":
            raise ProofError("the design does not pass", where="hwgen bench")
        seconds, digests = [], []
        for _ in range(2):
            start = time.perf_counter()
            (made,) = hand_over(folder, ["vivado"])
            seconds.append(time.perf_counter() - start)
            digests.append(folder_digests(made.folder, ["**/*"]))
    first, second = digests
    if len(first) != made.files:
        raise ProofError("the folder does not hold what was handed over", where="hwgen bench")
    off = sum(first.get(name) != second.get(name) for name in first | second)
    print(f"{made.files} files, {made.size:,} bytes, {seconds[0]:.2f} s")
    return Result(
        [
            Row("seconds", f"hand-off to Vivado of a small design ({made.files} files), s", seconds[0]),
            Row("size_mb", "… its size, MB", made.size / 1e6),
            Row("differ", "… files that differ when it is made twice", off, at_most=0),
        ]
    )
