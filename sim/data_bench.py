"""The bench of modules that are a free-running pipeline of data: every output against a function of the inputs before.

Many shapes of a module are instances of one generated top (one compile), side by side; a module's test file gives a
`Data`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from engine_bench import run_top, top_is_read

from hwgen.sim.bench_lib import given

Shape = Mapping[str, int]


class Data(Protocol):
    """What a module computes: widths of its ports by name (the last one is the output), and the output."""

    def __init__(self, shape: Shape) -> None: ...

    ports: Mapping[str, int]
    latency: int

    def draw(self, port: str, noise: random.Random) -> int:
        """Return a value for an input."""

    def output(self, values: Mapping[str, int]) -> int:
        """Return the output for inputs."""


def levels(base: int, size: int) -> int:
    """Return ceil(log_base(size))."""
    return next(k for k in range(9) if base**k >= size)


def elements(word: int, width: int, count: int, signed: bool) -> list[int]:
    """Return the elements of a flat vector, element 0 at the least significant end."""
    values = [word >> width * k & (1 << width) - 1 for k in range(count)]
    return [v - (v >> (width - 1) << width) for v in values] if signed else values


class Plain:
    """Draws random values, among them all zeros and all ones."""

    ports: Mapping[str, int]

    def draw(self, port: str, noise: random.Random) -> int:
        width = self.ports[port]
        return noise.choice([0, (1 << width) - 1, *(noise.getrandbits(width) for _ in range(4))])


async def every_cycle(dut: Any, make: Callable[[Shape], Data], cycles: int = 150) -> None:
    """New inputs in every cycle; every output, `latency` cycles later."""
    document = given()
    models = [make(shape) for shape in document["shapes"]]
    noise = random.Random(document["seed"])
    Clock(dut.clk_i, 10, unit="ns").start()
    sent: list[list[dict[str, int]]] = []
    for cycle in range(cycles):
        await RisingEdge(dut.clk_i)
        sent.append([{p: m.draw(p, noise) for p in list(m.ports)[:-1]} for m in models])
        word = at = 0
        for model, values in zip(models, sent[-1], strict=True):
            for port, value in values.items():
                word, at = word | value << at, at + model.ports[port]
        dut.in_i.value = word
        await ReadOnly()
        seen = int(dut.out_o.value)
        for number, model in enumerate(models):
            width = list(model.ports.values())[-1]
            if cycle >= model.latency:
                want = model.output(sent[cycle - model.latency][number])
                got = seen & ((1 << width) - 1)
                assert got == want, f"{document['shapes'][number]}, cycle {cycle}: {got}, expected {want}"
            seen >>= width


def top_text(module: str, shapes: Sequence[Shape], make: Callable[[Shape], Data]) -> str:
    """Return the top around one instance a shape."""
    models = [make(shape) for shape in shapes]
    total_out = sum(list(m.ports.values())[-1] for m in models)
    total_in = sum(sum(m.ports.values()) for m in models) - total_out
    lines = [f"module many_{module} (", "    input logic clk_i,", f"    input logic [{total_in - 1}:0] in_i,"]
    lines += [f"    output logic [{total_out - 1}:0] out_o", ");"]
    at_in = at_out = 0
    for k, (shape, model) in enumerate(zip(shapes, models, strict=True)):
        parameters = ", ".join(f".{name}({value})" for name, value in shape.items())
        ports = [".clk_i(clk_i)"]
        names = list(model.ports)
        for name in names[:-1]:
            ports.append(f".{name}(in_i[{at_in}+:{model.ports[name]}])")
            at_in += model.ports[name]
        ports.append(f".{names[-1]}(out_o[{at_out}+:{model.ports[names[-1]]}])")
        at_out += model.ports[names[-1]]
        lines.append(f"  {module} #({parameters}) u_{k} ({', '.join(ports)});")
    return "\n".join([*lines, "endmodule", ""])


def run_data(
    folder: Path,
    module: str,
    bench: str,
    shapes: Sequence[Shape],
    make: Callable[[Shape], Data],
    library: Sequence[str] = (),
) -> None:
    """Fail unless the cocotb tests of `bench` pass on all shapes, and all readers have nothing to say."""
    text, modules = top_text(module, shapes, make), [*library, module]
    run_top(folder, f"many_{module}", text, modules, bench, {"shapes": [dict(shape) for shape in shapes]})
    top_is_read(folder / "read", f"many_{module}", text, modules)
