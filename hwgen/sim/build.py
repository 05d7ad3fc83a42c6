"""Building simulators: Verilator makes C++ of the RTL, we compile it with cached run-time objects and link.

Verilator's own makefile compiles its run-time library anew in every folder (8 s); here that, a precompiled header
and the bench come from a cache, the model's files are joined into as many groups as there are cores, and the
programs that use the model are compiled beside it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hwgen.errors import ProofError
from hwgen.files import write_if_changed
from hwgen.sim.glue import PREFIX
from hwgen.tools import gxx, verilator
from hwgen.tools.run import run
from hwgen.tools.verilator import Cached, Verilator, cached_files

TEMPLATES = Path(__file__).parent / "templates"
FAST, SLOW = "-O1", "-O0"
"""Optimisation of the code that runs every cycle (-O3: twice the compile time for 10,000 vectors), and of the rest."""
BUILD_TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Program:
    """A program to link with a model.

    Parameters
    ----------
    sources : mapping of file name to C++ text
        Compiled with the model's headers.
    cached : files that do not depend on the model
        Compiled once and kept in the cache.
    link : linker arguments
    """

    sources: Mapping[str, str]
    cached: tuple[Path, ...] = ()
    link: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelSource:
    """What Verilator reads, and how.

    Parameters
    ----------
    files : SystemVerilog files in compile order
    top : the top module
    defines, parameters : as ``+define+`` and ``-G``
    trace : {None, "fst", "vcd", "saif"}
    vpi_depth : int
        Levels of hierarchy cocotb sees; 0 builds without VPI.
    """

    files: Sequence[Path]
    top: str
    defines: tuple[str, ...] = ()
    parameters: Mapping[str, int] = field(default_factory=dict)
    trace: str | None = None
    vpi_depth: int = 0
    optimise: str = FAST


def build(source: ModelSource, programs: Mapping[str, Program], folder: Path) -> dict[str, Path]:
    """Build `programs` around one model in `folder`; return their paths. Reused if nothing has changed.

    Raises
    ------
    ToolMissing
        Without Verilator or a C++ compiler.
    ProofError
        If Verilator or the compiler fails, with the end of its log.
    """
    folder = folder.resolve()  # tools run in folders of their own
    tool, compiler = verilator.find(), gxx.find()
    made = {name: folder / name for name in programs}
    key = _key(source, programs, tool, compiler)
    stamp = folder / "built.key"
    if stamp.is_file() and stamp.read_text() == key and all(path.is_file() for path in made.values()):
        return made
    shutil.rmtree(folder, ignore_errors=True)
    objects = folder / "obj"
    objects.mkdir(parents=True)
    _verilate(source, tool, objects, folder / "verilator.log")
    classes = _classes((objects / f"{PREFIX}_classes.mk").read_text())
    flags = _flags(tool, classes)
    wanted = _cached_wanted(tool, flags, classes, programs, source)
    runtime = cached_files(tool, compiler, wanted)
    headers = {item.flags[0]: path.parent for item, path in zip(wanted, runtime, strict=True) if path.suffix == ".gch"}
    commands, built = _compile_commands(compiler.path, flags, headers, classes, programs, objects, source.optimise)
    gxx.compile_all(commands, cwd=objects, log_dir=folder)
    by_name = {path.name: path for path in runtime}
    shared = [by_name[f"{name}.o"] for name in classes["GLOBAL"]]
    for name, program in programs.items():
        parts = [*built["model"], *built[name], *(by_name[f"{path.stem}.o"] for path in program.cached), *shared]
        link: list[str | Path] = [compiler.path, *parts, *program.link, "-pthread", "-latomic", "-o", made[name]]
        link += ["-llz4", "-lz"] if source.trace == "fst" else []
        run(link, cwd=objects, timeout_s=BUILD_TIMEOUT_S, log=folder / f"link_{name}.log")
    shutil.rmtree(objects)
    write_if_changed(stamp, key.encode())
    return made


def _verilate(source: ModelSource, tool: Verilator, objects: Path, log: Path) -> None:
    trace = {None: [], "fst": ["--trace-fst", "--trace-structs"], "vcd": ["--trace-vcd", "--trace-structs"]}
    trace["saif"] = ["--trace-saif", "--trace-max-array", "65536", "--trace-max-width", "65536"]
    vpi = ["--vpi", "--public-depth", str(source.vpi_depth)] if source.vpi_depth else []
    command: list[str | Path] = [tool.path, "--cc", "-O3", "--output-split", "5000", "--assert", "--no-timing"]
    command += ["--x-initial", "unique", "--x-assign", "unique", "-Wno-fatal", "--prefix", PREFIX, "--Mdir", objects]
    command += ["--top-module", source.top, *trace[source.trace], *vpi]
    command += [f"+define+{name}" for name in source.defines]
    command += [f"-G{name}={value}" for name, value in source.parameters.items()]
    run([*command, *source.files], timeout_s=BUILD_TIMEOUT_S, log=log, env=tool.env)


def _classes(makefile: str) -> dict[str, list[str]]:
    """Return Verilator's lists of C++ files: FAST and SLOW ones of the model, GLOBAL ones of the run-time library."""
    lists: dict[str, list[str]] = {"FAST": [], "SLOW": [], "GLOBAL": []}
    for kind, speed, names in re.findall(
        r"^VM_(CLASSES|SUPPORT|GLOBAL)_(FAST|SLOW) \+= \\\n((?:  .*\\\n)*)", makefile, re.M
    ):
        lists["GLOBAL" if kind == "GLOBAL" else speed] += [name.strip(" \\") for name in names.splitlines()]
    switches = dict(re.findall(r"^(VM_[A-Z_0-9]+) = (\d)$", makefile, re.M))
    lists["DEFINES"] = [f"-D{name}={value}" for name, value in switches.items() if name != "VM_PARALLEL_BUILDS"]
    if not lists["FAST"] or not lists["GLOBAL"]:
        raise ProofError("Verilator's file lists cannot be read", found=makefile[:200])
    return lists


def _flags(tool: Verilator, classes: dict[str, list[str]]) -> tuple[str, ...]:
    quiet = ("-w", "-faligned-new", "-fcf-protection=none")
    return ("-DVERILATOR=1", *classes["DEFINES"], *quiet, f"-I{tool.include}", f"-I{tool.include / 'vltstd'}")


def _cached_wanted(
    tool: Verilator,
    flags: tuple[str, ...],
    classes: dict[str, list[str]],
    programs: Mapping[str, Program],
    source: ModelSource,
) -> list[Cached]:
    """Return what comes from the cache, slowest first: run-time objects, precompiled headers, our sources."""
    sources = [tool.include / f"{name}.cpp" for name in classes["GLOBAL"]]
    runtime = [Cached(f"{path.stem}.o", path, (FAST, *flags, "-c")) for path in sources]
    headers = [
        Cached("hwgen_pch.h.gch", TEMPLATES / "hwgen_pch.h", (level, *flags, "-x", "c++-header"))
        for level in sorted({source.optimise, SLOW}, reverse=True)
    ]
    ours = [
        Cached(f"{path.stem}.o", path, (FAST, f"-I{TEMPLATES}", "-c"), (TEMPLATES / "dut.h",))
        for path in sorted({path for program in programs.values() for path in program.cached})
    ]
    return [*runtime[:1], *headers, *runtime[1:], *ours]


def _compile_commands(
    compiler: str,
    flags: tuple[str, ...],
    headers: dict[str, Path],
    classes: dict[str, list[str]],
    programs: Mapping[str, Program],
    objects: Path,
    fast: str,
) -> tuple[list[list[str | Path]], dict[str, list[Path]]]:
    """Return the compile commands, longest first, and the objects they make for the model and each program."""
    commands: list[tuple[int, list[str | Path]]] = []
    built: dict[str, list[Path]] = {"model": []}

    def add(owner: str, text: str, name: str, level: str, size: int) -> None:
        (objects / f"{name}.cpp").write_text(text)
        target = objects / f"{name}.o"
        header = ("-I", headers[level], "-include", "hwgen_pch.h")
        commands.append(
            (size, [compiler, level, *header, *flags, f"-I{TEMPLATES}", "-I.", "-c", f"{name}.cpp", "-o", target])
        )
        built.setdefault(owner, []).append(target)

    for speed, level in (("FAST", fast), ("SLOW", SLOW)):
        for index, group in enumerate(_balanced([objects / f"{name}.cpp" for name in classes[speed]])):
            joined = "".join(f'#include "{path.name}"\n' for path in group)
            weight = sum(path.stat().st_size for path in group) * (2 if speed == "FAST" else 1)
            add("model", joined, f"all_{speed.lower()}{index}", level, weight)
    for name, program in programs.items():
        built[name] = []
        for file, text in program.sources.items():
            add(name, text, f"{name}_{Path(file).stem}", SLOW if "cocotb" in name else fast, 50_000)
    return [command for _, command in sorted(commands, key=lambda item: -item[0])], built


def _balanced(files: list[Path]) -> list[list[Path]]:
    """Split files into as many groups of like size as there are cores (fewer if they are small)."""
    sizes = {path: path.stat().st_size for path in files}
    count = min(gxx.jobs(), 1 + sum(sizes.values()) // 150_000)
    groups: list[list[Path]] = [[] for _ in range(count)]
    for path in sorted(files, key=lambda p: -sizes[p]):
        min(groups, key=lambda group: sum(sizes[p] for p in group)).append(path)
    return [group for group in groups if group]


def _key(source: ModelSource, programs: Mapping[str, Program], tool: Verilator, compiler: gxx.Gxx) -> str:
    """Return a digest of everything a build depends on."""
    total = hashlib.sha256()
    settings = [source.top, source.defines, sorted(source.parameters.items()), source.trace, source.vpi_depth]
    total.update(repr([*settings, source.optimise, SLOW, tool, compiler]).encode())
    for path in source.files:
        total.update(f"\0{path.name}\0".encode() + path.read_bytes())
    for name, program in sorted(programs.items()):
        total.update(repr([name, sorted(program.sources.items()), program.link]).encode())
        for path in (*program.cached, TEMPLATES / "dut.h"):
            total.update(path.read_bytes())
    return total.hexdigest()
