"""Vivado's reports, in the format that Vivado 2020 to 2023 writes, read back into cost tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from handoff_folder import build_folder
from test_golden import two_layers
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.cost.vivado import import_reports
from hwgen.errors import HwgenError

RULE = "-" * 96
BOX = """\
Copyright 1986-2022 Xilinx, Inc. All Rights Reserved. Copyright 2022-2023 Advanced Micro Devices, Inc. All Rights Reserved.
{rule}
| Tool Version : Vivado v.{version} (lin64) Build 3865809 Sun May  7 15:04:56 MDT 2023
| Date         : Wed Nov 25 01:00:00 2026
| Host         : build running 64-bit Debian GNU/Linux 12
| Command      : {command}
| Design       : net_axis
| Device       : {device}
| Speed File   : -2LV
| Design State : {state}
{rule}

"""
UTIL = """\
Utilization Design Information

Table of Contents
-----------------
1. CLB Logic
1.1 Summary of Registers by Type
2. BLOCKRAM
3. ARITHMETIC
4. Primitives

1. CLB Logic
------------

+----------------------------+------+-------+------------+-----------+-------+
|          Site Type         | Used | Fixed | Prohibited | Available | Util% |
+----------------------------+------+-------+------------+-----------+-------+
| CLB LUTs{star}                  | 4321 |     0 |          0 |    117120 |  3.69 |
|   LUT as Logic             | 4000 |     0 |          0 |    117120 |  3.42 |
|   LUT as Memory            |  321 |     0 |          0 |     57600 |  0.56 |
| CLB Registers              | 5678 |     0 |          0 |    234240 |  2.42 |
+----------------------------+------+-------+------------+-----------+-------+


1.1 Summary of Registers by Type
--------------------------------

+-------+--------------+-------------+--------------+
| Total | Clock Enable | Synchronous | Asynchronous |
+-------+--------------+-------------+--------------+
| 5678  |          Yes |       Reset |            - |
+-------+--------------+-------------+--------------+


2. BLOCKRAM
-----------

+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    |  7.5 |     0 |          0 |       144 |  5.21 |
|   RAMB36/FIFO*    |    6 |     0 |          0 |       144 |  4.17 |
|   RAMB18          |    3 |     0 |          0 |       288 |  1.04 |
| URAM              |    0 |     0 |          0 |        64 |  0.00 |
+-------------------+------+-------+------------+-----------+-------+


3. ARITHMETIC
-------------

+----------------+------+-------+------------+-----------+-------+
|    Site Type   | Used | Fixed | Prohibited | Available | Util% |
+----------------+------+-------+------------+-----------+-------+
| DSPs           |   50 |     0 |          0 |      1248 |  4.01 |
|   DSP48E2 only |   50 |       |            |           |       |
+----------------+------+-------+------------+-----------+-------+


4. Primitives
-------------

+----------+------+---------------------+
| Ref Name | Used | Functional Category |
+----------+------+---------------------+
| FDRE     | 5678 |            Register |
+----------+------+---------------------+


"""
HIER = """\
Utilization Design Information

Table of Contents
-----------------
1. Utilization by Hierarchy

1. Utilization by Hierarchy
---------------------------

+--------------------+-------------------+------------+------------+---------+------+------+--------+--------+------+------------+
|      Instance      |       Module      | Total LUTs | Logic LUTs | LUTRAMs | SRLs |  FFs | RAMB36 | RAMB18 | URAM | DSP Blocks |
+--------------------+-------------------+------------+------------+---------+------+------+--------+--------+------+------------+
| net_axis           |             (top) |       4321 |       4000 |     200 |  121 | 5678 |      6 |      3 |    0 |         50 |
|   (net_axis)       |             (top) |          4 |          4 |       0 |    0 |    0 |      0 |      0 |    0 |          0 |
|   u_core           |               net |       4100 |       3800 |     200 |  100 | 5000 |      6 |      2 |    0 |         50 |
|     (u_core)       |               net |          2 |          2 |       0 |    0 |    0 |      0 |      0 |    0 |          0 |
|     u_conv1        |         net_conv1 |       3000 |       2900 |     100 |    0 | 3000 |      0 |      2 |    0 |         40 |
|       u_mac        |            hg_mac |       2500 |       2400 |     100 |    0 | 2000 |      0 |      0 |    0 |         40 |
|     u_conv1_rows   |   hg_row_store_12 |         98 |         98 |       0 |    0 |  100 |      2 |      0 |    0 |          0 |
|     u_logits       |        net_logits |        900 |        800 |     100 |    0 | 1500 |      4 |      0 |    0 |         10 |
|     u_queue        |           hg_fifo |        100 |          0 |       0 |  100 |  400 |      0 |      0 |    0 |          0 |
|   u_in             |  hg_axis_frame_in |        217 |        196 |       0 |   21 |  678 |      0 |      1 |    0 |          0 |
+--------------------+-------------------+------------+------------+---------+------+------+--------+--------+------+------------+
"""
TIMING = """\
Timing Summary Report

------------------------------------------------------------------------------------------------
| Timer Settings
| --------------
------------------------------------------------------------------------------------------------

  Enable Multi Corner Analysis               :  Yes

check_timing report

Table of Contents
-----------------
1. checking no_clock (0)
2. checking loops (0)

1. checking no_clock (0)
------------------------
 There are 0 register/latch pins with no clock.


2. checking loops (0)
---------------------
 There are 0 combinational loops in the design.


------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------
     -0.333      -13.146                     57                  973        0.082        0.000                      0


Timing constraints are not met.


------------------------------------------------------------------------------------------------
| Clock Summary
| -------------
------------------------------------------------------------------------------------------------

Clock  Waveform(ns)         Period(ns)      Frequency(MHz)
-----  ------------         ----------      --------------
aclk   {0.000 2.000}        4.000           250.000

------------------------------------------------------------------------------------------------
| Timing Details
| --------------
------------------------------------------------------------------------------------------------

Slack (VIOLATED) :        -0.333ns  (required time - arrival time)
"""
POWER = """\
Power Report

Table of Contents
-----------------
1. Summary
1.1 On-Chip Components

1. Summary
----------

+--------------------------+--------------+
| Total On-Chip Power (W)  | 1.795        |
| Design Power Budget (W)  | Unspecified* |
| Dynamic (W)              | 1.576        |
| Device Static (W)        | 0.219        |
+--------------------------+--------------+


1.1 On-Chip Components
----------------------

+--------------------------+-----------+
| On-Chip                  | Power (W) |
+--------------------------+-----------+
| Clocks                   |     0.005 |
+--------------------------+-----------+
"""


def box(command: str, state: str, version: str = "2023.1", device: str = "xck26-sfvc784-2LV-c") -> str:
    return BOX.format(rule=RULE, version=version, command=command, state=state, device=device)


def utilization(state: str = "Routed", **more: str) -> str:
    return box("report_utilization -file u.rpt -pb u.pb", state, **more) + UTIL.replace("{star}", "*")


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    files = {
        "net_post_route_util.rpt": utilization(),
        "net_post_route_hier.rpt": box("report_utilization -hierarchical -file h.rpt", "Routed") + HIER,
        "net_post_route_timing.rpt": box("report_timing_summary -max_paths 10 -file t.rpt", "Routed") + TIMING,
        "net_post_route_power.rpt": box("report_power -file p.rpt", "routed") + POWER,
        "net_post_route_drc.rpt": box("report_drc -file d.rpt", "Fully Routed") + "Report DRC\n",
        "net_post_synth_util.rpt": utilization("Synthesized", version="2019.2"),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_step_is_a_table_with_vivados_figures(reports: Path) -> None:
    synth, route = import_reports(reports)
    assert (route.kind, route.source, route.device, route.tool) == (
        "imported",
        "vivado",
        "xck26-sfvc784-2LV-c",
        "Vivado 2023.1",
    )
    assert route.total == {
        "LUT": 4321,
        "FF": 5678,
        "DSP": 50,
        "BRAM_18K": 15,
        "worst_slack_ns": -0.333,
        "fmax_mhz": 230.79,
        "power_mw": 1795.0,
    }
    assert route.details["step"] == "route" and route.details["clocks_ns"] == {"aclk": 4.0}
    assert "Fmax is derived" in (route.reason or "") and "after route" in (route.reason or "")
    assert (synth.details["step"], synth.tool, synth.total) == (
        "synth",
        "Vivado 2019.2",
        {"LUT": 4321, "FF": 5678, "DSP": 50, "BRAM_18K": 15},
    )
    assert import_reports(reports)[1].to_json() == route.to_json()


def test_layers_come_from_the_hierarchy_and_add_up(reports: Path) -> None:
    links = [{"from": "in_x", "to": "conv1_rows"}, {"from": "conv1_rows", "to": "conv1"}]
    links += [{"from": "conv1", "to": "queue"}, {"from": "queue", "to": "logits"}]
    files = ["hg_row_store.sv", "net_conv1.sv", "net_logits.sv", "net.sv"]
    route = import_reports(reports, {"top": "net", "links": links, "files": files})[1]
    assert [dict(row) for row in route.layers] == [
        {"layer": "conv1", "LUT": 3098, "FF": 3100, "DSP": 40, "BRAM_18K": 6},
        {"layer": "logits", "LUT": 900, "FF": 1500, "DSP": 10, "BRAM_18K": 8},
        {"layer": "(top)", "LUT": 323, "FF": 1078, "DSP": 0, "BRAM_18K": 1},
    ]
    for metric in ("LUT", "FF", "DSP", "BRAM_18K"):
        assert sum(row[metric] for row in route.layers) == route.total[metric]
    names = [row["layer"] for row in import_reports(reports)[1].layers]
    assert names == ["conv1", "conv1_rows", "logits", "queue", "(top)"]


def test_seven_series_has_other_names(tmp_path: Path) -> None:
    text = utilization("Fully Placed", device="7z020clg400-1").replace("CLB LUTs*", "Slice LUTs")
    (tmp_path / "u.rpt").write_text(text.replace("CLB Registers  ", "Slice Registers"))
    (table,) = import_reports(tmp_path)
    assert (table.details["step"], table.total["LUT"], table.total["FF"]) == ("place", 4321, 5678)


def test_no_constraint_is_no_slack_and_two_clocks_no_fmax(reports: Path) -> None:
    file = reports / "net_post_route_timing.rpt"
    text = file.read_text()
    row = next(line for line in text.splitlines() if line.startswith("     -0.333"))
    file.write_text(
        text.replace(row, "         NA           NA                     NA                   NA  NA  NA  NA")
    )
    assert import_reports(reports)[1].total["worst_slack_ns"] is None
    clock = "aclk   {0.000 2.000}        4.000           250.000\n"
    file.write_text(text.replace(clock, clock + clock.replace("aclk", "bclk")))
    total = import_reports(reports)[1].total
    assert (total["worst_slack_ns"], total["fmax_mhz"]) == (-0.333, None)


def test_the_command_puts_them_beside_the_others(reports: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    build = build_folder(tmp_path_factory.mktemp("build"), two_layers())
    for _ in range(2):
        done = CliRunner().invoke(app, ["cost", str(build), "--import", str(reports)])
        assert done.exit_code == 0, done.output
        tables = json.loads((build / "reports" / "cost.json").read_text())["tables"]
        assert [t["details"]["step"] for t in tables if t["kind"] == "imported"] == ["synth", "route"]
    assert "4,321" in done.output
    (reports / "net_post_route_util.rpt").write_text("nothing\n")
    done = CliRunner().invoke(app, ["cost", str(build), "--import", str(reports)])
    assert done.exit_code == 2 and "net_post_route_util.rpt:1: not a report" in done.output


CASES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "another version": ("util", lambda t: t.replace("v.2023.1", "v.2018.3"), r"_util\.rpt:3: .*version"),
    "a version to come": ("power", lambda t: t.replace("v.2023.1", "v.2031.1"), r"_power\.rpt:3: .*version"),
    "not Vivado's": ("timing", lambda t: "hello\n", r"_timing\.rpt:1: not a report"),
    "empty": ("timing", lambda t: "", r"_timing\.rpt:1: not a report"),
    "no DSPs": ("util", lambda t: re.sub(r"\| DSPs .*\n", "", t), r"_util\.rpt:\d+: .*cut short\n.*DSPs"),
    "cut in a section": (
        "util",
        lambda t: t[: t.index("4. Primitives\n---")],
        r"cut short\n.*no section '4\. Primitives",
    ),
    "cut in a line": ("power", lambda t: t[:-30], r"_power\.rpt:\d+: .*cut short"),
    "no clocks": ("timing", lambda t: t[: t.index("| Timing Details")], r"_timing\.rpt:\d+: .*short\n.*Timing Details"),
    "no summary": ("timing", lambda t: t[: t.index("    WNS(ns)")], r"no Design Timing Summary"),
    "half a row": (
        "timing",
        lambda t: t.replace("     -0.333      -13.146", "     -0.333 \n"),
        r"_timing\.rpt:\d+: .*short",
    ),
    "no instances": ("hier", lambda t: re.sub(r"(?m)^\|\s+(net|\(net|u_|\(u_).*\n", "", t), r"no table of instances"),
    "a word for a number": ("util", lambda t: t.replace("| 4321 |", "| many |"), r"_util\.rpt:\d+: not a number"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_read_for_sure_is_refused_with_its_line(case: str, reports: Path) -> None:
    name, edit, message = CASES[case]
    file = reports / f"net_post_route_{name}.rpt"
    file.write_text(edit(file.read_text()))
    with pytest.raises(HwgenError) as caught:
        import_reports(reports)
    assert re.search(message, caught.value.render()) and caught.value.exit_status == 2, caught.value.render()


def test_nothing_two_of_a_kind_and_no_step(reports: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(HwgenError, match="no report of Vivado's"):
        import_reports(empty)
    (empty / "x.rpt").write_text(box("report_power -file p.rpt", "").replace("| Design State : \n", "") + POWER)
    with pytest.raises(HwgenError, match="after which step"):
        import_reports(empty)
    (reports / "again.rpt").write_text(utilization())
    with pytest.raises(HwgenError, match="two reports of report_utilization after route"):
        import_reports(reports)
