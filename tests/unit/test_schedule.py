"""The schedule: every path fits the clock, nothing runs backwards, tensors leave together, cuts only save bits."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl.elaborate import elaborate
from hwgen.rtl.schedule import SERIES_7, ULTRASCALE_PLUS, DelayModel, Schedule, _Work, register_bits, schedule
from hwgen.rtl.wires import Align, Literal, Program, Source


def program(seed: int) -> tuple[Program, list[int]]:
    rng = np.random.default_rng(seed)
    nodes: list[ir.Node] = [ir.Input(name="x", shape=(6,), fmt=FixedPoint.parse("fixed<6,3>"))]
    previous, width = "x", 6
    for k in range(3):
        nodes += [
            ir.Const(name=f"w{k}", value=rng.integers(-15, 16, (width, 5)), fraction=4),
            ir.Dense(name=f"fc{k}", inputs=(previous, f"w{k}")),
            ir.Requantize(name=f"r{k}", inputs=(f"fc{k}",), fmt=FixedPoint.parse("ufixed<5,2,RND_CONV,SAT>")),
        ]
        previous, width = f"r{k}", 5
    nodes += [ir.Add(name="skip", inputs=("r0", "r2")), ir.Output(name="y", inputs=("skip",))]
    graph = Graph("g", tuple(nodes)).verify()
    made, _ = elaborate(graph, lambda _: "distributed_arithmetic")
    return made, [t.wire for t in made.tensors["y"] if not isinstance(made.ops[t.wire], Literal)]


def slowest_path_ns(made: Program, plan: Schedule, model: DelayModel) -> float:
    """Longest path between registers, recomputed from the stages alone."""
    ends: list[float] = []
    for i, op in enumerate(made.ops):
        width = max((made.ops[o].width for o in op.operands), default=0)
        start = max((ends[o] for o in op.operands if plan.stage[o] == plan.stage[i]), default=0.0)
        ends.append(start + model.delay_ns(op, width))
    return max(ends) + model.register_ns


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("period", [1.2, 2.0, 3.3, 100.0])
@pytest.mark.parametrize("model", [ULTRASCALE_PLUS, SERIES_7])
def test_schedule_is_sound(seed: int, period: float, model: DelayModel) -> None:
    made, sinks = program(seed)
    plan = schedule(made, sinks, period, model)
    single = max(model.delay_ns(op, max((made.ops[o].width for o in op.operands), default=0)) for op in made.ops)
    assert slowest_path_ns(made, plan, model) <= max(period, single + model.register_ns) + 1e-6
    leaving: dict[str, set[int]] = {}
    for i, op in enumerate(made.ops):
        assert all(plan.stage[o] <= plan.stage[i] for o in op.operands if not isinstance(made.ops[o], Literal))
        if isinstance(op, Source):
            assert plan.stage[i] == 0
        if isinstance(op, Align):
            leaving.setdefault(op.tensor, set()).add(plan.stage[i])
    assert all(len(stages) == 1 for stages in leaving.values())
    assert max(plan.stage) < plan.n_stages


def test_slower_clock_needs_fewer_registers() -> None:
    made, sinks = program(0)
    plans = [schedule(made, sinks, period, ULTRASCALE_PLUS) for period in (1.2, 2.0, 4.0, 8.0)]
    stages = [p.n_stages for p in plans]
    bits = [register_bits(made, p, sinks) for p in plans]
    assert stages == sorted(stages, reverse=True) and bits == sorted(bits, reverse=True) and stages[0] > stages[-1]


@pytest.mark.parametrize("seed", range(6))
def test_minimum_cuts_beat_as_soon_as_possible(seed: int) -> None:
    made, sinks = program(seed)
    plan = schedule(made, sinks, 2.0, ULTRASCALE_PLUS)
    work = _Work.of(made, 2.0 - ULTRASCALE_PLUS.register_ns, ULTRASCALE_PLUS, set(sinks))
    soonest = Schedule(tuple(s for s, _ in work.earliest([0] * len(made.ops), {})), plan.n_stages)
    assert register_bits(made, plan, sinks) < register_bits(made, soonest, sinks)
