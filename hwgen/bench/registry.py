"""Every benchmark, in the order in which `hwgen bench` runs them. A new one is a module here and a line in the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from hwgen.bench.result import Options, Result


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: the module of its name in `package`, with a function ``run(options) -> Result``."""

    name: str
    what: str
    package: str = "hwgen.bench"

    @property
    def module(self) -> str:
        """The module's full name."""
        return f"{self.package}.{self.name}"


def load(module: str) -> Callable[[Options], Result]:
    """Return the function of a benchmark's module."""
    function: Callable[[Options], Result] = import_module(module).run
    return function


BENCHMARKS = (
    Benchmark("speed", "Verilator against hls4ml's C++ emulation: build, vectors, inferences a second"),
    Benchmark("lut_peers", "LUT, clocks and logic depth against alkaid's Verilog and XLS"),
    Benchmark("streaming", "streaming hardware against its bounds; ResNet-8 generated, built and simulated"),
    Benchmark("sparsity", "what 75 % zeros save: LUTs unrolled, cycles folded; single weights, n of m, blocks"),
    Benchmark("zoo", "what each architecture of the zoo costs, from its plan"),
    Benchmark("cost", "the jet tagger's topology synthesized by layer, as `hwgen cost` does"),
    Benchmark("handoff", "a hand-off to Vivado: time, size, the same bytes twice"),
    Benchmark("report", "report.html: size and time"),
    Benchmark("mutants", "how many faults `hwgen verify` finds"),
    Benchmark("cost_model", "predicted against synthesized cost, on designs that calibration did not see"),
)
