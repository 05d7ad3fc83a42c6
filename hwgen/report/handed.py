"""What `hwgen handoff` shows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwgen.handoff import Handoff

TOOLS = {"vivado": "vivado", "pynq": "vivado", "vitis": "vitis_hls"}
"""The vendor's program that a target's scripts are for."""


def handed_table(rows: Sequence[Handoff]) -> str:
    """Return a line a target: folder, size, and whether anything was run of it."""
    width = max(len(str(row.folder)) for row in rows)
    lines = []
    for row in rows:
        line = f" {row.folder!s:<{width}}  {row.files:>4} files  {row.size / 1024:>8,.0f} KiB"
        tool = TOOLS.get(row.target)
        if tool is not None:
            there = "on PATH, not started" if shutil.which(tool) else "not on PATH"
            line += f"  scripts generated, not run ({tool} is {there})"
        lines.append(line)
    return "\n".join([*lines, " README.md in each says how to go on"])
