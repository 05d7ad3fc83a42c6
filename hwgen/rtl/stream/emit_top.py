"""The top of a streaming design: ports, streams, one instance a stage; and design.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwgen.ir import Graph
from hwgen.rtl import sv
from hwgen.rtl.emit_top import tensor_port
from hwgen.rtl.stream import network as net
from hwgen.rtl.stream.emit import Emission, templates

STREAM_PORTS = ("valid", "ready", "data")


@dataclass(frozen=True)
class Instance:
    """One instance of the top: module, parameters, connections, and a line that says what it is."""

    module: str
    name: str
    parameters: list[tuple[str, str]]
    ports: list[tuple[str, str]]
    comment: str
    taps: list[tuple[str, str]]


def instance(emission: Emission, stage: net.Stage) -> Instance | None:
    """Return a stage's instance; sources and sinks are ports and have none."""
    top, streams = emission.top, emission.network.streams
    match stage:
        case net.Source() | net.Sink():
            return None
        case net.Kernel():
            return _kernel(emission, stage)
        case net.Engine():
            about = f"{', '.join(stage.nodes)}: {stage.multipliers} multipliers, {stage.cycles} cycles an item"
            return _simple(stage, f"{top}_{stage.layer}", [], about)
        case net.Fork():
            return _fork(emission, stage)
        case net.Fifo():
            width = [("Width", str(streams[stage.input].bits)), ("Depth", str(stage.depth))]
            return _library(emission, stage, "hg_fifo", width, "", [("high_o", f"high_{stage.name}_o")])
        case net.Collect():
            width = [("Width", str(streams[stage.input].bits)), ("Beats", str(stage.beats))]
            return _library(emission, stage, "hg_collect", width, f"{stage.beats} beats to one item")
        case net.Split():
            width = [("Width", str(streams[stage.output].bits)), ("Beats", str(stage.beats))]
            return _library(emission, stage, "hg_split", width, f"one item to {stage.beats} beats")
        case net.Decimate():
            values = [streams[stage.input].bits, stage.height, stage.width, *stage.strides, stage.out_height]
            pairs = _pairs(("Width", "H", "W", "SY", "SX", "Ho", "Wo"), [*values, stage.out_width])
            return _library(emission, stage, "hg_decimate", pairs, f"every {stage.strides} pixel")
        case net.Reduce():
            return _reduce(emission, stage)
        case net.Pad():
            pairs = _pairs(
                ("Width", "H", "W", "Top", "Bottom", "Left", "Right"),
                [streams[stage.input].bits, stage.height, stage.width, *stage.padding],
            )
            return _library(emission, stage, "hg_pad", pairs, f"zeros around {stage.height} x {stage.width} pixels")
        case net.Places():
            width = [("H", str(stage.height)), ("W", str(stage.width))]
            width.append(("FieldWidth", str(streams[stage.output].fmt.width)))
            return _library(emission, stage, "hg_place", width, "row and column of each result")
        case net.Upsample():
            pairs = _pairs(
                ("Width", "H", "W", "FY", "FX"), [streams[stage.input].bits, stage.height, stage.width, *stage.factors]
            )
            return _library(emission, stage, "hg_upsample", pairs, f"every pixel {stage.factors} times")
        case net.RowStore():
            return _row_store(emission, stage)
    raise TypeError(type(stage).__name__)


def _pairs(keys: tuple[str, ...], values: list[int]) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in zip(keys, values, strict=True)]


def _stream_ports(stage: net.Stage) -> list[tuple[str, str]]:
    ports = [("clk_i", "clk_i"), ("rst_i", "rst_i")]
    for name, way in ((stage.inputs, "in"), (stage.outputs, "out")):
        for stream in name:
            back = "o" if way == "in" else "i"
            forth = "i" if way == "in" else "o"
            ports += [
                (f"{way}_valid_{forth}", f"{stream}_valid"),
                (f"{way}_ready_{back}", f"{stream}_ready"),
                (f"{way}_data_{forth}", f"{stream}_data"),
            ]
    return ports


def _simple(stage: net.Stage, module: str, parameters: list[tuple[str, str]], about: str) -> Instance:
    return Instance(module, f"u_{stage.name}", parameters, _stream_ports(stage), about, [])


def _library(
    emission: Emission,
    stage: net.Stage,
    module: str,
    parameters: list[tuple[str, str]],
    about: str,
    taps: list[tuple[str, str]] | None = None,
) -> Instance:
    emission.library.add(module)
    ports = _stream_ports(stage)
    if isinstance(stage, net.Collect) and not is_plain(emission.network, stage):
        # The elements leave in another order than they come in: wires behind the module.
        ports = [(p, f"{stage.name}_all" if p == "out_data_o" else s) for p, s in ports]
    return Instance(module, f"u_{stage.name}", parameters, ports, about, taps or [])


def is_plain(network: net.Network, stage: net.Collect) -> bool:
    """Return whether a collected item is its beats, whole, one after the other."""
    total = network.streams[stage.input].elements * stage.beats
    return len(stage.order) == total and all(int(place) == k for k, place in enumerate(stage.order))


def _kernel(emission: Emission, stage: net.Kernel) -> Instance:
    joined = len(stage.inputs) > 1
    valid = " && ".join(f"{s}_valid" for s in stage.inputs)
    ports = [("clk_i", "clk_i"), ("rst_i", "rst_i"), ("in_valid_i", f"{stage.name}_go" if joined else valid)]
    ports.append(("in_ready_o", f"{stage.name}_can" if joined else f"{stage.input}_ready"))
    for node, stream in zip(stage.plan.graph.inputs, stage.inputs, strict=True):
        ports.append((f"in_{node.name}_data_i" if joined else "in_data_i", f"{stream}_data"))
    ports += [
        ("out_valid_o", f"{stage.output}_valid"),
        ("out_ready_i", f"{stage.output}_ready"),
        ("out_data_o", f"{stage.output}_data"),
    ]
    about = f"{', '.join(stage.nodes)}: one item a cycle, {stage.latency} stages"
    return Instance(stage.plan.graph.name, f"u_{stage.name}", [], ports, about, [])


def _fork(emission: Emission, stage: net.Fork) -> Instance:
    emission.library.add("hg_fork")
    ports = [
        ("clk_i", "clk_i"),
        ("rst_i", "rst_i"),
        ("in_valid_i", f"{stage.input}_valid"),
        ("in_ready_o", f"{stage.input}_ready"),
        ("out_valid_o", "{" + ", ".join(f"{s}_valid" for s in reversed(stage.outputs)) + "}"),
        ("out_ready_i", "{" + ", ".join(f"{s}_ready" for s in reversed(stage.outputs)) + "}"),
    ]
    return Instance("hg_fork", f"u_{stage.name}", [("Branches", str(len(stage.outputs)))], ports, "", [])


def _reduce(emission: Emission, stage: net.Reduce) -> Instance:
    source, result = (emission.network.streams[s] for s in (stage.input, stage.output))
    parameters = [
        ("ElementWidth", str(source.fmt.width)),
        ("Channels", str(source.elements)),
        ("Beats", str(stage.beats)),
        ("OutWidth", str(result.fmt.width)),
        ("Op", str(int(stage.maximum))),
        ("InSigned", f"1'b{int(stage.signed)}"),
    ]
    what = "maximum" if stage.maximum else "sum"
    return _library(emission, stage, "hg_reduce", parameters, f"the {what} of {stage.beats} pixels")


def _row_store(emission: Emission, stage: net.RowStore) -> Instance:
    keys = ("ElementWidth", "Channels", "H", "W", "KH", "KW", "SH", "SW", "PT", "PL", "Ho", "Wo", "PadValue")
    values = [stage.element_width, stage.channels, stage.height, stage.width, *stage.kernel, *stage.strides]
    values += [stage.top, stage.left, stage.out_height, stage.out_width, stage.pad_value]
    size = f"{stage.kernel[0]} x {stage.kernel[1]}"
    about = f"{size} windows, {stage.slots} row slots of {stage.width} pixels"
    return _library(emission, stage, "hg_row_store", _pairs(keys, values), about)


def top_text(emission: Emission, lines: list[str], timing: list[str]) -> str:
    """Return the top module.

    Parameters
    ----------
    lines : what the header says of the layers
    timing : what it says of latency and interval
    """
    network = emission.network
    instances = [i for i in (instance(emission, stage) for stage in network.stages) if i]
    return (
        templates()
        .get_template("stream_top.sv.j2")
        .render(
            banner=emission.banner,
            top=emission.top,
            lines=lines,
            timing=timing,
            inputs=[port_names(network, s, "in") for s in network.sources],
            outputs=[port_names(network, s, "out") for s in network.sinks],
            streams=list(network.streams.values()),
            instances=instances,
            forks=[s for s in network.stages if isinstance(s, net.Fork)],
            joins=[s for s in network.stages if isinstance(s, net.Kernel) and len(s.inputs) > 1],
            orders=[
                _order(network, s) for s in network.stages if isinstance(s, net.Collect) and not is_plain(network, s)
            ],
            taps=tap_rows(emission),
            fifos=[s for s in network.stages if isinstance(s, net.Fifo)],
        )
    )


def _order(network: net.Network, stage: net.Collect) -> dict[str, Any]:
    stream = network.streams[stage.output]
    width = stream.fmt.width
    rows = [
        f"{stream.name}_data{sv.slice_of(k * width, width)} = {stage.name}_all{sv.slice_of(int(p) * width, width)}"
        for k, p in enumerate(stage.order)
    ]
    return {"name": f"{stage.name}_all", "bits": network.streams[stage.input].bits * stage.beats, "rows": rows}


def port_names(network: net.Network, stage: net.Source | net.Sink, way: str) -> dict[str, Any]:
    """Return the ports of a network input or output."""
    many = len(network.sources if way == "in" else network.sinks) > 1
    prefix = f"{way}_{stage.node}" if many else way
    stream = network.streams[stage.outputs[0] if way == "in" else stage.inputs[0]]
    forth, back = ("i", "o") if way == "in" else ("o", "i")
    return {
        "node": stage.node,
        "stream": stream,
        "valid": f"{prefix}_valid_{forth}",
        "ready": f"{prefix}_ready_{back}",
        "data": f"{prefix}_data_{forth}",
    }


def tap_rows(emission: Emission) -> list[dict[str, Any]]:
    """Return a tap for each node whose tensor travels on a stream, in graph order."""
    rows = []
    for node, name in tapped_streams(emission.graph, emission.network).items():
        stream = emission.network.streams[name]
        rows.append(
            {
                **stream_port(emission, stream, node, f"tap_{node}_o"),
                "node": node,
                "valid": f"tap_{node}_valid_o",
                "signal": f"{emission.top}.{stream.name}_data",
                "stream": stream.name,
            }
        )
    return rows


def tapped_streams(graph: Graph, network: net.Network) -> dict[str, str]:
    """Return, by node in graph order, the first stream that carries its tensor."""
    first: dict[str, str] = {}
    for stream in network.streams.values():
        if stream.node:
            first.setdefault(stream.node, stream.name)
    return {node.name: first[node.name] for node in graph.nodes if node.name in first}


def stream_port(emission: Emission, stream: net.Stream, node: str, port: str) -> dict[str, Any]:
    """Return what design.json says of a tensor on a stream."""
    row = tensor_port(emission.graph, node, port)
    return row | {
        "elements": stream.elements,
        "beats": stream.beats,
        "width": stream.fmt.width,
        "signed": stream.fmt.signed,
        "fraction": stream.fmt.fraction,
    }


def design_document(emission: Emission, options: Any, sources: list[str], statistics: dict[str, Any]) -> dict[str, Any]:
    """Return the content of design.json."""
    network = emission.network
    ways = {}
    for way, stages in (("in", network.sources), ("out", network.sinks)):
        rows = [port_names(network, stage, way) for stage in stages]
        ports = [stream_port(emission, row["stream"], row["node"], row["data"]) for row in rows]
        streams = [
            {"valid": r["valid"], "ready": r["ready"], "beats": r["stream"].beats, "ports": [r["node"]]} for r in rows
        ]
        ways[way] = (ports, streams)
    return {
        "version": 1,
        "top": emission.top,
        "io_type": "io_stream",
        "handshake": "valid_ready",
        "clock": "clk_i",
        "reset": "rst_i",
        "clock_period_ns": options.clock_period_ns,
        "part": options.part,
        "inputs": ways["in"][0],
        "outputs": ways["out"][0],
        "in_streams": ways["in"][1],
        "out_streams": ways["out"][1],
        "taps": tap_rows(emission),
        "links": [
            {
                "name": s.name,
                "valid": f"link_{s.name}_valid_o",
                "ready": f"link_{s.name}_ready_o",
                "from": network.producer(s.name).name,
                "to": network.consumer(s.name).name,
            }
            for s in network.streams.values()
        ],
        "fifos": [
            {"name": s.name, "depth": s.depth, "port": f"high_{s.name}_o"}
            for s in network.stages
            if isinstance(s, net.Fifo)
        ],
        "files": sources,
        "statistics": statistics,
        "axis": None,
    }
