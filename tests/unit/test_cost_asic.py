"""Area, slack, power and energy in a cell library: real syntheses, real timing, and what must be refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cost_design import conv_graph, dense_graph
from handoff_folder import build_folder, compile_bench, run_bench

from hwgen.cost import activity as activity_module
from hwgen.cost.activity import Activity, read_saif, record
from hwgen.cost.asic import Mapped, asic_table, map_design
from hwgen.cost.buffers import MAX_FANOUT, add_buffers
from hwgen.cost.energy import asic_energy, energy_table, replay_activity
from hwgen.cost.gates import read_netlist, truth_table
from hwgen.cost.layers import GLUE
from hwgen.cost.liberty import Cell, Library, find_library, read_library
from hwgen.cost.sdc import ports, sdc_text
from hwgen.cost.stage import CostRequest, cost_tables, missing_tool
from hwgen.errors import ProofError, SpecError, ToolMissing
from hwgen.handoff import asic as handoff_asic
from hwgen.handoff import hand_over
from hwgen.tools import debian, opensta


@pytest.fixture(scope="module")
def tools() -> None:
    missing = [name for name in debian.LIBERTIES if debian.find(debian.LIBERTIES[name]) is None]
    try:
        opensta.find()
    except ToolMissing:
        missing.append("opensta")
    if missing:
        pytest.skip(f"no {', '.join(missing)}: hwgen doctor --install")


@pytest.fixture(scope="module")
def conv(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_folder(tmp_path_factory.mktemp("conv"), conv_graph(), stream=True, clock_period_ns=10.0)


@pytest.fixture(scope="module")
def mapped(conv: Path) -> Mapped:
    return map_design(conv, find_library("osu018"))


@pytest.fixture(scope="module")
def recorded(conv: Path) -> Activity:
    return record(conv)


def modules(mapped: Mapped) -> dict:
    return json.loads((mapped.folder / "netlist.json").read_text())["modules"]


# ---- liberties ----


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("library (a) {\n  cell (X) {\n    area : 1;\n", 4, "the end of the file"),
        ('library (a) {\n  time_unit : "1ns;\n}\n', 2, '"1ns;'),
        ("library (a) {\n  cell (X) {\n    area 5;\n  }\n}\n", 3, "5"),
        ("library (a) {\n  cell (X {\n  }\n}\n", 2, "{"),
        ("library (a) {\n}\n}\n", 3, "}"),
        ("library (a) {\n  area : ;\n}\n", 2, ";"),
        ("module a; endmodule\n", 1, "a"),
        ("cell (a) {\n}\n", 1, "cell"),
        ("library (a) {\n  time_unit : 1h;\n  cell (X) {\n  }\n}\n", 1, None),
    ],
)
def test_a_liberty_that_does_not_parse_is_refused_with_file_and_line(
    text: str, line: int, found: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "bad.lib"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_library(path, "bad")
    assert caught.value.exit_status == 2
    if found is not None:
        assert caught.value.where == f"{path}:{line}" and caught.value.found == found
    else:
        assert str(path) in str(caught.value.where)


def test_what_real_liberties_leave_out_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "loose.lib"
    path.write_text(
        '/* head */ library("a") {\n  time_unit : "100ps"\n  define(x, cell);\n  cell(D) { area : 4.5; // note\n'
        '    ff("IQ", "IQN") { next_state : "D"; clocked_on : "CK" }\n    pin(D) { direction : input }\n'
        '    pin(Q) { direction : output; function : "IQ"; t(1, \\\n 2) }\n  }\n}\n'
    )
    library = read_library(path, "loose.lib")
    assert library.time_unit_s == pytest.approx(1e-10)
    cell = library.cells["D"]
    assert (cell.area, cell.state, cell.next_state, cell.clock, cell.functions) == (
        4.5, ("IQ", "IQN"), "D", "CK", {"Q": "IQ"},
    )  # fmt: skip


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(debian, "find", lambda path: None)
    with pytest.raises(ToolMissing) as caught:
        find_library("osu018")
    assert "qflow-tech-osu018" in str(caught.value)
    with pytest.raises(SpecError):
        find_library(str(tmp_path / "none.lib"))


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        ("(!((A B)+C))", lambda a, b, c: not ((a and b) or c)),
        ("A ^ B & C", lambda a, b, c: a != (b and c)),
        ("(A+B)' * !C", lambda a, b, c: not (a or b) and not c),
        ("A | B ^ C'", lambda a, b, c: a or (b != (not c))),
        ("1", lambda a, b, c: True),
    ],
)
def test_functions_of_a_liberty(function: str, wanted) -> None:
    table = truth_table(function, ("A", "B", "C"))
    for index in range(8):
        a, b, c = (bool(index >> k & 1) for k in range(3))
        assert bool(table >> index & 1) == bool(wanted(a, b, c)), (function, index)


# ---- buffers ----


def test_no_output_drives_more_than_it_may() -> None:
    cells = {
        "INV": Cell("INV", 1.0, ("A",), {"Y": "!A"}),
        "BUF": Cell("BUF", 1.0, ("A",), {"Y": "A"}),
        "DFF": Cell("DFF", 4.0, ("CK", "D"), {"Q": "IQ"}, ("IQ", "IQN"), "D", "CK"),
    }
    library = Library("x", Path("x.lib"), 1e-9, cells)
    users = 600
    inside = {f"i{k}": {"type": "INV", "connections": {"A": [3], "Y": [10 + k]}} for k in range(users)}
    inside |= {f"f{k}": {"type": "DFF", "connections": {"CK": [2], "D": [3], "Q": [2000 + k]}} for k in range(40)}
    module = {"ports": {"clk_i": {"direction": "input", "bits": [2]}}, "cells": inside, "netnames": {}}
    added = add_buffers({"m": module}, library, "clk_i")
    loads: dict[int, int] = {}
    drives = {}
    for cell in module["cells"].values():
        for pin, (bit,) in cell["connections"].items():
            if pin in ("A", "D"):
                loads[bit] = loads.get(bit, 0) + 1
        if cell["type"] == "BUF":
            drives[cell["connections"]["Y"][0]] = cell["connections"]["A"][0]
    assert max(loads.values()) <= MAX_FANOUT and len(drives) == added >= (users + 40) / MAX_FANOUT
    for cell in module["cells"].values():
        source = cell["connections"].get("A", cell["connections"].get("D"))[0]
        while source in drives:
            source = drives[source]
        assert source == 3
        assert cell["type"] != "DFF" or cell["connections"]["CK"] == [2]


# ---- figures ----


@pytest.mark.yosys
def test_area_and_slack_by_layer(conv: Path, mapped: Mapped) -> None:
    table = asic_table(conv, "osu018")
    assert table.status == "DONE" and table.device == "osu018" and table.source == "opensta"
    assert [row["layer"] for row in table.layers] == ["c1", GLUE]
    for key in ("area_um2", "cells", "FF"):
        assert table.total[key] == pytest.approx(sum(row[key] for row in table.layers))
    inside = modules(mapped)
    cells = [c["type"] for m in inside.values() for c in m["cells"].values() if c["type"] not in inside]
    assert table.total["cells"] == len(cells) and table.total["FF"] == sum(c.startswith("DFF") for c in cells)
    assert table.total["area_um2"] == pytest.approx(sum(mapped.library.cells[c].area for c in cells))
    slack, path = table.total["worst_slack_ns"], table.details["critical_path"]
    assert slack is not None and 0 < slack < 10 and path["layers"] and set(path["layers"]) <= {"c1", GLUE}
    assert path["ns"] <= 10 - slack + 1e-3
    half = asic_table_again(mapped, slack)
    assert half == pytest.approx(-1.0, abs=1e-3)


def asic_table_again(mapped: Mapped, slack: float) -> float:
    """Slack of the same netlist at a period that is shorter by the slack and 1 ns; input and output delays stay."""
    top = mapped.design["top"]
    text = sdc_text(mapped.design, 10.0).replace("-period 10", f"-period {10 - slack - 1:.6f}")
    other = mapped.folder / "other.sdc"
    other.write_text(text)
    commands = [f"read_liberty {mapped.library.path}", f"read_verilog {mapped.folder / 'netlist.v'}"]
    commands += [f"link_design {top}", f"read_sdc {other}", "report_worst_slack -digits 6"]
    out = opensta.script("\n".join(commands) + "\n", mapped.folder / "again.log")
    found = re.search(r"^worst slack (\S+)$", out, re.M)
    assert found
    return float(found.group(1))


@pytest.mark.yosys
def test_the_sdc_is_read_without_a_complaint_and_leaves_nothing_unconstrained(mapped: Mapped) -> None:
    top = mapped.design["top"]
    commands = [f"read_liberty {mapped.library.path}", f"read_verilog {mapped.folder / 'netlist.v'}"]
    commands += [f"link_design {top}", f"read_sdc {mapped.folder / f'{top}.sdc'}", "check_setup -verbose"]
    text = opensta.script("\n".join(commands) + "\n", mapped.folder / "check.log")
    assert "Warning" not in text and "no" not in text.lower().split(), text
    inputs, outputs = ports(mapped.design)
    assert {*inputs, *outputs} == {name for name in modules(mapped)[top]["ports"] if name != "clk_i"}


@pytest.mark.yosys
def test_a_reset_is_all_that_the_netlist_needs(conv: Path, mapped: Mapped, recorded: Activity, tmp_path: Path) -> None:
    netlist = read_netlist(modules(mapped), str(mapped.design["top"]), mapped.library)
    counts = [replay_activity(netlist, mapped.design, recorded, seed) for seed in (1, 2, 3)]
    assert counts[0].toggles.sum() > 1000
    out, table, inputs = netlist.gates[-1]
    wrong = replace(netlist, gates=[*netlist.gates[:-1], (out, table ^ 0xF, inputs)])
    with pytest.raises(ProofError, match="what the RTL gave"):
        replay_activity(wrong, mapped.design, recorded)
    # a queue whose counters no reset reaches
    folder = tmp_path / "no_reset"
    shutil.copytree(conv, folder, ignore=shutil.ignore_patterns("cost"))
    fifo = folder / "rtl" / "hg_credit_fifo.sv"
    text = fifo.read_text()
    assert "if (rst_i) begin" in text
    fifo.write_text(text.replace("if (rst_i) begin", "if (1'b0) begin"))
    other = map_design(folder, mapped.library)
    netlist = read_netlist(modules(other), str(other.design["top"]), other.library)
    failures = 0
    for seed in range(4):
        try:
            replay_activity(netlist, other.design, recorded, seed)
        except ProofError:
            failures += 1
    assert failures


@pytest.mark.yosys
@pytest.mark.verilator
def test_energy_is_that_of_the_recorded_activity(mapped: Mapped, recorded: Activity) -> None:
    interval = int(recorded.window.cycles / recorded.window.frames)
    table = asic_energy(mapped, recorded, interval, lambda message, fraction: None)
    power, energy = table.total["power_mw"], table.total["energy_nj"]
    assert power and energy == pytest.approx(power * interval * 10.0 / 1000, rel=1e-4)
    assert power == pytest.approx(sum(row["power_mw"] for row in table.layers), rel=1e-4)
    # frames that are all the same toggle less
    still = recorded.ports.copy()
    still[:, 3] = still[0, 3]
    netlist = read_netlist(modules(mapped), str(mapped.design["top"]), mapped.library)
    with pytest.raises(ProofError):  # and give other results: the comparison sees it
        replay_activity(netlist, mapped.design, replace(recorded, ports=still))


def test_opensta_reports_watts_and_an_activity_is_toggles_a_cycle(tools: None, tmp_path: Path) -> None:
    library = find_library("osu018")
    text = library.path.read_text()
    leakage = float(re.search(r"cell \(DFFPOSX1\).*?cell_leakage_power : ([\d.]+)", text, re.S).group(1))  # nW
    load = float(re.search(r"cell \(XOR2X1\).*?pin\(A\).*?capacitance : ([\d.]+)", text, re.S).group(1))  # pF
    (tmp_path / "t.v").write_text(
        "module t(input clk, input a, output y); wire q;\n"
        "  DFFPOSX1 f(.CLK(clk), .D(a), .Q(q));\n  XOR2X1 x(.A(q), .B(1'b0), .Y(y));\nendmodule\n"
    )
    commands = [f"read_liberty {library.path}", f"read_verilog {tmp_path / 't.v'}", "link_design t"]
    commands += ["create_clock -name clk -period 4 [get_ports clk]", "report_power"]
    commands += ["::sta::set_power_pin_activity [::sta::find_pin f/Q] 0.5 0.5", 'puts "NOW"']
    commands += ["report_power -instances [get_cells f] -digits 6"]
    out = opensta.script("\n".join(commands) + "\n", tmp_path / "sta.log").partition("NOW")[2]
    internal, switching, leaks, total = (
        float(v) for v in re.search(r"^\s*(\S+) (\S+) (\S+) (\S+) f$", out, re.M).groups()
    )
    assert leaks == pytest.approx(leakage * 1e-9, rel=1e-3)
    assert switching == pytest.approx(0.5 * 0.5 * load * 1e-12 * 1.8**2 / 4e-9, rel=0.02)
    assert total == pytest.approx(internal + switching + leaks, rel=1e-3)


@pytest.mark.verilator
def test_energy_on_an_fpga_is_an_estimate(conv: Path, recorded: Activity, monkeypatch: pytest.MonkeyPatch) -> None:
    old = energy_table(conv, "xc7z020clg400-1", "xc7")
    new = energy_table(conv, "xck26-sfvc784-2LV-c", "xcup")
    for table in (old, new):
        assert table.source == "estimate" and table.status == "DONE" and "estimate" in str(table.reason)
        assert table.total["energy_nj"] == pytest.approx(sum(r["energy_nj"] for r in table.layers), rel=1e-2)
    assert old.total["energy_nj"] / new.total["energy_nj"] == pytest.approx(28 / 16 / 0.85**2, rel=1e-2)
    assert {row["layer"] for row in new.layers} == {"c1", GLUE}
    assert energy_table(conv, "x", "virtex2").status == "NOT RUN"
    monkeypatch.setattr(activity_module, "LONGEST", 100)
    table = energy_table(conv, "xc7z020clg400-1", "xc7")
    assert table.status == "NOT RUN" and "cycles" in str(table.reason) and missing_tool([table]) is None


def test_what_a_saif_file_says_of_registers_and_signals() -> None:
    net = "({} (T0 5) (T1 5) (TZ 0) (TX 0) (TB 0) (TC {}))"
    lines = ["(INSTANCE TOP", "(NET", net.format("x", 9), ")", "(INSTANCE t", "(NET", net.format("clk_i", 9)]
    lines += [net.format("top_q\\[0\\]", 3), net.format("sum\\[1\\]", 4), ")", "(INSTANCE u_a", "(NET"]
    lines += [net.format("in_i\\[0\\]", 5), net.format("s1_d1\\[0\\]", 6), net.format("mem_q[2]\\[1\\]", 1), ")"]
    lines += ["(INSTANCE u_deep", "(NET", net.format("y", 2), net.format("y_o", 2), ")", ")", ")", ")", ")"]
    toggles, bits = read_saif("\n".join(lines), "t")
    assert toggles == {"": (3, 4), "u_a": (7, 2)} and bits == {"": (1, 1), "u_a": (2, 1)}
    with pytest.raises(ProofError):
        read_saif("(SAIFILE\n)", "t")


# ---- what is missing ----


@pytest.mark.yosys
def test_the_stage_makes_both_tables_and_says_what_is_missing(
    tools: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_folder(tmp_path / "dense", dense_graph(), clock_period_ns=10.0)

    def quiet(message: str, fraction: float | None) -> None:
        del message, fraction

    tables = cost_tables(folder, CostRequest("osu035"), quiet)
    assert [(t.kind, t.status) for t in tables] == [("asic", "DONE"), ("energy", "DONE")]
    both = {**tables[0].total, **tables[1].total}
    assert all(both[key] is not None for key in ("area_um2", "worst_slack_ns", "power_mw", "energy_nj"))
    assert [row["layer"] for row in tables[0].layers] == ["fc1", "fc2", GLUE]

    def nothing() -> None:
        raise ToolMissing("no OpenSTA")

    monkeypatch.setattr(opensta, "find", nothing)
    area, energy = cost_tables(folder, CostRequest("osu035"), quiet)
    assert area.total["area_um2"] == both["area_um2"] and area.total["worst_slack_ns"] is None
    assert energy.status == "NOT RUN" and missing_tool([area, energy]) == "no OpenSTA"
    bad = tmp_path / "bad.lib"
    bad.write_text("library (a) {\n  oops\n}\n")
    with pytest.raises(SpecError, match=r"bad\.lib:3"):
        cost_tables(folder, CostRequest(str(bad)), quiet)


# ---- hand-off ----


def test_the_hand_off_has_no_vendor_in_it(conv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handoff_asic, "MACRO_BITS", 1)
    first, second = handoff_asic.asic(conv), handoff_asic.asic(conv)
    assert first.digest() == second.digest()
    config = json.loads(first["config.json"])
    assert config["DESIGN_NAME"] == "conv" and config["CLOCK_PORT"] == "clk_i" and config["CLOCK_PERIOD"] == 10.0
    assert all(name.startswith("dir::") and name[5:] in first for name in config["VERILOG_FILES"])
    text = "\n".join(first[name].decode() for name in first if name.startswith("rtl/") and name.endswith(".sv"))
    assert not re.search(r"\binitial\b|DSP48|RAMB|SB_|TRELLIS|axis", re.sub(r"//.*", "", text))
    assert str(conv) not in "".join(content.decode() for content in first.values())
    stubs = [name for name in first if name.startswith("macros/") and name.endswith(".sv")]
    assert stubs
    for name in stubs:
        module = Path(name).stem
        rom = first[f"rtl/{module}.sv"].decode()
        words = re.findall(r"data_o <= \d+'h([0-9a-f]+);", rom)
        assert first[f"macros/{module}.hex"].decode().split() == words
        sides = [re.findall(r"(?:in|out)put +logic[^;,\n]*", body) for body in (rom, first[name].decode())]
        assert sides[0] == sides[1]


def test_rtl_for_fpgas_is_not_handed_over() -> None:
    handoff_asic.check_portable("a.sv", "// initial\nalways_ff @(posedge clk_i) q <= d;\n")
    for line in ("  initial q = 0;", "  RAMB18E1 u_ram ();", "  SB_MAC16 u_mac ();"):
        with pytest.raises(ProofError) as caught:
            handoff_asic.check_portable("a.sv", f"module a;\n{line}\n")
        assert caught.value.where == "rtl/a.sv:2"


@pytest.mark.verilator
def test_the_folder_proves_itself_elsewhere(conv: Path, tmp_path: Path) -> None:
    (made,) = hand_over(conv, ["asic"])
    moved = Path(shutil.copytree(made.folder, tmp_path / "moved"))
    code, text = run_bench(compile_bench(moved, "conv_tb", "conv_sim.f"), moved)
    assert code == 0 and "PASS:" in text, text
    assert (made.folder / "conv.sdc").read_text().count("create_clock") == 1
    assert np.all([(made.folder / name).is_file() for name in ("config.json", "README.md", "LICENSE.txt")])
