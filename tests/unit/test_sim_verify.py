"""The proof must pass a good design and fail each kind of bad one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sim_design import tiny_folder, verification

from hwgen.errors import ProofError, SpecError, ToolMissing
from hwgen.sim import diverge, native
from hwgen.sim import verify as module
from hwgen.sim.verify import VerifyOptions, verify
from hwgen.tools import gxx, verilator

pytestmark = pytest.mark.verilator

FAST = VerifyOptions(cocotb=False)


def failed(folder: Path) -> list[str]:
    return [text.split(":")[0] for text in verification(folder)["failed_checks"] if "did not run" not in text]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_folder(tmp_path_factory.mktemp("good"))
    assert verify(folder, VerifyOptions()).status == "PASS"
    return folder


def test_a_good_design_passes_with_every_part_counted(good: Path) -> None:
    document = verification(good)
    assert document["status"] == "PASS"
    assert [(row["a"], row["b"], row["mismatches"]) for row in document["pairs"]] == [
        ("qkeras", "graph", 0),
        ("graph", "hls_cpp", 0),
        ("graph", "rtl", 0),
    ]
    assert document["pairs"][2]["vectors"] == sum(document["pairs"][2]["sets"].values()) > 2000
    assert document["latency"] == {"predicted_cycles": 3, "measured_cycles": 3, "clock_period_ns": 5.0}
    assert document["interval"]["measured_cycles"] == 1
    assert document["interval"]["frames"] >= 16
    assert {row["pattern"] for row in document["stalls"]} >= {"none", "source_gaps", "sink_stalls", "both"}
    assert all(
        row["frames"] > 0 and row["lost"] == row["repeated"] == row["changed"] == 0 for row in document["stalls"]
    )
    assert document["resets"]["count"] >= 20
    assert document["tools"]["verilator"] and document["tools"]["cocotb"]
    assert set(document["inputs"]) == {"graph", "rtl", "vectors"}
    assert "timing closure" in document["not_checked"]
    suite = ElementTree.parse(good / "reports" / "verification.junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert int(suite.get("tests", "0")) > 15


def test_without_a_handshake(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "none")
    assert verify(folder, VerifyOptions()).status == "PASS"
    assert {row["pattern"] for row in verification(folder)["stalls"]} == {"none", "source_gaps"}


def test_a_wrong_weight_is_found_with_its_layer(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, edit=("31 * x2", "30 * x2"))
    evidence = verify(folder, FAST)
    assert (evidence.status, evidence.exit_status) == ("FAIL", 1)
    found = verification(folder)["mismatch"]
    assert (found["layer"], found["element"], found["cycle"]) == ("fc1", 0, 1)
    assert found["rtl_integer"] != found["graph_integer"]
    assert found["signal"] == "tiny.tap_fc1_o"
    assert found["replay"].startswith("hwgen verify ")
    assert f"--only {found['set']}:{found['index']}" in found["replay"]
    assert (folder / found["waveform"]).stat().st_size > 500


def test_a_wrong_second_layer_leaves_the_first_ones_in_agreement(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, edit=("-7 * y0", "-8 * y0"))
    assert verify(folder, FAST).status == "FAIL"
    found = verification(folder)["mismatch"]
    assert (found["layer"], found["element"], found["agree"]) == ("fc2", 1, ["fc1", "relu1"])


def test_waves_always_and_never(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "good")
    assert verify(folder, VerifyOptions(waves="always")).status == "PASS"
    assert (folder / verification(folder)["waveform"]).stat().st_size > 500
    bad = tiny_folder(tmp_path / "bad", edit=("31 * x2", "30 * x2"))
    assert verify(bad, replace(FAST, waves="never")).status == "FAIL"
    found = verification(bad)["mismatch"]
    assert found["layer"] == "fc1" and found["waveform"] is None


def test_replay_of_one_vector(tmp_path: Path, good: Path) -> None:
    before = (good / "verification.json").read_text()
    evidence = verify(good, VerifyOptions(only="random:7"))
    assert (evidence.status, evidence.exit_status, evidence.mismatch) == ("NOT RUN", 0, None)
    assert (good / "verification.json").read_text() == before
    bad = tiny_folder(tmp_path, edit=("-7 * y0", "-8 * y0"))
    evidence = verify(bad, VerifyOptions(only="corners:1", waves="always"))
    assert (evidence.status, evidence.exit_status) == ("FAIL", 1)
    assert evidence.mismatch and evidence.mismatch["layer"] == "fc2"
    assert not (bad / "verification.json").exists()
    with pytest.raises(SpecError, match=r"random:0\.\.1999"):
        verify(bad, VerifyOptions(only="random:2000"))


BAD = {
    "rounding": ("valid_ready", (">>> 5) & 1", ">>> 5) & 0"), "graph = rtl"),
    "saturation": ("valid_ready", ("r0 > 63 ? 6'd63", "r0 > 63 ? 6'd62"), "graph = rtl"),
    "a ready that is not looked at": ("valid_ready", ("in_valid_i && in_ready_o", "in_valid_i"), "stalls"),
    "an uninitialised pointer": ("valid_ready", ("rd_q <= 0; ", ""), "graph = rtl"),
    "valid waits for ready": ("valid_ready", ("used_q != 0", "used_q != 0 && (out_ready_i || used_q > 1)"), "stalls"),
    "data moves under a stall": ("valid_ready", ("mem[rd_q]", "mem[rd_q] ^ {22{used_q[1]}}"), "stalls"),
    "a reset that leaves a frame": ("valid_ready", ("v2_q <= !rst_i && v1_q", "v2_q <= v1_q"), "resets in flight"),
    "too few credits": ("valid_ready", ("credit_q <= 8", "credit_q <= 2"), "interval as predicted"),
    "a failing assertion": (
        "valid_ready",
        ("endmodule", "always @(posedge clk_i) assert (!v2_q); endmodule"),
        "protocol",
    ),
    "outputs without end": ("valid_ready", ("out_valid_o = used_q != 0", "out_valid_o = !rst_i"), "graph = rtl"),
    "one cycle more": (
        "none",
        (
            "always_ff @(posedge clk_i) begin out_data_o <= fc2_q; out_valid_o <= !rst_i && v2_q; end",
            "logic v3_q; logic [$bits(fc2_q)-1:0] d_q; always_ff @(posedge clk_i) begin d_q <= fc2_q;"
            " out_data_o <= d_q; v3_q <= !rst_i && v2_q; out_valid_o <= !rst_i && v3_q; end",
        ),
        "latency as predicted",
    ),
    "valid after power-up": ("none", ("v1_q <= !rst_i && take", "v1_q <= take"), "resets in flight"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_fault_is_found(tmp_path: Path, name: str) -> None:
    handshake, edit, check = BAD[name]
    folder = tiny_folder(tmp_path, handshake, edit=edit)
    assert verify(folder, FAST).status == "FAIL"
    assert any(text.startswith(check) for text in failed(folder)), failed(folder)


def test_a_wrong_prediction_fails(tmp_path: Path, good: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(good, folder)
    (folder / "reports" / "prediction.json").write_text(
        json.dumps({"latency_cycles": 4, "interval_cycles": 1, "clock_period_ns": 5.0})
    )
    assert verify(folder, FAST).status == "FAIL"
    assert failed(folder) == ["latency as predicted"]


def test_no_simulator_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder(tmp_path)

    def nothing() -> verilator.Verilator:
        raise ToolMissing("no usable Verilator")

    monkeypatch.setattr(module.verilator, "find", nothing)
    evidence = verify(folder, FAST)
    assert (evidence.status, evidence.exit_status) == ("NOT RUN", 4)
    document = verification(folder)
    assert document["status"] == "NOT RUN"
    assert "Verilator" in document["reason"]
    assert 'errors="0"' not in (folder / "reports" / "verification.junit.xml").read_text()


def test_missing_pairs_are_not_a_pass(tmp_path: Path, good: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(good, folder)
    (folder / "reports" / "pairs.json").unlink()
    assert verify(folder, FAST).status == "NOT RUN"
    (folder / "reports" / "pairs.json").write_text('[{"a": "qkeras", "b": "graph", "vectors": 0, "mismatches": 0}]')
    assert verify(folder, FAST).status == "FAIL"


def test_a_broken_rtl_file_is_an_error_and_a_fail(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, edit=("endmodule", "endmodul"))
    with pytest.raises(ProofError, match=r"(?s)verilator.*endmodul"):
        verify(folder, FAST)
    assert verification(folder)["status"] == "FAIL"


def test_a_simulator_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder(tmp_path, edit=("endmodule", 'initial $system("sleep 100"); endmodule'))
    monkeypatch.setattr(native, "STALL_TIMEOUT_S", 1.0)
    with pytest.raises(ProofError, match="no progress for 1 s"):
        verify(folder, FAST)
    assert verification(folder)["status"] == "FAIL"


def test_a_simulator_that_crashes(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, edit=("endmodule", 'initial $system("kill -SEGV $PPID"); endmodule'))
    with pytest.raises(ProofError, match="SIGSEGV"):
        verify(folder, FAST)
    assert verification(folder)["status"] == "FAIL"


def test_a_killed_verification_leaves_no_pass(good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(good, folder)
    assert verification(folder)["status"] == "PASS"

    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "build_harness", stop)
    with pytest.raises(KeyboardInterrupt):
        verify(folder, FAST)
    assert verification(folder)["status"] == "NOT RUN"


def test_a_budget_is_kept_and_stated(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(good, folder)
    assert verify(folder, VerifyOptions(budget_s=0.0, cocotb=False)).status == "FAIL"
    assert any("vectors in RTL" in text for text in verification(folder)["not_checked"])
    assert verify(folder, VerifyOptions(budget_s=0.0, vectors="all", cocotb=False)).status == "NOT RUN"
    assert verification(folder)["pairs"][2]["vectors"] == verification(good)["pairs"][2]["vectors"] > 2100
    assert verify(folder, VerifyOptions(vectors=10, cocotb=False)).status == "NOT RUN"
    assert verification(folder)["pairs"][2]["sets"]["test"] == 10


def test_no_build_folder(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"graph\.json"):
        verify(tmp_path, FAST)


def test_tools_are_found() -> None:
    assert gxx.find().version
    assert verilator.find().version >= "5.036"


def test_the_wave_format_follows_the_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diverge.gxx, "has_header", lambda name: True)
    assert diverge.wave_format() == "fst"
    monkeypatch.setattr(diverge.gxx, "has_header", lambda name: name != "lz4.h")
    assert diverge.wave_format() == "vcd"


def test_a_difference_that_needs_its_history_is_found(tmp_path: Path) -> None:
    """A layer that is wrong only after 40 frames: the frame alone is right, so the stream is replayed."""
    counter = (
        "logic [5:0] n_q; always_ff @(posedge clk_i) if (rst_i) n_q <= 0; else if (take && n_q < 40) n_q <= n_q + 1;"
    )
    folder = tiny_folder(tmp_path, edit=("  logic [17:0] relu_q;", f"  {counter}\n  logic [17:0] relu_q;"))
    rtl = folder / "rtl" / "tiny.sv"
    rtl.write_text(rtl.read_text().replace("relu_q <= {s2, s1, s0};", "relu_q <= {s2, s1, n_q == 40 ? ~s0 : s0};", 1))
    assert verify(folder, FAST).status == "FAIL"
    found = verification(folder)["mismatch"]
    assert (found["layer"], found["element"], found["note"]) == ("relu1", 0, "only after the 40 frames before it")
    assert (found["set"], found["index"]) == ("random", 40 - verification(folder)["pairs"][2]["sets"]["corners"])
