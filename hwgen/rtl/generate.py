"""Unrolled hardware from a graph: `plan` (arithmetic, schedule, prediction), then `generate` (SystemVerilog)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwgen.errors import NumericsError
from hwgen.files import FileSet, json_bytes
from hwgen.ir import Graph
from hwgen.ir.unrolled import check_unrolled
from hwgen.rtl.elaborate import elaborate
from hwgen.rtl.emit_top import axis_text, design_document, layer_text, ports_document, table_text, top_text
from hwgen.rtl.layer_plan import LayerModule, layer_modules
from hwgen.rtl.schedule import Schedule, delay_model, register_bits, schedule
from hwgen.rtl.wires import AddConst, AddSub, Literal, MulConst, Multiply, Program, Round, Table

LIBRARY = Path(__file__).parent / "lib"

WIDEST = 61
"""Bits of the widest value: constants and bounds are `longint` parameters, with room for a sign and a carry."""


@dataclass(frozen=True)
class RtlOptions:
    """What the user decides about the hardware (`hardware:` in model.yaml)."""

    clock_period_ns: float = 5.0
    strategy: str = "distributed_arithmetic"
    handshake: str = "valid_ready"
    axis_bytes: int = 8
    part: str = "xcvu13p-flga2577-2-e"
    layer_strategy: Mapping[str, str] = field(default_factory=dict)
    cache: Path | None = None


@dataclass(frozen=True)
class Prediction:
    """What the bench has to measure: cycles, from the schedule alone."""

    latency_cycles: int
    interval_cycles: int


@dataclass(frozen=True)
class Plan:
    """Everything decided before any SystemVerilog is written."""

    graph: Graph
    options: RtlOptions
    program: Program
    groups: dict[str, str]
    schedule: Schedule
    predicted: Prediction
    statistics: dict[str, int]


@dataclass(frozen=True)
class RtlDesign:
    """The design as files, with the prediction it must meet."""

    top: str
    files: FileSet
    predicted: Prediction
    design: dict[str, Any]


def plan(graph: Graph, options: RtlOptions) -> Plan:
    """Choose the arithmetic, the pipeline registers and with them the latency.

    Parameters
    ----------
    graph : Graph
    options : RtlOptions

    Returns
    -------
    Plan
        With `predicted`: input accepted to output valid, and the distance of frames, in cycles.
    """

    def strategy(name: str) -> str:
        return options.layer_strategy.get(name, options.strategy)

    check_unrolled(graph)
    program, groups = elaborate(graph, strategy, options.cache)
    _check_widths(graph, program)
    sinks = [t.wire for node in graph.outputs for t in program.tensors[node.name]]
    sinks = [i for i in sinks if not isinstance(program.ops[i], Literal)]
    timing = schedule(program, sinks, options.clock_period_ns, delay_model(options.part))
    fifo = 1 if options.handshake == "valid_ready" else 0
    statistics = {
        "adders": sum(isinstance(op, AddSub | AddConst) for op in program.ops),
        "multipliers": sum(isinstance(op, MulConst | Multiply) for op in program.ops),
        "stages": timing.n_stages,
        "register_bits": register_bits(program, timing, sinks),
    }
    predicted = Prediction(latency_cycles=timing.n_stages + fifo, interval_cycles=1)
    return Plan(graph, options, program, groups, timing, predicted, statistics)


def _check_widths(graph: Graph, program: Program) -> None:
    """Refuse values that the library's 64-bit parameters cannot speak of."""
    for op in program.ops:
        if op.width > WIDEST:
            raise NumericsError(
                f"a value of {op.width} bits in layer {op.group}: no hardware for it in this version",
                where=graph.name,
                expected=f"up to {WIDEST} bits",
                hint="quantize the layer before it (a QActivation), or use fewer fractional bits",
            )


def generate(graph: Graph, options: RtlOptions) -> RtlDesign:
    """Return the SystemVerilog of `graph` (see `emit` for the files)."""
    return emit(plan(graph, options))


def emit(decided: Plan) -> RtlDesign:
    """Write down the planned design: layer modules, top, AXI4-Stream wrapper, file list, PORTS.md, design.json."""
    graph = decided.graph
    modules = layer_modules(graph, decided.program, decided.groups, decided.schedule, graph.name)
    files = _module_files(decided, modules)
    library = library_used(decided)
    if decided.options.handshake == "valid_ready":
        library |= {"hg_axis_in", "hg_axis_out"} | ({"hg_fork"} if len(graph.outputs) > 1 else set())
        files.add(f"{graph.name}_axis.sv", axis_text(decided, modules))
    sources = [*library_names(library), *files]
    add_library(files, library)
    files.add(f"{graph.name}.f", "".join(f"{name}\n" for name in sources))
    document = design_document(decided, modules, sources)
    files.add("design.json", json_bytes(document))
    files.add("PORTS.md", ports_document(decided, document))
    return RtlDesign(graph.name, files, decided.predicted, document)


def core_modules(decided: Plan) -> FileSet:
    """Return the modules of a planned part alone, without taps: its layers and the top around them."""
    graph = decided.graph
    modules = layer_modules(graph, decided.program, decided.groups, decided.schedule, graph.name)
    for module in modules:
        module.taps = []
    return _module_files(decided, modules)


def _module_files(decided: Plan, modules: list[LayerModule]) -> FileSet:
    """Return the tables, the layers and the top, in compile order."""
    graph, files = decided.graph, FileSet()
    for name in sorted({op.name for op in decided.program.ops if isinstance(op, Table)}):
        files.add(f"{graph.name}_{name}_table.sv", table_text(decided, name))
    for module in modules:
        files.add(f"{module.module}.sv", layer_text(decided, module))
    files.add(f"{graph.name}.sv", top_text(decided, modules))
    return files


def library_used(decided: Plan) -> set[str]:
    """Return the library modules that a planned part instantiates."""
    used = {"hg_delay", "hg_valid_pipe"}
    kinds = {type(op) for op in decided.program.ops}
    used |= {name for kind, name in ((Round, "hg_requantize"), (AddConst, "hg_add_const")) if kind in kinds}
    return used | ({"hg_credit_fifo"} if decided.options.handshake == "valid_ready" else set())


def library_names(modules: set[str]) -> list[str]:
    """Return library files in a fixed order."""
    return [f"{name}.sv" for name in sorted(modules)]


def add_library(files: FileSet, modules: set[str]) -> None:
    """Add the text of library modules."""
    for name in library_names(modules):
        files.add(name, (LIBRARY / name).read_bytes())
