"""What goes into each layer's module: its inputs and outputs, the names and lifetimes of its wires, its taps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hwgen.ir import Graph
from hwgen.rtl.schedule import Schedule
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

PREFIX = {AddSub: "s", AddConst: "b", MulConst: "p", Multiply: "p", Round: "r", Table: "t", Select: "m"}


@dataclass(frozen=True)
class TapPlan:
    """A node's tap: the cycle at which it shows the frame accepted at cycle 0, and whether it leaves the module."""

    node: str
    cycle: int
    leaves: bool


@dataclass
class LayerModule:
    """The emission of one group: which tensors come in, which leave, and every wire's name."""

    graph: Graph
    program: Program
    plan: Schedule
    top: str
    group: str
    members: list[str]
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    taps: list[TapPlan] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    birth: dict[int, int] = field(default_factory=dict)
    reach: dict[int, int] = field(default_factory=dict)
    tap_reach: dict[int, int] = field(default_factory=dict)
    needed: frozenset[int] = frozenset()

    @property
    def module(self) -> str:
        """The module's name."""
        return f"{self.top}_{self.group}"

    @property
    def first_stage(self) -> int:
        """Stage at which the earliest input arrives; a layer of constants has none."""
        return min((self.plan.tensor_stage(self.program, t) for t in self.inputs), default=0)

    @property
    def last_stage(self) -> int:
        """Stage at which the latest output leaves."""
        return max(self.plan.tensor_stage(self.program, t) for t in self.outputs)

    @property
    def clocked(self) -> bool:
        """Whether the module holds registers (or, with taps, would)."""
        return any(self.tap_reach[i] > self.birth[i] for i in self.names) or any(
            tap.cycle > self.first_stage for tap in self.taps
        )

    def tap_only(self, index: int) -> bool:
        """Return whether a wire is there for a tap alone: a neuron whose activation is constant has such."""
        return index not in self.needed


def layer_modules(
    graph: Graph, program: Program, groups: dict[str, str], plan: Schedule, top: str
) -> list[LayerModule]:
    """Return the modules of a design, in the order of the graph, with all names and lifetimes worked out."""
    owner = _tensor_of_wire(graph, program, groups)
    modules: dict[str, LayerModule] = {}
    for node, group in groups.items():
        modules.setdefault(group, LayerModule(graph, program, plan, top, group, [])).members.append(node)
    for module in modules.values():
        module.outputs = [n for n in module.members if n in program.aligned]
        for node in module.members:
            module.taps.append(_tap(program, plan, node))
    for i, op in enumerate(program.ops):
        if op.group and not isinstance(op, Literal):
            _claim(modules[op.group], i, op, owner)
    needed = _needed(program)
    for module in modules.values():
        module.needed = needed
        module.reach = _lifetimes(module, [i for i in range(len(program.ops)) if i in needed])
        module.tap_reach = _lifetimes(module, range(len(program.ops)))
    return list(modules.values())


def _needed(program: Program) -> frozenset[int]:
    """Return the operations that some tensor leaving its module needs."""
    needed = {term.wire for terms in program.aligned.values() for term in terms}
    for i in range(len(program.ops) - 1, -1, -1):
        if i in needed:
            needed.update(program.ops[i].operands)
    return frozenset(needed)


def _tensor_of_wire(graph: Graph, program: Program, groups: dict[str, str]) -> dict[int, tuple[str, int]]:
    """Return, for every wire that crosses into a module, its tensor and element: inputs and alignment points."""
    owner: dict[int, tuple[str, int]] = {}
    for node in graph.inputs:
        for k, term in enumerate(program.tensors[node.name]):
            owner[term.wire] = (node.name, k)
    for name in groups:
        for k, term in enumerate(program.aligned.get(name, [])):
            if isinstance(program.ops[term.wire], Align):
                owner.setdefault(term.wire, (name, k))
    return owner


def _tap(program: Program, plan: Schedule, node: str) -> TapPlan:
    leaves = node in program.aligned
    terms = program.aligned[node] if leaves else program.tensors[node]
    return TapPlan(node, max((plan.stage[t.wire] for t in terms), default=0), leaves)


def _claim(module: LayerModule, index: int, op: Op, owner: dict[int, tuple[str, int]]) -> None:
    """Name operation `index` in its module, and the operands that come from outside."""
    program, plan = module.program, module.plan
    for o in op.operands:
        other = program.ops[o]
        outside = isinstance(other, Source) or (isinstance(other, Align) and other.group != module.group)
        if outside and o not in module.names:
            tensor, element = owner[o]
            if tensor not in module.inputs:
                module.inputs.append(tensor)
            module.names[o] = f"{tensor}_{element}"
            module.birth[o] = plan.stage[o]
    if isinstance(op, Align):
        return
    prefix = PREFIX[type(op)]
    module.names[index] = f"{prefix}{sum(n[0] == prefix and n[1:].isdigit() for n in module.names.values())}"
    module.birth[index] = plan.stage[index]


def _lifetimes(module: LayerModule, consumers: Iterable[int]) -> dict[int, int]:
    """Return up to which stage `consumers` need each wire inside the module."""
    reach = dict(module.birth)
    program, plan = module.program, module.plan
    for i in consumers:
        op = program.ops[i]
        if op.group != module.group:
            continue
        for o in op.operands:
            o = own_wire(program, o, module)
            if o in reach:
                reach[o] = max(reach[o], plan.stage[i])
    return reach


def own_wire(program: Program, index: int, module: LayerModule) -> int:
    """Follow an alignment point of the same module to the operation it aligns."""
    op = program.ops[index]
    while isinstance(op, Align) and op.group == module.group:
        index = op.a
        op = program.ops[index]
    return index
