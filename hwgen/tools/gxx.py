"""The C++ compiler: finding it, and compiling many files on all cores."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hwgen.errors import ProofError, ToolMissing
from hwgen.tools.run import run

COMPILE_TIMEOUT_S = 1800.0
"""No single file takes this long; a compiler that does is stopped."""


@dataclass(frozen=True)
class Gxx:
    """A C++ compiler: its path and its version."""

    path: str
    version: str


@lru_cache(maxsize=1)
def find() -> Gxx:
    """Return ``$CXX`` or ``g++``.

    Raises
    ------
    ToolMissing
        If there is none.
    """
    wanted = os.environ.get("CXX") or "g++"
    path = shutil.which(wanted)
    if path is None:
        raise ToolMissing(
            f"no C++ compiler: {wanted} is not on PATH",
            hint="Debian and Ubuntu: apt-get install g++ make; `hwgen doctor` lists every tool",
        )
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"\d+\.\d+(\.\d+)?", text)
    return Gxx(path, match.group(0) if match else "unknown")


def jobs() -> int:
    """Return how many compilers to run at once: the cores this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def has_header(name: str) -> bool:
    """Return whether the compiler finds ``<name>``."""
    probe = subprocess.run(
        [find().path, "-E", "-x", "c++", "-"], input=f"#include <{name}>\n", capture_output=True, text=True, check=False
    )
    return probe.returncode == 0


def compile_all(commands: Sequence[Sequence[str | Path]], *, cwd: Path, log_dir: Path) -> None:
    """Run compile commands in parallel; the first failure is raised after all have ended.

    Raises
    ------
    ProofError
        With the end of the compiler's output.
    """

    def one(item: tuple[int, Sequence[str | Path]]) -> None:
        index, command = item
        run(command, cwd=cwd, timeout_s=COMPILE_TIMEOUT_S, log=log_dir / f"compile{index}.log", error=ProofError)

    with ThreadPoolExecutor(jobs()) as pool:
        for outcome in [pool.submit(one, item) for item in enumerate(commands)]:
            outcome.result()
