"""Counting what library modules and plain logic need on Xilinx parts: multiplexers, multipliers, FIFOs, tables."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from hwgen.cost import memories
from hwgen.cost.counts import Counts
from hwgen.fixed import IntArray
from hwgen.rtl.stream.rom import SPREAD

Bits = npt.NDArray[np.bool_]

LUT_INPUTS = 6


def bits_of(values: int) -> int:
    """Return the bits of an index of `values` values, 0 if there is one."""
    return (values - 1).bit_length()


def shift_registers(counts: Counts, taps: Iterable[int], width: int) -> None:
    """Count registers one behind the other, read after each of `taps` registers, `width` bits wide."""
    before = 0
    for tap in sorted(taps):
        if tap > before:
            lut, ff = memories.shift_register(tap - before)
            counts.lut += lut * width
            counts.ff += ff * width
            before = tap


def mux_luts(inputs: int) -> float:
    """Return the LUTs of a bit of a multiplexer: up to 4 inputs one, up to 6 two; of more, a LUT joins two at a time.

    yosys finds the trees of 4 inputs a LUT for the small ones alone: 16 inputs take it 7.5 LUTs where 5 would do.
    """
    if inputs <= 6:
        return -(-(inputs - 1) // 3)
    return (inputs - 1) / 2


def is_dsp(a: int, b: int, y: int) -> bool:
    """Return whether a multiplier becomes DSP blocks: both operands from 2 bits on, the product from 9 on."""
    return min(a, b) >= 2 and y >= 9


def dsp_blocks(a: int, b: int, y: int) -> int:
    """Return the DSP blocks of a signed multiplier (DSP48E2: 27 x 18); wider operands are cut into 17 bits each."""

    def pieces(width: int, limit: int) -> int:
        return 1 + -(-max(0, width - limit) // 17)

    a, b = max(a, b), min(a, b)
    return pieces(a, 27) * pieces(b, 18) if is_dsp(a, b, y) else 0


def multiplier(counts: Counts, a: int, b: int, y: int) -> None:
    """Count a multiplier of `a` x `b` bits to `y` bits."""
    blocks = dsp_blocks(a, b, y)
    counts.dsp += blocks
    if not blocks:
        counts.add(soft_multiply=y * min(a, b))


def constant_multiplier(counts: Counts, a: int, const: int, y: int) -> int:
    """Count a multiplier of `a` bits by a constant to `y` bits, and return the bits of the product that are its own.

    Zeros at the low end of the constant are wires; ±1 is no multiplier, but a negation takes an adder.
    """
    zeros = (const & -const).bit_length() - 1
    odd = const >> zeros
    b = odd.bit_length() + 1 if odd > 0 else (-odd - 1).bit_length() + 1
    product = min(y - zeros, a + b)
    if odd != 1:
        blocks = dsp_blocks(a, b, product)
        counts.dsp += blocks
        if not blocks:
            counts.add(soft_multiply=product * max(1, bin(abs(odd)).count("1") - (odd > 0)))
    return product


def fifo(counts: Counts, width: int, depth: int) -> None:
    """Count an `hg_fifo`: two pointers, one of them twice (for the memory), and the fill."""
    index, count = bits_of(depth), depth.bit_length()
    counts.ff += 3 * index + count
    counts.add(fifo=1, fifo_count=count, fifo_wrap=0 if depth & (depth - 1) == 0 else index)
    _slots(counts, width, depth)


def credit_fifo(counts: Counts, width: int, depth: int, batch: int = 1) -> None:
    """Count an `hg_credit_fifo`: an `hg_fifo` and a counter of credits."""
    index, count = bits_of(depth), depth.bit_length()
    counts.ff += 3 * index + 2 * count
    counts.add(credit=1, credit_count=count, credit_wrap=0 if depth & (depth - 1) == 0 else index)
    _slots(counts, width, depth)


def _slots(counts: Counts, width: int, depth: int) -> None:
    """Count the memory of a FIFO."""
    slots = memories.ram(width, depth, queue=True)
    counts.lut += slots.lut
    counts.bram_18k += slots.bram_18k
    if slots.logic:
        counts.ff += width * depth
        counts.add(mux=width * mux_luts(depth))


def rom(
    counts: Counts,
    words: IntArray,
    width: int,
    chain: IntArray | None = None,
    cycles: int = 1,
    spread: bool = False,
) -> int:
    """Count constants read through a register: block RAM, or logic and flip-flops.

    The second register of a read of two cycles (see `rtl.stream.rom`) is the address's in memories that are logic:
    those are not counted here, since the address may stand in a register already.

    Parameters
    ----------
    words : IntArray (words, fields)
        Fields of a word, two's complement.
    width : bits of a field
    chain : IntArray (fields * width,), optional
        Registers that follow a bit and nothing else reads (0: it is read itself): together with its own they become
        shift registers.
    cycles : of a read, 1 or 2
    spread : whether every `SPREAD` bits of a memory in logic have a register of the address of their own

    Returns
    -------
    int
        How often the address has a register: 0 in block RAM, or if a read takes one cycle.
    """
    if len(words) < 2:
        return 0  # constants
    depth = 1 << bits_of(len(words))
    live = (np.bitwise_or.reduce(words, axis=0) ^ np.bitwise_and.reduce(words, axis=0)) & ((1 << width) - 1)
    if len(words) < depth:  # the rest of the table is 0
        live = np.bitwise_or.reduce(words, axis=0) & ((1 << width) - 1)
    used = ((live[:, None] >> np.arange(width)) & 1).astype(bool).ravel()
    blocks = memories.rom_in_blocks(int(used.sum()), len(words))
    counts.bram_18k += blocks
    behind = np.zeros(len(used), dtype=np.int64) if chain is None else chain
    if blocks:
        behind = behind + cycles - 1
        for length in np.unique(behind[used]):
            shift_registers(counts, {int(length)}, int((behind[used] == length).sum()))
        return 0
    columns = ((words[:, :, None] >> np.arange(width)) & 1).astype(bool).reshape(len(words), -1)[:, used]
    columns = np.concatenate([columns, np.zeros((depth - len(words), columns.shape[1]), dtype=bool)])
    copy = np.flatnonzero(used) // SPREAD if spread and cycles > 1 else np.zeros(columns.shape[1], np.int64)
    taps: dict[tuple[int, bytes], set[int]] = {}  # equal columns of a copy of the address share their registers
    for place, column, length in zip(copy.tolist(), _contents(columns), behind[used].tolist(), strict=True):
        taps.setdefault((place, column), set()).add(length + 1)
    for found in taps.values():
        shift_registers(counts, found, 1)
    luts = sum(column_luts(columns[:, copy == k]) for k in range(1 + int(copy.max(initial=0))))
    counts.add(**{"rom" if depth <= 1 << LUT_INPUTS else "rom_deep": luts})
    return 0 if cycles == 1 else -(-len(used) // SPREAD) if spread else 1


def table_luts(values: IntArray, width: int) -> float:
    """Return the LUTs of constants as logic, after what is constant or there twice is left out.

    Parameters
    ----------
    values : IntArray (2**n,)
        By address.
    width : bits of a value
    """
    return column_luts(((values[:, None] >> np.arange(width)) & 1).astype(bool))


def column_luts(columns: Bits, depth: int = 0) -> float:
    """Return the LUTs of boolean functions of an address, each a column over all 2**n addresses.

    A function of up to 6 bits is a LUT; a larger one is two halves and what joins them (the first two levels have
    multiplexers of their own beside the LUTs). Functions that are there twice count once.
    """
    columns = columns[:, columns.any(axis=0) & ~columns.all(axis=0)]
    if columns.shape[1] == 0:
        return 0
    places = {content: place for place, content in enumerate(_contents(columns))}
    size = len(columns)
    if size <= 1 << LUT_INPUTS:
        address = (np.arange(size)[:, None] >> np.arange(bits_of(size))) & 1 == 1
        return float(len(places.keys() - set(_contents(address))))
    columns = columns[:, list(places.values())]
    low, high = columns[: size // 2], columns[size // 2 :]
    differ = (low != high).any(axis=0)
    joins = float(differ.sum()) if depth >= 2 else 0.0
    return joins + column_luts(np.concatenate([low, high[:, differ]], axis=1), depth + 1)


def _contents(columns: Bits) -> list[bytes]:
    """Return each column as bytes, so that equal ones are found."""
    return [row.tobytes() for row in np.ascontiguousarray(np.packbits(columns, axis=0).T)]
