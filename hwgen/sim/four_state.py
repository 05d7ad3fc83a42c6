"""The netlist in Icarus Verilog, which knows X: a register that reset does not reach, and that matters, shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hwgen.sim.case import Case
from hwgen.sim.evidence import Ledger
from hwgen.sim.netlist import Netlist

Progress = Callable[[str, float | None], None]


def four_state(case: Case, ledger: Ledger, netlist: Netlist, folder: Path, say: Progress) -> None:
    """Not yet."""
    ledger.document["not_checked"].append("X after power-up in the netlist (four-state simulation)")
