"""The same networks on this machine: each build is measured in a process of its own, and costs only itself."""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.compare.column import Column
from hwgen.errors import HwgenError, ProofError
from hwgen.flow import StageRun
from hwgen.tools.run import run

if TYPE_CHECKING:
    from hwgen.report.progress import Screen, Silent

KEYS = ("float32", "int8", "gpu")
TIMEOUT_S = 600.0


def measure_here(
    columns: Sequence[Column], visible_gpus: str = "0", screen: Screen | Silent | None = None
) -> dict[str, Any]:
    """Measure the networks of builds with TFLite on one thread and, where there is one, on a GPU.

    Parameters
    ----------
    visible_gpus : ``CUDA_VISIBLE_DEVICES`` while measuring

    Returns
    -------
    dict
        ``{"cpu", "tensorflow", "threads", "batch", "builds"}``; each build has ``float32``, ``int8`` and ``gpu``: what
        `hwgen.compare.measure.measure` returns, or ``{"reason": why not}``.
    """
    builds, versions = [], set()
    for column in columns:
        found = _measure(column, visible_gpus, screen)
        versions.add(found.pop("tensorflow", None))
        builds.append({"name": column.name, **found})
    version = next((v for v in sorted(v for v in versions if v)), None)
    return {"cpu": cpu_name(), "tensorflow": version, "threads": 1, "batch": 1, "builds": builds}


def cpu_name(info: Path = Path("/proc/cpuinfo")) -> str:
    """Return what the processor calls itself."""
    with suppress(OSError):
        for line in info.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def _measure(column: Column, visible_gpus: str, screen: Screen | Silent | None) -> dict[str, Any]:
    if column.folder is None:
        return _none("there is no build")
    start = time.monotonic()
    if screen is not None:
        screen.start("measure")
        screen.update(f"{column.name} on this machine")
    with tempfile.TemporaryDirectory(prefix="hwgen-measure-") as scratch:
        out = Path(scratch) / "measured.json"
        env = {
            "OMP_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": visible_gpus,
        }
        command = [sys.executable, "-m", "hwgen.compare.measure", column.folder, str(out)]
        try:
            run(command, timeout_s=TIMEOUT_S, env=env, error=ProofError)
            found: dict[str, Any] = json.loads(out.read_text())
        except (HwgenError, OSError, ValueError) as error:
            found = _none(_last_line(error))
    if screen is not None:
        screen.done(StageRun("measure", time.monotonic() - start))
    return found


def _none(reason: str) -> dict[str, Any]:
    return {key: {"reason": reason} for key in KEYS}


def _last_line(error: Exception) -> str:
    """Return what failed and, from the end of a log, why."""
    if not isinstance(error, HwgenError):
        return f"{type(error).__name__}: {error}"
    end = (error.found or "").strip().splitlines()
    return f"{error.what}: {end[-1].strip()}" if end else error.what
