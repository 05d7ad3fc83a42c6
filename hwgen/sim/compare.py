"""Comparing: two representations on the same vectors, and a stream of outputs with what was sent in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.fixed import IntArray
from hwgen.ir.graph import Graph
from hwgen.sim.streams import Words
from hwgen.sim.transfers import Epoch, Transfers

RESYNC = 64
"""How many frames ahead a lost one is looked for."""


def pair_row(
    a: str,
    b: str,
    left: Mapping[str, Mapping[str, IntArray]],
    right: Mapping[str, Mapping[str, IntArray]],
    graph: Graph,
) -> dict[str, Any]:
    """Return the row of `verification.json` that says how many vectors of `a` and `b` differ.

    Parameters
    ----------
    left, right : {set: {output name: integers (frames, ...)}}
    graph : Graph
        For the outputs' names and number formats.

    Returns
    -------
    dict
        ``a, b, vectors, mismatches, sets`` (frames of each set), and ``first`` if any differ: set, index, output,
        element, both integers and both values.
    """
    row: dict[str, Any] = {"a": a, "b": b, "vectors": 0, "mismatches": 0, "sets": {}}
    for name, outputs in right.items():
        if set(left.get(name, {})) != set(outputs):
            raise ValueError(f"{a} has no outputs for the set {name}, or other ones than {b}")
        wrong: Any = None
        for output, values in outputs.items():
            mine, yours = _flat(left[name][output]), _flat(values)
            if mine.shape != yours.shape:
                raise ValueError(f"{a} and {b} differ in shape: set {name}, {output}, {mine.shape} and {yours.shape}")
            differ = np.asarray(mine != yours, dtype=bool)
            row.setdefault("first", None)
            bad = differ.any(axis=1)
            wrong = bad if wrong is None else wrong | bad
            if row["first"] is None and bad.any():
                row["first"] = _first(graph, name, output, mine, yours, differ)
        count = 0 if wrong is None else len(wrong)
        row["sets"][name] = count
        row["vectors"] += count
        row["mismatches"] += 0 if wrong is None else int(wrong.sum())
    if row.get("first") is None:
        row.pop("first", None)
    return row


def _flat(values: IntArray) -> IntArray:
    array = np.asarray(values)
    return array.reshape(len(array), -1) if array.size else array.reshape(len(array), 0)


def _first(
    graph: Graph, name: str, output: str, mine: IntArray, yours: IntArray, differ: np.ndarray[Any, np.dtype[np.bool_]]
) -> dict[str, Any]:
    index = int(differ.any(axis=1).argmax())
    element = int(differ[index].argmax())
    fmt = graph.types[output].fmt
    return {
        "set": name,
        "index": index,
        "output": output,
        "element": element,
        "a_integer": int(mine[index, element]),
        "b_integer": int(yours[index, element]),
        "a_value": float(fmt.to_float(mine[index, element])),
        "b_value": float(fmt.to_float(yours[index, element])),
        "type": str(fmt),
    }


@dataclass(frozen=True)
class Outcome:
    """How the frames that came out relate to those that went in.

    Parameters
    ----------
    frames : frames accepted
    lost, repeated, changed : frames that never came, came again or too much, came with other data
    bad : the frame indices concerned (the first few)
    """

    frames: int
    lost: int = 0
    repeated: int = 0
    changed: int = 0
    bad: tuple[int, ...] = ()

    @property
    def good(self) -> bool:
        """Whether every frame came out once, in order and unchanged."""
        return not (self.lost or self.repeated or self.changed)

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.frames + other.frames,
            self.lost + other.lost,
            self.repeated + other.repeated,
            self.changed + other.changed,
            (self.bad + other.bad)[:16],
        )


def match_stream(outputs: Words, expected: Words, first_frame: int = 0, *, cut: bool = False) -> Outcome:
    """Compare what came out with what was expected, frame by frame; after a slip, find the place again.

    Parameters
    ----------
    outputs, expected : (frames, words)
    first_frame : int
        The index of ``expected[0]``, for `Outcome.bad`.
    cut : bool
        The stream ended by a reset: frames missing at its end are allowed.
    """
    if outputs.shape == expected.shape and np.array_equal(outputs, expected):
        return Outcome(len(expected))
    lost = repeated = changed = place = 0
    bad: list[int] = []
    for row in outputs:
        if place < len(expected) and np.array_equal(row, expected[place]):
            place += 1
            continue
        ahead = expected[place + 1 : place + 1 + RESYNC]
        found: Any = np.flatnonzero((ahead == row).all(axis=1)) if len(ahead) else []
        bad.append(first_frame + min(place, max(len(expected) - 1, 0)))
        if (place and np.array_equal(row, expected[place - 1])) or place >= len(expected):
            repeated += 1
        elif len(found):
            lost += int(found[0]) + 1
            place += int(found[0]) + 2
        else:
            changed += 1
            place += 1
    if not cut:
        lost += len(expected) - place
        bad += [first_frame + place] if place < len(expected) else []
    return Outcome(len(expected), lost, repeated, changed, tuple(bad[:16]))


def match_run(seen: Transfers, expected: Words) -> Outcome:
    """Compare the outputs of a run with what its frames should give, reset by reset.

    Parameters
    ----------
    expected : (frames, words of a frame); the sources go through them again and again
    """
    total = Outcome(0)
    for epoch in seen.epochs():
        total += match_epoch(epoch, expected)
        if not epoch.cut and len(seen.resets) and not epoch.accepted:
            total += Outcome(1, lost=1)  # nothing was accepted after the last reset
    return total


def match_epoch(epoch: Epoch, expected: Words) -> Outcome:
    """Compare what came between two resets; each output stream by itself, in frames."""
    count = epoch.begun
    total, start = Outcome(epoch.accepted), 0
    for sink, beats in zip(epoch.sinks, epoch.out_beats, strict=True):
        size = beats * sink.words.shape[1]
        own = expected[:, start : start + size]
        start += size
        wanted = own if count == len(own) and not epoch.first_frame else own[_index(epoch.first_frame, count, len(own))]
        whole = len(sink.words) // beats
        rows = sink.words[: whole * beats].reshape(whole, size)
        found = match_stream(rows, wanted, epoch.first_frame, cut=epoch.cut)
        rest = sink.words[whole * beats :].reshape(-1)
        if len(rest) and whole >= count and not epoch.cut:
            found += Outcome(0, repeated=1, bad=(epoch.first_frame + count,))
        elif len(rest) and found.good:
            following = own[(epoch.first_frame + whole) % len(own)]
            if not np.array_equal(rest, following[: len(rest)]):
                found += Outcome(0, changed=1, bad=(epoch.first_frame + whole,))
        total = Outcome(
            total.frames,
            max(total.lost, found.lost),
            max(total.repeated, found.repeated),
            max(total.changed, found.changed),
            tuple(sorted({*total.bad, *found.bad}))[:16],
        )
    return total


def _index(first: int, count: int, length: int) -> IntArray:
    return (first + np.arange(count)) % length
