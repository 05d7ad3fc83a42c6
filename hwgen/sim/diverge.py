"""After a mismatch: which layer diverged first, at which element, beat, cycle and signal; and a waveform."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.fixed import FixedPoint, IntArray
from hwgen.ir.graph import Graph
from hwgen.sim.native import Harness, build_harness
from hwgen.sim.streams import Stream, Words, out_streams, tap_streams
from hwgen.sim.transfers import Beats, Transfers
from hwgen.tools import gxx

WINDOW = 512
"""Cycles after a frame's acceptance in which taps without a strobe are read, at most."""
AFTER = 8
"""Cycles after the last such tap that the waveform still shows."""
HISTORY = 3
"""Frames before the failing one that are tried before all of them are."""


def wave_format() -> str:
    """Return "fst" if the headers its writer needs are there (liblz4-dev, zlib1g-dev), else "vcd"."""
    return "fst" if gxx.has_header("lz4.h") and gxx.has_header("zlib.h") else "vcd"


def first_divergence(
    graph: Graph,
    design: dict[str, Any],
    files: list[Path],
    folder: Path,
    frames: Words,
    inputs: dict[str, IntArray],
    frame: int,
    *,
    wave: str | None,
    replay: str,
    progress: Callable[[str, float | None], None],
    stuck: int = 1_000_000,
) -> dict[str, Any]:
    """Simulate again with every layer visible and name the first one that leaves the graph's trace.

    Parameters
    ----------
    files : the RTL, in compile order
    folder : the build folder
    frames : packed frames, as the failing run offered them
    inputs : integers of the failing frame, one-frame arrays by input name
    frame : index of the failing frame in `frames`
    wave : the waveform's name: ``reports/<wave>.fst`` or ``.vcd``; None for none
    replay : the command that shows it again
    stuck : cycles without a transfer after which a simulation ends
    """
    progress("rebuilding with every layer visible", None)
    trace = wave_format() if wave else None
    harness = build_harness(design, files, folder / "tb" / "sim" / "taps", taps=True, trace=trace)
    expected = graph.evaluate(inputs, trace=True)
    target = folder / "reports" / f"{wave}.{trace}"
    options: dict[str, Any] = {"wave": str(target)} if trace else {}
    target.parent.mkdir(parents=True, exist_ok=True)
    window = max([tap["cycle"] for tap in design["taps"] if "cycle" in tap], default=0) + AFTER
    options |= {"tap_cycles": min(window, WINDOW), "stuck": stuck}
    found = None
    for before in sorted({0, min(HISTORY, frame), frame}):  # alone; if it is right alone, after others
        progress("looking for the first layer", None)
        found = _after(graph, harness, frames[frame - before : frame + 1], expected, options)
        if found is not None:
            found |= {"note": f"only after the {before} frames before it"} if before and "note" not in found else {}
            break
    if found is None:
        found = {"layer": None, "note": "it does not happen again with every layer visible"}
    found["waveform"] = target.relative_to(folder).as_posix() if trace and target.is_file() else None
    found["replay"] = replay
    return found


def _after(
    graph: Graph, harness: Harness, frames: Words, expected: dict[str, IntArray], options: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Simulate `frames`; return how the last one diverges, with what stands still at the end."""
    frame = len(frames) - 1
    seen = harness.run(frames, tap_frame=frame, **options)
    found = _compare(graph, harness.design, seen, expected, frame)
    if found is not None and seen.ended != "complete" and seen.waiting:
        found["waiting"] = list(seen.waiting)
    return found


def _compare(
    graph: Graph, design: dict[str, Any], seen: Transfers, expected: dict[str, IntArray], frame: int
) -> dict[str, Any] | None:
    """Return the first tap, in graph order, whose beats for `frame` are not the trace's; then the outputs."""
    entered = [c[frame * b] for c, b in zip(seen.sources, seen.in_beats, strict=True) if len(c) > frame * b]
    if not entered:
        return {"layer": "input", "note": "the design never accepted the frame"}
    start = int(min(entered))
    agree: list[str] = []
    missing = None
    last = max([tap["cycle"] for tap in design["taps"] if "cycle" in tap], default=0)
    for tap, stream in zip(design["taps"], tap_streams(design), strict=True):
        beats = seen.taps[stream.name]
        if stream.valid is None:  # a value that stands at a fixed cycle
            beats = _pick(beats, beats.cycles == start + tap["cycle"])
            if not len(beats.cycles):
                continue
        signal = tap.get("signal") or f"{design['top']}.{tap['port']}"
        found = _differs(graph, stream, beats, expected[stream.name], start, signal)
        if found is None:
            agree.append(stream.name)
        elif "element" in found:
            return {**found, "of_cycles": last or _end(seen, frame, start) or found["cycle"], "agree": agree}
        else:  # beats that never came: the first wrong value says more, if there is one
            missing = missing or {**found, "agree": list(agree)}
    for stream, beats in _ports(design, seen, frame):
        (port,) = stream.ports
        found = _differs(graph, stream, beats, expected[stream.name], start, f"{design['top']}.{port['port']}")
        if found is not None and "element" in found:
            return {**found, "of_cycles": _end(seen, frame, start) or found["cycle"], "agree": agree}
        missing = missing or (found and {**found, "agree": agree})
    return missing


def _ports(design: Mapping[str, Any], seen: Transfers, frame: int) -> Iterator[tuple[Stream, Beats]]:
    """Give each output port as a stream of its own, with its beats of `frame`."""
    for stream, sink in zip(out_streams(design), seen.sinks, strict=True):
        part, offset = slice(frame * stream.beats, (frame + 1) * stream.beats), 0
        for port, words in zip(stream.ports, stream.port_words, strict=True):
            one = Stream(port["name"], stream.valid, None, stream.beats, (port,))
            yield one, Beats(sink.cycles[part], sink.words[part, offset : offset + words])
            offset += words


def _pick(beats: Beats, mask: Any) -> Beats:
    return Beats(beats.cycles[mask][:1], beats.words[mask][:1])


def _end(seen: Transfers, frame: int, start: int) -> int | None:
    """Return the cycle of the frame's last output beat, counted from its first input beat."""
    whole = seen.whole
    return int(whole.outs(-1)[frame]) - start if whole.produced > frame else None


def _differs(
    graph: Graph, stream: Stream, beats: Beats, expected: IntArray, start: int, signal: str
) -> dict[str, Any] | None:
    """Return where the beats of one port leave `expected`; beats that are missing at the end if the others agree."""
    (port,) = stream.ports
    node = port.get("node") or port["name"]
    got = stream.unpack_beats(beats.words, "port")[port["port"]]
    want = np.asarray(expected).reshape(stream.beats, port["elements"])
    differ = np.asarray(want[: len(got)] != got[: stream.beats], dtype=bool)
    fmt = graph.types[node].fmt
    if not differ.any():
        if len(got) >= stream.beats:
            return None
        note = f"beat {len(got)} of {stream.beats} never came" if stream.beats > 1 else "the frame never came out"
        return {"layer": node, **_pixel(graph, node, stream, len(got)), "signal": signal, "note": note}
    beat, element = (int(v) for v in np.argwhere(differ)[0])
    low = element * port["width"]
    return {
        "layer": node,
        "element": beat * port["elements"] + element,
        **_pixel(graph, node, stream, beat, element),
        "differing_elements": int(differ.sum()),
        "graph_integer": int(want[beat, element]),
        "rtl_integer": int(got[beat, element]),
        "graph_value": _value(fmt, want[beat, element]),
        "rtl_value": _value(fmt, got[beat, element]),
        "type": str(fmt),
        "bits": [low + port["width"] - 1, low],
        "cycle": int(beats.cycles[beat]) - start,
        "signal": signal,
        **_slip(want, got, beat),
    }


def _slip(want: IntArray, got: IntArray, beat: int) -> dict[str, str]:
    """Return a note if what came from `beat` on is what belongs a beat later or earlier: one is lost or repeated."""
    later, earlier = want[beat + 1 :], want[beat - 1 : -1] if beat else want[:0]
    rest = got[beat : len(want)]
    if len(rest) and len(later) >= len(rest) and np.array_equal(rest, later[: len(rest)]):
        return {"note": f"beat {beat} is missing: beat {beat + 1} comes in its place"}
    if len(rest) and len(earlier) and np.array_equal(rest, earlier[: len(rest)]):
        return {"note": f"beat {beat - 1} comes twice"}
    return {}


def _pixel(graph: Graph, node: str, stream: Stream, beat: int, element: int | None = None) -> dict[str, Any]:
    """Return the beat and the pixel (y, x) it is, and the channel, of a tensor that travels in beats."""
    shape = graph.types[node].shape
    if stream.beats == 1:
        return {}
    width = shape[-2] if len(shape) > 1 and stream.beats % shape[-2] == 0 else stream.beats
    place: dict[str, Any] = {"beat": beat, "beats": stream.beats, "pixel": list(divmod(beat, width))}
    return place | ({} if element is None else {"channel": element})


def _value(fmt: FixedPoint, integer: Any) -> float:
    return float(fmt.to_float(np.asarray(integer)))
