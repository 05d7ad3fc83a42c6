"""The AXI4-Stream wrapper of a streaming design: which queues and tags its boundary needs."""

from __future__ import annotations

from typing import Any

from hwgen.rtl.axis_stream import LIBRARY, AxisPort, axis_stream_text
from hwgen.rtl.stream import network as net
from hwgen.rtl.stream.emit import Emission
from hwgen.rtl.stream.emit_top import port_names, tap_rows
from hwgen.rtl.stream.timing import Timing, simulate


def axis_text(emission: Emission, bytes_a_beat: int, timing: Timing) -> str:
    """Return the wrapper's module."""
    network = emission.network
    emission.library |= set(LIBRARY)
    in_flight = -(-timing.latency_cycles // max(timing.interval_cycles, 1))
    taps = [port for tap in tap_rows(emission) for port in (tap["valid"], tap["port"])]
    links = [f"link_{s}_{way}_o" for s in network.streams for way in ("valid", "ready")]
    marks = [f"high_{s.name}_o" for s in network.stages if isinstance(s, net.Fifo)]
    return axis_stream_text(
        emission.top,
        _ports(network, "in"),
        _ports(network, "out"),
        banner=emission.banner,
        bytes_a_beat=bytes_a_beat,
        tags=in_flight + 3,
        open_ports=[*taps, *links, *marks],
    )


def axis_document(emission: Emission, bytes_a_beat: int) -> dict[str, Any]:
    """Return what design.json says of the wrapper."""
    ports = {way: _ports(emission.network, way, queues=False) for way in ("in", "out")}
    return {
        "top": f"{emission.top}_axis",
        "bytes": bytes_a_beat,
        "input_beats": {p.name: p.beats(bytes_a_beat) for p in ports["in"]},
        "output_beats": {p.name: p.beats(bytes_a_beat) for p in ports["out"]},
    }


def _ports(network: net.Network, way: str, queues: bool = True) -> list[AxisPort]:
    stages: list[Any] = network.sources if way == "in" else network.sinks  # type: ignore[assignment]
    waits = early_outputs(network) if way == "out" and queues else set()
    rows = []
    for stage in stages:
        names = port_names(network, stage, way)
        stream: net.Stream = names["stream"]
        rows.append(
            AxisPort(
                name=stage.node,
                infix=f"_{stage.node}" if len(stages) > 1 else "",
                valid=names["valid"],
                ready=names["ready"],
                data=names["data"],
                pixels=stream.beats,
                elements=stream.elements,
                width=stream.fmt.width,
                signed=stream.fmt.signed,
                queue=max(2, stream.beats) if stage.node in waits else 0,
            )
        )
    return rows


def early_outputs(network: net.Network) -> set[str]:
    """Return the outputs that may offer a pixel before the last pixel of every input has come."""
    early: set[str] = set()
    for source in network.sources:
        run = simulate(network, 1, withheld=source.node)
        early |= {sink.node for sink in network.sinks if run.offered(sink)}
    return early
