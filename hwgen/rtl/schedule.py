"""Registers: a delay model, the earliest and latest stage of every operation, and minimum cuts between stages.

Stage k is the logic between register rank k and rank k + 1; an operation of stage k computes in the k-th clock
cycle after its frame was accepted. Between two stages, every value that is still needed crosses one register.
Which operations go before a boundary is the minimum cut of the register bits that cross it, among the choices
that meet the clock period (the method of XLS's pipeline scheduler: Google XLS documentation, "Scheduling").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from hwgen.rtl.wires import (
    AddConst,
    AddSub,
    Align,
    Literal,
    MulConst,
    Multiply,
    Op,
    Program,
    Round,
    Select,
    Source,
    Table,
)


@dataclass(frozen=True)
class DelayModel:
    """Delays of one operation in ns: a LUT with its net, a carry bit, and what a register costs a stage.

    The figures are estimates for planning pipelines, not timing closure.
    """

    lut_ns: float
    carry_bit_ns: float
    register_ns: float

    def delay_ns(self, op: Op, operand_width: int) -> float:
        """Return the delay from `op`'s operands to its result."""
        match op:
            case Source() | Literal() | Align():
                return 0.0
            case AddSub() | AddConst():
                return self.lut_ns + self.carry_bit_ns * op.width
            case MulConst() if op.const & (op.const - 1) == 0:
                return 0.0
            case MulConst() | Multiply():
                return 3 * self.lut_ns + 2 * self.carry_bit_ns * op.width
            case Round():
                return 2 * self.lut_ns + (0 if op.half_added else self.carry_bit_ns * operand_width)
            case Select():
                return 2 * self.lut_ns + self.carry_bit_ns * operand_width
            case Table():
                return self.lut_ns * max(1, operand_width - 5)
        raise TypeError(f"no delay for {type(op).__name__}")


ULTRASCALE_PLUS = DelayModel(lut_ns=0.40, carry_bit_ns=0.012, register_ns=0.25)
SERIES_7 = DelayModel(lut_ns=0.65, carry_bit_ns=0.025, register_ns=0.45)


def delay_model(part: str) -> DelayModel:
    """Return the delay model for a part name: 7-series by its prefix, UltraScale+ otherwise."""
    return SERIES_7 if part.lower().startswith(("xc7", "xa7")) else ULTRASCALE_PLUS


@dataclass(frozen=True)
class Schedule:
    """`stage[i]` of every operation, and the number of stages."""

    stage: tuple[int, ...]
    n_stages: int

    def tensor_stage(self, program: Program, name: str) -> int:
        """Return the stage at which the whole tensor `name` is available."""
        return max((self.stage[t.wire] for t in program.aligned.get(name) or program.tensors[name]), default=0)


def schedule(program: Program, sinks: Iterable[int], clock_period_ns: float, model: DelayModel) -> Schedule:
    """Assign a stage to every operation: fewest stages, then fewest register bits.

    Parameters
    ----------
    sinks : operations that leave the design, all at the end of the last stage
    """
    sinks = set(sinks)
    work = _Work.of(program, clock_period_ns - model.register_ns, model, sinks)
    packed = [s for s, _ in work.earliest([0] * len(program.ops), {})]
    n_stages = max(packed, default=0) + 1
    plans = [
        Schedule(tuple(_improved(work, stages, n_stages)), n_stages)
        for stages in (packed, _cut_in_sequence(work, n_stages))
    ]
    return min(plans, key=lambda plan: register_bits(program, plan, sinks))


def _cut_in_sequence(work: _Work, n_stages: int) -> list[int]:
    """Place the boundaries one after the other, each at its minimum cut."""
    ops = work.ops
    floor = [0] * len(ops)
    earliest = work.earliest(floor, {})
    latest = work.latest(n_stages, n_stages - 1, {})
    for boundary in range(n_stages - 1):
        before = _minimum_cut(work, [s for s, _ in earliest], latest, boundary)
        floor = [f if i in before else max(f, boundary + 1) for i, f in enumerate(floor)]
        earliest = work.earliest(floor, {i: earliest[i] for i in before})
    return [s for s, _ in earliest]


def _improved(work: _Work, stages: list[int], n_stages: int, sweeps: int = 4) -> list[int]:
    """Move each boundary to its minimum cut while the others stand still, until nothing changes."""
    for sweep in range(sweeps):
        before = stages
        boundaries = range(n_stages - 1) if sweep % 2 == 0 else range(n_stages - 2, -1, -1)
        for k in boundaries:
            stages = _moved(work, stages, n_stages, k)
        if stages == before:
            break
    return stages


def _moved(work: _Work, stages: list[int], n_stages: int, k: int) -> list[int]:
    """Return `stages` with the boundary between stages `k` and `k` + 1 at its minimum cut."""
    outside = {i: (s, 0.0) for i, s in enumerate(stages) if s not in (k, k + 1)}
    earliest = [s for s, _ in work.earliest([k] * len(stages), outside)]
    latest = work.latest(n_stages, k + 1, outside)
    before = _minimum_cut(work, earliest, latest, k)
    return [s if i in outside else k if i in before else k + 1 for i, s in enumerate(stages)]


Time = tuple[int, float]


def _ties(program: Program) -> dict[int, list[int]]:
    """Alignment points of one tensor share one stage: {operation: all points of its tensor}."""
    by_tensor: dict[str, list[int]] = {}
    for i, op in enumerate(program.ops):
        if isinstance(op, Align):
            by_tensor.setdefault(op.tensor, []).append(i)
    return {i: points for points in by_tensor.values() for i in points}


@dataclass(frozen=True)
class _Work:
    """What the passes of the scheduler share: operations, who reads them, delays, ties, the time of a stage."""

    ops: list[Op]
    consumers: list[list[int]]
    delays: list[float]
    ties: dict[int, list[int]]
    budget_ns: float
    sinks: set[int]

    @classmethod
    def of(cls, program: Program, budget_ns: float, model: DelayModel, sinks: set[int]) -> _Work:
        ops = program.ops
        widths = [max((ops[o].width for o in op.operands), default=0) for op in ops]
        # An operation slower than the clock gets a stage of its own: the clock cannot be met there.
        delays = [min(model.delay_ns(op, width), budget_ns) for op, width in zip(ops, widths, strict=True)]
        consumers: list[list[int]] = [[] for _ in ops]
        for i, op in enumerate(ops):
            for o in set(op.operands):
                consumers[o].append(i)
        return cls(ops, consumers, delays, _ties(program), budget_ns, sinks)

    def earliest(self, floor: list[int], fixed: dict[int, Time]) -> list[Time]:
        """Return (stage, time of the result) of every operation, packed as early as `floor` and `fixed` allow."""
        times: list[Time] = [(0, 0.0)] * len(self.ops)
        for i, op in enumerate(self.ops):
            if i in fixed:
                times[i] = fixed[i]
                continue
            stage, start = floor[i], 0.0
            for o in op.operands:
                s, t = times[o]
                if isinstance(self.ops[o], Literal) or s < stage:
                    continue
                stage, start = (s, t) if s > stage else (s, max(start, t))
            if start + self.delays[i] > self.budget_ns + 1e-9:
                stage, start = stage + 1, 0.0
            times[i] = (stage, start + self.delays[i])
            if i in self.ties and i == self.ties[i][-1]:
                together = max(times[j] for j in self.ties[i])
                for j in self.ties[i]:
                    times[j] = together
        return times

    def latest(self, n_stages: int, ceiling: int, fixed: dict[int, Time]) -> list[int]:
        """Return the latest stage of every operation, packed backwards from stage `ceiling`."""
        # Time runs backwards: (stages left, time needed from the operation's start to the end of its stage).
        left: list[Time] = [(0, 0.0)] * len(self.ops)
        for i in range(len(self.ops) - 1, -1, -1):
            if i in fixed:
                left[i] = (n_stages - 1 - fixed[i][0], 0.0)
                continue
            stage, tail = n_stages - 1 - ceiling, 0.0
            # Every point of a tie is passed before any consumer's demand counts: collect over all of them.
            for j in self.ties.get(i, [i]):
                for c in self.consumers[j]:
                    s, t = left[c]
                    if s < stage:
                        continue
                    stage, tail = (s, t) if s > stage else (s, max(tail, t))
            if tail + self.delays[i] > self.budget_ns + 1e-9:
                stage, tail = stage + 1, 0.0
            left[i] = (stage, tail + self.delays[i])
        # The inputs are there in the first cycle and only then.
        return [0 if isinstance(op, Source) else n_stages - 1 - s for op, (s, _) in zip(self.ops, left, strict=True)]


def _minimum_cut(work: _Work, earliest: list[int], latest: list[int], boundary: int) -> set[int]:
    """Return the operations of stages up to `boundary`, such that the fewest register bits cross it.

    Flow network: a value crosses once however many consumers follow, so each operation gets a second vertex
    behind an edge of its width; consumers hang on that; edges back keep operands before their consumers.
    """
    ops, consumers, ties, sinks = work.ops, work.consumers, work.ties, work.sinks
    n = len(ops)
    source, sink = 2 * n, 2 * n + 1
    infinite = 1 << 28
    tails, heads, capacities = [], [], []

    def edge(tail: int, head: int, capacity: int) -> None:
        tails.append(tail)
        heads.append(head)
        capacities.append(capacity)

    for i, op in enumerate(ops):
        if isinstance(op, Literal):
            continue
        if latest[i] <= boundary:
            edge(source, i, infinite)
        elif earliest[i] > boundary:
            edge(i, sink, infinite)
        edge(i, n + i, op.width)
        for c in consumers[i]:
            edge(n + i, c, infinite)
            edge(c, i, infinite)
        if i in sinks:
            edge(n + i, sink, infinite)
        if i in ties and i != ties[i][0]:
            edge(i, ties[i][0], infinite)
            edge(ties[i][0], i, infinite)
    matrix = csr_matrix((np.array(capacities, np.int32), (tails, heads)), shape=(2 * n + 2, 2 * n + 2))
    flow = maximum_flow(matrix, source, sink).flow
    residual = (matrix - flow).tocsr()
    residual.data = np.where(residual.data > 0, 1, 0)
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    inside = {int(v) for v in reached if v < n}
    return inside | {i for i, op in enumerate(ops) if isinstance(op, Literal)}


def register_bits(program: Program, plan: Schedule, sinks: Iterable[int]) -> int:
    """Return how many register bits the schedule needs, the last rank included."""
    last: list[int] = list(plan.stage)
    for i, op in enumerate(program.ops):
        for o in op.operands:
            last[o] = max(last[o], plan.stage[i])
    for i in set(sinks):
        last[i] = plan.n_stages
    # An alignment point is its operand's wire: only the ranks after it are its own.
    bits = (0 if isinstance(op, Literal) else op.width for op in program.ops)
    return sum((end - start) * width for start, end, width in zip(plan.stage, last, bits, strict=True))
