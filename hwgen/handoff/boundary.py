"""The ports of the module that is handed over, and the bus interfaces they form."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.handoff.source import Source
from hwgen.sim.streams import in_streams, out_streams


@dataclass(frozen=True)
class Port:
    """A port.

    Parameters
    ----------
    name : str
    way : ``in`` or ``out``
    width : bits; 0 for a scalar
    bus : the bus interface it belongs to; None if to none
    signal : its name in that interface, as ``TDATA``
    """

    name: str
    way: str
    width: int = 0
    bus: str | None = None
    signal: str | None = None


@dataclass(frozen=True)
class Boundary:
    """A module's ports in order, its clock and its reset.

    Parameters
    ----------
    module : the module
    ports : every port
    clock, reset : their names
    active_low : whether reset is
    streams : AXI4-Stream interfaces with their way, ``s_axis`` -> ``in``; empty for a core
    """

    module: str
    ports: tuple[Port, ...]
    clock: str
    reset: str
    active_low: bool
    streams: dict[str, str]


def boundary(source: Source) -> Boundary:
    """Return the boundary of what is handed over: the AXI4-Stream wrapper, or the core with ``handshake: none``."""
    return _wrapper(source) if source.axis is not None else core_boundary(source)


def _wrapper(source: Source) -> Boundary:
    axis = source.axis
    assert axis is not None
    bits = 8 * int(axis["bytes"])
    ports = [Port("aclk", "in", 0, "aclk", "CLK"), Port("aresetn", "in", 0, "aresetn", "RST")]
    streams = {}
    for way, back, prefix in (("in", "out", "s_axis"), ("out", "in", "m_axis")):
        rows = source.design[f"{way}puts"]
        for row in rows:
            infix = f"_{row['name']}" if len(rows) > 1 else ""
            bus = f"{prefix}{infix}"
            streams[bus] = way
            ports.append(Port(f"{bus}_tdata", way, bits, bus, "TDATA"))
            ports.append(Port(f"{bus}_tvalid", way, 0, bus, "TVALID"))
            ports.append(Port(f"{bus}_tready", back, 0, bus, "TREADY"))
            ports.append(Port(f"{bus}_tlast", way, 0, bus, "TLAST"))
            ports += [Port(f"frame_error{infix}", "out")] if way == "in" else []
    return Boundary(str(axis["top"]), tuple(ports), "aclk", "aresetn", True, streams)


def core_boundary(source: Source) -> Boundary:
    """Return the boundary of the core: valid/ready streams."""
    clock, reset = str(source.design["clock"]), str(source.design["reset"])
    ports = [Port(clock, "in", 0, clock, "CLK"), Port(reset, "in", 0, reset, "RST")]
    for way, back, streams in (("in", "out", in_streams(source.design)), ("out", "in", out_streams(source.design))):
        for stream in streams:
            assert stream.valid is not None
            ports.append(Port(stream.valid, way))
            ports += [Port(stream.ready, back)] if stream.ready else []
            ports += [Port(str(p["port"]), way, int(p["elements"]) * int(p["width"])) for p in stream.ports]
    return Boundary(source.top, tuple(ports), clock, reset, False, {})


def shell_text(source: Source, made: Boundary, banner: str) -> str:
    """Return ``<top>_ip``: the module in plain Verilog, for block designs, which take no SystemVerilog at the top."""
    lines = [
        f"// {banner}",
        "//",
        f"// {source.top}_ip: {made.module} behind plain Verilog ports. Vivado's block designs accept no SystemVerilog",
        "// module at the top of a packaged or referenced one.",
        f"module {source.top}_ip (",
    ]
    for index, port in enumerate(made.ports):
        lines += [f"  {text}" for text in _attributes(made, port)]
        span = f" [{port.width - 1}:0]" if port.width else ""
        comma = "," if index < len(made.ports) - 1 else ""
        lines.append(f"  {port.way}put wire{span} {port.name}{comma}")
    lines += [");", "", f"  {made.module} u_core ("]
    lines += [f"      .{p.name}({p.name}){',' if i < len(made.ports) - 1 else ''}" for i, p in enumerate(made.ports)]
    return "\n".join([*lines, "  );", "", "endmodule", ""])


def _attributes(made: Boundary, port: Port) -> list[str]:
    if port.bus is None:
        return []
    kinds = {"CLK": "signal:clock", "RST": "signal:reset"}
    kind = kinds.get(str(port.signal), "interface:axis")
    rows = [f'(* X_INTERFACE_INFO = "xilinx.com:{kind}:1.0 {port.bus} {port.signal}" *)']
    rows += [f'(* X_INTERFACE_PARAMETER = "{text}" *)' for text in [parameters_text(made, port)] if text]
    return rows


def parameters_of(made: Boundary, port: Port) -> dict[str, str]:
    """Return what Vivado has to know of the interface that a clock or reset port is."""
    if port.signal == "CLK":
        busses = {"ASSOCIATED_BUSIF": ":".join(made.streams)} if made.streams else {}
        return busses | {"ASSOCIATED_RESET": made.reset}
    return {"POLARITY": "ACTIVE_LOW" if made.active_low else "ACTIVE_HIGH"} if port.signal == "RST" else {}


def parameters_text(made: Boundary, port: Port) -> str:
    """Return the same as the value of ``X_INTERFACE_PARAMETER``."""
    return ", ".join(f"{key} {value}" for key, value in parameters_of(made, port).items())
