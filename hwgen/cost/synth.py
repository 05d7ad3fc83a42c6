"""Synthesis with yosys: what each layer takes on a family of devices.

Every module that the top instantiates is mapped by itself, in processes that run beside each other; a layer is the sum
of its instances, the design the sum of its layers and the top's own logic. Nothing is optimised across those borders.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwgen.cost.families import Family, family_of
from hwgen.cost.landing import memory_rows, misplaced
from hwgen.cost.layers import GLUE, layers_of, plain_module
from hwgen.cost.parts import Part
from hwgen.cost.table import CostTable
from hwgen.errors import HwgenError, OutputError, ProofError, ToolMissing
from hwgen.tools import yosys
from hwgen.tools.cells import resources
from hwgen.tools.run import run

Progress = Callable[[str, float | None], None]
WORKER = Path(__file__).with_name("worker.py")
WORK_A_PROCESS = 40_000
"""Work (see `worker._weight`) that one process may be given before there are more of them than cores."""

HEAVY = 30_000
"""Work from which a module is mapped with `families.QUICK_ABC9`, whatever else is in the design."""


@dataclass(frozen=True)
class Limits:
    """What may be taken: seconds of a synthesis and of a place and route, megabytes a process, processes at once."""

    seconds: float = 600.0
    place_seconds: float = 3000.0
    memory_mb: int = 6144
    processes: int = field(default_factory=lambda: os.cpu_count() or 1)


@dataclass
class _Mapped:
    """What is known of modules so far: cells, longest path and the types of cells on it, memories, yosys' log."""

    cells: dict[str, dict[str, int]] = field(default_factory=dict)
    depth: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    memories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    log: str = ""
    failures: dict[str, str] = field(default_factory=dict)


def synthesize(folder: Path, part: Part, progress: Progress, limits: Limits | None = None) -> CostTable:
    """Return the synthesized cost of the design in a build folder.

    Parameters
    ----------
    folder : a build folder with ``rtl/``
    part : its family is what is synthesized for
    limits : seconds, memory and processes; what they cut is FAILED in the table, the layers done stay

    Raises
    ------
    ToolMissing
        If there is no pyosys.
    """
    limits = limits or Limits()
    tool = f"pyosys {yosys.find()}"
    start = time.monotonic()
    design = json.loads((folder / "rtl" / "design.json").read_text())
    family = family_of(part)
    with tempfile.TemporaryDirectory(prefix="hwgen-cost-") as scratch:
        jobs = _Jobs(folder, design, Path(scratch), family, limits, start)
        try:
            progress("reading the design into yosys", None)
            instances, weights = jobs.elaborate()
        except (ProofError, OutputError) as error:
            return CostTable("synthesized", "yosys", part.name, tool, "FAILED", _reason(error, limits))
        heavy = {name: weight for name, weight in weights.items() if weight > HEAVY}
        light = {name: weight for name, weight in weights.items() if weight <= HEAVY}
        work = [(job, True) for job in shares(heavy, limits.processes) if job]
        work += [(job, False) for job in shares(light, limits.processes)]
        mapped = jobs.map_all(work, progress)
    return _table(part, tool, design, instances, mapped, time.monotonic() - start)


def shares(weights: Mapping[str, int], processes: int) -> list[list[str]]:
    """Deal modules out to jobs of about the same work, heaviest first; a big design gets more jobs than processes."""
    count = max(processes, min(-(-sum(weights.values()) // WORK_A_PROCESS), 4 * processes))
    jobs: list[list[str]] = [[] for _ in range(max(1, min(count, len(weights))))]
    loads = [0] * len(jobs)
    for module in sorted(weights, key=lambda name: (-weights[name], name)):
        least = loads.index(min(loads))
        jobs[least].append(module)
        loads[least] += weights[module]
    return jobs


@dataclass
class _Jobs:
    """The processes of one synthesis."""

    folder: Path
    design: Mapping[str, Any]
    scratch: Path
    family: Family
    limits: Limits
    start: float

    @property
    def top(self) -> str:
        return str(self.design["top"])

    def _run(self, name: str, job: dict[str, Any]) -> dict[str, Any]:
        place = self.scratch / name
        place.mkdir()
        result = place / "result.json"
        job |= {
            "top": self.top,
            "rtlil": str(self.scratch / "design.il"),
            "scratch": str(place),
            "result": str(result),
            "memory_mb": self.limits.memory_mb,
        }
        (place / "job.json").write_text(json.dumps(job))
        left = self.limits.seconds - (time.monotonic() - self.start)
        if left <= 0:
            raise ProofError("out of time")
        run([sys.executable, WORKER, place / "job.json"], timeout_s=left, log=place / "log")
        value = json.loads(result.read_text())
        assert isinstance(value, dict)
        return value

    def elaborate(self) -> tuple[dict[str, str], dict[str, int]]:
        """Return the instances of the top with their modules, and how big those are."""
        files = [str(self.folder / "rtl" / f) for f in self.design["files"] if f != f"{self.top}_axis.sv"]
        found = self._run("elaborate", {"task": "elaborate", "files": files})
        return found["instances"], found["weights"]

    def map_all(self, jobs: Sequence[tuple[Sequence[str], bool]], progress: Progress) -> _Mapped:
        """Map all modules, as many jobs at once as there are processes; each job says whether its modules are heavy."""
        mapped, done = _Mapped(), 0
        with ThreadPoolExecutor(self.limits.processes) as pool:
            waiting = [pool.submit(self._map, f"map{k}", job, heavy) for k, (job, heavy) in enumerate(jobs)]
            for (job, _), result in zip(jobs, waiting, strict=True):
                progress(f"yosys: {done} of {len(jobs)} parts are mapped", done / len(jobs))
                try:
                    self._read(self.scratch / result.result()[0], result.result()[1], job, mapped)
                except (ProofError, OutputError) as error:
                    mapped.failures |= dict.fromkeys(job, _reason(error, self.limits))
                done += 1
        return mapped

    def _map(self, name: str, modules: Sequence[str], heavy: bool) -> tuple[str, dict[str, Any]]:
        job = {
            "task": "map",
            "modules": list(modules),
            "commands": self.family.commands(self.top, heavy),
            "cuts": self.family.cuts,
        }
        return name, self._run(name, job)

    def _read(self, place: Path, result: Mapping[str, Any], job: Sequence[str], mapped: _Mapped) -> None:
        cells = read_stat((place / "stat.json").read_text())
        depth = read_ltp((place / "ltp.txt").read_text())
        for module in (*job, "\\" + self.top):
            mapped.cells[module] = cells.get(module.removeprefix("\\"), {})
            mapped.depth[module] = depth.get(module.removeprefix("\\"), 0)
            mapped.kinds[module] = result["kinds"].get(module.removeprefix("\\"), {})
        mapped.memories |= result["memories"]
        mapped.log += "\n".join(
            line for line in (place / "map.txt").read_text().splitlines() if "mapping" in line[:16] and len(line) < 2000
        )
        mapped.log += "\n"


def read_stat(text: str) -> dict[str, dict[str, int]]:
    """Return from `stat -json` the cells of each module by type; yosys' own marks and sub-modules are left out."""
    modules = json.loads(text)["modules"]
    names = {name.removeprefix("\\") for name in modules}
    return {
        name.removeprefix("\\"): {
            kind: int(count)
            for kind, count in (rows.get("num_cells_by_type") or {}).items()
            if not kind.startswith("$") and kind.removeprefix("\\") not in names
        }
        for name, rows in modules.items()
    }


def read_ltp(text: str) -> dict[str, int]:
    """Return from `ltp` the cells on the longest path of each module."""
    found = re.findall(r"^Longest topological path in (\S+) \(length=(\d+)\)", text, re.MULTILINE)
    return {name: int(length) for name, length in found}


def _reason(error: HwgenError, limits: Limits) -> str:
    """Return in one line why a job was cut."""
    text = f"{error.what} {error.found or ''}"
    if re.search(r"bad_alloc|MemoryError|[Oo]ut of memory|Cannot allocate", text):
        return f"yosys needs more than {limits.memory_mb} MB and was stopped"
    if "did not end" in text or "out of time" in text:
        return f"yosys did not end within {limits.seconds:g} s and was stopped"
    last = [line.strip() for line in (error.found or "").splitlines() if line.strip()]
    return f"yosys failed: {last[-1] if last else error.what}"


def _table(
    part: Part, tool: str, design: Mapping[str, Any], instances: dict[str, str], mapped: _Mapped, seconds: float
) -> CostTable:
    plain = {name: plain_module(module) for name, module in instances.items()}
    layer_of = layers_of(plain, design)
    rows: dict[str, dict[str, Any]] = {layer: {"layer": layer} for layer in layer_of.values()}
    rows.setdefault(GLUE, {"layer": GLUE})
    broken = {layer_of[name] for name, module in instances.items() if module in mapped.failures}
    uses = [(layer, instances[name]) for name, layer in layer_of.items()] + [(GLUE, "\\" + str(design["top"]))]
    for layer, module in uses:
        if layer not in broken and module in mapped.cells:
            taken = resources(part.family, mapped.cells[module])
            for key, value in taken.items():
                rows[layer][key] = rows[layer].get(key, 0) + value
            rows[layer]["depth"] = max(rows[layer].get("depth", 0), mapped.depth[module])
    whole = not mapped.failures
    users = {module: [n.removeprefix("u_") for n, m in instances.items() if m == module] for module in mapped.memories}
    memories = memory_rows(part.family, mapped.memories, mapped.log, users)
    total: dict[str, float | None] = {}
    if whole:
        for key in ("LUT", "FF", "DSP", "BRAM_18K", "cells"):
            total[key] = sum(row.get(key, 0) for row in rows.values())
        total["depth"] = max(row.get("depth", 0) for row in rows.values())
    clock = clock_estimate(part, [mapped.kinds.get(module, {}) for _, module in uses]) if whole else {}
    return CostTable(
        "synthesized",
        "yosys",
        part.name,
        tool,
        "DONE" if whole else "FAILED",
        None if whole else f"{'; '.join(sorted(set(mapped.failures.values())))}: {', '.join(sorted(broken))}",
        total,
        tuple(rows.values()),
        {"family": part.family, "memories": memories, "misplaced": misplaced(memories), **clock},
        seconds,
    )


def clock_estimate(part: Part, paths: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """Return ``clock_estimate``: the slowest longest path, by delays of a LUT with its net, of four carry bits, and of
    a register.

    The delays are those that pipelines are planned with (`rtl.schedule`), an estimate and no timing closure; only
    AMD's families have them.

    Parameters
    ----------
    paths : of each module, the types of the cells on its longest path and how many of each
    """
    from hwgen.rtl.schedule import delay_model

    if part.family not in ("xc7", "xcu", "xcup") or not paths:
        return {}
    model = delay_model(part.name)
    carries, others = max(
        ((path.get("CARRY4", 0), sum(n for kind, n in path.items() if kind != "CARRY4")) for path in paths),
        key=lambda pair: pair[0] * 4 * model.carry_bit_ns + pair[1] * model.lut_ns,
    )
    ns = others * model.lut_ns + carries * 4 * model.carry_bit_ns + model.register_ns
    formula = f"{others} levels x {model.lut_ns:g} ns + {carries} carries x {4 * model.carry_bit_ns:g} ns"
    formula += f" + {model.register_ns:g} ns"
    return {"clock_estimate": {"ns": round(ns, 2), "mhz": round(1000 / ns, 1), "formula": formula}}


def not_run(part: Part, error: ToolMissing) -> CostTable:
    """Return the table of a synthesis that could not run."""
    return CostTable("synthesized", "yosys", part.name, None, "NOT RUN", error.what, details={"missing": error.what})
