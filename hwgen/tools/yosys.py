"""Running yosys (PyPI pyosys) in a process of its own, so that its memory and its crashes stay there."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hwgen.errors import ToolMissing
from hwgen.tools.run import run

SYNTHESIS_TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Synthesized:
    """Cells of one synthesis run, by type, and the longest topological path without registers (`ltp -noff`)."""

    cells: dict[str, int]
    depth: int

    @property
    def lut(self) -> int:
        """LUTs: LUT1 to LUT6, and the LUTs that serve as shift registers and small memories."""
        memories = ("SRL", "RAM32", "RAM64", "RAM128", "RAM256")
        plain = sum(n for cell, n in self.cells.items() if cell.startswith("LUT"))
        return plain + sum(n * _lut_sites(cell) for cell, n in self.cells.items() if cell.startswith(memories))

    @property
    def ff(self) -> int:
        """Flip-flops."""
        return sum(n for cell, n in self.cells.items() if cell.startswith("FD"))


def _lut_sites(cell: str) -> int:
    """Return the LUT sites of a memory cell (AMD UG474, "Distributed RAM" and "Shift Registers")."""
    sites = {"RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4}
    return sites.get(cell, 1)


def find() -> str:
    """Return the version of pyosys.

    Raises
    ------
    ToolMissing
        If it is not installed.
    """
    try:
        return version("pyosys")
    except PackageNotFoundError as error:
        raise ToolMissing("yosys is missing: no synthesis", hint="pip install pyosys==0.70") from error


def script(commands: Sequence[str], log: Path | None = None, timeout_s: float = SYNTHESIS_TIMEOUT_S) -> None:
    """Run yosys commands in a fresh process."""
    find()
    program = "from pyosys import libyosys as ys\nimport sys\nd = ys.Design()\n"
    program += "for c in sys.stdin.read().splitlines():\n    ys.run_pass(c, d)\n"
    with tempfile.NamedTemporaryFile("w", suffix=".ys") as source:
        source.write("\n".join(commands) + "\n")
        source.flush()
        code = program.replace("sys.stdin.read()", f"open({source.name!r}).read()")
        run([sys.executable, "-c", code], timeout_s=timeout_s, stall_timeout_s=timeout_s, log=log)


def synthesize_xilinx(files: Sequence[Path], top: str, family: str = "xcup", dsp: bool = False) -> Synthesized:
    """Synthesize for a Xilinx family, flattened, and return its cells and depth.

    Parameters
    ----------
    files : SystemVerilog files, in compile order
    dsp : bool
        Whether multipliers may become DSP blocks.
    """
    with tempfile.TemporaryDirectory(prefix="hwgen-yosys-") as scratch:
        stat, path = Path(scratch) / "stat.json", Path(scratch) / "ltp.txt"
        script(
            [
                *(f"read_verilog -sv {file}" for file in files),
                f"synth_xilinx -family {family} {'' if dsp else '-nodsp '}-flatten -noiopad -top {top}",
                f"tee -q -o {stat} stat -json",
                f"tee -q -o {path} ltp -noff",
            ],
            log=Path(scratch) / "yosys.log",
        )
        cells = json.loads(stat.read_text())["design"]["num_cells_by_type"]
        depth = re.search(r"Longest topological path.*\(length=(\d+)\)", path.read_text())
        return Synthesized({k: int(v) for k, v in cells.items()}, int(depth.group(1)) if depth else 0)
