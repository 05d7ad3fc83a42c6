"""`hwgen bench`: the benchmarks one after the other, a summary, a JSON each, and the history."""

from __future__ import annotations

import difflib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hwgen.bench import history
from hwgen.bench.registry import BENCHMARKS, Benchmark
from hwgen.bench.result import Options, Row, table
from hwgen.errors import HwgenError

OUT = Path("build") / "bench"


def choose(names: Sequence[str]) -> list[Benchmark]:
    """Return the benchmarks named (all, if none is), in the order of the list.

    Raises
    ------
    HwgenError
        For a name that is none of theirs.
    """
    known = [benchmark.name for benchmark in BENCHMARKS]
    wanted = [part for name in names for part in name.split(",") if part]
    for name in wanted:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            expected = f"{close[0]}?" if close else f"one of {', '.join(known)}"
            raise HwgenError("no benchmark has this name", where="--only", found=name, expected=expected)
    return [benchmark for benchmark in BENCHMARKS if not wanted or benchmark.name in wanted]


def bench(names: Sequence[str], options: Options, out: Path, say: Callable[[str], None]) -> int:
    """Run benchmarks and return the exit status: 0, 1 a bar was missed or one failed, 4 one could not run.

    Parameters
    ----------
    names : which; none: all
    out : the folder of the results and the history
    say : prints a line
    """
    chosen = choose(names)
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = {}
    for benchmark in chosen:
        say(f"== {benchmark.name}: {benchmark.what} ==")
        results[benchmark.name] = run_one(benchmark, options, out / f"{benchmark.name}.json")
        say("")
    history.append(out, history.record(options, results))
    for name, document in results.items():
        say(f"{name}  {document['status']}  {document['seconds']:.0f} s")
        rows = [Row(**{k: v for k, v in row.items() if k != "met"}) for row in document["rows"]]
        say(table(rows) if rows else f"  {document['reason']}")
    return _status(results, out, say)


def run_one(benchmark: Benchmark, options: Options, target: Path) -> dict[str, Any]:
    """Run one benchmark in its own process, and return what it left in `target`."""
    target.unlink(missing_ok=True)
    start = time.monotonic()
    command = [sys.executable, "-m", "hwgen.bench.worker", benchmark.module, json.dumps(asdict(options)), str(target)]
    sys.stdout.flush()
    code = subprocess.run(command, check=False).returncode
    if code or not target.is_file():
        document: dict[str, Any] = {"status": "FAILED", "reason": f"its process ended with {code}", "rows": []}
    else:
        document = json.loads(target.read_text())
    document["seconds"] = round(time.monotonic() - start, 1)
    target.write_text(json.dumps(document, indent=2) + "\n")
    return document


def _status(results: dict[str, dict[str, Any]], out: Path, say: Callable[[str], None]) -> int:
    """Say the last line and return the exit status."""
    missed = [f"{n}.{row['key']}" for n, d in results.items() for row in d["rows"] if row["met"] is False]
    failed = [name for name, d in results.items() if d["status"] == "FAILED"]
    absent = [name for name, d in results.items() if d["status"] == "NOT RUN"]
    parts = [f"bars missed: {', '.join(missed)}"] if missed else []
    parts += [f"failed: {', '.join(failed)}"] if failed else []
    parts += [f"NOT RUN: {', '.join(absent)}"] if absent else []
    say(f"\n{'; '.join(parts) or 'every bar that was measured is met'}  ({out})")
    return 1 if missed or failed else 4 if absent else 0
