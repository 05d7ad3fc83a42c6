"""Colouring the products of a sparse matrix with steps, so that no lane and no bank is asked for two things at once."""

from __future__ import annotations

import numpy as np

from hwgen.fixed import IntArray

TRIES = 24  # pairs of steps tried to make room for a product, before a step is added


class Colouring:
    """A step for each product: a lane does one a step, a bank shows one element a step (to any number of lanes).

    Parameters
    ----------
    bank, element, lane : IntArray (products,)
    banks, lanes : int
    least : int
        Steps to begin with; steps are added where no room can be made.
    """

    def __init__(self, bank: IntArray, element: IntArray, lane: IntArray, banks: int, lanes: int, least: int) -> None:
        self.count = least
        self.bank, self.element, self.lane = bank.tolist(), element.tolist(), lane.tolist()
        self.lane_free = [(1 << least) - 1] * lanes
        self.bank_free = [(1 << least) - 1] * banks
        self.shown: dict[int, int] = {}  # by element: the steps in which its bank shows it
        self.lane_at: list[dict[int, int]] = [{} for _ in range(lanes)]  # step -> product
        self.bank_at: list[dict[int, list[int]]] = [{} for _ in range(banks)]  # step -> products
        self.excess = (np.bincount(bank, minlength=banks) - least).tolist()  # products of a bank that must share a read
        self.step = [-1] * len(self.bank)
        for product in self._sequence(banks):
            self._place(product)
        self.steps = np.array(self.step, dtype=np.int64)

    def _sequence(self, banks: int) -> list[int]:
        """Return the products, those of the most loaded banks first, element by element."""
        bank, element = np.array(self.bank, dtype=np.int64), np.array(self.element, dtype=np.int64)
        if not len(bank):
            return []
        load, uses = np.bincount(bank, minlength=banks), np.bincount(element)
        return np.lexsort((element, -uses[element], -load[bank])).tolist()  # type: ignore[no-any-return]

    def _place(self, product: int) -> None:
        lane, bank, element = self.lane[product], self.bank[product], self.element[product]
        shown = self.shown.get(element, 0)
        shared, alone = self.lane_free[lane] & shown, self.lane_free[lane] & self.bank_free[bank]
        for steps in (shared, alone) if self.excess[bank] > 0 else (alone, shared):
            if steps:
                self._put(product, (steps & -steps).bit_length() - 1)
                return
        step = self._make_room(product, shown | self.bank_free[bank])
        if step is None:
            step = self._add_step()
        self._put(product, step)

    def _put(self, product: int, step: int) -> None:
        lane, bank, element = self.lane[product], self.bank[product], self.element[product]
        bit = 1 << step
        if not self.bank_free[bank] & bit:  # a read shared
            self.excess[bank] -= 1
        self.step[product] = step
        self.lane_free[lane] &= ~bit
        self.bank_free[bank] &= ~bit
        self.shown[element] = self.shown.get(element, 0) | bit
        self.lane_at[lane][step] = product
        self.bank_at[bank].setdefault(step, []).append(product)

    def _add_step(self) -> int:
        bit = 1 << self.count
        self.lane_free = [free | bit for free in self.lane_free]
        self.bank_free = [free | bit for free in self.bank_free]
        self.count += 1
        return self.count - 1

    def _make_room(self, product: int, wanted: int) -> int | None:
        """Exchange two steps in a part of the schedule so that a `wanted` step is free in the product's lane."""
        lane, bank, element = self.lane[product], self.bank[product], self.element[product]
        free, tries = self.lane_free[lane], 0
        while free and tries < TRIES:
            a = (free & -free).bit_length() - 1
            free &= free - 1
            left = wanted
            while left and tries < TRIES:
                b = (left & -left).bit_length() - 1
                left &= left - 1
                tries += 1
                part, banks = self._connected(lane, a, b)
                if bank in banks:
                    after = self.bank_at[bank].get(a)  # what the bank would show in step b
                    if after and self.element[after[0]] != element:
                        continue
                self._exchange(part, banks, a, b)
                return b
        return None

    def _connected(self, lane: int, a: int, b: int) -> tuple[set[int], set[int]]:
        """Return the lanes and banks that hang together with `lane` by products in the steps a and b."""
        lanes, banks, todo = {lane}, set(), [lane]
        lane_at, bank_at, bank_of, lane_of = self.lane_at, self.bank_at, self.bank, self.lane
        while todo:
            at = lane_at[todo.pop()]
            for step in (a, b):
                product = at.get(step)
                if product is None or bank_of[product] in banks:
                    continue
                bank = bank_of[product]
                banks.add(bank)
                for s in (a, b):
                    for other in bank_at[bank].get(s, ()):
                        if lane_of[other] not in lanes:
                            lanes.add(lane_of[other])
                            todo.append(lane_of[other])
        return lanes, banks

    def _exchange(self, lanes: set[int], banks: set[int], a: int, b: int) -> None:
        swap = (1 << a) | (1 << b)
        for lane in lanes:
            at = self.lane_at[lane]
            one, two = at.pop(a, None), at.pop(b, None)
            if one is not None:
                at[b] = one
                self.step[one] = b
            if two is not None:
                at[a] = two
                self.step[two] = a
            if (one is None) != (two is None):
                self.lane_free[lane] ^= swap
        for bank in banks:
            here = self.bank_at[bank]
            first, second = here.pop(a, None), here.pop(b, None)
            if first is not None:
                here[b] = first
            if second is not None:
                here[a] = second
            if (first is None) != (second is None):
                self.bank_free[bank] ^= swap
            one, two = self.element[first[0]] if first else -1, self.element[second[0]] if second else -1
            if one != two:
                for element in (one, two):
                    if element >= 0 and bool(self.shown[element] >> a & 1) != bool(self.shown[element] >> b & 1):
                        self.shown[element] ^= swap
