"""An estimate of the dynamic energy of an inference on an FPGA: recorded toggles times published energies.

Every toggle of a bit in the RTL costs what an adder's bit costs (M. Horowitz, "Computing's energy problem", ISSCC 2014,
45 nm, 0.9 V: 0.1 pJ for an addition of 32 bits, of which half toggle), times 14, the gap between LUTs with their
routing and standard cells (I. Kuon and J. Rose, "Measuring the gap between FPGAs and ASICs", IEEE TCAD 26, 2007).
Multipliers (0.2 pJ for 8 × 8 bits) and memories (10 pJ for 64 bits of 8 KB) are hard blocks: no factor. A register's
clock costs one bit's toggle a cycle, on its own network: no factor. All is scaled by feature size and by voltage
squared. Static power is not in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hwgen.cost.activity import Activity
from hwgen.cost.layers import GLUE, layers_of
from hwgen.cost.table import CostTable
from hwgen.errors import ToolMissing
from hwgen.ir import Graph, load_graph

TOGGLE_PJ = 0.1 / 16
MULTIPLY_PJ = 0.2 / 64
"""For a product of bits: of 8 × 8."""
READ_PJ = 10 / 64
"""For a bit that is read."""
FABRIC = 14.0
NODES = {
    "xc7": (28, 1.0),
    "xcu": (20, 0.95),
    "xcup": (16, 0.85),
    "ecp5": (40, 1.1),
    "ice40": (40, 1.2),
    "gowin": (55, 1.2),
    "nexus": (28, 1.0),
}
"""Feature size in nm and core voltage of a family."""
UNSURE = "estimate within a factor of 3: published energies of operations over recorded toggles; dynamic power only"


def scale(family: str) -> float:
    """Return the energy of a family's transistors against those of 45 nm and 0.9 V.

    Raises
    ------
    ToolMissing
        If the family is not in the list.
    """
    if family not in NODES:
        raise ToolMissing(f"no model of the energy of {family}")
    size, volts = NODES[family]
    return size / 45 * (volts / 0.9) ** 2


def fpga_table(
    folder: Path, device: str, family: str, activity: Activity, clock_period_ns: float | None = None
) -> CostTable:
    """Return the estimate by layer.

    Raises
    ------
    ToolMissing
        If the family is not in the list.
    """
    factor = scale(family)
    design = json.loads((folder / "rtl" / "design.json").read_text())
    graph = load_graph(folder / "graph")
    period = clock_period_ns or float(design["clock_period_ns"])
    interval = activity.window.cycles / activity.window.frames
    layers = layers_of({name: _module(name, design) for name in activity.toggles if name}, design)
    picojoules: dict[str, float] = dict.fromkeys([*layers.values(), GLUE], 0.0)
    for instance, (registers, others) in activity.toggles.items():
        layer = layers.get(instance, GLUE)
        clocked = activity.bits[instance][0] * interval
        toggles = (registers + others) / activity.window.frames
        picojoules[layer] += (toggles * FABRIC + clocked) * TOGGLE_PJ * factor
    for row in (design.get("statistics") or {}).get("layers") or ():
        if row.get("layer") in picojoules and row.get("weights"):
            picojoules[row["layer"]] += _blocks(row, graph, activity, interval) * factor
    names = [*dict.fromkeys(name for name in layers.values() if name != GLUE), GLUE]
    rows = [{"layer": n, **_figures(picojoules[n], interval * period)} for n in names]
    return CostTable(
        "energy",
        "estimate",
        device,
        reason=f"frames back to back at the interval; {UNSURE}",
        total=_figures(sum(picojoules.values()), interval * period),
        layers=tuple(rows),
        details={
            "frames": activity.window.frames,
            "cycles": activity.window.cycles,
            "vectors": activity.vectors,
            "interval_cycles": interval,
            "clock_period_ns": period,
            "toggles": sum(sum(pair) for pair in activity.toggles.values()),
            "bits": sum(sum(pair) for pair in activity.bits.values()),
        },
    )


def _figures(picojoules: float, nanoseconds: float) -> dict[str, float]:
    return {"power_mw": float(f"{picojoules / nanoseconds:.4g}"), "energy_nj": float(f"{picojoules / 1000:.4g}")}


def _module(instance: str, design: dict[str, Any]) -> str:
    """Return the module of an instance of the top, as far as `layers_of` has to know."""
    stage = instance.removeprefix("u_")
    own = f"{design['top']}_{stage}"
    if f"{own}.sv" in design["files"]:
        return own
    return "hg_row_store" if stage.endswith("_rows") else "hg_collect" if stage.endswith("_collect") else "hg_fifo"


def _blocks(row: dict[str, Any], graph: Graph, activity: Activity, interval: float) -> float:
    """Return picojoules of a layer's multipliers and weight memories in a frame, at 45 nm.

    A multiplier whose operands rest costs little: its energy goes with how much of the layer toggles, half of the bits
    a cycle being what the published figure stands for.
    """
    weight_bits = row["weight_memory_bits"] / row["weights"] if row.get("weight_memory_bits") else 0.0
    if not weight_bits or not row.get("multipliers"):
        return 0.0
    node = next((n for n in graph.nodes if n.name == row["layer"]), None)
    width = graph.types[node.inputs[0]].fmt.width if node is not None and node.inputs else 8
    toggles, bits = activity.toggles.get(f"u_{row['layer']}"), activity.bits.get(f"u_{row['layer']}")
    share = 1.0
    if toggles and bits and sum(bits):
        share = min(1.0, 2 * sum(toggles) / (sum(bits) * activity.window.cycles))
    products = row["multipliers"] * min(row["cycles"], interval)
    return products * width * weight_bits * MULTIPLY_PJ * share + row["firings"] * row["weight_memory_bits"] * READ_PJ
