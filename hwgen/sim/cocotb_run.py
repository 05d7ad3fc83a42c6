"""Building and running the cocotb benches, and reading their results: a missing or empty result is a failure.

The models are built with the top module's ports alone visible (cocotb's own runner makes every signal public, which
is 7 to 10 times slower), unrolled ones without optimisation; the benches see the vectors, never the prediction.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from hwgen.errors import ProofError, ToolMissing
from hwgen.files import json_bytes, write_if_changed
from hwgen.fixed import IntArray
from hwgen.sim.build import FAST, SLOW, ModelSource, Program, build
from hwgen.tools.run import run, tail

PROGRAM = {"frames": 48, "interval_frames": 48, "resets": 20, "latency": 16, "interval": 1}
"""What a bench does for a design of short frames (see `effort`): protocol, latency; the bulk is the native bench's."""
TIMEOUT_S, STALL_TIMEOUT_S = 1800.0, 120.0
MODULES = {"core": "hwgen.sim.bench_core", "axis": "hwgen.sim.bench_axis"}
ONE_FRAME = {"core": "latency_of_one_frame$", "axis": "frames_under_stalls$"}
"""The tests that run where a frame takes so long that only one is simulated."""


@dataclass(frozen=True)
class BenchResult:
    """What a bench reported: (test, failure message or None, seconds) and the figures it measured."""

    tests: tuple[tuple[str, str | None, float], ...]
    measured: dict[str, Any] = field(default_factory=dict)


def cocotb_program() -> Program:
    """Return cocotb's main program for Verilator, to link with a model.

    Raises
    ------
    ToolMissing
        If cocotb is not installed.
    """
    try:
        from cocotb_tools.config import libs_dir, share_dir
    except ImportError as error:
        raise ToolMissing("cocotb is not installed", hint="pip install cocotb==2.1.0") from error
    text = (share_dir / "lib" / "verilator" / "verilator.cpp").read_text()
    return Program({"main.cpp": text}, (), (f"-Wl,-rpath,{libs_dir}", f"-L{libs_dir}", "-lcocotbvpi_verilator"))


def build_bench(
    top: str,
    files: Sequence[Path],
    folder: Path,
    *,
    parameters: Mapping[str, int] | None = None,
    depth: int = 1,
    optimise: str = SLOW,
) -> Path:
    """Build the simulator of `top` for cocotb and return the program.

    Parameters
    ----------
    depth : int
        Levels of hierarchy the bench sees; 1 is the ports of `top`.
    """
    source = ModelSource(files, top, parameters=parameters or {}, vpi_depth=depth, optimise=optimise)
    return build(source, {"cocotb": cocotb_program()}, folder)["cocotb"]


def build_benches(names: Sequence[str], design: dict[str, Any], files: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Build the benches of the core and of its AXI4-Stream wrapper."""
    tops = {"core": design["top"], "axis": (design.get("axis") or {}).get("top")}
    read = {"core": core_files(design, files), "axis": files}
    optimise = FAST if design["io_type"] == "io_stream" else SLOW
    return {name: build_bench(tops[name], read[name], folder / f"cocotb_{name}", optimise=optimise) for name in names}


def core_files(design: dict[str, Any], files: Sequence[Path]) -> list[Path]:
    """Return the files the core needs: all but the AXI4-Stream wrapper and what only it instantiates."""
    wrapper = (design.get("axis") or {}).get("top")
    return [path for path in files if path.stem != wrapper and not path.stem.startswith("hg_axis_")]


def run_bench(
    name: str,
    program: Path,
    design: dict[str, Any],
    vectors: Mapping[str, Mapping[str, IntArray]],
    expected: Mapping[str, Mapping[str, IntArray]],
    seed: int,
    folder: Path,
    what: Mapping[str, int] | None = None,
) -> BenchResult:
    """Run a bench on a few frames of every set.

    Parameters
    ----------
    what : its program, as `PROGRAM`, the default; without ``interval_frames`` only the tests of `ONE_FRAME` run
    """
    what = {**PROGRAM, **(what or {})}
    few = _few(vectors, expected, what["frames"])
    document = {"design": design, "seed": seed, "program": what, **few}
    env = {} if what["interval_frames"] else {"COCOTB_TEST_FILTER": ONE_FRAME[name]}
    target = folder / f"cocotb_{name}"
    return run_cocotb(program, MODULES[name], document, target, top=_top(name, design), seed=seed, env=env)


def _top(name: str, design: dict[str, Any]) -> str:
    return str(design["axis"]["top"] if name == "axis" else design["top"])


def _few(
    vectors: Mapping[str, Mapping[str, IntArray]], expected: Mapping[str, Mapping[str, IntArray]], count: int
) -> dict[str, list[dict[str, list[int]]]]:
    """Return `count` frames, taken evenly over the sets, as plain integers by port name."""
    frames: dict[str, list[dict[str, list[int]]]] = {"inputs": [], "outputs": []}
    filled = [name for name, inputs in vectors.items() if len(next(iter(inputs.values())))]
    for name in filled:
        total = len(next(iter(vectors[name].values())))
        for index in np.unique(np.linspace(0, total - 1, min(total, -(-count // len(filled)))).astype(int)):
            for key, source in (("inputs", vectors[name]), ("outputs", expected[name])):
                frames[key].append({port: [int(v) for v in values[index].ravel()] for port, values in source.items()})
    return frames


def run_cocotb(
    program: Path,
    module: str,
    document: Mapping[str, Any],
    folder: Path,
    *,
    top: str,
    seed: int,
    env: Mapping[str, str] | None = None,
) -> BenchResult:
    """Run the tests of a Python module inside a built simulator.

    Parameters
    ----------
    document : mapping
        What the bench reads (path in ``HWGEN_BENCH``); it writes figures to ``measured.json`` beside it.

    Raises
    ------
    ProofError
        If the simulator crashes or hangs, or leaves no results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    given, results, measured = folder / "bench.json", folder / "results.xml", folder / "measured.json"
    write_if_changed(given, json_bytes(dict(document)))
    results.unlink(missing_ok=True)
    measured.unlink(missing_ok=True)
    variables = {**_environment(), "COCOTB_TEST_MODULES": module, "COCOTB_TOPLEVEL": top}
    variables |= {"COCOTB_RESULTS_FILE": str(results), "COCOTB_RANDOM_SEED": str(seed), "HWGEN_BENCH": str(given)}
    variables |= env or {}
    log = folder / "cocotb.log"
    plus = [f"+verilator+seed+{seed % 1000 + 1}", "+verilator+rand+reset+2"]
    done = run(
        [program, *plus],
        cwd=folder,
        env=variables,
        timeout_s=TIMEOUT_S,
        stall_timeout_s=STALL_TIMEOUT_S,
        log=log,
        check=False,
    )
    tests = read_results(results, done.output)
    if done.returncode and all(message is None for _, message, _ in tests):
        raise ProofError("the simulator failed after its tests", where=str(log), found=tail(done.output))
    figures = json.loads(measured.read_text()) if measured.is_file() else {}
    return BenchResult(tuple(tests), figures)


def read_results(path: Path, output: str = "") -> list[tuple[str, str | None, float]]:
    """Read cocotb's results file.

    Raises
    ------
    ProofError
        If it is missing, cannot be read, or holds no test.
    """
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        raise ProofError(
            "the cocotb bench left no results", where=str(path), found=tail(output) or str(error)
        ) from error
    if not cases:
        raise ProofError("the cocotb bench ran no test", where=str(path), found=tail(output) or "an empty results file")
    rows: list[tuple[str, str | None, float]] = []
    for case in cases:
        message = None
        for tag in ("failure", "error", "skipped"):
            if (element := case.find(tag)) is not None:
                message = element.get("message") or element.get("error_msg") or element.text or tag
        rows.append((case.get("name", "?"), message, float(case.get("time") or 0)))
    return rows


def _environment() -> dict[str, str]:
    """Return what cocotb's Verilator library needs to start this Python."""
    import find_libpython
    from cocotb_tools.config import libs_dir, pygpi_entry_point

    library = find_libpython.find_libpython()
    if library is None:
        raise ToolMissing("cocotb needs libpython as a shared library", hint="Debian: apt-get install libpython3-dev")
    return {
        "PATH": os.pathsep.join([os.environ.get("PATH", ""), str(libs_dir)]),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{library};{pygpi_entry_point()}",
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "COCOTB_ANSI_OUTPUT": "0",
        "COCOTB_REWRITE_ASSERTION_FILES": "bench_*.py test_hg_*.py",
    }
