"""Synthesis by layer: what yosys says, where memories land, and what happens when it is cut."""

import json
import time
from pathlib import Path

import pytest
from cost_designs import dense_folder, stream_folder

from hwgen.cost import synth
from hwgen.cost.command import compare_folders, cost_folder, cost_text
from hwgen.cost.landing import landings, memory_name, misplaced, wanted
from hwgen.cost.layers import layers_of, plain_module
from hwgen.cost.parts import find_part
from hwgen.cost.stage import read_cost
from hwgen.cost.synth import Limits, read_ltp, read_stat, shares, synthesize
from hwgen.errors import HwgenError, OutputError, ToolMissing
from hwgen.tools import yosys
from hwgen.tools.cells import resources

QUIET = lambda *_: None  # noqa: E731


def test_what_cells_take() -> None:
    xilinx = {"LUT6": 3, "SRL16E": 2, "RAM32M": 1, "FDRE": 5, "DSP48E2": 1, "RAMB36E2": 2, "RAMB18E2": 1, "CARRY4": 4}
    assert resources("xcup", xilinx) == {"LUT": 9, "FF": 5, "DSP": 1, "BRAM_18K": 5, "cells": 19}
    lattice = {"LUT4": 4, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "TRELLIS_FF": 3, "MULT18X18D": 1, "DP16KD": 2}
    assert resources("ecp5", lattice) == {"LUT": 14, "FF": 3, "DSP": 1, "BRAM_18K": 2, "cells": 13}
    assert resources("ice40", {"SB_LUT4": 4, "SB_DFFE": 2, "SB_CARRY": 3, "SB_RAM40_4K": 1})["BRAM_18K"] == 1


def test_the_texts_of_yosys() -> None:
    stat = {"modules": {"\\net": {"num_cells_by_type": {"fc": 1, "LUT2": 3, "$scopeinfo": 1}}, "fc": {}}}
    assert read_stat(json.dumps(stat)) == {"net": {"LUT2": 3}, "fc": {}}
    text = "Longest topological path in net (length=3):\n    0: \\x\n"
    text += "Longest topological path in $paramod\\hg_fifo\\W=1 (length=7):\n"
    assert read_ltp(text) == {"net": 3, "$paramod\\hg_fifo\\W=1": 7}
    log = (
        "mapping memory $paramod$1f3a\\hg_fifo.slots_q via $__XILINX_LUTRAM_SDP_\n"
        "using FF mapping for memory net_fc.$flatten\\u_bias.$auto$proc_rom.cc:155:do_switch$3823\n"
        "mapping memory net_fc.$flatten\\u_weights.$auto$proc_rom.cc:155:do_switch$3827 via $__XILINX_BLOCKRAM_TDP_\n"
    )
    found = landings(log)
    assert found["$paramod$1f3a\\hg_fifo", "slots_q"] == "distributed RAM"
    assert sorted(found.values()) == ["block RAM", "distributed RAM", "registers"]
    assert memory_name("$flatten\\u_weights.$auto$proc_rom.cc:155:do_switch$3827") == "u_weights"
    assert memory_name("\\g_slot[0].pixels_q") == "g_slot[0].pixels_q"
    assert plain_module("$paramod$1f3a\\hg_fifo") == plain_module("$paramod\\hg_fifo\\W=1") == "hg_fifo"


def test_where_memories_are_wanted() -> None:
    assert wanted("xcup", 2048, 12, True) == "block RAM" == wanted("xcup", 512, 106, True)
    assert wanted("xcup", 32, 600, True) == "LUTs" == wanted("xcup", 2048, 12, False)
    assert wanted("ice40", 256, 16, True) == "block RAM"
    row = {"instance": "fc", "name": "u_weights", "words": 2048, "width": 12, "wanted": "block RAM", "landed": "logic"}
    assert misplaced([row]) == ["fc.u_weights, 2048 x 12 bits, is wanted in block RAM and became logic"]
    assert not misplaced([row | {"landed": "block RAM"}])


def test_layers_of_instances() -> None:
    links = [("in_x", "c_rows"), ("c_rows", "c"), ("c", "r_collect"), ("r_collect", "fork_r"), ("fork_r", "fifo_a")]
    links += [("fifo_a", "queue_d"), ("queue_d", "d_rows"), ("d_rows", "d"), ("d", "out_y")]
    design = {"top": "net", "files": [], "links": [{"from": a, "to": b} for a, b in links]}
    kinds = {"c_rows": "hg_row_store", "c": "net_c", "r_collect": "hg_collect", "fork_r": "hg_fork"}
    kinds |= {"fifo_a": "hg_fifo", "queue_d": "hg_fifo", "d_rows": "hg_row_store", "d": "net_d"}
    found = layers_of({f"u_{k}": v for k, v in kinds.items()}, design)
    assert {k.removeprefix("u_"): v for k, v in found.items()} == {
        "c_rows": "c", "c": "c", "r_collect": "c", "queue_d": "d", "d_rows": "d", "d": "d",
        "fork_r": "(top)", "fifo_a": "(top)",
    }  # fmt: skip
    assert list(dict.fromkeys(found.values())) == ["c", "d", "(top)"]


def test_shares_are_even_and_whole() -> None:
    weights = {f"m{k}": 10 * k + 1 for k in range(9)}
    jobs = shares(weights, 2)
    assert sorted(m for job in jobs for m in job) == sorted(weights) and len(jobs) == 2
    loads = [sum(weights[m] for m in job) for job in jobs]
    assert max(loads) - min(loads) <= 81
    assert len(shares({f"m{k}": 100_000 for k in range(20)}, 2)) == 8


@pytest.mark.yosys
def test_a_dense_network_by_layer(tmp_path: Path) -> None:
    folder = dense_folder(tmp_path)
    result = cost_folder(folder, kinds=("synthesized", "placed"))
    mapped, placed = result.tables
    assert result.status == "DONE" and mapped.device == "xcvu13p-flga2577-2-e"
    assert [row["layer"] for row in mapped.layers] == ["fc0", "fc1", "(top)"]
    for key in ("LUT", "FF", "DSP", "BRAM_18K", "cells"):
        assert mapped.total[key] == sum(row[key] for row in mapped.layers)
    assert mapped.total["LUT"] and mapped.total["FF"] and mapped.total["DSP"] == 0
    # Paths end at registers: within a stage of 5 ns there are few levels.
    assert 2 <= (mapped.total["depth"] or 0) <= 20
    assert 1 <= mapped.details["clock_estimate"]["ns"] <= 8
    assert placed.status == "NOT RUN" and "no open place and route" in (placed.reason or "") and not placed.total
    assert read_cost(folder) == list(result.tables)
    text = cost_text(result)
    assert "fc0" in text and "an estimate" in text and "Fmax MHz" not in text
    assert "synthesized" in compare_folders([folder, folder]).text()


@pytest.mark.yosys
def test_a_streaming_layer_its_dsp_its_memory_and_a_part_too_small(tmp_path: Path) -> None:
    folder = stream_folder(tmp_path)
    table = synthesize(folder, find_part("xc7z020clg400-1"), QUIET, Limits(600))
    assert table.status == "DONE", table.reason
    assert [row["layer"] for row in table.layers] == ["fc", "(top)"]
    assert table.total["DSP"] == 1 and table.total["BRAM_18K"] == 1
    memories = {m["name"]: m for m in table.details["memories"]}
    weights = memories["u_weights"]
    assert (weights["words"], weights["kind"], weights["landed"]) == (2048, "ROM", "block RAM")
    assert weights["wanted"] == "block RAM" and not table.details["misplaced"]
    assert memories["u_results.slots_q"]["landed"] == "distributed RAM"


SLEEPER = """
import json, sys, time
job = json.load(open(sys.argv[1]))
if job["task"] == "elaborate":
    instances = {"u_fc0": "\\\\net_small_fc0", "u_fc1": "\\\\net_small_fc1"}
    value = {"instances": instances, "weights": dict.fromkeys(instances.values(), 9)}
    json.dump(value, open(job["result"], "w"))
elif "\\\\net_small_fc0" in job["modules"]:
    DO
else:
    open(job["scratch"] + "/stat.json", "w").write('{"modules": {"net_small_fc1": {"num_cells_by_type": {"LUT2": 7}}}}')
    open(job["scratch"] + "/ltp.txt", "w").write("Longest topological path in net_small_fc1 (length=2):\\n")
    open(job["scratch"] + "/map.txt", "w").write("")
    json.dump({"memories": {}, "kinds": {}}, open(job["result"], "w"))
"""


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("time.sleep(60)", "yosys did not end within 2 s and was stopped"),
        ("raise MemoryError", "yosys needs more than 100 MB and was stopped"),
        ("sys.exit('ERROR: no such cell')", "yosys failed: ERROR: no such cell"),
    ],
)
def test_a_part_that_is_cut_is_reported_and_the_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, reason: str
) -> None:
    folder = dense_folder(tmp_path)
    worker = tmp_path / "worker.py"
    worker.write_text(SLEEPER.replace("DO", what))
    monkeypatch.setattr(synth, "WORKER", worker)
    start = time.monotonic()
    table = synthesize(folder, find_part("xcvu13p"), QUIET, Limits(2, memory_mb=100, processes=2))
    assert time.monotonic() - start < 30
    assert table.status == "FAILED" and table.reason == f"{reason}: fc0"
    rows = {row["layer"]: row for row in table.layers}
    assert rows["fc1"]["LUT"] == 7 and "LUT" not in rows["fc0"] and not table.total


@pytest.mark.yosys
def test_a_memory_limit_stops_yosys(tmp_path: Path) -> None:
    table = synthesize(dense_folder(tmp_path), find_part("xcvu13p"), QUIET, Limits(60, memory_mb=48))
    assert table.status == "FAILED" and table.reason


def test_without_pyosys_nothing_else_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dense_folder(tmp_path)

    def absent() -> str:
        raise ToolMissing("yosys is missing: no synthesis")

    monkeypatch.setattr(yosys, "find", absent)
    result = cost_folder(folder)
    assert (result.status, result.exit_status) == ("NOT RUN", 4)
    assert [t.status for t in read_cost(folder)] == ["NOT RUN"] * 3
    assert "NOT RUN: yosys is missing" in cost_text(result)


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not a build folder"):
        cost_folder(tmp_path)
    folder = dense_folder(tmp_path)
    with pytest.raises(HwgenError, match="not a kind of cost"):
        cost_folder(folder, kinds=("guessed",))
    with pytest.raises(HwgenError, match="not a part"):
        cost_folder(folder, part="xcvu14p")
    with pytest.raises(OutputError, match="no costs are known"):
        compare_folders([folder])
