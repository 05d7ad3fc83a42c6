"""OpenSTA: finding it, and running a script in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hwgen.errors import ProofError, ToolMissing
from hwgen.tools import debian
from hwgen.tools.run import run

PACKAGE = "opensta"
INSTALL = "`hwgen doctor --install` unpacks Debian's package opensta into the cache; or put `sta` on PATH"
TIMEOUT_S = 900.0


@dataclass(frozen=True)
class OpenSta:
    """An OpenSTA: the program, its version, and the variables it needs."""

    path: str
    version: str
    env: dict[str, str]


@lru_cache(maxsize=1)
def find() -> OpenSta:
    """Return the OpenSTA on PATH, else the one of Debian's package.

    Raises
    ------
    ToolMissing
        If there is none that starts.
    """
    packaged = debian.find("usr/bin/sta")
    candidates = [path for path in (shutil.which("sta"), str(packaged) if packaged else None) if path]
    for path in candidates:
        for env in ({}, debian.environment()):
            if (version := _version(path, env)) is not None:
                return OpenSta(path, version, env)
    raise ToolMissing(
        "no OpenSTA: no slack and no power of an ASIC",
        found="; ".join(f"{path} does not start" for path in candidates) or "no `sta` on PATH",
        hint=INSTALL,
    )


def _version(path: str, env: dict[str, str]) -> str | None:
    try:
        done = subprocess.run(
            [path, "-version"], capture_output=True, text=True, check=False, timeout=30, env={**os.environ, **env}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"\s*(\d+\.\d+(\.\d+)?)", done.stdout)
    return match.group(1) if match and done.returncode == 0 else None


def install() -> list[str]:
    """Unpack Debian's OpenSTA into the cache, with its libraries if it does not start without. Return what was done.

    Raises
    ------
    ToolMissing
        If it cannot be fetched, or does not start.
    """
    try:
        find()
    except ToolMissing:
        debian.fetch([PACKAGE])
        find.cache_clear()
        try:
            find()
        except ToolMissing:
            debian.fetch(debian.LIBRARIES)
            find.cache_clear()
            find()
        return [PACKAGE]
    return []


def script(commands: str, log: Path) -> str:
    """Run Tcl commands in OpenSTA and return its output.

    Raises
    ------
    ToolMissing
        Without OpenSTA.
    ProofError
        If it fails, or reports an error: it goes on after one, so that its exit status says nothing.
    """
    tool = find()
    with tempfile.NamedTemporaryFile("w", suffix=".tcl") as file:
        file.write(commands)
        file.flush()
        done = run([tool.path, "-no_splash", "-exit", file.name], timeout_s=TIMEOUT_S, log=log, env=tool.env)
    if wrong := re.search(r"^Error:.*$", done.output, re.M):
        raise ProofError("OpenSTA reports an error", where=str(log), found=wrong.group(0))
    return done.output
