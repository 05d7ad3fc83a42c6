"""A part that is too small: by how much, and the advice, which must hold when it is followed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cost_designs import dense_folder, stream_folder

from hwgen.cost.fit import advice, shortfalls, with_fit
from hwgen.cost.parts import Part
from hwgen.cost.table import CostTable
from hwgen.ir import load_graph
from hwgen.rtl import RtlOptions
from hwgen.rtl.stream import FoldRequest, emit_stream, plan_stream


def part(**capacity: int) -> Part:
    return Part("xctest", "xcup", "xctest", capacity, "a test")


def used(**total: float | None) -> CostTable:
    return CostTable("synthesized", "yosys", "xctest", "pyosys", "DONE", None, dict(total))


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A streaming design of one layer, 64 to 32, on 16 multipliers."""
    folder = stream_folder(tmp_path_factory.mktemp("fit"))
    graph = load_graph(folder / "graph")
    plan = plan_stream(graph, RtlOptions(), FoldRequest(reuse_factor=None, max_multipliers=16))
    emit_stream(plan).files.write(folder / "rtl")
    assert json.loads((folder / "rtl" / "design.json").read_text())["statistics"]["multipliers"] == 16
    return folder


def test_a_design_that_fits_needs_no_advice(stream: Path) -> None:
    table = with_fit(used(LUT=50, FF=100, DSP=0, BRAM_18K=None), part(LUT=100, FF=100, DSP=10, BRAM_18K=5), stream)
    fit = table.details["fit"]
    assert fit["share"] == {"LUT": 0.5, "FF": 1.0, "DSP": 0.0} and fit["short"] == [] and "advice" not in fit


def test_shortfalls_say_by_how_much() -> None:
    lines = shortfalls({"LUT": 1500, "DSP": 3, "FF": 90, "BRAM_18K": None}, part(LUT=1000, DSP=0, FF=100, BRAM_18K=4))
    assert lines == ["LUT: 1,500 of 1,000 (500 too many, 150 %)", "DSP: 3 of 0 (3 too many)"]


@pytest.mark.parametrize(("dsp", "budget"), [(8, 8), (4, 4), (15, 15), (3, 3)])
def test_the_multipliers_that_are_advised_fit_and_reach_the_interval(stream: Path, dsp: int, budget: int) -> None:
    text = with_fit(used(DSP=16, LUT=10), part(DSP=dsp, LUT=100), stream).details["fit"]["advice"]
    found = re.search(r"max_multipliers: (\d+) instead of 16 multipliers, an interval of about ([\d,]+) cycles", text)
    assert found is not None and int(found[1]) == budget, text
    request = FoldRequest(reuse_factor=None, max_multipliers=budget)
    followed = plan_stream(load_graph(stream / "graph"), RtlOptions(), request)
    assert followed.folding.multipliers <= dsp
    assert followed.predicted.interval_cycles == int(found[2].replace(",", ""))


def test_logic_is_given_room_where_there_are_no_dsp_blocks(stream: Path) -> None:
    assert "max_multipliers: 7 instead of 16" in advice({"LUT": 1000, "DSP": 0}, part(LUT=500, DSP=0), stream)
    assert "max_multipliers: 8 instead of 16" in advice({"LUT": 1000, "DSP": 16}, part(LUT=500, DSP=99), stream)


def test_what_no_fold_mends_is_said(stream: Path, tmp_path: Path) -> None:
    memory = advice({"LUT": 9, "BRAM_18K": 9}, part(LUT=10, BRAM_18K=2), stream)
    assert "block RAM does not depend on the fold" in memory
    assert "no fold is that small" in advice({"DSP": 16}, part(DSP=0), stream)
    assert "io_stream folds" in advice({"LUT": 1000}, part(LUT=10), dense_folder(tmp_path))
