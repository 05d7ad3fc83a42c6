"""Sharing out the products of a sparse matrix: outputs to lanes, elements to ways and banks, surplus to neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwgen.fixed import IntArray

SPILL_GAIN = 1.02  # a spill must save more than this
TOGETHER_COST = 1.0625  # steps, at most, that it may cost to read one element at a time: the index halves


@dataclass(frozen=True, eq=False)
class Shares:
    """Who does what, before it is said when.

    Parameters
    ----------
    ways, results, accs : int
    rows : IntArray
        Elements with a weight (element 0, if none has one).
    counts : IntArray (inputs,)
        Weights of each element.
    way : IntArray (inputs,)
    owner, acc : IntArray (outputs,)
        Result and beat of each output.
    element, output, lane : IntArray (products,)
    lent : bool array (products,)
        Whether the lane works for the result before its own.
    load : int
        Products of the busiest lane; at least `accs`.
    """

    ways: int
    results: int
    accs: int
    rows: IntArray
    counts: IntArray
    way: IntArray
    owner: IntArray
    acc: IntArray
    element: IntArray
    output: IntArray
    lane: IntArray
    lent: IntArray
    load: int

    @property
    def shown(self) -> int:
        """Steps of the busiest way if it showed one element at a time, to all of its lanes."""
        lanes = self.ways * self.results
        times = np.bincount(self.element * lanes + self.lane, minlength=len(self.counts) * lanes)
        return int(times.reshape(len(self.counts), self.ways, self.results).max(axis=2).sum(axis=0).max(initial=0))

    def banked(self, banks: int) -> tuple[IntArray, IntArray, int, int]:
        """Return each element's bank (way * banks + bank) and address, the banks of a way, and their depth."""
        most = int(np.bincount(self.way[self.rows]).max())
        banks = max(1, min(banks, most))
        depth = -(-most // banks)
        bank, address = np.zeros(len(self.counts), dtype=np.int64), np.zeros(len(self.counts), dtype=np.int64)
        for way in range(self.ways):
            rows = self.rows[self.way[self.rows] == way]
            group, address[rows] = longest_first(self.counts[rows], banks, depth)
            bank[rows] = way * banks + group
        return bank, address, banks, depth


def shares_together(weights: IntArray, shares: Shares) -> Shares | None:
    """Return shares in which all lanes of a way work on the same element, or None if that takes too many steps.

    Blocks of zeros across the lanes allow it, even where single weights of a block have become 0 too.

    Parameters
    ----------
    shares : what `shares_of` gives; its load is the measure
    """
    most = int(shares.load * TOGETHER_COST)
    lanes = np.arange(weights.shape[1]) % shares.results
    times = np.stack([np.count_nonzero(weights[:, lanes == k], axis=1) for k in range(shares.results)])
    if int(times.max(axis=0).sum()) > most * shares.ways:
        return None
    together = shares_of(weights, shares.results, shares.ways, in_order=True)
    return together if together.shown <= most else None


def shares_of(weights: IntArray, results: int, ways: int, *, in_order: bool = False) -> Shares:
    """Share out the non-zero weights of a matrix (inputs, outputs).

    Parameters
    ----------
    in_order : bool
        Outputs go to lanes one after the other and nothing is lent, instead of by their number of weights.
    """
    inputs, outputs = weights.shape
    element, output = np.nonzero(weights)
    counts, columns = np.bincount(element, minlength=inputs), np.bincount(output, minlength=outputs)
    rows = np.flatnonzero(counts) if len(element) else np.zeros(1, dtype=np.int64)
    results, ways = max(1, min(results, outputs)), max(1, min(ways, len(rows)))
    accs = -(-outputs // results)
    owner = np.arange(outputs) % results if in_order else longest_first(columns, results, accs)[0]
    way = _ways(weights, rows, counts, owner, results, ways)
    load = np.zeros((ways, results), dtype=np.int64)
    np.add.at(load, (way[element], owner[output]), 1)
    ideal = max(accs, -(-int(load.sum(axis=1).max()) // results))
    lend = np.zeros_like(load)
    if results > 1 and load.max() > SPILL_GAIN * ideal and not in_order:
        ring = _ring(load.sum(axis=0), ways * ideal)
        place = np.argsort(ring)
        owner, load = place[owner], load[:, ring]
        lend = np.stack([_lent(row, ideal) for row in load])
    acc = np.zeros(outputs, dtype=np.int64)
    for result in range(results):
        mine = np.flatnonzero(owner == result)
        acc[mine] = np.arange(len(mine))
    lane = way[element] * results + owner[output]
    lent = np.zeros(len(element), dtype=bool)
    by_lane = np.argsort(lane, kind="stable")
    starts = np.concatenate([[0], np.cumsum(load.ravel())])
    for giver in np.flatnonzero(lend.ravel()):
        mine = by_lane[starts[giver] : starts[giver + 1]]
        lent[mine[np.linspace(0, len(mine) - 1, lend.ravel()[giver]).astype(np.int64)]] = True
    lane[lent] = way[element[lent]] * results + (owner[output[lent]] + 1) % results
    busiest = max(accs, int((load - lend + np.roll(lend, 1, axis=1)).max()))
    return Shares(ways, results, accs, rows, counts, way, owner, acc, element, output, lane, lent, busiest)


def _ways(weights: IntArray, rows: IntArray, counts: IntArray, owner: IntArray, results: int, ways: int) -> IntArray:
    """Deal out the elements so that each way has as much for every result."""
    way = np.zeros(len(counts), dtype=np.int64)
    if ways == 1:
        return way
    table = np.zeros((len(counts), results), dtype=np.int64)
    np.add.at(table.T, owner, (weights != 0).T.astype(np.int64))
    load, size, most = np.zeros((ways, results), dtype=np.int64), np.zeros(ways, dtype=np.int64), -(-len(rows) // ways)
    for row in rows[np.argsort(-counts[rows], kind="stable")]:
        cost = load @ table[row] + load.sum(axis=1)
        w = int(np.argmin(np.where(size < most, cost, np.iinfo(np.int64).max)))
        way[row] = w
        load[w] += table[row]
        size[w] += 1
    return way


def longest_first(counts: IntArray, groups: int, most: int) -> tuple[IntArray, IntArray]:
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


def _lent(load: IntArray, ideal: int) -> IntArray:
    """Return how many products each place of the ring gives to the next, so that the largest load is least."""
    low, high = ideal, int(load.max())
    best = np.zeros_like(load)
    while low < high:
        middle = (low + high) // 2
        given = _given(load, middle)
        if int((load - given + np.roll(given, 1)).max()) <= middle:
            best, high = given, middle
        else:
            low = middle + 1
    return best


def _given(load: IntArray, most: int) -> IntArray:
    given, carried = [0] * len(load), 0
    for _ in range(2):  # what the last place gives goes to the first
        for place, own in enumerate(load.tolist()):
            carried = given[place] = min(max(0, carried + own - most), own)
    return np.array(given, dtype=np.int64)


def _ring(load: IntArray, most: int) -> IntArray:
    """Return an order of the results in a ring in which what is over `most` finds room soon."""
    over = sorted((int(i) for i in np.flatnonzero(load > most)), key=lambda i: int(load[i]))
    room = sorted((int(i) for i in np.flatnonzero(load <= most)), key=lambda i: -int(load[i]))  # most room last
    ring: list[int] = []
    carried = 0
    while over or room:
        fitting = next((i for i in reversed(room) if most - load[i] <= carried), None) if carried else None
        if fitting is not None:
            room.remove(fitting)
            lane = fitting
        elif over:
            lane = over.pop()
        else:  # the one with the least room that is enough
            enough = [i for i in room if most - load[i] >= carried]
            lane = enough[0] if enough else room[-1]
            room.remove(lane)
        carried = max(0, carried + int(load[lane]) - most)
        ring.append(lane)
    return np.array(ring, dtype=np.int64)
