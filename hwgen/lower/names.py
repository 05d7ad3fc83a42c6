"""Names that are valid in Python, C++ and SystemVerilog at once, unique whatever the case of letters."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hwgen.reserved import RESERVED

_HARDWARE = frozenset({"axis", "clk", "rst", "in_valid", "in_ready", "out_valid", "out_ready", "in_data", "out_data"})
"""What the generated SystemVerilog calls its own ports, and its AXI4-Stream wrapper (``<top>_axis``)."""


def identifier(name: str) -> str:
    """Return `name` with every character that no language takes replaced, and reserved words marked."""
    text = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    if not text or text[0].isdigit() or text.lower().startswith("hg"):  # hg_…, Hg…: the RTL library's and our own
        text = f"n_{text}" if text else "n"
    lower = text.lower()  # the module of a literal table is called <top>_<layer>_table
    return f"{text}_n" if lower in RESERVED | _HARDWARE or lower.endswith("_table") else text


class Label(str):
    """A name that is reserved for one node: it is given out as it is."""

    __slots__ = ()


class Names:
    """Hands out identifiers, each once.

    Parameters
    ----------
    reserved : labels that only a `Label` of that text may take
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = {name.lower() for name in reserved}

    def fresh(self, wanted: str) -> str:
        """Return `wanted` as an identifier, numbered if it is taken."""
        if isinstance(wanted, Label):
            return str(wanted)
        base = identifier(wanted)
        name, number = base, 1
        while name.lower() in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name.lower())
        return name
