"""What one run of the native bench saw: every transfer with its cycle, and what stood still at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.errors import ProofError
from hwgen.fixed import IntArray
from hwgen.sim.streams import Stream, Words, in_streams, out_streams, tap_streams

MAGIC = 0x68776766
VIOLATIONS = {
    1: "{valid} fell before {ready} took what was offered",
    2: "{valid}'s data changed while it waited for {ready}",
    3: "an assertion of the RTL failed",
}
ENDED = ("complete", "no progress", "outputs without end", "assertion", "outputs missing")


@dataclass(frozen=True)
class Beats:
    """Beats of one stream: the cycle of each, and its 32-bit words, one row a beat."""

    cycles: IntArray
    words: Words


@dataclass(frozen=True)
class Epoch:
    """The transfers between two resets.

    Parameters
    ----------
    first_frame : index of the frame with which every source starts
    sources : cycles of each input stream's beats
    sinks : beats of each output stream
    in_beats, out_beats : beats of a frame of each stream
    cut : whether a reset ended it
    """

    first_frame: int
    sources: tuple[IntArray, ...]
    sinks: tuple[Beats, ...]
    in_beats: tuple[int, ...]
    out_beats: tuple[int, ...]
    cut: bool = False

    @property
    def accepted(self) -> int:
        """Frames of which every input stream has taken the last beat."""
        return min(len(cycles) // beats for cycles, beats in zip(self.sources, self.in_beats, strict=True))

    @property
    def begun(self) -> int:
        """Frames of which some input stream has taken a beat."""
        return max(-(-len(cycles) // beats) for cycles, beats in zip(self.sources, self.in_beats, strict=True))

    @property
    def produced(self) -> int:
        """Frames that every output stream has given whole."""
        return min(len(sink.cycles) // beats for sink, beats in zip(self.sinks, self.out_beats, strict=True))

    @property
    def first_in(self) -> IntArray:
        """The cycle in which the first beat of each accepted frame entered, of any stream."""
        rows = [c[::b][: self.accepted] for c, b in zip(self.sources, self.in_beats, strict=True)]
        return np.min(np.stack(rows), axis=0) if rows else np.zeros(0, np.int64)

    def outs(self, beat: int) -> IntArray:
        """Return the cycle in which beat `beat` (0 or -1) of each produced frame left, the last of all streams."""
        n = self.produced
        rows = [s.cycles[: n * b].reshape(n, b)[:, beat] for s, b in zip(self.sinks, self.out_beats, strict=True)]
        return np.max(np.stack(rows), axis=0)

    @property
    def outputs(self) -> Words:
        """The produced frames, packed."""
        n = self.produced
        parts = [
            s.words[: n * b].reshape(n, b * s.words.shape[1]) for s, b in zip(self.sinks, self.out_beats, strict=True)
        ]
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class Transfers:
    """What one run of the harness saw.

    Parameters
    ----------
    sources, sinks : as in `Epoch`, of the whole run
    resets : (asserted, released, index of the first frame afterwards), one row a reset
    taps : beats by node: of the tapped frame, or every cycle of its window
    marks : the most items each FIFO has held, by name
    violation : what broke the protocol first, and its cycle
    ended : one of `ENDED`
    waiting : which streams wait on which at the end
    cycles, seconds : length of the run
    """

    sources: tuple[IntArray, ...]
    sinks: tuple[Beats, ...]
    in_beats: tuple[int, ...]
    out_beats: tuple[int, ...]
    resets: IntArray = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    taps: Mapping[str, Beats] = field(default_factory=dict)
    marks: Mapping[str, int] = field(default_factory=dict)
    violation: tuple[str, int] | None = None
    ended: str = "complete"
    waiting: tuple[str, ...] = ()
    cycles: int = 0
    seconds: float = 0.0

    def epochs(self) -> list[Epoch]:
        """Return the parts between the resets, in order."""
        starts = [-1, *(int(cycle) for cycle in self.resets[:, 1])]
        ends = [*(int(cycle) for cycle in self.resets[:, 0]), self.cycles + 1]
        firsts = [0, *(int(frame) for frame in self.resets[:, 2])]
        rows = []
        for number, (start, end, first) in enumerate(zip(starts, ends, firsts, strict=True)):
            inside = [(c >= start) & (c < end) for c in self.sources]
            came = [(s.cycles >= start) & (s.cycles < end) for s in self.sinks]
            sources = tuple(c[mask] for c, mask in zip(self.sources, inside, strict=True))
            sinks = tuple(Beats(s.cycles[m], s.words[m]) for s, m in zip(self.sinks, came, strict=True))
            rows.append(Epoch(first, sources, sinks, self.in_beats, self.out_beats, cut=number < len(self.resets)))
        return rows

    @property
    def whole(self) -> Epoch:
        """The run as one part: for a run without resets."""
        return Epoch(0, self.sources, self.sinks, self.in_beats, self.out_beats)

    @property
    def accepted(self) -> IntArray:
        """The cycle in which each accepted frame's first beat entered."""
        return self.whole.first_in

    @property
    def produced(self) -> IntArray:
        """The cycle in which each produced frame's last beat left."""
        return self.whole.outs(-1)

    @property
    def outputs(self) -> Words:
        """The produced frames, packed."""
        return self.whole.outputs


class _Reader:
    """Takes arrays from the harness's file one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int, kind: str = "<u8") -> Any:
        size = count * np.dtype(kind).itemsize
        if count < 0 or self.place + size > len(self.data):
            raise ProofError("the simulation's results are cut short", found=f"{len(self.data)} bytes")
        self.place += size
        return np.frombuffer(self.data, kind, count, self.place - size)

    def cycles(self, count: int) -> IntArray:
        return np.asarray(self.take(count).astype(np.int64))


def read_transfers(data: bytes, design: Mapping[str, Any], *, tapped: bool) -> Transfers:
    """Read what the harness wrote.

    Raises
    ------
    ProofError
        If nothing is there, or it is cut short.
    """
    sources, sinks = in_streams(design), out_streams(design)
    taps = tap_streams(design) if tapped else []
    links, fifos = (design["links"], design["fifos"]) if tapped else ([], [])
    reader = _Reader(data)
    if len(data) < 72 or int(reader.take(1)[0]) != MAGIC:
        raise ProofError("the simulation left no results", hint="build again; see the logs in reports/")
    cycles, micros, violation, where, stream, ended, n_resets, n_state = (int(v) for v in reader.take(8))
    places = reader.cycles(3 * len(sources)).reshape(-1, 3)
    n_out, n_tap = reader.cycles(len(sinks)), reader.cycles(len(taps))
    resets = reader.cycles(n_resets).reshape(-1, 3)
    state = [int(v) for v in reader.cycles(n_state)]
    marks = state[len(state) - len(fifos) :] if fifos else []

    def beats(count: int, words: int) -> Beats:
        stamps = reader.cycles(count)
        return Beats(stamps, reader.take(count * words, "<u4").reshape(count, words))

    broken = None
    if violation:
        sink = sinks[stream]
        broken = (VIOLATIONS[violation].format(valid=sink.valid, ready=sink.ready), where)
    return Transfers(
        tuple(reader.cycles(int(row[0])) for row in places),
        tuple(beats(int(n), s.words) for n, s in zip(n_out, sinks, strict=True)),
        tuple(s.beats for s in sources),
        tuple(s.beats for s in sinks),
        resets[resets[:, 1] >= 0],
        {s.name: beats(int(n), s.words) for n, s in zip(n_tap, taps, strict=True)},
        {fifo["name"]: mark for fifo, mark in zip(fifos, marks, strict=True)},
        broken,
        ENDED[ended],
        tuple(waiting(sources, sinks, links, places[:, 1:], n_out, state)),
        cycles,
        micros / 1e6,
    )


def waiting(
    sources: Sequence[Stream],
    sinks: Sequence[Stream],
    links: Sequence[Mapping[str, Any]],
    places: IntArray,
    n_out: IntArray,
    state: Sequence[int],
) -> list[str]:
    """Return one sentence for every stream that stands still.

    Parameters
    ----------
    links : the streams inside: name, and the stages they come from and go to
    places : (frame, beat) that each source has reached
    n_out : beats that each output stream has given
    state : valid (bit 0) and ready (bit 1) of the streams in, out and inside
    """
    lines = []
    for stream, (frame, beat), bits in zip(sources, places, state, strict=False):
        place = f"beat {beat} of {stream.beats} of frame {frame}"
        if bits == 1:
            lines.append(f"input {stream.name}: {place} is offered, the design does not take it")
        elif not bits & 1 and beat:
            lines.append(f"input {stream.name}: the source stopped before {place}")
    for stream, count, bits in zip(sinks, n_out, state[len(sources) :], strict=False):
        frame, beat = divmod(int(count), stream.beats)
        if not bits & 1:
            lines.append(f"output {stream.name}: waits for beat {beat} of {stream.beats} of frame {frame}")
    for link, bits in zip(links, state[len(sources) + len(sinks) :], strict=False):
        if bits == 1:
            lines.append(f"{link['name']}: {link['from']} has data, {link['to']} does not take it")
        elif bits == 2:
            lines.append(f"{link['name']}: {link['to']} waits for {link['from']}")
    return lines
