"""What every run of `hwgen bench` measured, one JSON object a line: ``history.jsonl`` in the folder of the results."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hwgen
from hwgen.bench.result import Options, figure
from hwgen.digests import package_versions
from hwgen.errors import HwgenError

FILE = "history.jsonl"
PACKAGES = ("alkaid", "hls4ml", "numpy", "pyosys", "xls-python")
SHOWN = 5


def record(options: Options, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the line of a run: when, what, on which machine, with which versions, every figure.

    Parameters
    ----------
    results : {benchmark: the document that it left}
    """
    return {
        "version": 1,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hwgen": hwgen.__version__,
        "commit": commit(),
        "quick": options.quick,
        "seed": options.seed,
        "machine": {"cores": os.cpu_count(), "processor": processor(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **package_versions(PACKAGES), **programs()},
        "benchmarks": {
            name: {
                "status": document["status"],
                "seconds": document["seconds"],
                "rows": {row["key"]: row["value"] for row in document["rows"]},
                "missed": [row["key"] for row in document["rows"] if row["met"] is False],
            }
            for name, document in results.items()
        },
    }


def commit() -> str | None:
    """Return the commit of the checkout that runs, with a + if it has changes; None for an installed wheel."""
    root = Path(hwgen.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def processor() -> str | None:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)


def programs() -> dict[str, str | None]:
    """Return the versions of the programs that the benchmarks run."""
    from hwgen.tools import gxx, verilator

    found: dict[str, str | None] = {}
    for name, find in (("verilator", verilator.find), ("g++", gxx.find)):
        try:
            found[name] = find().version
        except HwgenError:
            found[name] = None
    return found


def append(folder: Path, line: Mapping[str, Any]) -> None:
    """Add a run to the history."""
    with (folder / FILE).open("a") as stream:
        stream.write(json.dumps(line, allow_nan=False) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """Return every run, the oldest first.

    Raises
    ------
    HwgenError
        If a line is not one of ours.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    runs = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            run = json.loads(text)
            runs.append({**run, "benchmarks": dict(run["benchmarks"]), "date": str(run["date"])})
        except (ValueError, KeyError, TypeError) as error:
            where = f"{path}, line {number}"
            hint = "take that line out"
            raise HwgenError("not a run of hwgen bench", where=where, found=text[:60], hint=hint) from error
    return runs


def table(runs: Sequence[Mapping[str, Any]], most: int = SHOWN) -> str:
    """Return the last runs as text: a column a run, a row a figure; * marks a bar that was missed."""
    shown = list(runs)[-most:]
    if not shown:
        return "no run yet: hwgen bench"
    keys = dict.fromkeys(
        (name, key) for run in shown for name, part in run["benchmarks"].items() for key in part["rows"]
    )  # fmt: skip
    width = max([len(f"{name}.{key}") for name, key in keys], default=10)
    head = [("date", [run["date"][:16].replace("T", " ") for run in shown])]
    head.append(("hwgen", [str(run.get("commit") or run.get("hwgen")) for run in shown]))
    head.append(("cores", [str(run["machine"]["cores"]) + (" quick" if run["quick"] else "") for run in shown]))
    lines = [f"{title:<{width}}" + "".join(f"{cell:>18}" for cell in cells) for title, cells in head]
    for name, key in keys:
        cells = [_cell(run["benchmarks"].get(name), key) for run in shown]
        lines.append(f"{f'{name}.{key}':<{width}}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def _cell(part: Mapping[str, Any] | None, key: str) -> str:
    if part is None or key not in part["rows"]:
        return ""
    value = part["rows"][key]
    return "NOT RUN" if value is None else figure(value) + (" *" if key in part["missed"] else "")
