"""How long `hwgen cost` takes to synthesize the jet tagger's topology, unrolled, every layer by itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hwgen.bench.networks import JET_SIZES, dense_network
from hwgen.bench.result import Options, Result, Row
from hwgen.cost.parts import find_part
from hwgen.cost.synth import Limits, synthesize
from hwgen.rtl import RtlOptions, generate

PART = "xcvu13p-flga2577-2-e"
QUICK_SIZES = (16, 16, 5)


def run(options: Options) -> Result:
    """Generate the network's RTL and synthesize it."""
    graph = dense_network("jet", QUICK_SIZES if options.quick else JET_SIZES, options.seed)
    with tempfile.TemporaryDirectory(prefix="hwgen-bench-cost-") as scratch:
        folder = Path(scratch)
        generate(graph, RtlOptions(part=PART)).files.write(folder / "rtl")
        table = synthesize(folder, find_part(PART), lambda text, share: None, Limits(seconds=600))
    size = f"{table.total.get('LUT') or 0:,.0f} LUT, {table.total.get('FF') or 0:,.0f} FF, {len(table.layers)} layers"
    if table.status != "DONE":
        return Result([Row("seconds", "synthesis, s", None, at_most=120, reason=f"{table.status}: {table.reason}")])
    name = "-".join(map(str, QUICK_SIZES if options.quick else JET_SIZES))
    row = Row("seconds", f"synthesis of {name} by layer ({size}), s", table.seconds, at_most=120)
    return Result([row], {"table": table.to_json()})
