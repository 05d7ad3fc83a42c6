"""The bench of the multiply engines: every port in every cycle against the firing rule, memories played by the bench.

Many shapes of an engine are instances of one generated top (one compile), side by side, each with its own source,
credits and memories; a module's test file gives an `Engine`.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from lib_bench import LIBRARY

from hwgen.sim.bench_lib import given
from hwgen.sim.build import SLOW, ModelSource, build
from hwgen.sim.cocotb_run import cocotb_program, run_cocotb

STALLS = {"none": (0, 0), "source_gaps": (600, 0), "no_credit": (0, 600), "both": (500, 500)}
"""Per mille of cycles without a new item, without credit."""


class Engine(Protocol):
    """What an engine does, by its parameters."""

    def __init__(self, shape: Mapping[str, Any]) -> None: ...

    parameters: Mapping[str, int]
    in_width: int
    out_width: int
    word_width: int
    bias_width: int
    cycles: int  # steps of a firing
    offsets: Sequence[int]  # cycles from the fire to each result beat
    words: Sequence[int]
    biases: Sequence[int]

    def results(self, item: int) -> list[int]:
        """Return the result beats of an item."""


@dataclass
class Unit:
    """One instance and what it must do in each cycle."""

    model: Engine
    item: int | None = None
    free: int = 0  # from this cycle on it may fire
    due: dict[int, int] = field(default_factory=dict)
    valid: int = 0
    credit: int = 0
    word: int = 0
    bias: int = 0
    later: tuple[int, int] = (0, 0)  # word and bias of the cycle after
    fired: int = 0
    beats: int = 0

    def drive(self, noise: random.Random, gap: int, starved: int) -> int:
        """Choose this cycle's inputs; return the data port."""
        if self.item is None and noise.randrange(1000) >= gap:
            kind = noise.randrange(8)
            width = self.model.in_width
            self.item = 0 if kind == 0 else (1 << width) - 1 if kind == 1 else noise.getrandbits(width)
        self.valid = int(self.item is not None)
        self.credit = int(noise.randrange(1000) >= starved)
        return noise.getrandbits(self.model.in_width) if self.item is None else self.item

    def check(self, cycle: int, ready: int, fire: int, out_valid: int, out_data: int) -> None:
        """Compare this cycle's outputs with the rule."""
        may = int(bool(self.credit) and cycle >= self.free)
        assert ready == may, f"cycle {cycle}: ready is {ready}, expected {may}"
        assert fire == (self.valid & may), f"cycle {cycle}: fire is {fire}"
        assert out_valid == int(cycle in self.due), f"cycle {cycle}: valid is {out_valid}"
        if out_valid:
            want = self.due.pop(cycle)
            assert out_data == want, f"cycle {cycle}: result {out_data:#x}, expected {want:#x}"
            self.beats += 1
        if fire:
            assert self.item is not None
            self.free, self.fired = cycle + self.model.cycles, self.fired + 1
            for offset, value in zip(self.model.offsets, self.model.results(self.item), strict=True):
                self.due[cycle + offset] = value
            self.item = None

    def answer(self, noise: random.Random, address: int, bias: int) -> None:
        """Let the memories answer in the cycle after the next."""
        words, biases = self.model.words, self.model.biases
        self.word, self.bias = self.later
        self.later = (
            words[address] if address < len(words) else noise.getrandbits(self.model.word_width),
            biases[bias] if bias < len(biases) else noise.getrandbits(self.model.bias_width),
        )


class Bank:
    """All instances, one cycle at a time."""

    def __init__(self, dut: Any, make: Callable[[Mapping[str, Any]], Engine]) -> None:
        document = given()
        self.dut, self.shapes, self.noise = dut, document["shapes"], random.Random(document["seed"])
        self.models = [make(shape) for shape in self.shapes]
        self.cycle = 0

    def fresh(self) -> None:
        """Start anew after a reset."""
        self.cycle, self.units = 0, [Unit(model) for model in self.models]

    async def started(self) -> Bank:
        Clock(self.dut.clk_i, 10, unit="ns").start()
        self.fresh()
        for _ in range(self.noise.randrange(1, 5)):  # the registers hold anything, and nothing must come of it
            self.random_inputs(0)
            await RisingEdge(self.dut.clk_i)
        return self

    def random_inputs(self, reset: int) -> None:
        for name in ("in_valid_i", "credit_i", "in_data_i", "weight_i", "bias_i"):
            port = getattr(self.dut, name)
            port.value = self.noise.getrandbits(len(port))
        self.dut.rst_i.value = reset

    async def reset(self, cycles: int = 1) -> None:
        """Hold reset with a source that offers: nothing may fire."""
        for _ in range(cycles):
            self.random_inputs(1)
            await ReadOnly()
            assert int(self.dut.fire_o.value) == 0 and int(self.dut.in_ready_o.value) == 0
            self.remember()
            await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0
        self.fresh_units_keep_memories()

    def fresh_units_keep_memories(self) -> None:
        before = self.units
        self.fresh()
        for unit, old in zip(self.units, before, strict=True):
            unit.word, unit.bias, unit.later = old.word, old.bias, old.later

    def remember(self) -> None:
        addresses, biases = int(self.dut.rom_addr_o.value), int(self.dut.bias_addr_o.value)
        for number, unit in enumerate(self.units):
            at = 32 * number
            unit.answer(self.noise, addresses >> at & 0xFFFFFFFF, biases >> at & 0xFFFFFFFF)

    async def run(self, cycles: int, gap: int, starved: int) -> None:
        dut = self.dut
        for _ in range(cycles):
            data = at = word = word_at = bias = bias_at = valid = credit = 0
            for number, unit in enumerate(self.units):
                data |= unit.drive(self.noise, gap, starved) << at
                word, bias = word | unit.word << word_at, bias | unit.bias << bias_at
                valid, credit = valid | unit.valid << number, credit | unit.credit << number
                at, word_at = at + unit.model.in_width, word_at + unit.model.word_width
                bias_at += unit.model.bias_width
            dut.in_valid_i.value, dut.credit_i.value, dut.in_data_i.value = valid, credit, data
            dut.weight_i.value, dut.bias_i.value = word, bias
            await ReadOnly()
            ready, fire, out = int(dut.in_ready_o.value), int(dut.fire_o.value), int(dut.out_valid_o.value)
            out_data, out_at = int(dut.out_data_o.value), 0
            for number, unit in enumerate(self.units):
                width = unit.model.out_width
                try:
                    bits = (ready >> number & 1, fire >> number & 1, out >> number & 1)
                    unit.check(self.cycle, *bits, out_data >> out_at & ((1 << width) - 1))
                except AssertionError as error:
                    raise AssertionError(f"{dict(self.shapes[number])}: {error}") from None
                out_at += width
            self.remember()
            self.cycle += 1
            await RisingEdge(dut.clk_i)


async def every_stall_pattern(dut: Any, make: Callable[[Mapping[str, Any]], Engine], cycles: int = 250) -> None:
    """Every port in every cycle, under every pattern of gaps and missing credits."""
    bank = await Bank(dut, make).started()
    for name, (gap, starved) in STALLS.items():
        await bank.reset(bank.noise.randrange(1, 3))
        await bank.run(cycles, gap, starved)
        for shape, unit in zip(bank.shapes, bank.units, strict=True):
            assert unit.fired >= 2 and unit.beats >= len(unit.model.offsets), f"{name}: {dict(shape)} did nothing"
            if name == "none":
                assert unit.fired == -(-cycles // unit.model.cycles), f"{dict(shape)}: not the best interval"


async def resets_in_flight(dut: Any, make: Callable[[Mapping[str, Any]], Engine], times: int = 20) -> None:
    """Resets at random cycles: what comes after them is exact from the start, and nothing comes of what was before."""
    bank = await Bank(dut, make).started()
    patterns = list(STALLS.values())
    for number in range(times):
        await bank.reset()
        await bank.run(bank.noise.randrange(1, 45), *patterns[number % 4])
    await bank.reset()
    await bank.run(100, 0, 0)


PORTS = (("in_valid_i", 0), ("in_ready_o", 0), ("in_data_i", "in_width"), ("credit_i", 0), ("fire_o", 0))
PORTS += (("rom_addr_o", 32), ("weight_i", "word_width"), ("bias_addr_o", 32), ("bias_i", "bias_width"))
PORTS += (("out_valid_o", 0), ("out_data_o", "out_width"))


def top_text(module: str, models: Sequence[Engine]) -> str:
    """Return the top around one instance a model."""

    def width(kind: Any, model: Engine) -> int:
        return getattr(model, kind) if isinstance(kind, str) else kind or 1

    lines = [f"module many_{module} (", "    input logic clk_i,", "    input logic rst_i,"]
    for name, kind in PORTS:
        way = "input" if name.endswith("_i") else "output"
        lines.append(f"    {way} logic [{sum(width(kind, m) for m in models) - 1}:0] {name},")
    lines[-1] = lines[-1].rstrip(",")
    lines.append(");")
    at = dict.fromkeys((name for name, _ in PORTS), 0)
    for k, model in enumerate(models):
        parameters = ", ".join(f".{name}({value})" for name, value in model.parameters.items())
        ports = [".clk_i(clk_i)", ".rst_i(rst_i)"]
        for name, kind in PORTS:
            size = width(kind, model)
            if name in ("rom_addr_o", "bias_addr_o"):
                count = len(model.words if name == "rom_addr_o" else model.biases)
                bits = max(1, (count - 1).bit_length())
                ports.append(f".{name}({name}[{at[name]}+:{bits}])")
                lines.append(f"  assign {name}[{at[name] + 31}:{at[name] + bits}] = '0;")
            else:
                ports.append(f".{name}({name}[{at[name]}+:{size}])")
            at[name] += size
        lines.append(f"  {module} #({parameters}) u_{k} ({', '.join(ports)});")
    return "\n".join([*lines, "endmodule", ""])


def write_top(folder: Path, top: str, text: str, modules: Sequence[str]) -> list[Path]:
    """Write a generated top, the library modules it uses and a `design.json` that names them; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{module}.sv" for module in modules]
    for name in names:
        shutil.copy(LIBRARY / name, folder)
    (folder / f"{top}.sv").write_text(text)
    names.append(f"{top}.sv")
    (folder / "design.json").write_text(json.dumps({"top": top, "files": names, "axis": None}))
    return [folder / name for name in names]


def run_top(folder: Path, top: str, text: str, modules: Sequence[str], bench: str, document: Mapping[str, Any]) -> None:
    """Fail unless every cocotb test of `bench` passes, from two random initial states."""
    files = write_top(folder / "rtl", top, text, modules)
    source = ModelSource(files, top, vpi_depth=1, optimise=SLOW)
    program = build(source, {"cocotb": cocotb_program()}, folder / "build")["cocotb"]
    for seed in (1, 2):
        given = {**document, "seed": seed}
        result = run_cocotb(program, bench, given, folder / f"seed{seed}", top=top, seed=seed)
        failures = [f"{test}: {message}" for test, message, _ in result.tests if message is not None]
        assert result.tests and not failures, f"{failures}\nlog: {folder / f'seed{seed}' / 'cocotb.log'}"


def top_is_read(folder: Path, top: str, text: str, modules: Sequence[str]) -> None:
    """Fail unless Verilator -Wall, slang and yosys read it and have nothing to say."""
    from rtl_readers import slang_says, verilator_says, yosys_reads

    write_top(folder, top, text, modules)
    said = verilator_says(folder, False) + slang_says(folder, False)
    assert not said, said
    yosys_reads(folder)


def run_engine(
    folder: Path,
    module: str,
    bench: str,
    shapes: Sequence[Mapping[str, Any]],
    make: Callable[[Mapping[str, Any]], Engine],
    library: Sequence[str],
) -> None:
    """Fail unless the cocotb tests of `bench` pass on all shapes, and all readers have nothing to say."""
    text, modules = top_text(module, [make(shape) for shape in shapes]), [*library, module]
    run_top(folder, f"many_{module}", text, modules, bench, {"shapes": [dict(shape) for shape in shapes]})
    top_is_read(folder / "read", f"many_{module}", text, modules)
