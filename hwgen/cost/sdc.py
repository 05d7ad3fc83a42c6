"""The timing constraints of a design's core, for every tool that reads SDC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IO_SHARE = 0.2
"""Part of the clock period that is left to what drives the inputs, and to what reads the outputs."""


def ports(design: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the core's input ports (without clock) and output ports as `design.json` lists them."""
    ways: list[list[str]] = []
    for way, (first, second) in (("in", ("valid", "ready")), ("out", ("ready", "valid"))):
        streams = design[f"{way}_streams"]
        with_us = [stream[first] for stream in streams if stream.get(first)]
        against = [stream[second] for stream in streams if stream.get(second)]
        data = [port["port"] for port in design[f"{way}puts"]]
        ways.append([*with_us, *data] if way == "in" else with_us)
        ways.append(against if way == "in" else [*against, *data])
    return [design["reset"], *ways[0], *ways[2]], [*ways[1], *ways[3]]


def sdc_text(design: Mapping[str, Any], period: float, unit: str = "ns") -> str:
    """Return the SDC of a core.

    Parameters
    ----------
    period : clock period in `unit`
    unit : the unit of time of the tool that reads it; SDC takes the first library's
    """
    inputs, outputs = ports(design)
    margin = f"{period * IO_SHARE:.6g}"
    lines = [
        f"# Clock, inputs and outputs of {design['top']}. Times are in {unit}: the unit of the first library read."
    ]
    lines += [f"create_clock -name {design['clock']} -period {period:.6g} [get_ports {design['clock']}]"]
    lines += [f"set_input_delay {margin} -clock {design['clock']} [get_ports {_bus(name, design)}]" for name in inputs]
    lines += [
        f"set_output_delay {margin} -clock {design['clock']} [get_ports {_bus(name, design)}]" for name in outputs
    ]
    return "\n".join(lines) + "\n"


def _bus(name: str, design: Mapping[str, Any]) -> str:
    """Return what names all bits of a port."""
    widths = {p["port"]: p["elements"] * p["width"] for p in (*design["inputs"], *design["outputs"])}
    return f"{{{name}[*]}}" if widths.get(name, 1) > 1 else name
