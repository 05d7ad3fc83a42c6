"""The predicted cost: counts that can be checked by hand, yosys' rules for memories and DSP blocks, and synthesis."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwgen.bench.cost_designs import Design
from hwgen.bench.cost_graphs import conv_stack, mlp
from hwgen.bench.cost_model import measured, synthesize
from hwgen.bench.networks import mobilenet_graph
from hwgen.cost import memories
from hwgen.cost.calibrated import LUTS
from hwgen.cost.calibration import PRIOR
from hwgen.cost.counts import Counts
from hwgen.cost.logic import column_luts, dsp_blocks, mux_luts, rom, shift_registers
from hwgen.cost.predict import TOP, predict_cost
from hwgen.cost.table import CostTable
from hwgen.files import FileSet
from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlOptions, plan
from hwgen.rtl.stream import FoldRequest, plan_stream
from hwgen.rtl.stream.rom import rom_text
from hwgen.tools import yosys


def added(name: str = "two") -> Graph:
    """Return ``y = (a + b) as 4 bits``, four elements each of 6 bits."""
    fmt = FixedPoint(6, 3)
    return Graph(
        name,
        (
            ir.Input(name="a", shape=(4,), fmt=fmt),
            ir.Input(name="b", shape=(4,), fmt=fmt),
            ir.Add(name="s", inputs=("a", "b")),
            ir.Requantize(name="q", inputs=("s",), fmt=FixedPoint.parse("fixed<4,3,TRN,SAT>")),
            ir.Output(name="y", inputs=("q",)),
        ),
    ).verify()


def test_registers_of_one_stage_are_the_results_and_the_valid_bit() -> None:
    decided = plan(added(), RtlOptions(clock_period_ns=10.0, handshake="none"))
    assert decided.schedule.n_stages == 1
    table = predict_cost(decided)
    assert table.total["FF"] == 4 * 4 + 1
    rows = {row["layer"]: row for row in table.layers}
    assert list(rows) == ["s", TOP] and rows["s"]["FF"] == 0 and table.total["DSP"] == table.total["BRAM_18K"] == 0


def test_registers_between_stages_are_counted_from_the_schedule() -> None:
    decided = plan(added(), RtlOptions(clock_period_ns=0.9, handshake="none"))
    stages = decided.schedule.n_stages
    assert stages == 2  # the sums of 7 bits stand in registers between; rounding drops the lowest two
    dropped = 2
    assert predict_cost(decided).total["FF"] == 4 * (7 - dropped) + 4 * 4 + stages


def test_delay_chains_become_shift_registers() -> None:
    counts = Counts()
    shift_registers(counts, {2}, 5)
    assert (counts.ff, counts.lut) == (10, 0)
    shift_registers(counts, {3}, 5)
    assert (counts.ff, counts.lut) == (10, 5)
    shift_registers(counts, {1, 6}, 1)  # read on the way: one register, then five
    assert (counts.ff, counts.lut) == (11, 6)
    assert [memories.shift_register(n) for n in (16, 17, 18, 32, 33, 64)] == [
        (1, 0),
        (1, 1),
        (1, 0),
        (1, 0),
        (1, 1),
        (2, 0),
    ]


def test_memories_follow_yosys_costs() -> None:
    assert memories.ram(8, 2, queue=True).logic  # 16 bits: cheaper as flip-flops
    assert memories.ram(24, 2, queue=True).lut == 16  # two RAM32M16
    assert memories.ram(24, 37, queue=True).lut == 32  # four RAM64M8
    assert memories.ram(16, 512) == memories.Mapped(bram_18k=1)
    assert memories.ram(36, 1024) == memories.Mapped(bram_18k=2)
    assert memories.rom_in_blocks(8, 1024) == 0 and memories.rom_in_blocks(9, 1024) == 1
    assert memories.rom_in_blocks(100, 7) == 0


def test_multipliers_that_become_dsp_blocks() -> None:
    assert [dsp_blocks(9, 6, 15), dsp_blocks(2, 8, 9), dsp_blocks(1, 20, 21), dsp_blocks(4, 4, 8)] == [1, 1, 0, 0]
    assert dsp_blocks(27, 18, 45) == 1 and dsp_blocks(28, 18, 46) == 2 and dsp_blocks(30, 20, 50) == 4


def test_luts_of_multiplexers_and_tables() -> None:
    assert [mux_luts(n) for n in (1, 2, 4, 5, 6, 16, 17, 64)] == [0, 1, 1, 2, 2, 7.5, 8, 31.5]
    address = np.arange(64)
    same = np.stack([address % 2 == 1, address % 3 == 0, address % 3 == 0, address < 0], axis=1)
    assert column_luts(same) == 1  # an address bit is a wire, equal columns are one, a constant is none
    parity = np.array([[bin(k).count("1") % 2 == 1] for k in range(256)])
    assert column_luts(parity) == 2  # the parity of six bits and its complement


ROMS = ((60, 12, 1), (1024, 9, 1), (600, 40, 1), (7, 20, 1), (600, 40, 2), (100, 12, 2), (60, 12, 2))


@pytest.mark.yosys
def test_constants_become_what_yosys_makes_of_them() -> None:
    files, instances, wanted = FileSet(), [], {}
    for words, width, cycles in ROMS:
        name, values = f"rom{words}_{cycles}", np.random.default_rng(words).integers(0, 1 << width, (words, 1))
        wanted[f"u_{name}"] = Counts()
        copies = rom(wanted[f"u_{name}"], values, width, cycles=cycles)
        wanted[f"u_{name}"].ff += (words - 1).bit_length() * copies
        files.add(f"{name}.sv", rom_text(name, [int(v) for v in values.ravel()], width, "//", "test", cycles))
        address = (words - 1).bit_length()
        ports = f".clk_i(clk_i), .addr_i(addr_i[{address - 1}:0]), .data_o(data_o[{len(instances)}][{width - 1}:0])"
        instances.append(f"  {name} u_{name} ({ports});\n")
    head = "module top (input logic clk_i, input logic [9:0] addr_i, output logic [6:0][39:0] data_o);\n"
    files.add("top.sv", head + "".join(instances) + "endmodule\n")
    found = synthesize(files, list(files), "top")
    for name, counts in wanted.items():
        cells = yosys.Synthesized(found[name], 0)
        blocks = found[name].get("RAMB18E2", 0) + 2 * found[name].get("RAMB36E2", 0)
        assert (counts.bram_18k, counts.ff) == (blocks, cells.ff), name
        # alone, a memory takes what is counted; the fitted coefficients hold among other logic
        units = counts.lut + counts.features["rom"] + counts.features["rom_deep"]
        assert units == pytest.approx(cells.lut, rel=0.25, abs=3), name


SMALL = [
    Design(
        "small_dense", "test", True, lambda: mlp("small_dense", (8, 8, 4), 7, bits=5), RtlOptions(clock_period_ns=2.5)
    ),
    Design(
        "small_conv",
        "test",
        True,
        lambda: conv_stack("small_conv", (6, 6, 2), (3,), 7),
        RtlOptions(),
        FoldRequest(reuse_factor=None, max_multipliers=6),
    ),
]


@pytest.mark.yosys
@pytest.mark.parametrize("design", SMALL, ids=lambda design: design.name)
def test_prediction_is_what_synthesis_finds(design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwgen.bench.cost_model.KEPT", tmp_path)
    row = measured(design)
    wanted, found = row.synthesized(), row.predicted(LUTS)
    assert found["LUT"] == pytest.approx(wanted["LUT"], rel=0.15)
    assert found["FF"] == pytest.approx(wanted["FF"], rel=0.03)
    assert (found["DSP"], found["BRAM_18K"]) == (wanted["DSP"], wanted["BRAM_18K"])
    assert set(row.cells) <= set(row.counts)


def test_layers_add_up_and_the_table_survives_json() -> None:
    graph = conv_stack("sum", (6, 6, 2), (3,), 7)
    table = predict_cost(plan_stream(graph, RtlOptions(), FoldRequest(reuse_factor=9)))
    assert [row["layer"] for row in table.layers] == ["c0", "gap", "gap_q", "logits", TOP]
    for key, value in table.total.items():
        assert value == sum(row[key] for row in table.layers)
    assert CostTable.from_json(json.loads(json.dumps(table.to_json()))) == table


def test_a_part_of_another_family_is_not_run() -> None:
    table = predict_cost(plan(added(), RtlOptions(part="LFE5U-45F-8BG381C")))
    assert table.status == "NOT RUN" and not table.total and "xcup" in str(table.reason)


def test_every_feature_is_calibrated() -> None:
    assert set(LUTS) == set(PRIOR)


def test_a_network_of_a_million_weights_takes_milliseconds() -> None:
    import time

    graph = mobilenet_graph(size=32, alpha=0.25)
    decided = plan_stream(graph, RtlOptions(), FoldRequest(reuse_factor=None, max_multipliers=64))
    began = time.perf_counter()
    table = predict_cost(decided)
    assert table.total["DSP"] == decided.folding.multipliers
    assert time.perf_counter() - began < 2
