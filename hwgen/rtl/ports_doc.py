"""PORTS.md: what an integrator must know of a design's ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwgen.fixed import FixedPoint

if TYPE_CHECKING:
    from hwgen.rtl.generate import Plan


def render(decided: Plan, document: dict[str, Any]) -> str:
    """Return the text of PORTS.md for a planned design."""
    latency, period = decided.predicted.latency_cycles, decided.options.clock_period_ns
    host = ", ".join(f"`{n.name}` as `{n.fmt}`" for n in decided.graph.inputs)
    lines = [
        f"# Ports of `{decided.graph.name}`",
        "",
        f"Latency {latency} cycles ({latency * period:g} ns at the requested {period:g} ns clock; timing closure",
        f"not checked), interval {decided.predicted.interval_cycles} cycle.",
        "",
        "| port | way | elements | element | value of integer n |",
        "|---|---|---|---|---|",
        *(_row(row, "in") for row in document["inputs"]),
        *(_row(row, "out") for row in document["outputs"]),
        "",
        "Element k of a port is bits `[k*W +: W]` (W the element's width): row-major order, element 0 at the least",
        f"significant end. The host brings its input values to the element's grid: {host}.",
        "",
        "`clk_i` rising edge; `rst_i` synchronous, active high, one cycle is enough.",
        "Frames in flight at a reset are lost.",
    ]
    if document["handshake"] == "valid_ready":
        lines.append(
            "A frame enters when `in_valid_i` and `in_ready_o` are high; a result leaves when `out_valid_o` and"
        )
        lines.append("`out_ready_i` are.")
    else:
        lines.append(
            "Every frame with `in_valid_i` is taken; `out_valid_o` marks its result. There is no back-pressure."
        )
    return "\n".join(lines + (_axis(document["axis"]) if document["axis"] else [])) + "\n"


def _row(row: dict[str, Any], way: str) -> str:
    fmt = FixedPoint(row["width"], row["width"] - row["fraction"], row["signed"])
    return (
        f"| `{row['port']}` | {way} | {row['elements']} (shape {row['shape']}) | `{fmt}` | "
        f"n x 2^{-row['fraction']}, {fmt.min:g} to {fmt.max:g} |"
    )


def _axis(axis: dict[str, Any]) -> list[str]:
    lines = [
        "",
        f"## AXI4-Stream wrapper `{axis['top']}`",
        "",
        f"{axis['bytes']} bytes a beat. Each element takes a whole number of bytes, sign- or zero-extended, element 0",
        "first at the least significant byte; frames are padded to whole beats; TLAST on a frame's last beat.",
        "",
    ]
    for way, beats in (("input", axis["input_beats"]), ("output", axis["output_beats"])):
        lines += [f"- {way} `{name}`: {count} beat{'s' if count != 1 else ''} a frame" for name, count in beats.items()]
    return [
        *lines,
        "",
        "A frame that ends early is dropped; beats beyond a frame are dropped until TLAST; both pulse `frame_error`.",
    ]
