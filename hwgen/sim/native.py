"""The native bench from Python: frames in, every transfer with its cycle out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import ProofError
from hwgen.fixed import IntArray
from hwgen.sim.build import TEMPLATES, ModelSource, Program, build
from hwgen.sim.glue import glue, port_words
from hwgen.tools.run import run

MAGIC = 0x68776765
VIOLATIONS = {
    1: "out_valid_o fell before out_ready_i took the frame",
    2: "out_data_o changed while it waited for out_ready_i",
    3: "an assertion of the RTL failed",
}
CHUNK = 8192
STALL_TIMEOUT_S = 60.0
"""The harness reports several times a second; silent for this long, it hangs."""


def pack(values: IntArray, width: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Pack integers (frames, elements) into 32-bit words a frame, element 0 at the least significant end."""
    frames, elements = values.shape
    words = -(-elements * width // 32)
    packed = np.zeros((frames, words * 4), dtype=np.uint8)
    for start in range(0, frames, CHUNK):
        part = values[start : start + CHUNK]
        bits = ((part[:, :, None] >> np.arange(width).astype(part.dtype)) & 1).astype(np.uint8)
        rows = np.packbits(bits.reshape(len(part), -1), axis=1, bitorder="little")
        packed[start : start + len(part), : rows.shape[1]] = rows
    return packed.view("<u4")


def unpack(words: np.ndarray[Any, np.dtype[np.uint32]], elements: int, width: int, signed: bool) -> IntArray:
    """Return integers (frames, elements) from 32-bit words a frame; the reverse of `pack`."""
    frames = len(words)
    dtype: Any = np.int64 if width <= 62 else object
    weights = np.array([1 << bit for bit in range(width)], dtype=dtype)
    if signed:
        weights[-1] = -weights[-1]
    values = np.zeros((frames, elements), dtype=dtype)
    raw = np.ascontiguousarray(words, dtype="<u4").view(np.uint8).reshape(frames, words.shape[1] * 4)
    for start in range(0, frames, CHUNK):
        bits = np.unpackbits(raw[start : start + CHUNK], axis=1, bitorder="little")[:, : elements * width]
        values[start : start + CHUNK] = bits.reshape(len(bits), elements, width).astype(dtype) @ weights
    return values


def pack_ports(ports: Sequence[dict[str, Any]], values: Mapping[str, IntArray]) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Pack one array a port, by the port's name, into the harness's frames."""
    rows = []
    for port in ports:
        array = np.asarray(values[port["name"]])
        rows.append(pack(array.reshape(len(array), port["elements"]), port["width"]))
    return np.ascontiguousarray(np.concatenate(rows, axis=1), dtype="<u4")


def unpack_ports(
    ports: Sequence[dict[str, Any]], words: np.ndarray[Any, np.dtype[np.uint32]], key: str = "name"
) -> dict[str, IntArray]:
    """Return integers (frames, elements) by port name."""
    result, offset = {}, 0
    for port, count in zip(ports, port_words(ports), strict=True):
        part = words[:, offset : offset + count]
        result[port[key]] = unpack(part, port["elements"], port["width"], port["signed"])
        offset += count
    return result


@dataclass(frozen=True)
class Transfers:
    """What one run of the harness saw.

    Parameters
    ----------
    accepted, produced : cycles of the input and output transfers
    resets : cycles (asserted, released), one row a reset
    outputs : 32-bit words a frame, in order of `produced`
    taps : (cycles, 32-bit words a cycle)
    violation : what broke the protocol first, and its cycle
    cycles, seconds : length of the run
    """

    accepted: IntArray
    produced: IntArray
    resets: IntArray
    outputs: np.ndarray[Any, np.dtype[np.uint32]]
    taps: tuple[IntArray, np.ndarray[Any, np.dtype[np.uint32]]]
    violation: tuple[str, int] | None
    cycles: int
    seconds: float


@dataclass(frozen=True)
class Harness:
    """A built native bench of one core."""

    program: Path
    design: dict[str, Any]
    taps: bool = False

    def run(
        self,
        frames: np.ndarray[Any, np.dtype[np.uint32]],
        *,
        resets: Sequence[tuple[int, int]] = (),
        on_progress: Callable[[int, int], None] | None = None,
        log: Path | None = None,
        **options: int | float | str,
    ) -> Transfers:
        """Offer packed `frames` and return every transfer.

        Parameters
        ----------
        resets : (cycles since the last release, cycles held) of each reset
        options : of the harness, ``_`` for ``-``: ``source_gap`` and ``sink_stall`` (per mille), ``seed``,
            ``init_seed``, ``seconds``, ``first``, ``frames``, ``tail``, ``tap_frame``, ``tap_cycles``, ``wave``

        Raises
        ------
        ProofError
            If the simulator crashes or hangs.
        """
        with tempfile.TemporaryDirectory(prefix="hwgen-sim-") as scratch:
            source, target = Path(scratch) / "in.bin", Path(scratch) / "out.bin"
            source.write_bytes(frames.astype("<u4").tobytes())
            command: list[str | Path] = [self.program, "--in", source, "--out", target]
            if len(resets):
                schedule = Path(scratch) / "resets.bin"
                schedule.write_bytes(np.asarray(resets, dtype="<u4").tobytes())
                command += ["--resets", schedule]
            for key, value in options.items():
                command += [f"--{key.replace('_', '-')}", str(value)]
            listen = _progress_reader(on_progress) if on_progress else None
            run(command, stall_timeout_s=STALL_TIMEOUT_S, log=log, on_output=listen)
            return self._read(target.read_bytes() if target.is_file() else b"")

    def _read(self, data: bytes) -> Transfers:
        head = np.frombuffer(data[:72], dtype="<u8").astype(np.int64)
        if len(head) != 9 or head[0] != MAGIC:
            raise ProofError("the simulation left no results", hint="build again; see the logs in reports/")
        n_in, n_out, n_reset, n_tap, cycles, violation, where, micros = (int(v) for v in head[1:])
        stamps = np.frombuffer(data, dtype="<u8", count=n_in + n_out + n_reset + n_tap, offset=72).astype(np.int64)
        cuts = np.cumsum([n_in, n_out, n_reset])
        accepted, produced, resets, tap_cycles = np.split(stamps, cuts)
        out_words = sum(port_words(self.design["outputs"]))
        tap_words = sum(port_words(self.design["taps"])) if self.taps else 0
        words = np.frombuffer(data, dtype="<u4", offset=72 + 8 * len(stamps))
        if len(words) != n_out * out_words + n_tap * tap_words:
            raise ProofError("the simulation's results are cut short", found=f"{len(data)} bytes")
        return Transfers(
            accepted,
            produced,
            resets[: n_reset // 2 * 2].reshape(-1, 2),
            words[: n_out * out_words].reshape(n_out, out_words),
            (tap_cycles, words[n_out * out_words :].reshape(n_tap, tap_words)),
            (VIOLATIONS[violation], where) if violation else None,
            cycles,
            micros / 1e6,
        )


def _progress_reader(on_progress: Callable[[int, int], None]) -> Callable[[str], None]:
    def listen(text: str) -> None:
        for line in text.splitlines():
            match line.split():
                case ["progress", done, total]:
                    on_progress(int(done), int(total))

    return listen


def harness_program(design: dict[str, Any], *, taps: bool = False, trace: str | None = None) -> Program:
    """Return the native bench of `design`, to build with its model."""
    return Program({"glue.cpp": glue(design, taps=taps, trace=trace)}, (TEMPLATES / "harness.cpp",))


def build_harness(
    design: dict[str, Any],
    files: Sequence[Path],
    folder: Path,
    *,
    taps: bool = False,
    trace: str | None = None,
    vpi_depth: int = 0,
) -> Harness:
    """Build the native bench alone."""
    source = ModelSource(files, design["top"], ("HWGEN_TAPS",) if taps else (), trace=trace, vpi_depth=vpi_depth)
    made = build(source, {"harness": harness_program(design, taps=taps, trace=trace)}, folder)
    return Harness(made["harness"], design, taps)
