"""The predicted cost: LUTs, flip-flops, DSP blocks and block RAM from a plan, before any SystemVerilog is written.

Flip-flops, DSP blocks and memories are counted; logic is counted in natural units (bits of adders, of multiplexers, of
clips ...) and turned into LUTs by calibrated factors. The formulas and their validation are in docs/cost_model.md.
"""

from __future__ import annotations

from collections import defaultdict

from hwgen.cost.calibrated import LUTS
from hwgen.cost.calibration import COVERED, family_of
from hwgen.cost.counts import Counts
from hwgen.cost.predict_parallel import count_plan
from hwgen.cost.predict_stream import count_stage
from hwgen.cost.table import CostTable
from hwgen.rtl.generate import Plan
from hwgen.rtl.stream import network as net
from hwgen.rtl.stream.generate import StreamPlan

TOP = "(top)"
"""The row of what belongs to no layer."""


def predict_cost(decided: Plan | StreamPlan) -> CostTable:
    """Return what a planned design will take, by layer and in all.

    Parameters
    ----------
    decided : Plan or StreamPlan

    Returns
    -------
    CostTable
        Kind ``predicted``, source ``estimate``: LUT, FF, DSP and BRAM_18K. For a family that the counting rules do not
        cover, ``NOT RUN`` and no figures.
    """
    family = family_of(decided.options.part)
    if family not in COVERED:
        return CostTable(
            kind="predicted",
            source="estimate",
            device=decided.options.part,
            status="NOT RUN",
            reason=f"costs are predicted for {' and '.join(COVERED)} parts only",
        )
    rows = {layer: _figures(count) for layer, count in layer_counts(decided).items()}
    return CostTable(
        kind="predicted",
        source="estimate",
        device=decided.options.part,
        reason=COVERED[family],
        total={key: sum(row[key] for row in rows.values()) for key in ("LUT", "FF", "DSP", "BRAM_18K")},
        layers=tuple({"layer": layer, **row} for layer, row in rows.items()),
        details={"family": family},
    )


def layer_counts(decided: Plan | StreamPlan) -> dict[str, Counts]:
    """Return the counts of every layer in the order of the graph; the last one is `TOP`."""
    counts: dict[str, Counts] = defaultdict(Counts)
    if isinstance(decided, Plan):
        counts.update(count_plan(decided))
    else:
        for stage in decided.network.stages:
            counts[layer_of(decided.network, stage)].merge(count_stage(decided.network, stage))
    top = counts.pop(TOP, Counts())
    return {**counts, TOP: top}


def layer_of(network: net.Network, stage: net.Stage) -> str:
    """Return the layer a stage works for: what makes its operands counts with it, what only joins layers to none."""
    match stage:
        case net.Kernel() | net.Engine():
            return stage.layer
        case net.RowStore() | net.Decimate() | net.Places():
            return layer_of(network, network.consumer(stage.output))
        case net.Fifo(optional=True):
            return layer_of(network, network.consumer(stage.output))
        case net.Collect() | net.Fifo(register=True):
            return layer_of(network, network.producer(stage.input))
        case net.Reduce():
            return stage.node
        case net.Pad() | net.Upsample():
            return stage.name
    return TOP


def _figures(count: Counts) -> dict[str, int]:
    return {"LUT": round(count.luts(LUTS)), "FF": round(count.ff), "DSP": count.dsp, "BRAM_18K": count.bram_18k}
