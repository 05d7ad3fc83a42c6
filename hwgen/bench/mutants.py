"""How many faults does the proof find? Seeded edits of generated RTL, each put through `hwgen.sim.verify`.

A small network is generated and verified once (it must PASS). Every mutant is one edit of one generated or library
file: a bit of a constant, a sign, a shift, an operand, a rounding, a saturation bound, a register removed, a handshake
term dropped. Killed: `verify` says FAIL, or the simulator hangs or crashes. Not counted: edits that Verilator refuses,
and edits of what is not in this design (a branch for other parameters), of which Verilator makes the same C++.
Survivors are printed with their diff.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from hwgen.bench.networks import dense_network
from hwgen.bench.result import Options, Row
from hwgen.bench.result import Result as BenchResult
from hwgen.errors import ProofError
from hwgen.files import FileSet, json_bytes
from hwgen.ir import graph_files
from hwgen.ir.vectors import make_vectors, save_vectors
from hwgen.rtl import RtlOptions, generate
from hwgen.sim.verify import VerifyOptions, verify
from hwgen.tools import verilator
from hwgen.tools.run import run as execute

SIZES = (8, 10, 8, 5)
COUNT, QUICK_COUNT = 60, 8


@dataclass(frozen=True)
class Mutant:
    """One edit: the operator's name, the file, the line (from 1), and the line's new text."""

    operator: str
    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Result:
    """What became of a mutant: killed, survived, refused or same; by what, in how many seconds."""

    mutant: Mutant
    outcome: str
    by: str
    seconds: float
    diff: str


def base_folder(folder: Path, seed: int) -> None:
    """Write the build folder of the unchanged design."""
    graph = dense_network("victim", SIZES, seed, inputs="fixed<6,2>", relu="ufixed<5,1,RND_CONV,SAT>")
    design = generate(graph, RtlOptions(clock_period_ns=3.0, axis_bytes=4))
    files = FileSet()
    files.merge(graph_files(graph), under="graph")
    files.merge(design.files, under="rtl")
    prediction = {
        "latency_cycles": design.predicted.latency_cycles,
        "interval_cycles": design.predicted.interval_cycles,
        "clock_period_ns": 3.0,
    }
    files.add("reports/prediction.json", json_bytes(prediction))
    pairs = [{"a": a, "b": b, "vectors": 1, "mismatches": 0} for a, b in (("qkeras", "graph"), ("graph", "hls_cpp"))]
    files.add("reports/pairs.json", json_bytes({"version": 1, "pairs": pairs}))
    files.write(folder)
    save_vectors(folder / "tb" / "vectors.npz", make_vectors(graph, None, 10_000, seed))


# ---- mutation operators: each yields (line index, new text) for the lines it can change ----

Edits = Iterator[tuple[int, str]]
Operator = Callable[[list[str], random.Random], Edits]


def by_pattern(pattern: str, change: Callable[[re.Match[str], random.Random], str], where: str = "") -> Operator:
    """Return an operator that changes one random match of `pattern` in a line (that also matches `where`)."""

    def edits(lines: list[str], draw: random.Random) -> Edits:
        for index, line in enumerate(lines):
            code = line.split("//")[0]
            found = list(re.finditer(pattern, code)) if re.search(where, code) else []
            if found:
                match = draw.choice(found)
                yield index, line[: match.start()] + change(match, draw) + line[match.end() :]

    return edits


def flip_bit(match: re.Match[str], draw: random.Random) -> str:
    """Flip one bit of a sized decimal constant."""
    width, value = int(match["width"]), int(match["value"])
    return f"{width}'{match['sign']}d{value ^ (1 << draw.randrange(max(value.bit_length(), 2)))}"


def other_shift(match: re.Match[str], draw: random.Random) -> str:
    """Shift by one more or one less."""
    amount = int(match["amount"])
    return f"{match['op']} {draw.choice([amount + 1, max(amount - 1, 0)])}"


def other_operand(match: re.Match[str], draw: random.Random) -> str:
    """Take the neighbouring element of the same tensor."""
    index = int(match["index"])
    return f"{match['stem']}{index - 1 if index and draw.random() < 0.5 else index + 1}"


def removed_register(lines: list[str], draw: random.Random) -> Edits:
    """Make a register a wire: its declaration becomes an assignment, its clocked line a comment.

    One edit changes one line only, so both changes are folded into the clocked line: the register copies itself from
    the combinational value at once (`=` outside the clock) by way of a continuous assignment.
    """
    for index, line in enumerate(lines):
        match = re.fullmatch(r"\s*(?P<target>\w+_d\d+|hg_result_q) <= (?P<source>[\w, {}]+);\s*", line)
        one = re.fullmatch(r"\s*always_ff @\(posedge clk_i\) (?P<target>\w+) <= (?P<source>\w+);\s*", line)
        if one:
            yield index, f"  assign {one['target']} = {one['source']};"
        elif match:
            yield index, f"    // {match['target']} is no register: {match['source']}"
    del draw


LAYER: dict[str, Operator] = {
    "constant bit": by_pattern(r"(?P<width>\d+)'(?P<sign>s?)d(?P<value>\d+)", flip_bit, r"wire"),
    "bias bit": by_pattern(r"\.Const\((\d+)\)", lambda m, d: f".Const({int(m[1]) ^ (1 << d.randrange(8))})"),
    "bias sign": by_pattern(r"\.Negate\(1\), ", lambda *_: ""),
    "sign": by_pattern(r" ([+-]) ", lambda m, _: " - " if m[1] == "+" else " + ", r"wire"),
    "shift": by_pattern(r"(?P<op><<|>>>|>>) (?P<amount>\d+)", other_shift, r"wire"),
    "operand": by_pattern(r"\b(?P<stem>(?:x|relu\d)_)(?P<index>\d+)\b(?=[^=]*;)(?!.*=)", other_operand, r"wire.*="),
    "rounding": by_pattern(r"\.Rounding\(6\)", lambda _, d: f".Rounding({d.choice([0, 1, 2, 3, 4, 5])})"),
    "rounding constant": by_pattern(r"\.HalfAdded\(1\)", lambda *_: ".HalfAdded(0)"),
    "saturation": by_pattern(r"\.Hi\((\d+)\)", lambda m, d: f".Hi({int(m[1]) + d.choice([-1, 1])})"),
    "clamp at zero": by_pattern(r"\.Lo\(0\)", lambda *_: ".Lo(-1)"),
    "sign extension": by_pattern(r">>>", lambda *_: ">>", r"wire"),
    "unsigned": by_pattern(r"\bwire signed\b", lambda *_: "wire"),
    "output order": by_pattern(
        r"= (\d+'\()?(?P<s>[a-z]+)(?P<k>\d+)",
        lambda m, _: m[0][: -len(m["k"])] + str(int(m["k"]) ^ 1),
        r"assign \w+_o\[",
    ),
    "register removed": removed_register,
}
CONTROL: dict[str, Operator] = {
    "ready dropped": by_pattern(r" && (in_ready_o|out_ready_i|tready_o|tready_i|frame_ready_o)\b", lambda *_: ""),
    "ready always": by_pattern(r"(?<=assign in_ready_o  = ).*(?=;)", lambda *_: "1'b1"),
    "valid ignored": by_pattern(r"\b(in_valid_i|out_valid_o|tvalid_i|tvalid_o|frame_valid_i) && ", lambda *_: ""),
    "register removed": removed_register,
    "reset dropped": by_pattern(r"rst_i \? ('0|1'b0) : ", lambda *_: ""),
    "reset value": by_pattern(r"^(\s+\w+_q\s*)<= '0;", lambda m, _: f"{m[1]}<= '1;"),
    "stages": by_pattern(r"\.Stages\(HgStages\)", lambda _, d: f".Stages(HgStages {d.choice('+-')} 1)"),
    "depth": by_pattern(r"\.Depth\(HgStages \+ 2\)", lambda _, d: f".Depth(HgStages + {d.choice([0, 1])})"),
    "last beat": by_pattern(r"tlast_i", lambda *_: "1'b0", r"<="),
    "counter": by_pattern(r" \+ 1'b1", lambda *_: " + 1'b0"),
    "comparison": by_pattern(r"==", lambda *_: "!=", r"(wire|assign)"),
}
"""Operators on layers, and on the top, the wrapper and the library's control modules."""


def mutants(rtl: Path, top: str, seed: int) -> list[Mutant]:
    """Return every possible mutant, a fair mixture of operators first."""
    draw = random.Random(seed)
    pools: dict[str, list[Mutant]] = {}
    for path in sorted(rtl.glob("*.sv")):
        control = path.name.startswith("hg_") or path.stem in (top, f"{top}_axis")
        lines = path.read_text().splitlines()
        for name, operator in (CONTROL if control else LAYER).items():
            kind = f"{name} ({'control' if control else 'layer'})"
            for index, text in operator(lines, draw):
                if text != lines[index] and not hidden(lines, index):
                    pools.setdefault(kind, []).append(Mutant(kind, path.name, index, text))
    for pool in pools.values():
        draw.shuffle(pool)
    mixed: list[Mutant] = []
    while any(pools.values()):
        for name in sorted(pools):
            if pools[name]:
                mixed.append(pools[name].pop())
    return mixed


def hidden(lines: list[str], index: int) -> bool:
    """Whether a line stands under an `ifdef` (taps) or `ifndef SYNTHESIS` (assertions): it is not the design."""
    depth = 0
    for line in lines[:index]:
        depth += bool(re.match(r"\s*`if", line)) - bool(re.match(r"\s*`endif", line))
    return depth > 0


def compiled(folder: Path) -> str:
    """Return a digest of the C++ that Verilator makes of the whole design; equal digests are equal designs."""
    tool, target = verilator.find(), folder / "same"
    design = json.loads((folder / "rtl" / "design.json").read_text())
    names = (folder / "rtl" / f"{design['top']}.f").read_text().split()
    command: list[str | Path] = [tool.path, "--cc", "-O3", "-Wno-fatal", "--no-timing", "--Mdir", target]
    command += ["--prefix", "Vsame", "--top-module", design["axis"]["top"], *names]
    execute(command, cwd=folder / "rtl", env=tool.env, timeout_s=60)
    total = hashlib.sha256()
    for path in sorted(target.glob("*.cpp")) + sorted(target.glob("*.h")):
        total.update(path.read_bytes())
    shutil.rmtree(target)
    return total.hexdigest()


def try_mutant(base: Path, mutant: Mutant) -> Result:
    """Apply a mutant to a copy of the base folder and verify it: first natively, then with the cocotb benches."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hwgen-mutant-") as scratch:
        folder = Path(scratch) / "build"
        shutil.copytree(base, folder)
        path = folder / "rtl" / mutant.file
        before = path.read_text().splitlines()
        after = apply(before, mutant)
        path.write_text("\n".join(after) + "\n")
        diff = "\n".join(difflib.unified_diff(before, after, mutant.file, mutant.file, lineterm="", n=1))
        outcome, by = "survived", ""
        try:
            if compiled(folder) == (base / "digest").read_text():
                return Result(mutant, "same", "the same C++", time.monotonic() - start, diff)
        except ProofError as error:
            return Result(mutant, "refused", error.what, time.monotonic() - start, diff)
        for cocotb in (False, True):
            try:
                evidence = verify(folder, VerifyOptions(cocotb=cocotb, locate=False, budget_s=20))
            except ProofError as error:
                outcome, by = "killed", error.what
                break
            if evidence.status == "FAIL":
                outcome, by = "killed", next(c.name for c in evidence.checks if c.status == "FAIL")
                break
        return Result(mutant, outcome, by, time.monotonic() - start, diff)


def apply(before: list[str], mutant: Mutant) -> list[str]:
    """Return the mutated file; a removed register's declaration becomes an assignment too."""
    after = list(before)
    after[mutant.line] = mutant.text
    gone = re.search(r"// (\w+) is no register: (.*)", mutant.text)
    if gone:
        for index, line in enumerate(after):
            declared = re.fullmatch(rf"(\s*)logic (.*)\b{gone[1]};(.*)", line)
            if declared:
                after[index] = f"{declared[1]}wire {declared[2]}{gone[1]} = {gone[2]};"
    return after


def run(options: Options) -> BenchResult:
    """Try mutants until enough of them count; the unchanged design must pass."""
    count = QUICK_COUNT if options.quick else COUNT
    with tempfile.TemporaryDirectory(prefix="hwgen-mutants-") as scratch:
        base = Path(scratch) / "base"
        base_folder(base, options.seed)
        if verify(base, VerifyOptions()).status != "PASS":
            raise ProofError("the unchanged design does not pass", where="hwgen bench")
        (base / "digest").write_text(compiled(base))
        chosen = mutants(base / "rtl", "victim", options.seed)
        results: list[Result] = []
        with ProcessPoolExecutor(options.jobs) as pool:
            pending = iter(chosen)
            while counted(results) < count:
                batch = [m for m, _ in zip(pending, range(min(8, count - counted(results))), strict=False)]
                if not batch:
                    break
                for result in pool.map(try_mutant, [base] * len(batch), batch):
                    results.append(result)
                    line = f"{result.outcome:<9} {result.seconds:5.1f} s  {result.mutant.operator:<28} {result.by[:80]}"
                    print(line, flush=True)
    return report(results, judge=not options.quick)


def counted(results: list[Result]) -> int:
    """Return how many results count: edits of the design that Verilator accepted."""
    return sum(result.outcome in ("killed", "survived") for result in results)


def report(results: list[Result], judge: bool) -> BenchResult:
    """Print the operators and the survivors, and return the share that was killed; `judge`: against the bar."""
    valid = [result for result in results if result.outcome in ("killed", "survived")]
    killed = [result for result in valid if result.outcome == "killed"]
    print(f"\n{'operator':<30} {'killed':>7} {'of':>4}")
    totals = Counter(result.mutant.operator for result in valid)
    kills = Counter(result.mutant.operator for result in killed)
    for name in sorted(totals):
        print(f"{name:<30} {kills[name]:>7} {totals[name]:>4}")
    for result in valid:
        if result.outcome == "survived":
            print(f"\nsurvivor: {result.mutant.operator}\n{result.diff}")
    what = f"mutants killed by `hwgen verify`, of {len(valid)} ({len(results) - len(valid)} more not counted)"
    rate = len(killed) / len(valid) if valid else None
    row = Row("killed", what, rate, at_least=0.95 if judge else None, reason=None if valid else "no edit counted")
    return BenchResult([row], {"results": [asdict(result) for result in results]})
