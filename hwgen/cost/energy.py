"""Power and energy of an inference, from switching activity that was recorded on real vectors.

In a cell library: the recorded ports are replayed on the mapped netlist, and OpenSTA turns what every net toggles into
power. On an FPGA, for which no open power model exists: an estimate from published energies of operations.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwgen.cost.activity import Activity, Unrecorded, port_bits, record
from hwgen.cost.asic import Mapped, link, map_design
from hwgen.cost.fpga_energy import fpga_table
from hwgen.cost.gates import Counts, Netlist, read_netlist, replay
from hwgen.cost.layers import GLUE
from hwgen.cost.liberty import find_library
from hwgen.cost.table import CostTable
from hwgen.errors import ProofError, ToolMissing
from hwgen.tools import opensta, yosys

Progress = Callable[[str, float | None], None]
KNOWN = "2.0."
"""The OpenSTA whose activity of single pins has been tried out; later versions count it in another unit."""
BACK_TO_BACK = "frames back to back at the interval"


def energy_table(
    folder: Path,
    device: str,
    family: str,
    clock_period_ns: float | None = None,
    progress: Progress | None = None,
    timeout_s: float = yosys.SYNTHESIS_TIMEOUT_S,
) -> CostTable:
    """Return power and energy per inference of a build folder's core on a device, frames back to back.

    Parameters
    ----------
    folder : a build folder as far as the rtl stage
    device : the part, or the cell library by name or path
    family : ``asic``, or the family of an FPGA, as ``xc7``
    clock_period_ns : the design's own if None
    timeout_s : of the synthesis for a cell library, where the table `asic` has not done it

    Raises
    ------
    SpecError
        If a liberty does not parse.
    """
    start = time.monotonic()
    say = progress or (lambda message, fraction: None)
    source = "opensta" if family == "asic" else "estimate"
    try:
        if family == "asic":
            library = find_library(device)
            tool = opensta.find()
            if not tool.version.startswith(KNOWN):
                raise ToolMissing(f"OpenSTA {tool.version}: energy is only known to be right with {KNOWN}x")
            activity = record(folder, say)
            mapped = map_design(folder, library, clock_period_ns, say, timeout_s)
            table = asic_energy(mapped, activity, _interval(folder), say)
        else:
            table = fpga_table(folder, device, family, record(folder, say), clock_period_ns)
    except ToolMissing as error:
        details = {"missing": error.what}
        return CostTable("energy", source, device, status="NOT RUN", reason=error.what, details=details)
    except Unrecorded as error:
        return CostTable("energy", source, device, status="NOT RUN", reason=error.what)
    except ProofError as error:
        return CostTable("energy", source, device, status="FAILED", reason=error.what)
    document = table.to_json() | {"seconds": round(time.monotonic() - start, 1)}
    return CostTable.from_json(document)


def _interval(folder: Path) -> int:
    return int(json.loads((folder / "reports" / "prediction.json").read_text())["interval_cycles"])


def asic_energy(mapped: Mapped, activity: Activity, interval: int, progress: Progress) -> CostTable:
    """Return the table of a mapped design.

    Raises
    ------
    ProofError
        If the netlist does not give the recorded outputs, or OpenSTA fails.
    """
    progress("replaying the recorded ports on the netlist", None)
    modules = json.loads((mapped.folder / "netlist.json").read_text())["modules"]
    netlist = read_netlist(modules, str(mapped.design["top"]), mapped.library)
    counts = replay_activity(netlist, mapped.design, activity)
    progress("OpenSTA: power", None)
    watts = _power(mapped, netlist, counts)
    nanojoules = interval * mapped.period_ns  # times watts
    rows = [
        {"layer": name, "power_mw": _round(w * 1e3), "energy_nj": _round(w * nanojoules)} for name, w in watts.items()
    ]
    total = sum(watts.values())
    details = {
        "frames": activity.window.frames,
        "cycles": activity.window.cycles,
        "vectors": activity.vectors,
        "interval_cycles": interval,
        "clock_period_ns": mapped.period_ns,
        "toggles_a_net_and_cycle": _round(float(counts.toggles[2:].mean()) / counts.cycles),
        "nets": netlist.nets - 2,
        "netlist_output_mismatches": 0,
    }
    return CostTable(
        "energy",
        "opensta",
        mapped.library.name,
        f"pyosys {yosys.find()}, OpenSTA {opensta.find().version}",
        reason=f"{BACK_TO_BACK}; activity of every net, without glitches; before placement: no wires, no clock tree",
        total={"power_mw": _round(total * 1e3), "energy_nj": _round(total * nanojoules)},
        layers=tuple(rows),
        details=details,
    )


def replay_activity(netlist: Netlist, design: Any, activity: Activity, seed: int = 1) -> Counts:
    """Replay what was recorded at the ports; every output bit must be the recorded one.

    Raises
    ------
    ProofError
        If one is not.
    """
    bits = port_bits(design, activity.ports)
    reset = (str(design["reset"]), 0)
    inputs = {reset: bits[reset]}
    outputs: dict[tuple[str, int], Any] = {}
    widths = {port["name"]: (port["port"], port["elements"] * port["width"]) for port in design["inputs"]}
    for stream in design["in_streams"]:
        if stream["valid"]:
            inputs[(stream["valid"], 0)] = bits[(stream["valid"], 0)]
        if stream["ready"]:
            outputs[(stream["ready"], 0)] = (bits[(stream["ready"], 0)], None)
        for port, width in (widths[name] for name in stream["ports"]):
            inputs |= {(port, bit): bits[(port, bit)] for bit in range(width)}
    widths = {port["name"]: (port["port"], port["elements"] * port["width"]) for port in design["outputs"]}
    for stream in design["out_streams"]:
        valid = (stream["valid"], 0) if stream["valid"] else None
        if stream["ready"]:
            inputs[(stream["ready"], 0)] = bits[(stream["ready"], 0)]
        if valid:
            outputs[valid] = (bits[valid], None)
        for port, width in (widths[name] for name in stream["ports"]):
            outputs |= {(port, bit): (bits[(port, bit)], valid) for bit in range(width)}
    return replay(netlist, inputs, outputs, reset, activity.window.first, activity.window.cycles, seed)


def _power(mapped: Mapped, netlist: Netlist, counts: Counts) -> dict[str, float]:
    """Return watts by layer.

    OpenSTA forgets the activity of pins when it first propagates its defaults: a report before they are set makes it
    do that. What is set afterwards stays, but goes no further than the pin it is set on, so that every pin is set.
    """
    lines = [*link(mapped), "report_power", "proc a {pin activity duty} {"]
    lines += ["  ::sta::set_power_pin_activity [::sta::find_pin $pin] $activity $duty", "}"]
    rates, duties = counts.toggles / counts.cycles, counts.ones / counts.cycles
    lines += [f"a {path}/{pin} {rates[net]:.5g} {duties[net]:.5g}" for path, pin, net in netlist.pins]
    lines += ['puts "HG power"', "report_power -digits 6"]
    lines += ["report_power -instances [get_cells -hierarchical *] -digits 6"]
    log = mapped.folder / "power.log"
    text = opensta.script("\n".join(lines) + "\n", log).partition("HG power\n")[2]
    watts = dict.fromkeys(mapped.row_names(), 0.0)
    number = r"(-?[\d.]+e[+-]\d+)"
    for match in re.finditer(rf"^\s*{number}\s+{number}\s+{number}\s+{number} (\S+)$", text, re.M):
        watts[mapped.layers.get(match.group(5).split("/")[0], GLUE)] += float(match.group(4))
    total_row = re.search(r"^Total(?:\s+\S+){3}\s+(\S+)", text, re.M)
    if total_row is None or abs(sum(watts.values()) - float(total_row.group(1))) > 1e-3 * float(total_row.group(1)):
        raise ProofError(
            "OpenSTA's power of the cells does not add up to its total",
            where=str(log),
            found=f"{sum(watts.values()):g} W of {total_row.group(1) if total_row else 'nothing'}",
        )
    return watts


def _round(value: float) -> float:
    return float(f"{value:.6g}")
