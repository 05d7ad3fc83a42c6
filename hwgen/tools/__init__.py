"""Finding and running external programs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder for what is worth keeping between builds: ``$HWGEN_CACHE`` or ``~/.cache/hwgen``."""
    if wanted := os.environ.get("HWGEN_CACHE"):
        return Path(wanted).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hwgen"
