"""PORTS.md of a streaming design."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwgen.fixed import FixedPoint

if TYPE_CHECKING:
    from hwgen.rtl.stream.generate import StreamPlan


def ports_text(decided: StreamPlan, document: dict[str, Any]) -> str:
    """Return what an integrator must know of a streaming design's ports."""
    t, period = decided.timing, decided.options.clock_period_ns
    host = ", ".join(f"`{n.name}` as `{n.fmt}`" for n in decided.graph.inputs)
    lines = [
        f"# Ports of `{decided.graph.name}`",
        "",
        f"One frame into an empty design: {t.first_out_cycles} cycles to the first output beat, {t.latency_cycles} to",
        f"the last ({t.latency_cycles * period / 1000:g} us at the requested {period:g} ns clock; timing closure",
        "not checked).",
        f"Interval {t.interval_cycles} cycles a frame ({1e9 / (t.interval_cycles * period):.6g} frames a second).",
        "",
        "| port | valid | ready | elements a beat | beats a frame | element | value of integer n |",
        "|---|---|---|---|---|---|---|",
    ]
    for ports, streams in (("inputs", "in_streams"), ("outputs", "out_streams")):
        for row, stream in zip(document[ports], document[streams], strict=True):
            fmt = FixedPoint(row["width"], row["width"] - row["fraction"], row["signed"])
            lines.append(
                f"| `{row['port']}` | `{stream['valid']}` | `{stream['ready']}` | {row['elements']} | {row['beats']} "
                f"(shape {row['shape']}) | `{fmt}` | n x 2^{-row['fraction']}, {fmt.min:g} to {fmt.max:g} |"
            )
    lines += [
        "",
        "A beat is one pixel, pixels come in row-major order; element k of a beat is bits `[k*W +: W]` (W the",
        f"element's width). The host brings its input values to the element's grid: {host}.",
        "Frames follow each other without a mark between them.",
        "",
        "A beat is transferred in a cycle in which its valid and ready are high. `clk_i` rising edge; `rst_i`",
        "synchronous, active high, one cycle is enough; what is inside is lost, and the next beat is the first of a",
        "frame.",
        *_axis(document["axis"]),
    ]
    return "\n".join(lines) + "\n"


def _axis(axis: dict[str, Any]) -> list[str]:
    lines = [
        "",
        f"## AXI4-Stream wrapper `{axis['top']}`",
        "",
        f"{axis['bytes']} bytes a beat. Each element takes a whole number of bytes, sign- or zero-extended,",
        "element 0 of pixel 0 first at the least significant byte; frames are padded to whole beats; TLAST on a",
        "frame's last beat.",
        "",
    ]
    for way, beats in (("input", axis["input_beats"]), ("output", axis["output_beats"])):
        lines += [f"- {way} `{name}`: {n} beat{'s' if n != 1 else ''} a frame" for name, n in beats.items()]
    return [
        *lines,
        "",
        "A frame that ends early is completed with zeros and its result dropped; beats beyond a frame are dropped",
        "until TLAST; both pulse `frame_error`.",
    ]
