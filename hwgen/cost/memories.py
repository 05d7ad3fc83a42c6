"""What a memory becomes on Xilinx parts: block RAM, LUT RAM, shift registers or flip-flops, by yosys' own rules.

yosys' `memory_libmap` weighs all kinds of memory by a cost and takes the cheapest; flip-flops cost one a bit, constants
a sixty-fourth. The figures below are those of its Xilinx libraries (yosys 0.70), so that the choice here is its choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

ROM_WORDS = 8
"""Fewest words of a `case` that becomes a memory; fewer are plain logic."""

_BLOCKS = (
    # (address bits at width 1, widths, cost, halves of a RAMB36)
    (14, (1, 2, 4, 9, 18), 129, 1),
    (15, (1, 2, 4, 9, 18, 36), 257, 2),
    (14, (1, 2, 4, 9, 18, 36), 129, 1),
    (15, (1, 2, 4, 9, 18, 36, 72), 257, 2),
)
_BYTE = 9
_LUT_RAMS = ((5, 14), (6, 7))
"""Simple dual port: address bits and data bits of one of eight LUTs (RAM32M16, RAM64M8)."""
_DUAL_RAMS = ((5, 8), (6, 4), (7, 2), (8, 1))
"""Written and read at one address, read at another."""
_LUT_RAM_COST = 16
_SITES = 8


@dataclass(frozen=True)
class Mapped:
    """What a memory takes; all zero (`logic`) where it becomes flip-flops and logic."""

    bram_18k: int = 0
    lut: int = 0
    logic: bool = False


@lru_cache(maxsize=4096)
def block_ram(width: int, depth: int, writable: bool, extra: float = 2) -> tuple[float, int]:
    """Return the cost and the 18 Kbit blocks of a memory in block RAM.

    Parameters
    ----------
    width, depth : bits of a word, words
    writable : whether it is written (whole words)
    extra : cost of what must be added around it
    """
    best = (float("inf"), 0)
    for address_bits, widths, cost, halves in _BLOCKS:
        for level, unit in enumerate(widths):
            granule = min(_BYTE, unit) if writable else 1
            padded = -(-width // granule) * granule
            rows = -(-depth // (1 << (address_bits - level)))
            count = -(-rows * padded // unit)
            total = cost * count + 0.5 * (rows - 1) * width + (0.5 * rows if writable and rows > 1 else 0) + extra
            best = min(best, (total, count * halves))
    return best


def _lut_ram(width: int, depth: int, kinds: Sequence[tuple[int, int]], extra: float) -> tuple[float, int]:
    """Return the cost and the LUT sites of a memory in LUT RAM."""
    best = (float("inf"), 0)
    for address_bits, unit in kinds:
        rows = -(-depth // (1 << address_bits))
        cost = _LUT_RAM_COST * rows * width / unit + 0.5 * (rows - 1) * width + (0.5 * rows if rows > 1 else 0) + extra
        best = min(best, (cost, rows * -(-width // unit) * _SITES))
    return best


QUEUE = 8
"""Extra cost of a memory that must show at once what is written where it is read (queues)."""


@lru_cache(maxsize=4096)
def ram(width: int, depth: int, *, queue: bool = False, ports: int = 1) -> Mapped:
    """Return what a written memory becomes.

    Parameters
    ----------
    queue : whether it is read in the cycle after a write (a FIFO); else through a register (a row of a row store)
    ports : 1: read at one address; 2: also read where it is written, without registers
    """
    extra = QUEUE if queue else 2
    lut_cost, sites = _lut_ram(width, depth, _LUT_RAMS if ports == 1 else _DUAL_RAMS, extra)
    block_cost, blocks = block_ram(width, depth, True, extra) if ports == 1 else (float("inf"), 0)
    if min(lut_cost, block_cost) >= width * depth:
        return Mapped(logic=True)
    return Mapped(bram_18k=blocks) if block_cost < lut_cost else Mapped(lut=sites)


@lru_cache(maxsize=4096)
def rom_in_blocks(width: int, words: int) -> int:
    """Return the 18 Kbit blocks of constants read through a register, 0 if they become logic.

    Parameters
    ----------
    width : bits of a word that are not the same in all words
    words : of the table; it is filled up to a power of two
    """
    if words < ROM_WORDS or width == 0:
        return 0
    depth = 1 << (words - 1).bit_length()
    cost, blocks = block_ram(width, depth, False)
    return blocks if cost < width * depth // 64 else 0


@lru_cache(maxsize=4096)
def shift_register(length: int) -> tuple[int, int]:
    """Return the LUTs and the flip-flops of `length` registers one behind the other, one bit.

    Three and more become a shift register in LUTs (32 a LUT); one more than 16 or 32 keeps its last register.
    """
    if length < 3:
        return 0, length
    whole, rest = divmod(length, 32)
    if rest == 1:
        return whole, 1
    if length == 17:
        return 1, 1
    return whole + (rest > 0), 0
