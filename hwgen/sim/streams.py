"""The streams of a design as `design.json` lists them, and frames packed as the benches exchange them.

A packed frame is its streams one after the other; a stream is its beats; a beat is its ports, each starting at a new
32-bit word with element 0 at the least significant end. A tensor's elements travel in row-major order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.fixed import IntArray

Words = np.ndarray[Any, np.dtype[np.uint32]]
Port = dict[str, Any]
CHUNK = 8192
"""Beats that are packed at a time."""


@dataclass(frozen=True)
class Stream:
    """Ports that share a handshake.

    Parameters
    ----------
    name : what reports call it
    valid, ready : str or None
        Names of the handshake's ports; a tap that is read at a fixed cycle has no valid, `handshake: none` no ready.
    beats : beats of a frame
    ports : the data ports; each carries ``elements`` elements a beat
    """

    name: str
    valid: str | None
    ready: str | None
    beats: int
    ports: tuple[Port, ...]

    @property
    def port_words(self) -> list[int]:
        """32-bit words of each port in a beat."""
        return [-(-port["elements"] * port["width"] // 32) for port in self.ports]

    @property
    def words(self) -> int:
        """32-bit words of a beat."""
        return sum(self.port_words)

    def pack(self, values: Mapping[str, IntArray], key: str = "name") -> Words:
        """Pack integers (frames, elements of a frame) by port name into words (frames, words of a frame)."""
        rows = []
        for port in self.ports:
            array = np.asarray(values[port[key]])
            rows.append(pack(array.reshape(len(array) * self.beats, port["elements"]), port["width"]))
        frames = len(rows[0]) // self.beats
        return np.concatenate(rows, axis=1).reshape(frames, self.beats * self.words)

    def unpack(self, words: Words, key: str = "name") -> dict[str, IntArray]:
        """Return integers (frames, elements of a frame) by port name: the reverse of `pack`."""
        return {
            name: values.reshape(len(words), self.beats * values.shape[-1])
            for name, values in self.unpack_beats(words.reshape(len(words) * self.beats, self.words), key).items()
        }

    def unpack_beats(self, words: Words, key: str = "name") -> dict[str, IntArray]:
        """Return integers (beats, elements of a beat) by port name."""
        result, offset = {}, 0
        for port, count in zip(self.ports, self.port_words, strict=True):
            part = words[:, offset : offset + count]
            result[port[key]] = unpack(part, port["elements"], port["width"], port["signed"])
            offset += count
        return result


def in_streams(design: Mapping[str, Any]) -> list[Stream]:
    """Return the streams into a design."""
    return _streams(design["in_streams"], design["inputs"])


def out_streams(design: Mapping[str, Any]) -> list[Stream]:
    """Return the streams out of a design."""
    return _streams(design["out_streams"], design["outputs"])


def _streams(rows: Sequence[Mapping[str, Any]], ports: Sequence[Port]) -> list[Stream]:
    named = {port["name"]: port for port in ports}
    return [
        Stream(", ".join(row["ports"]), row["valid"], row["ready"], row["beats"], tuple(named[n] for n in row["ports"]))
        for row in rows
    ]


def tap_streams(design: Mapping[str, Any]) -> list[Stream]:
    """Return every tap as a stream of its own, in order."""
    return [Stream(tap["node"], tap.get("valid"), None, tap.get("beats", 1), (tap,)) for tap in design["taps"]]


def frame_words(streams: Sequence[Stream]) -> list[int]:
    """Return how many words of a packed frame belong to each stream."""
    return [stream.beats * stream.words for stream in streams]


def pack_frames(streams: Sequence[Stream], values: Mapping[str, IntArray]) -> Words:
    """Pack one array a port, by the port's name, into frames."""
    return np.ascontiguousarray(np.concatenate([stream.pack(values) for stream in streams], axis=1), dtype="<u4")


def unpack_frames(streams: Sequence[Stream], words: Words) -> dict[str, IntArray]:
    """Return integers (frames, elements of a frame) by port name."""
    result: dict[str, IntArray] = {}
    for stream, part in zip(streams, np.split(words, np.cumsum(frame_words(streams))[:-1], axis=1), strict=True):
        result |= stream.unpack(part)
    return result


def pack(values: IntArray, width: int) -> Words:
    """Pack integers (rows, elements) into 32-bit words a row, element 0 at the least significant end."""
    rows, elements = values.shape
    words = -(-elements * width // 32)
    packed = np.zeros((rows, words * 4), dtype=np.uint8)
    for start in range(0, rows, CHUNK):
        part = values[start : start + CHUNK]
        bits = ((part[:, :, None] >> np.arange(width).astype(part.dtype)) & 1).astype(np.uint8)
        bytes_ = np.packbits(bits.reshape(len(part), -1), axis=1, bitorder="little")
        packed[start : start + len(part), : bytes_.shape[1]] = bytes_
    return packed.view("<u4")


def unpack(words: Words, elements: int, width: int, signed: bool) -> IntArray:
    """Return integers (rows, elements) from 32-bit words a row; the reverse of `pack`."""
    rows = len(words)
    dtype: Any = np.int64 if width <= 62 else object
    weights = np.array([1 << bit for bit in range(width)], dtype=dtype)
    if signed:
        weights[-1] = -weights[-1]
    values = np.zeros((rows, elements), dtype=dtype)
    raw = np.ascontiguousarray(words, dtype="<u4").view(np.uint8).reshape(rows, words.shape[1] * 4)
    for start in range(0, rows, CHUNK):
        bits = np.unpackbits(raw[start : start + CHUNK], axis=1, bitorder="little")[:, : elements * width]
        values[start : start + CHUNK] = bits.reshape(len(bits), elements, width).astype(dtype) @ weights
    return values
