"""Where each memory of a design landed: block RAM, distributed RAM, logic or registers; and where it was wanted.

The rule, for every family: a memory that is read through a register is wanted in block RAM if it fills at least half of
the blocks that it would take; any other in LUTs. A shallow wide memory would waste most of many block RAMs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SHAPES = {"ice40": ((256, 16), (512, 8), (1024, 4), (2048, 2))}
"""Words and width of a block RAM by family; of all others those of 18 kbit."""
SHAPES_18K = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))

BLOCK, LUT, LOGIC, REGISTERS = "block RAM", "distributed RAM", "logic", "registers"


def wanted(family: str, words: int, width: int, registered: bool) -> str:
    """Return where a memory should land: ``block RAM`` or ``LUTs``."""
    shapes = SHAPES.get(family, SHAPES_18K)
    filled = max(words * width / (-(-words // deep) * -(-width // wide) * deep * wide) for deep, wide in shapes)
    return BLOCK if registered and filled >= 0.5 else "LUTs"


def landings(log: str) -> dict[tuple[str, str], str]:
    """Read from yosys' log what became of each memory: (module, memory) -> where.

    The lines are ``mapping memory MODULE.MEMORY via CELL`` and ``using FF mapping for memory MODULE.MEMORY``.
    """
    found = {}
    pattern = r"^mapping memory (\S+) via (\S+)|^using FF mapping for memory (\S+)"
    for line in re.finditer(pattern, log, re.MULTILINE):
        name = line.group(1) or line.group(3)
        cell = line.group(2)
        where = REGISTERS if cell is None else LUT if "LUTRAM" in cell or "DPR" in cell else BLOCK
        found[name] = where
    return {_split(name): where for name, where in found.items()}


def _split(name: str) -> tuple[str, str]:
    """Split ``$paramod$1f3a\\hg_fifo.slots_q`` and ``net_conv.$flatten\\u_w.$auto$proc_rom.cc:1:f$2`` at the module."""
    match = re.match(r"(\$paramod\S*?\\\w+(?:\\\w+=\S+?)*|[^.]+)\.(.*)", name)
    return (match.group(1), match.group(2)) if match else ("", name)


def memory_rows(
    family: str, memories: Mapping[str, Sequence[Mapping[str, Any]]], log: str, users: Mapping[str, Iterable[str]]
) -> list[dict[str, Any]]:
    """Return a row a memory: name, instance, words, width, bits, kind, wanted, landed.

    Parameters
    ----------
    memories : module -> its memories, as the worker lists them
    log : of yosys, from the mapping of memories on
    users : module -> the instances of the top that are one
    """
    found = landings(log)
    rows = []
    for module, cells in memories.items():
        for cell in cells:
            words, width, rom = cell["words"], cell["width"], not cell["writes"]
            where = found.get((module.removeprefix("\\"), cell["cell"].removeprefix("\\")))
            landed = LOGIC if where == REGISTERS and rom else where
            for user in users.get(module, ()):
                rows.append(
                    {
                        "name": memory_name(cell["cell"]),
                        "instance": user,
                        "kind": "ROM" if rom else "RAM",
                        "words": words,
                        "width": width,
                        "bits": words * width,
                        "wanted": wanted(family, words, width, cell["registered"]),
                        "landed": landed,
                    }
                )
    return rows


def memory_name(cell: str) -> str:
    """Return a memory's name as a reader knows it: of a constant one the instance that it stands in."""
    plain = re.sub(r"^\$flatten|\\", "", cell)
    plain = re.sub(r"\.?\$auto\$proc_rom.*$", "", plain)
    return plain.removeprefix("\\") or "rom"


def misplaced(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each memory that was wanted in block RAM and is not there."""
    return [
        f"{row['instance']}.{row['name']}, {row['words']} x {row['width']} bits, is wanted in block RAM and became "
        f"{row['landed'] or 'something unknown'}"
        for row in rows
        if row["wanted"] == BLOCK and row["landed"] != BLOCK
    ]
