"""Runs a network made by hwgen on a PYNQ board: scales, packs, moves by DMA, unpacks, and checks itself first.

    from driver import Network
    net = Network()                       # loads the overlay, runs one golden frame, compares every bit
    y = net(raw)                          # raw data (frames, ...) or {input: raw}; returns {output: values}

What the network is stands in network.json beside this file; its vectors in golden.npz. Only NumPy and, on the board,
pynq are needed. Packing works anywhere: `Network(board=None)` loads no overlay.

SPDX-License-Identifier: CC0-1.0
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
Arrays = dict[str, Any]


class Mismatch(RuntimeError):
    """The board does not give the golden bits."""


class Network:
    """A network behind AXI DMA.

    Parameters
    ----------
    folder : where network.json, golden.npz and the overlay are
    board : ``kv260`` or ``pynq_z2``; "auto": the one whose overlay is there; None: no board, packing only
    check : run one golden frame at once
    """

    def __init__(self, folder: str | Path = HERE, board: str | None = "auto", *, check: bool = True) -> None:
        self.folder = Path(folder)
        self.about: dict[str, Any] = json.loads((self.folder / "network.json").read_text())
        self.inputs: list[dict[str, Any]] = self.about["inputs"]
        self.outputs: list[dict[str, Any]] = self.about["outputs"]
        self.board = Board(self._overlay(board), self.about) if board is not None else None
        if self.board is not None and check:
            self.check()

    def _overlay(self, board: str) -> Path:
        names = self.about["overlays"]
        found = [self.folder / f"{n}.bit" for k, n in names.items() if board in ("auto", k)]
        there = [path for path in found if path.is_file()]
        if len(there) != 1:
            raise FileNotFoundError(
                f"one overlay is needed, found {[p.name for p in there]} of {[p.name for p in found]}"
            )
        return there[0]

    def __call__(self, raw: Any) -> Arrays:
        """Return the outputs' values for raw data: one array, or one array an input."""
        return self.values(self.run(self.quantize(raw)))

    def quantize(self, raw: Any) -> Arrays:
        """Bring raw data (frames, \\*shape) to integers: x = raw * scale + offset, then to the input's grid.

        Rounding is half to even; what is beyond the format is clipped; NaN is refused.
        """
        given = raw if isinstance(raw, Mapping) else {self.inputs[0]["name"]: raw}
        if set(given) != {port["name"] for port in self.inputs}:
            raise KeyError(f"inputs are {[port['name'] for port in self.inputs]}, given {list(given)}")
        result = {}
        for port in self.inputs:
            x = np.asarray(given[port["name"]], dtype=np.float64) * self.about["scale"] + self.about["offset"]
            if np.isnan(x).any():
                raise ValueError(f"{port['name']}: not a number")
            low, high = limits(port)
            n = np.clip(np.rint(x * 2.0 ** port["fraction"]), low, high).astype(np.int64)
            result[port["name"]] = n.reshape(-1, port["elements"])
        return result

    def values(self, integers: Mapping[str, Any]) -> Arrays:
        """Return the outputs' values (frames, \\*shape) of their integers."""
        return {
            port["name"]: (integers[port["name"]] * 2.0 ** -port["fraction"]).reshape(-1, *port["shape"])
            for port in self.outputs
        }

    def pack(self, integers: Mapping[str, Any]) -> Arrays:
        """Return the bytes (frames, bytes) of every input."""
        return {port["name"]: pack(integers[port["name"]], port, self.about["bytes"]) for port in self.inputs}

    def unpack(self, packed: Mapping[str, Any]) -> Arrays:
        """Return the integers (frames, elements) of every output."""
        return {port["name"]: unpack(packed[port["name"]], port) for port in self.outputs}

    def run(self, integers: Mapping[str, Any]) -> Arrays:
        """Run integers (frames, elements) on the board."""
        if self.board is None:
            raise RuntimeError("no board: Network(board=None) packs only")
        return self.unpack(self.board.run(self.pack(integers)))

    def golden(self) -> tuple[Arrays, Arrays]:
        """Return golden inputs and outputs in integers."""
        with np.load(self.folder / "golden.npz", allow_pickle=False) as arrays:
            parts = {key: arrays[key] for key in arrays.files}
        made = [{k.partition("/")[2]: v for k, v in parts.items() if k.startswith(side)} for side in ("in/", "out/")]
        return made[0], made[1]

    def check(self, frames: int = 1) -> None:
        """Run golden frames and raise `Mismatch` unless every bit is right."""
        given, wanted = self.golden()
        got = self.run({name: array[:frames] for name, array in given.items()})
        for name, array in wanted.items():
            wrong = np.argwhere(got[name] != array[:frames])
            if len(wrong):
                frame, element = (int(v) for v in wrong[0])
                raise Mismatch(
                    f"{name}, golden frame {frame}, element {element}: "
                    f"{got[name][frame, element]}, expected {array[frame, element]}"
                )

    def seconds_a_frame(self, frames: int = 100) -> float:
        """Measure what a frame takes, with packing and Python."""
        given, _ = self.golden()
        some = {name: np.resize(array, (frames, array.shape[1])) for name, array in given.items()}
        start = time.perf_counter()
        self.run(some)
        return (time.perf_counter() - start) / frames


def limits(port: Mapping[str, Any]) -> tuple[int, int]:
    """Return the least and the greatest integer of a port's elements."""
    if port["signed"]:
        return -(1 << (port["width"] - 1)), (1 << (port["width"] - 1)) - 1
    return 0, (1 << port["width"]) - 1


def pack(integers: Any, port: Mapping[str, Any], beat_bytes: int) -> Any:
    """Return the bytes (frames, bytes) of integers (frames, elements).

    An element takes whole bytes, two's complement, the least significant first; element 0 comes first; the last beat
    is filled up with zeros.
    """
    array = np.ascontiguousarray(integers, dtype="<i8")
    if array.ndim != 2 or array.shape[1] != port["elements"]:
        raise ValueError(f"{port['name']}: {port['elements']} elements a frame, given {array.shape[1:]}")
    low, high = limits(port)
    if array.size and (array.min() < low or array.max() > high):
        raise ValueError(f"{port['name']}: {array.min()}..{array.max()} is beyond {low}..{high}")
    frames, elements = array.shape
    each = -(-port["width"] // 8)
    raw = array.view(np.uint8).reshape(frames, elements, 8)[:, :, :each].reshape(frames, elements * each)
    result = np.zeros((frames, port["beats"] * beat_bytes), np.uint8)
    result[:, : elements * each] = raw
    return result


def unpack(packed: Any, port: Mapping[str, Any]) -> Any:
    """Return the integers (frames, elements) of bytes (frames, bytes): the reverse of `pack`."""
    each = -(-port["width"] // 8)
    raw = np.asarray(packed, dtype=np.uint8)
    raw = raw[:, : port["elements"] * each].reshape(len(raw), port["elements"], each)
    wide = np.zeros((*raw.shape[:2], 8), np.uint8)
    wide[:, :, :each] = raw
    if port["signed"]:
        wide[:, :, each:] = np.where(raw[:, :, -1:] & 0x80, 0xFF, 0)
    return wide.view("<i8")[:, :, 0]


class Board:
    """The overlay with its DMA engines, one a pair of input and output, and one buffer a port."""

    def __init__(self, overlay: Path, about: Mapping[str, Any]) -> None:
        from pynq import Overlay, allocate  # type: ignore[import-not-found]  # on the board only

        self.about = about
        self.overlay = Overlay(str(overlay))
        self.buffers = {
            port["name"]: allocate(shape=(port["beats"] * about["bytes"],), dtype=np.uint8)
            for port in (*about["inputs"], *about["outputs"])
        }

    def channel(self, port: Mapping[str, Any], way: str) -> Any:
        """Return the DMA channel of a port; `way`: ``sendchannel`` or ``recvchannel``."""
        return getattr(getattr(self.overlay, port["dma"]), way)

    def run(self, packed: Mapping[str, Any]) -> Arrays:
        """Send frames one after the other and return what comes; a transfer is a frame, so that TLAST ends each."""
        frames = len(next(iter(packed.values())))
        outputs = self.about["outputs"]
        result = {p["name"]: np.zeros((frames, p["beats"] * self.about["bytes"]), np.uint8) for p in outputs}
        for frame in range(frames):
            for port in outputs:  # who receives is ready before anything is sent
                self.channel(port, "recvchannel").transfer(self.buffers[port["name"]])
            for port in self.about["inputs"]:
                buffer = self.buffers[port["name"]]
                buffer[:] = packed[port["name"]][frame]
                buffer.flush()
                self.channel(port, "sendchannel").transfer(buffer)
            for port in self.about["inputs"]:
                self.channel(port, "sendchannel").wait()
            for port in outputs:
                self.channel(port, "recvchannel").wait()
                buffer = self.buffers[port["name"]]
                buffer.invalidate()
                result[port["name"]][frame] = buffer
        return result
