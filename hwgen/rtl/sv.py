"""Small pieces of SystemVerilog text: sized operands, literals, slices, wrapped lines."""

from __future__ import annotations

from hwgen.fixed import IntArray, bits_for
from hwgen.rtl.wires import Literal, Op


def literal(value: int, width: int) -> str:
    """Return a signed literal of `width` bits."""
    if value < 0 and value == -(1 << (width - 1)):
        return f"{width}'sh{1 << (width - 1):x}"
    return f"-{width}'sd{-value}" if value < 0 else f"{width}'sd{value}"


def parameter(value: int) -> str:
    """Return the value of a `longint` parameter; plain digits are 32 bits wide, so others say 64."""
    if 0 <= value < 1 << 31:
        return str(value)
    return f"64'sd{value}" if value >= 0 else f"-64'sd{-value}"


def flags(values: IntArray) -> str:
    """Return a literal of one bit a value, the first one at the least significant end; ``'1`` if all are set."""
    ones = values.ravel().astype(bool).tolist()
    if all(ones):
        return "'1"
    return f"{len(ones)}'h{sum(1 << k for k, one in enumerate(ones) if one):0{-(-len(ones) // 4)}x}"


def slice_of(low: int, width: int) -> str:
    """Return the part select of `width` bits from `low`."""
    return f"[{low + width - 1}:{low}]" if width > 1 else f"[{low}]"


def span(width: int) -> str:
    """Return the packed range of a vector of `width` bits, with a trailing space (nothing for one bit)."""
    return f"[{width - 1}:0] "


def wire_type(op: Op) -> str:
    """Return ``signed [W-1:0]`` or ``[W-1:0]`` for an operation's result."""
    return f"{'signed ' if op.signed else ''}{span(op.width)}"


def sized(name: str, op: Op, width: int) -> str:
    """Return an operand extended (by its own sign) or truncated to `width` bits."""
    if isinstance(op, Literal):
        return f"{width}'d{op.lo & ((1 << width) - 1)}"
    return name if op.width == width else f"{width}'({name})"


def shifted(text: str, shift: int) -> str:
    """Return ``(text << shift)``, or the text itself."""
    return f"({text} << {shift})" if shift else text


def signed(name: str, op: Op, width: int) -> str:
    """Return an operand as a signed expression of `width` bits; `width` must hold it and its sign."""
    if isinstance(op, Literal):
        return literal(op.lo, width)
    if op.signed:
        return sized(name, op, width)
    return f"$signed({{{width - op.width}'b0, {name}}})" if width > op.width else f"$signed({name})"


def signed_width(op: Op, shift: int = 0) -> int:
    """Return the bits needed to hold ``op << shift`` as a signed value."""
    return bits_for(min(op.lo, -1), max(op.hi, 0))[1] + shift


def comment(text: str, width: int = 118) -> list[str]:
    """Return `text` as ``//`` lines, wrapped."""
    lines, current = [], "//"
    for word in text.split():
        if len(current) + 1 + len(word) > width:
            lines.append(current)
            current = "//"
        current += f" {word}"
    return [*lines, current]
