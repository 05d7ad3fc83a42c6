"""hg_mac_sparse: the non-zero weights of a matrix alone, by the schedules of `hwgen.rtl.stream.sparse`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from engine_bench import every_stall_pattern, resets_in_flight, run_engine

from hwgen.rtl.stream.sparse import schedule
from hwgen.rtl.sv import flags
from hwgen.sim.bench_lib import pack_elements

NAMES = ("inputs", "outputs", "nonzero_percent", "results", "ways", "InWidth", "InSigned", "AccWidth")
SHAPES = [
    dict(zip(NAMES, values, strict=True))
    for values in [
        (1, 1, 100, 1, 1, 8, 1, 16),
        (9, 4, 0, 2, 1, 8, 1, 16),  # no weight at all
        (20, 6, 30, 6, 1, 6, 0, 18),
        (20, 6, 30, 4, 1, 6, 1, 18),
        (20, 6, 8, 2, 3, 5, 1, 10),
        (70, 5, 40, 1, 1, 4, 1, 16),  # 70 elements in one bank
        (60, 20, 15, 20, 1, 3, 0, 12),  # 20 banks
        (12, 9, 100, 3, 4, 8, 1, 22),
        (3, 30, 60, 5, 1, 8, 0, 20),  # six beats
        (40, 8, 25, 8, 5, 4, 1, 14),  # eleven sums for a result
        (6, 6, 17, 6, 6, 2, 1, 9),  # one step or two
        (30, 12, 10, 12, 1, 7, 1, 8),  # sums modulo 2^8
        (1, 12, 100, 3, 1, 8, 1, 18),  # as many steps as beats
    ]
]


class Sparse:
    def __init__(self, shape: Mapping[str, Any]) -> None:
        self.p = dict(shape)
        draw = np.random.default_rng(sum(shape.values()))
        n, o = shape["inputs"], shape["outputs"]
        self.w = draw.integers(-9, 9, (n, o)) * (draw.random((n, o)) * 100 < shape["nonzero_percent"])
        plan = self.plan = schedule(self.w, shape["results"], shape["ways"])
        bias_bits = int(draw.integers(1, 10))
        self.shifts = int(draw.integers(0, 4)), int(draw.integers(0, 4))
        self.parameters: dict[str, Any] = {name: shape[name] for name in ("InWidth", "InSigned", "AccWidth")}
        self.parameters |= {"Ways": plan.ways, "Banks": plan.banks, "BankDepth": plan.bank_depth}
        self.parameters |= {"Results": plan.results, "Accs": plan.accs, "Spill": int(plan.spill)}
        self.parameters |= {"Cycles": plan.cycles, "WeightWidth": plan.weight_width}
        self.parameters |= {"ProductShift": self.shifts[0], "BiasWidth": bias_bits, "BiasShift": self.shifts[1]}
        self.parameters |= {"Filled": flags(plan.filled)}
        self.cycles, self.words, self.word_width = plan.cycles, plan.words, plan.word_bits
        self.bias = draw.integers(-(1 << bias_bits - 1), 1 << bias_bits - 1, o)
        self.biases = [pack_elements(row, bias_bits) for row in self.beats(self.bias)]
        self.in_width = plan.ways * plan.banks * plan.bank_depth * shape["InWidth"]
        self.out_width, self.bias_width = plan.results * shape["AccWidth"], plan.results * bias_bits
        levels = sum(next(k for k in range(1, 9) if 16**k >= size) for size in (plan.bank_depth, plan.banks))
        levels += next(k for k in range(1, 9) if 4**k >= plan.ways * (2 if plan.spill else 1) + 1)
        self.offsets = [plan.cycles + 2 + levels + j for j in range(plan.accs)]

    def beats(self, values: Any) -> list[list[int]]:
        """Return one value an output in the order in which they leave, by beat."""
        flat = np.zeros(self.plan.accs * self.plan.results, dtype=np.int64)
        flat[self.plan.order] = values
        return flat.reshape(self.plan.accs, self.plan.results).tolist()

    def results(self, item: int) -> list[int]:
        width, plan = self.p["InWidth"], self.plan
        held = np.array([item >> width * k & (1 << width) - 1 for k in range(len(plan.select))], dtype=np.int64)
        if self.p["InSigned"]:
            held -= (held >> (width - 1)) << width
        x = np.zeros(plan.inputs, dtype=np.int64)
        x[plan.select[plan.select >= 0]] = held[plan.select >= 0]
        y = (self.bias << self.shifts[1]) + (x @ self.w << self.shifts[0])
        return [pack_elements(row, self.p["AccWidth"]) for row in self.beats(y)]


@cocotb.test()
async def every_cycle_under_every_stall_pattern(dut: Any) -> None:
    await every_stall_pattern(dut, Sparse, 300)


@cocotb.test()
async def resets(dut: Any) -> None:
    await resets_in_flight(dut, Sparse)


@pytest.mark.verilator
@pytest.mark.yosys
def test_hg_mac_sparse(tmp_path: Path) -> None:
    library = ["hg_delay", "hg_valid_pipe", "hg_mux", "hg_sum"]
    run_engine(tmp_path, "hg_mac_sparse", __name__, SHAPES, Sparse, library)
