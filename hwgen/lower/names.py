"""Names that are valid in Python, C++ and SystemVerilog at once, unique whatever the case of letters."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hwgen.reserved import RESERVED


def identifier(name: str) -> str:
    """Return `name` with every character that no language takes replaced, and reserved words marked."""
    text = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    if not text or text[0].isdigit():
        text = f"n_{text}" if text else "n"
    return f"{text}_n" if text.lower() in RESERVED else text


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
