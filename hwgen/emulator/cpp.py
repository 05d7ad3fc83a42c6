"""C++ integer types, literals and names for the emulator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import IntArray

WIDE = "int128"
"""What the generated code calls `__int128`."""

_STORED = (
    ("std::int8_t", -(1 << 7), (1 << 7) - 1),
    ("std::uint8_t", 0, (1 << 8) - 1),
    ("std::int16_t", -(1 << 15), (1 << 15) - 1),
    ("std::uint16_t", 0, (1 << 16) - 1),
    ("std::int32_t", -(1 << 31), (1 << 31) - 1),
    ("std::int64_t", -(1 << 63), (1 << 63) - 1),
    (WIDE, -(1 << 127), (1 << 127) - 1),
)
_PER_LINE = 24


def stored_type(lo: int, hi: int, where: str) -> str:
    """Return the narrowest type that holds ``lo..hi``.

    Raises
    ------
    GraphError
        If none does.
    """
    for name, least, most in _STORED:
        if least <= lo and hi <= most:
            return name
    raise GraphError("the emulator has integers of at most 128 bits", where=where, found=f"{lo}..{hi}")


def working_type(bound: int, where: str) -> str:
    """Return the type to compute in: 32, 64 or 128 bits, so that magnitudes up to `bound` fit."""
    return stored_type(-max(bound, 1 << 16), bound, where)


def port_type(lo: int, hi: int, where: str) -> str:
    """Return the type of a network input or output: 32 bits, or 64 where that is not enough.

    Raises
    ------
    GraphError
        If 64 bits are not enough.
    """
    name = working_type(max(-lo - 1, hi), where)
    if name == WIDE:
        raise GraphError("the emulator's inputs and outputs have at most 64 bits", where=where, found=f"{lo}..{hi}")
    return name


def identifier(name: str) -> str:
    """Return the C++ name of a node: with an underscore, so that it is no keyword and no macro."""
    return f"{name}_"


def literal(value: int) -> str:
    """Return an integer literal of any size up to 128 bits."""
    if -(1 << 31) < value < 1 << 31:
        return str(value)
    if -(1 << 63) < value < 1 << 63:
        return f"{value}LL"
    if value == -(1 << 63):
        return "(-9223372036854775807LL - 1)"
    high, low = value >> 64, value & ((1 << 64) - 1)
    return f"(({WIDE}({high}LL) * ({WIDE}(1) << 64)) + {WIDE}({low}ULL))"


def array(values: IntArray) -> str:
    """Return the lines between the braces of an array's initialiser, in row-major order."""
    texts = [literal(int(v)) for v in np.asarray(values).reshape(-1)]
    lines = [", ".join(texts[i : i + _PER_LINE]) for i in range(0, len(texts), _PER_LINE)]
    return "    " + ",\n    ".join(lines)


def braces(numbers: Sequence[int]) -> str:
    """Return a braced list."""
    return "{" + ", ".join(map(str, numbers)) + "}"
