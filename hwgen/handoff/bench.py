"""The self-checking test bench and its golden vectors: what proves a handed-over design where hwgen is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.files import FileSet
from hwgen.fixed import IntArray
from hwgen.handoff.render import banner, render
from hwgen.handoff.source import Source, read_source
from hwgen.sim.streams import Stream, in_streams, out_streams


@dataclass(frozen=True)
class BenchStream:
    """A stream at the boundary of the design under test.

    Parameters
    ----------
    id : what its names in the bench start with
    name : what messages call it
    valid, ready, last : ports; None where the design has none
    ports : data ports with their widths in bits; the first is at the least significant end of a word
    beats : words of a frame
    file : its golden words
    """

    id: str
    name: str
    valid: str
    ready: str | None
    last: str | None
    ports: tuple[tuple[str, int], ...]
    beats: int
    file: str

    @property
    def width(self) -> int:
        """Bits of a word."""
        return sum(width for _, width in self.ports)

    def wiring(self) -> list[tuple[str, str]]:
        """Return ports of the design and the nets of the bench they are connected to."""
        rows = [(self.valid, f"{self.id}_valid")]
        rows += [(self.ready, f"{self.id}_ready")] if self.ready else []
        at = 0
        for port, width in self.ports:
            whole = len(self.ports) == 1
            rows.append((port, f"{self.id}_data" if whole else f"{self.id}_data[{at + width - 1}:{at}]"))
            at += width
        return rows + ([(self.last, f"{self.id}_last")] if self.last else [])


def bench_files(folder: Path, *, axis: bool | None = None) -> FileSet:
    """Return ``tb/<dut>_tb.sv`` and ``tb/<dut>_<stream>.mem`` of a build folder.

    The bench needs the files of rtl/ and a simulator that knows SystemVerilog. It reads its vectors from ``tb`` below
    the folder it runs in, or from where ``+vectors=FOLDER`` says, ends with a line ``PASS: ...`` or ``FAIL: ...``, and
    with ``$fatal`` if it failed.

    Parameters
    ----------
    axis : bool, optional
        True: test ``<top>_axis``; False: the core ``<top>``; None: the wrapper if there is one.

    Raises
    ------
    HwgenError
        As `read_source`.
    """
    return bench_of(read_source(folder), axis=axis)


def bench_of(source: Source, *, axis: bool | None = None, dut: str | None = None) -> FileSet:
    """Return the bench of a source that has been read; `dut`: a module with the ports of the one under test."""
    wrapped = source.axis is not None if axis is None else axis
    module = dut or (str(source.axis["top"]) if wrapped and source.axis else source.top)
    sources, sinks, words = _axis_streams(source, module) if wrapped else _core_streams(source, module)
    several = len(source.design["inputs"]) > 1
    names = [port["name"] for port in source.design["inputs"]]
    frame_errors = [f"frame_error_{n}" if several else "frame_error" for n in names] if wrapped else []
    clocks = [("aclk", "clk"), ("aresetn", "running")] if wrapped else [("clk_i", "clk"), ("rst_i", "!running")]
    wiring = [*clocks, *((name, name) for name in frame_errors)]
    wiring += [row for stream in (*sources, *sinks) for row in stream.wiring()]
    slow = int(source.prediction["latency_cycles"]) + 3 * int(source.prediction["interval_cycles"])
    text = render(
        "bench.sv.j2",
        banner=banner(source),
        tb=f"{module}_tb",
        dut=module,
        axis=wrapped,
        latency=None if wrapped else source.evidence["latency"]["measured_cycles"],
        frames=source.golden.frames,
        patience=10_000 + 4 * slow,
        settle=200 + int(source.prediction["latency_cycles"]),
        sources=sources,
        sinks=sinks,
        wiring=wiring,
        frame_errors=frame_errors,
    )
    files = FileSet({f"tb/{module}_tb.sv": text})
    for stream in (*sources, *sinks):
        files.add(f"tb/{stream.file}", memory_text(words[stream.id], stream.width, stream.beats, source.golden.names))
    return files


def memory_text(words: Sequence[int], width: int, beats: int, names: Sequence[str]) -> str:
    """Return a file for ``$readmemh``: one word a line, with a comment before each frame."""
    digits = -(-width // 4)
    lines = []
    for frame, name in enumerate(names):
        lines.append(f"// frame {frame}: {name}")
        lines += [f"{word:0{digits}x}" for word in words[frame * beats : (frame + 1) * beats]]
    return "\n".join(lines) + "\n"


def frame_bytes(values: IntArray, width: int, beat_bytes: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pack integers for AXI4-Stream.

    Parameters
    ----------
    values : integers (frames, elements of a frame)
    width : bits of an element
    beat_bytes : bytes of a beat

    Returns
    -------
    bytes (frames, bytes of a frame): whole bytes an element, two's complement, least significant first, element 0
    first, padded with zeros to whole beats
    """
    frames, elements = values.shape
    size = -(-width // 8)
    shifts = 8 * np.arange(size)
    raw = ((values[:, :, None] >> shifts.astype(values.dtype)) & 0xFF).astype(np.uint8).reshape(frames, elements * size)
    return np.pad(raw, ((0, 0), (0, -raw.shape[1] % beat_bytes)))


def _axis_streams(source: Source, module: str) -> tuple[list[BenchStream], list[BenchStream], dict[str, list[int]]]:
    axis = source.axis
    assert axis is not None
    size, words = int(axis["bytes"]), {}
    made: dict[str, list[BenchStream]] = {}
    for way, prefix, values in (("input", "s_axis", source.golden.inputs), ("output", "m_axis", source.golden.outputs)):
        ports = source.design[f"{way}s"]
        rows = made.setdefault(way, [])
        for port in ports:
            name = prefix if len(ports) == 1 else f"{prefix}_{port['name']}"
            handshake = (f"{name}_tvalid", f"{name}_tready", f"{name}_tlast")
            beats = int(axis[f"{way}_beats"][port["name"]])
            data = ((f"{name}_tdata", 8 * size),)
            rows.append(BenchStream(name, name, *handshake, data, beats, f"{module}_{name}.mem"))
            raw = frame_bytes(values[port["name"]], port["width"], size).tobytes()
            words[name] = [int.from_bytes(raw[i : i + size], "little") for i in range(0, len(raw), size)]
    return made["input"], made["output"], words


def _core_streams(source: Source, module: str) -> tuple[list[BenchStream], list[BenchStream], dict[str, list[int]]]:
    words: dict[str, list[int]] = {}
    made: list[list[BenchStream]] = []
    golden = source.golden
    for way, streams, values in (
        ("in", in_streams(source.design), golden.inputs),
        ("out", out_streams(source.design), golden.outputs),
    ):
        rows: list[BenchStream] = []
        for number, stream in enumerate(streams):
            ident = way if len(streams) == 1 else f"{way}{number}"
            ports = tuple((str(p["port"]), int(p["elements"]) * int(p["width"])) for p in stream.ports)
            assert stream.valid is not None
            file = f"{module}_{ident}.mem"
            rows.append(BenchStream(ident, stream.valid, stream.valid, stream.ready, None, ports, stream.beats, file))
            words[ident] = _core_words(stream, values)
        made.append(rows)
    return made[0], made[1], words


def _core_words(stream: Stream, values: Mapping[str, IntArray]) -> list[int]:
    """Return one integer a beat: the ports side by side, the first at the least significant end."""
    total: list[int] = []
    at = 0
    for port in stream.ports:
        bits = int(port["elements"]) * int(port["width"])
        array = values[port["name"]]
        beats = array.reshape(len(array) * stream.beats, int(port["elements"]))
        mask = (1 << int(port["width"])) - 1
        for index, row in enumerate(beats.tolist()):
            word = sum((int(v) & mask) << (k * int(port["width"])) for k, v in enumerate(row))
            if at == 0:
                total.append(word)
            else:
                total[index] |= word << at
        at += bits
    return total
