"""Offline schedules that skip zeros: which lane multiplies which weight in which step (`hg_mac_sparse`).

The operand item lies in banks; in a step each bank shows one of its elements, and each lane multiplies one of the shown
elements into one of its accumulators. Lanes own outputs (one accumulator each); a lane may lend work to its right
neighbour, which sums it in accumulators of its own (*spill*), joined again when the results are drained.

A step is a colour: placing all products in T steps is colouring the edges between the banks and the lanes of a
bipartite graph, which takes no more colours than the largest load of a lane or a bank (Koenig), by exchanging two
colours along a path where no colour is free at both ends. Lanes that read the same element of a bank in the same step
share its read, so a bank may carry more products than steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from hwgen.fixed import IntArray
from hwgen.rtl.stream.colouring import Colouring

SPILL_GAIN = 1.02  # a spill must save more than this


@dataclass(frozen=True, eq=False)
class SparseSchedule:
    """A product of a constant sparse matrix with a vector, step by step.

    Parameters
    ----------
    inputs, outputs : int
        Shape of the matrix.
    banks, bank_depth : int
        Of the operand register.
    lanes, accs : int
        Multipliers, and outputs a lane owns.
    spill : bool
        Whether each lane has `accs` more accumulators for outputs of its left neighbour.
    select : IntArray (banks * bank_depth,)
        Element of the input item at place bank * bank_depth + address, or -1.
    order : IntArray (outputs,)
        Place of an output, accumulator * lanes + lane, among the drained results.
    addresses : IntArray (cycles, banks)
    weights, bank, acc : IntArray (cycles, lanes)
        A lane's weight (0: idle), the bank it reads, the accumulator it adds to (from `accs` on: a neighbour's).
    weight_width : int
        Bits of a weight, signed.
    nonzero : int
    """

    inputs: int
    outputs: int
    banks: int
    bank_depth: int
    lanes: int
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
    def cycles(self) -> int:
        """Steps of a firing (T)."""
        return len(self.addresses)

    @property
    def ideal_cycles(self) -> int:
        """Steps if no multiplier ever idled."""
        return max(1, -(-self.nonzero // self.lanes))

    @property
    def efficiency(self) -> float:
        """Non-zero weights over multipliers times steps."""
        return self.nonzero / (self.cycles * self.lanes)

    @property
    def index_bits(self) -> int:
        """Bits of a word that are not weights."""
        return self.word_bits - self.lanes * self.weight_width

    @property
    def pipeline(self) -> int:
        """Cycles from the last step to the first result beat (L of hg_mac_sparse)."""
        return 3 + mux_latency(self.bank_depth) + mux_latency(self.banks)

    @property
    def word_bits(self) -> int:
        """Bits of a step's word."""
        return self.banks * bits(self.bank_depth) + self.lanes * sum(self._fields)

    @property
    def _fields(self) -> tuple[int, int, int]:
        return self.weight_width, bits(self.banks), bits(self.accs) + self.spill

    @cached_property
    def words(self) -> list[int]:
        """One word a step.

        From the least significant end: each bank's address (bank 0 first), then for each lane (lane 0 first) its
        weight, its bank, its accumulator, and with `spill` whether that is one for the neighbour.
        """
        width, select, _ = self._fields
        acc = bits(self.accs)
        address_bits = bits(self.bank_depth)
        values, places = self.weights & ((1 << width) - 1), np.arange(self.banks) * address_bits
        start = self.banks * address_bits
        result = []
        shift = start + np.arange(self.lanes) * sum(self._fields)
        own = self.acc % self.accs
        foreign = self.acc // self.accs
        for t in range(self.cycles):
            word = 0
            if address_bits:
                for address, at in zip(self.addresses[t].tolist(), places.tolist(), strict=True):
                    word |= address << at
            for v, b, a, f, at in zip(
                values[t].tolist(),
                self.bank[t].tolist(),
                own[t].tolist(),
                foreign[t].tolist(),
                shift.tolist(),
                strict=True,
            ):
                word |= (v | b << width | a << width + select | f << width + select + acc) << at
            result.append(word)
        return result

    def apply(self, x: IntArray) -> IntArray:
        """Return the matrix times `x` (..., inputs), computed as the hardware does, step by step.

        Parameters
        ----------
        x : IntArray (..., inputs)

        Returns
        -------
        IntArray (..., outputs)
        """
        x = np.asarray(x, dtype=np.int64)
        operand = np.where(self.select >= 0, x[..., np.maximum(self.select, 0)], 0)
        sums = np.zeros((*x.shape[:-1], self.lanes, self.accs * (1 + self.spill)), dtype=np.int64)
        lane = np.arange(self.lanes)
        for t in range(self.cycles):
            shown = operand[..., np.arange(self.banks) * self.bank_depth + self.addresses[t]]
            sums[..., lane, self.acc[t]] += shown[..., self.bank[t]] * self.weights[t]
        drained = sums[..., : self.accs]
        if self.spill:
            drained = drained + np.roll(sums[..., self.accs :], -1, axis=-2)
        return np.swapaxes(drained, -1, -2).reshape(*x.shape[:-1], -1)[..., self.order]


def bits(values: int) -> int:
    """Return the bits of an index of `values` values, 0 if there is one."""
    return (values - 1).bit_length()


def mux_latency(inputs: int) -> int:
    """Return the latency of `hg_mux`."""
    return max(1, -(-bits(inputs) // 4))


def estimated_cycles(weights: IntArray, lanes: int) -> int:
    """Return the steps that the loads of the lanes allow: `schedule` seldom needs more, never less."""
    lanes = max(1, min(lanes, weights.shape[1]))
    accs = -(-weights.shape[1] // lanes)
    output = np.nonzero(weights)[1]
    lane = _own(np.bincount(output, minlength=weights.shape[1]), output, lanes, accs)[2]
    return _least(lane, accs)


def schedule_of(weights: IntArray, lanes: int) -> SparseSchedule:
    """Return `schedule(weights, lanes)`, computed once for the same weights and lanes."""
    return _schedule_of(np.ascontiguousarray(weights, dtype=np.int64).tobytes(), weights.shape, lanes)


@lru_cache(maxsize=64)
def _schedule_of(content: bytes, shape: tuple[int, int], lanes: int) -> SparseSchedule:
    return schedule(np.frombuffer(content, dtype=np.int64).reshape(shape), lanes)


def _least(lane: IntArray, accs: int) -> int:
    return max(accs, int(np.bincount(lane, minlength=1).max(initial=1)))


def schedule(weights: IntArray, lanes: int, banks: int | None = None) -> SparseSchedule:
    """Return a schedule of the non-zero weights of a matrix.

    Parameters
    ----------
    weights : IntArray (inputs, outputs)
    lanes : int
        Multipliers; more than outputs are not used.
    banks : int, optional
        Banks of the operand register; one a lane by default. Fewer make a smaller word and more steps.
    """
    weights = np.asarray(weights, dtype=np.int64)
    inputs, outputs = weights.shape
    lanes = max(1, min(lanes, outputs))
    accs = -(-outputs // lanes)
    element, output = np.nonzero(weights)
    owner, acc, lane = _own(np.bincount(output, minlength=outputs), output, lanes, accs)
    spill = bool((lane != owner[output]).any())
    rows = np.flatnonzero((weights != 0).any(axis=1))
    banks = max(1, min(lanes if banks is None else banks, len(rows)))
    bank, address, depth = _banks(np.bincount(element, minlength=inputs), rows, banks)
    colouring = Colouring(bank[element], element, lane, banks, lanes, _least(lane, accs))
    steps = colouring.steps
    table = {n: np.zeros((colouring.count, lanes), dtype=np.int64) for n in ("weights", "bank", "acc")}
    table["weights"][steps, lane] = weights[element, output]
    table["bank"][steps, lane] = bank[element]
    table["acc"][steps, lane] = acc[output] + accs * (lane != owner[output])
    addresses = np.zeros((colouring.count, banks), dtype=np.int64)
    addresses[steps, bank[element]] = address[element]
    select = np.full(banks * depth, -1, dtype=np.int64)
    select[bank[rows] * depth + address[rows]] = rows
    low, high = min(int(weights.min()), -1), max(int(weights.max()), 1)
    width = max((-low - 1).bit_length(), high.bit_length()) + 1
    return SparseSchedule(
        inputs, outputs, banks, depth, lanes, accs, spill, select, acc * lanes + owner, addresses, **table,
        weight_width=width, nonzero=len(element),
    )  # fmt: skip


def _own(counts: IntArray, output: IntArray, lanes: int, accs: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return each output's lane and accumulator, and the lane of each product."""
    owner, _ = _longest_first(counts, lanes, accs)
    load = np.bincount(owner, weights=counts, minlength=lanes).astype(np.int64)
    ideal = max(accs, -(-int(counts.sum()) // lanes))
    lend = np.zeros(lanes, dtype=np.int64)
    if lanes > 1 and load.max() > SPILL_GAIN * ideal:
        ring, lend = _lend(load, ideal)
        place = np.empty(lanes, dtype=np.int64)
        place[ring] = np.arange(lanes)
        owner = place[owner]
    acc = np.zeros(len(counts), dtype=np.int64)
    used = np.zeros(lanes, dtype=np.int64)
    for o in range(len(counts)):
        acc[o] = used[owner[o]]
        used[owner[o]] += 1
    lane = owner[output]
    for giver in np.flatnonzero(lend):
        mine = np.flatnonzero(lane == giver)
        mine = mine[owner[output[mine]] == giver]
        lane[mine[np.linspace(0, len(mine) - 1, lend[giver]).astype(np.int64)]] = (giver + 1) % lanes
    return owner, acc, lane


def _longest_first(counts: IntArray, groups: int, most: int) -> tuple[IntArray, IntArray]:
    """Return each item's group and its place there: heaviest first, to the least loaded group with less than `most`."""
    group = np.zeros(len(counts), dtype=np.int64)
    place = np.zeros(len(counts), dtype=np.int64)
    load, size = np.zeros(groups, dtype=np.int64), np.zeros(groups, dtype=np.int64)
    full = np.int64(1) << 60
    for item in np.argsort(-counts, kind="stable"):
        g = int(np.argmin(np.where(size < most, load, full)))
        group[item], place[item] = g, size[g]
        load[g] += counts[item]
        size[g] += 1
    return group, place


def _lend(load: IntArray, ideal: int) -> tuple[IntArray, IntArray]:
    """Return an order of the lanes in a ring, and by place in it how many products go to the right neighbour."""
    low, high = ideal, int(load.max())
    best = _lend_at(load, high)
    while low < high:
        middle = (low + high) // 2
        tried = _lend_at(load, middle)
        if tried[2] <= middle:
            best, high = tried, middle
        else:
            low = middle + 1
    return best[0], best[1]


def _lend_at(load: IntArray, most: int) -> tuple[IntArray, IntArray, int]:
    """Return ring order, lent products and the largest load, if no lane shall do more than `most`."""
    over = sorted((int(i) for i in np.flatnonzero(load > most)), key=lambda i: int(load[i]))
    room = sorted((int(i) for i in np.flatnonzero(load <= most)), key=lambda i: -int(load[i]))  # most room last
    ring: list[int] = []
    lend: list[int] = []
    carried = 0
    while over or room:
        fitting = next((i for i in reversed(room) if most - load[i] <= carried), None) if carried else None
        if carried and fitting is not None:
            lane = fitting
            room.remove(lane)
        elif over and not (carried and room and not ring):
            lane = over.pop()
        elif carried:  # the lane with just enough room
            lane = room.pop(0) if len(room) == 1 else room.pop(_first_with_room(load, room, most, carried))
        else:
            lane = room.pop(0)
        given = min(max(0, carried + int(load[lane]) - most), int(load[lane]))
        ring.append(lane)
        lend.append(given)
        carried = given
    order, given_ = np.array(ring), np.array(lend)
    total = load[order] - given_ + np.roll(given_, 1)
    return order, given_, int(total.max())


def _first_with_room(load: IntArray, room: list[int], most: int, carried: int) -> int:
    for k, lane in enumerate(room):
        if most - load[lane] >= carried:
            return k
    return len(room) - 1


def _banks(counts: IntArray, rows: IntArray, banks: int) -> tuple[IntArray, IntArray, int]:
    """Return each element's bank and address, and the depth of a bank."""
    depth = max(1, -(-len(rows) // banks))
    bank, address = np.zeros(len(counts), dtype=np.int64), np.zeros(len(counts), dtype=np.int64)
    if len(rows):
        bank[rows], address[rows] = _longest_first(counts[rows], banks, depth)
    return bank, address, depth
