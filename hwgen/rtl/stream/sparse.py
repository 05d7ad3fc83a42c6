"""Offline schedules that skip zeros: which lane multiplies which weight in which step (`hg_mac_sparse`).

The elements of the operand are dealt out to `ways`, each with banks and lanes of its own. In a step each bank shows one
of its elements, and each lane multiplies one of those shown in its way into one of its accumulators. A lane serves one
result of each beat; what it has too much its right neighbour may sum in accumulators set aside for it (*spill*). When
the results leave, the sums of all ways, and the neighbours', are joined.

A step is a colour: placing all products in T steps is colouring the edges between the banks and the lanes of a
bipartite graph, which takes no more colours than the largest load of a lane or a bank (Koenig), by exchanging two
colours along a path where no colour is free at both ends. Lanes that read the same element of a bank in the same step
share its read, so a bank may carry more products than steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from hwgen.fixed import IntArray
from hwgen.rtl.stream.colouring import Colouring
from hwgen.rtl.stream.sharing import shares_of, shares_together

OLD_SUM = 12345
"""What `SparseSchedule.apply` finds in every accumulator: anything but the zero that a mistake could hide behind."""


@dataclass(frozen=True, eq=False)
class SparseSchedule:
    """A product of a constant sparse matrix with a vector, step by step.

    Parameters
    ----------
    inputs, outputs : int
        Shape of the matrix.
    ways, banks, bank_depth : int
        Of the operand register: element places are (way, bank, address).
    results, accs : int
        Results of a beat (lanes of a way), beats.
    spill : bool
        Whether each lane has `accs` more accumulators for the result before its own.
    select : IntArray (ways * banks * bank_depth,)
        Element of the input item at each place, or -1.
    order : IntArray (outputs,)
        Place of an output, beat * results + result, among the results as they leave.
    addresses : IntArray (cycles, ways * banks)
    weights, bank, acc : IntArray (cycles, lanes)
        A lane's weight (0: idle), the bank of its way that it reads, the accumulator it adds to (from `accs` on: for
        the result before its own). Lane: way * results + result. An idle step adds its zero to an accumulator that
        gets no product, if there is one.
    weight_width : int
        Bits of a weight, signed.
    nonzero : int
    """

    inputs: int
    outputs: int
    ways: int
    banks: int
    bank_depth: int
    results: int
    accs: int
    spill: bool
    select: IntArray
    order: IntArray
    addresses: IntArray
    weights: IntArray
    bank: IntArray
    acc: IntArray
    weight_width: int
    nonzero: int

    @property
    def lanes(self) -> int:
        """Multipliers."""
        return self.ways * self.results

    @property
    def cycles(self) -> int:
        """Steps of a firing (T)."""
        return len(self.addresses)

    @cached_property
    def filled(self) -> IntArray:
        """Whether any step adds to an accumulator, 1 or 0: (lanes, 1 + spill, accs)."""
        found = np.zeros((self.lanes, (1 + self.spill) * self.accs), dtype=np.int64)
        found[np.broadcast_to(np.arange(self.lanes), self.acc.shape), self.acc] = 1
        return found.reshape(self.lanes, 1 + self.spill, self.accs)

    @property
    def ideal_cycles(self) -> int:
        """Steps if no multiplier ever idled."""
        return max(1, -(-self.nonzero // self.lanes))

    @property
    def efficiency(self) -> float:
        """Non-zero weights over multipliers times steps."""
        return self.nonzero / (self.cycles * self.lanes)

    @property
    def pipeline(self) -> int:
        """Cycles from the last step to the first result beat (L of hg_mac_sparse)."""
        return (
            2 + mux_latency(self.bank_depth) + mux_latency(self.banks) + sum_latency(self.ways * (1 + self.spill) + 1)
        )

    @property
    def word_bits(self) -> int:
        """Bits of a step's word."""
        return self.ways * self.banks * bits(self.bank_depth) + self.lanes * sum(self._fields)

    @property
    def index_bits(self) -> int:
        """Bits of a word that are not weights."""
        return self.word_bits - self.lanes * self.weight_width

    @property
    def _fields(self) -> tuple[int, int, int]:
        return self.weight_width, bits(self.banks), bits(self.accs) + self.spill

    @cached_property
    def words(self) -> list[int]:
        """One word a step.

        From the least significant end: each bank's address (bank 0 of way 0 first), then for each lane (lane 0 first)
        its weight, its bank, its accumulator, and with `spill` whether that is one for the result before.
        """
        width, select, _ = self._fields
        size, address_bits = sum(self._fields), bits(self.bank_depth)
        own, other = self.acc % self.accs, self.acc // self.accs
        fields = (self.weights & ((1 << width) - 1)) | self.bank << width | own << (width + select)
        fields |= other << (width + select + bits(self.accs))
        result = []
        for addresses, lanes in zip(self.addresses.tolist(), fields.tolist(), strict=True):
            word = 0
            for field in reversed(lanes):
                word = word << size | field
            for address in reversed(addresses):
                word = word << address_bits | address
            result.append(word)
        return result

    def apply(self, x: IntArray) -> IntArray:
        """Return the matrix times `x`, computed as the hardware does, step by step, over what a firing before left.

        Parameters
        ----------
        x : IntArray (..., inputs)

        Returns
        -------
        IntArray (..., outputs)
        """
        x = np.asarray(x, dtype=np.int64)
        operand = np.where(self.select >= 0, x[..., np.maximum(self.select, 0)], 0)
        sums = np.full((*x.shape[:-1], self.lanes, self.accs * (1 + self.spill)), OLD_SUM)
        seen = np.zeros(sums.shape[-2:], dtype=bool)
        lane, places = np.arange(self.lanes), np.arange(self.ways * self.banks) * self.bank_depth
        for t in range(self.cycles):
            shown = operand[..., places + self.addresses[t]]
            product = shown[..., lane // self.results * self.banks + self.bank[t]] * self.weights[t]
            at = lane, self.acc[t]
            sums[(..., *at)] = np.where(seen[at], sums[(..., *at)], 0) + product
            seen[at] = True
        sums *= self.filled.reshape(seen.shape)
        joined = sums.reshape(*x.shape[:-1], self.ways, self.results, -1).sum(axis=-3)
        leaving = joined[..., : self.accs]
        if self.spill:
            leaving = leaving + np.roll(joined[..., self.accs :], -1, axis=-2)
        return np.swapaxes(leaving, -1, -2).reshape(*x.shape[:-1], -1)[..., self.order]


def bits(values: int) -> int:
    """Return the bits of an index of `values` values, 0 if there is one."""
    return (values - 1).bit_length()


def mux_latency(inputs: int) -> int:
    """Return the latency of `hg_mux`."""
    return max(1, -(-bits(inputs) // 4))


def sum_latency(inputs: int) -> int:
    """Return the latency of `hg_sum`."""
    return max(1, -(-bits(inputs) // 2))


def estimated_cycles(weights: IntArray, results: int, ways: int = 1) -> int:
    """Return the steps that the loads of the lanes allow: `schedule` seldom needs more, never less."""
    shares = shares_of(weights, results, ways)
    together = shares_together(weights, shares)
    return shares.load if together is None else max(together.accs, together.shown)


def schedule_of(weights: IntArray, results: int, ways: int = 1) -> SparseSchedule:
    """Return `schedule(weights, results, ways)`, computed once for the same arguments."""
    return _schedule_of(np.ascontiguousarray(weights, dtype=np.int64).tobytes(), weights.shape, results, ways)


@lru_cache(maxsize=64)
def _schedule_of(content: bytes, shape: tuple[int, int], results: int, ways: int) -> SparseSchedule:
    return schedule(np.frombuffer(content, dtype=np.int64).reshape(shape), results, ways)


def schedule(weights: IntArray, results: int, ways: int = 1, banks: int | None = None) -> SparseSchedule:
    """Return a schedule of the non-zero weights of a matrix on `results * ways` multipliers.

    Parameters
    ----------
    weights : IntArray (inputs, outputs)
    results : int
        Results of a beat; more than outputs are not used.
    ways : int
        Lanes a result; more than elements with a weight are not used.
    banks : int, optional
        Banks a way. By default one, where that takes hardly more steps (all lanes then work on the same element, as
        blocks of zeros across the lanes allow), else one a lane. Fewer make a smaller word and more steps.
    """
    weights = np.asarray(weights, dtype=np.int64)
    shares = shares_of(weights, results, ways)
    together = shares_together(weights, shares) if banks is None else None
    least = shares.load
    if together is not None:
        shares, banks, least = together, 1, max(together.accs, together.shown)
    output, lane, accs, element = shares.output, shares.lane, shares.accs, shares.element
    bank, address, banks, depth = shares.banked(shares.results if banks is None else banks)
    colouring = Colouring(bank[element], element, lane, shares.ways * banks, shares.ways * shares.results, least)
    steps, count = colouring.steps, colouring.count
    value, source, target = np.zeros((3, count, shares.ways * shares.results), dtype=np.int64)
    value[steps, lane] = weights[element, output]
    source[steps, lane] = bank[element] % banks
    target[steps, lane] = shares.acc[output] + accs * shares.lent
    _clear_when_idle(target, value != 0, accs)
    addresses = np.zeros((count, shares.ways * banks), dtype=np.int64)
    addresses[steps, bank[element]] = address[element]
    select = np.full(shares.ways * banks * depth, -1, dtype=np.int64)
    select[bank[shares.rows] * depth + address[shares.rows]] = shares.rows
    low, high = min(int(weights.min()), -1), max(int(weights.max()), 1)
    return SparseSchedule(
        inputs=weights.shape[0],
        outputs=weights.shape[1],
        ways=shares.ways,
        banks=banks,
        bank_depth=depth,
        results=shares.results,
        accs=accs,
        spill=bool(shares.lent.any()),
        select=select,
        order=shares.acc * shares.results + shares.owner,
        addresses=addresses,
        weights=value,
        bank=source,
        acc=target,
        weight_width=max((-low - 1).bit_length(), high.bit_length()) + 1,
        nonzero=len(element),
    )


def _clear_when_idle(target: IntArray, works: npt.NDArray[np.bool_], accs: int) -> None:
    """Let idle steps add nothing to accumulators that no product goes to: those then hold a zero, not an old sum.

    Parameters
    ----------
    target : IntArray (cycles, lanes)
        A lane's accumulator; those of idle steps are changed.
    works : (cycles, lanes)
        Whether a lane multiplies.
    accs : int
        Accumulators a lane; a lane that works for the result before its own has as many more.
    """
    for lane, (own, busy) in enumerate(zip(target.T, works.T, strict=True)):
        lends = bool((own[busy] >= accs).any())
        empty = np.setdiff1d(np.arange(accs * (1 + lends)), own[busy])
        idle = np.flatnonzero(~busy)[: len(empty)]
        target[idle, lane] = empty[: len(idle)]
