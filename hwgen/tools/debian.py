"""Programs and files of Debian packages: where they are installed, else unpacked into the cache, without root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hwgen.errors import ToolMissing
from hwgen.tools import cache_dir

LIBRARIES = ("libtcl8.6", "libreadline8", "libtinfo6", "zlib1g")
"""Packages of the shared libraries that OpenSTA needs, fetched too if it does not start without them."""
LIBERTIES = {name: f"usr/share/qflow/tech/{name}/{name}_stdcells.lib" for name in ("osu018", "osu035")}
"""The cell libraries of Debian's packages qflow-tech-osu018 and -osu035, by name."""
FETCH_TIMEOUT_S = 300.0


def root() -> Path:
    """Return the folder into which packages are unpacked."""
    return cache_dir() / "debian"


def find(path: str) -> Path | None:
    """Return a file of a package by its installed path, as ``usr/bin/sta``: of the system, else of the cache."""
    return next((file for file in (Path("/") / path, root() / path) if file.is_file()), None)


def environment() -> dict[str, str]:
    """Return the variables with which an unpacked program finds its unpacked libraries."""
    folders = [str(path) for pattern in ("lib/*-linux-gnu", "usr/lib/*-linux-gnu") for path in root().glob(pattern)]
    if not folders:
        return {}
    own = {"LD_LIBRARY_PATH": os.pathsep.join([*folders, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])}
    scripts = root() / "usr/share/tcltk/tcl8.6"
    return own | ({"TCL_LIBRARY": str(scripts)} if scripts.is_dir() else {})


def fetch(packages: Sequence[str]) -> None:
    """Download packages with apt-get and unpack them into the cache.

    Raises
    ------
    ToolMissing
        Without apt-get or dpkg-deb, or if a package cannot be had.
    """
    hint = f"apt install {' '.join(packages)}, where there is a Debian or Ubuntu; or put the program on PATH"
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ToolMissing("no apt-get or dpkg-deb: Debian's packages cannot be fetched", hint=hint)
    root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache_dir()) as scratch:
        _run(["apt-get", "-q", "download", *packages], scratch, hint)
        for file in sorted(Path(scratch).glob("*.deb")):
            _run(["dpkg-deb", "-x", str(file), str(root())], scratch, hint)


def _run(command: list[str], folder: str, hint: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ToolMissing(f"{command[0]} did not end within {FETCH_TIMEOUT_S:g} s", hint=hint) from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise ToolMissing(f"{command[0]} failed", found=lines[-1] if lines else None, hint=hint)
