"""Icarus Verilog, a four-state simulator: on PATH, or Debian's package unpacked into the cache, without root."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import ProofError, ToolMissing
from hwgen.tools import cache_dir
from hwgen.tools.run import run

PACKAGE = "iverilog"
GET = "hwgen doctor --install (Debian, Ubuntu), or apt install iverilog"


@dataclass(frozen=True)
class Icarus:
    """An Icarus Verilog.

    Parameters
    ----------
    compiler, simulator : the programs ``iverilog`` and ``vvp``
    version : str
    base : Path or None
        Its folder ``ivl``, if it does not stand where it was built for.
    """

    compiler: str
    simulator: str
    version: str
    base: Path | None

    def simulate(self, files: Sequence[Path], top: str, folder: Path, timeout_s: float) -> str:
        """Compile `files` in `folder` and run `top` there; return what it printed.

        Raises
        ------
        ProofError
            If it does not compile, fails, or takes longer than `timeout_s` in all.
        """
        base = ["-B", str(self.base)] if self.base else []
        module = ["-M", str(self.base)] if self.base else []
        program = folder / f"{top}.vvp"
        command: list[str | Path] = [self.compiler, *base, "-g2012", "-s", top, "-o", program, *files]
        done = run(command, cwd=folder, timeout_s=timeout_s, log=folder / "iverilog.log", error=ProofError)
        left = max(timeout_s - done.seconds, 1.0)
        return run([self.simulator, *module, "-n", program], cwd=folder, timeout_s=left, log=folder / "vvp.log").output


def find() -> Icarus:
    """Return the Icarus Verilog on PATH, else the one in the cache.

    Raises
    ------
    ToolMissing
        If there is none.
    """
    for compiler, simulator, base in _candidates():
        texts = []
        for program in (compiler, simulator):
            try:
                done = subprocess.run([program, "-V"], capture_output=True, text=True, check=False, timeout=30)
            except (OSError, subprocess.TimeoutExpired):
                continue
            texts.append(done.stdout + done.stderr)
        match = re.search(r"Icarus Verilog version (\S+)", texts[0]) if len(texts) == 2 else None
        if match and "Icarus Verilog runtime" in texts[1]:
            return Icarus(compiler, simulator, match.group(1), base)
    raise ToolMissing("Icarus Verilog is missing: no four-state simulation of netlists", hint=GET)


def _candidates() -> list[tuple[str, str, Path | None]]:
    found: list[tuple[str, str, Path | None]] = []
    compiler, simulator = shutil.which("iverilog"), shutil.which("vvp")
    if compiler and simulator:
        found.append((compiler, simulator, None))
    root = cache_dir() / PACKAGE / "usr"
    for base in sorted(root.glob("lib/*/ivl")):
        found.append((str(root / "bin" / "iverilog"), str(root / "bin" / "vvp"), base))
    return found


def install() -> str | None:
    """Unpack Debian's package into the cache unless one is there; return what was installed.

    Raises
    ------
    ToolMissing
        If there is no apt-get or no package.
    """
    try:
        find()
        return None
    except ToolMissing:
        pass
    target = cache_dir() / PACKAGE
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="iverilog-", dir=cache_dir()) as scratch:
        for command in (["apt-get", "download", PACKAGE], ["sh", "-c", f"dpkg-deb -x {PACKAGE}_*.deb unpacked"]):
            try:
                done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
            except OSError as error:
                raise ToolMissing(f"Icarus Verilog could not be fetched: no {command[0]}", hint=GET) from error
            if done.returncode:
                last = (done.stderr or done.stdout).strip().splitlines()[-1:]
                raise ToolMissing("Icarus Verilog could not be fetched", found="".join(last) or None, hint=GET)
        shutil.rmtree(target, ignore_errors=True)
        (Path(scratch) / "unpacked").rename(target)
    return f"Icarus Verilog {find().version}"
