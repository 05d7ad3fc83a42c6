"""The table, the failure screen and JUnit, from the JSON files of a build folder."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hwgen.cost.table import CostTable
from hwgen.report.collect import Report, collect
from hwgen.report.junit import junit
from hwgen.report.table import table
from hwgen.spec import load_spec

SETS = {"test": 360, "random": 10000, "corners": 214}


def pair(a: str, b: str, mismatches: int = 0) -> dict[str, Any]:
    return {"a": a, "b": b, "vectors": 10574, "mismatches": mismatches, "sets": SETS}


TRAIN = {"metric": "accuracy", "float": 0.975, "quantized": 0.972, "data": {"test": 360}}
LOWER = {"integer": 0.969, "weights": {"weights": 6464, "nonzero": 2682, "layers": {}}, "notes": []}
PREDICTION = {"latency_cycles": 9, "interval_cycles": 1, "clock_period_ns": 5.0}
EVIDENCE: dict[str, Any] = {
    "status": "PASS",
    "pairs": [pair("qkeras", "graph"), pair("graph", "hls_cpp"), pair("graph", "rtl")],
    "latency": {"predicted_cycles": 9, "measured_cycles": 9, "clock_period_ns": 5.0},
    "interval": {"predicted_cycles": 1, "measured_cycles": 1, "frames": 64},
    "stalls": [{"pattern": p, "lost": 0, "repeated": 0} for p in "abcd"],
    "resets": {"count": 20},
    "not_checked": ["timing closure", "device cost"],
    "mismatch": None,
}
STAGES = {"spec": 0.1, "train": 31.2, "compress": 14.0, "lower": 6.1, "rtl": 2.0, "verify": 18.4}


@pytest.fixture
def report(tmp_path: Path):
    (tmp_path / "model.yaml").write_text(
        "model:\n  name: digits_mlp\n  layers:\n    - QDense: {name: fc, units: 2}\ndata: {set: digits}\n"
    )

    def make(evidence: dict[str, Any] | None, *overrides: str, **more: Any) -> Report:
        folder = tmp_path / "build"
        (folder / "reports").mkdir(parents=True, exist_ok=True)
        compress = {"compressed": 0.969, "unmet": more.pop("unmet", None)}
        files = {"train": TRAIN, "compress": compress, "lower": LOWER, "prediction": PREDICTION}
        for name, value in files.items():
            (folder / "reports" / f"{name}.json").write_text(json.dumps(value))
        (folder / "reports" / "pairs.json").write_text(json.dumps({"pairs": EVIDENCE["pairs"][:2]}))
        (folder / "verification.json").unlink(missing_ok=True)
        if evidence is not None:
            (folder / "verification.json").write_text(json.dumps(evidence))
        stages = more.pop("stages", STAGES)
        return collect(load_spec(tmp_path / "model.yaml", overrides), folder, stages, **more)

    return make


def changed(**values: Any) -> dict[str, Any]:
    return copy.deepcopy(EVIDENCE) | values


def test_pass(report) -> None:
    result = report(EVIDENCE)
    assert (result.status, result.exit_status) == ("PASS", 0)
    text = table(result, "hls_projects/digits_mlp")
    assert text == (Path(__file__).parents[1] / "golden" / "table.txt").read_text().rstrip("\n")


def test_what_compression_could_not_reach_is_unmet(report) -> None:
    result = report(EVIDENCE, "verify.require.latency_cycles=8", unmet="compress.bits.search.floor: 0.9")
    assert (result.status, result.exit_status) == ("UNMET", 3)
    assert result.reason == "compress.bits.search.floor: 0.9, verify.require.latency_cycles: 9, required 8"
    assert "UNMET  compress.bits.search.floor: 0.9" in table(result, "b")


STREAM = {
    "latency": {
        "predicted_cycles": 9123, "measured_cycles": 9123, "first_out_predicted_cycles": 1800,
        "first_out_measured_cycles": 1800, "steady_predicted_cycles": 9200, "steady_measured_cycles": 9201,
        "clock_period_ns": 5.0,
    },
    "interval": {"predicted_cycles": 5000, "measured_cycles": 5000, "frames": 7},
    "fifos": [{"name": "a", "depth": 8, "predicted": 3, "measured": 3}, {"name": "b", "depth": 4, "measured": 2}],
}  # fmt: skip


def test_a_streaming_design_shows_every_latency_and_the_time_of_a_frame(report) -> None:
    result = report(changed(**STREAM), "verify.require.interval_cycles=4999", "verify.require.latency_cycles=9123")
    timing = next(b for b in table(result, "b").split("\n\n") if b.startswith(" Timing"))
    assert timing.splitlines()[:5] == [
        " Timing              predicted              measured",
        " latency             9,123 clk / 45.615 µs  9,123 clk / 45.615 µs  first in -> last out",
        " first output        1,800 clk / 9 µs       1,800 clk / 9 µs       first in -> first out",
        " steady latency      9,200 clk / 46 µs      9,201 clk / 46.005 µs  sources paced at the interval",
        " interval            5,000 clk / 25 µs      5,000 clk / 25 µs      7 back-to-back frames",
    ]
    assert " FIFOs 2: 12 slots, high-water marks 5" in table(result, "b")
    assert (result.status, [r.met for r in result.requirements]) == ("UNMET", [True, False])
    cases = {c.get("name"): c for c in ElementTree.fromstring(junit(result)).iter("testcase")}
    assert cases["first output"].find("failure") is None
    found = cases["steady latency"].find("failure")
    assert found is not None and found.get("message") == "predicted 9200 cycles, measured 9201"
    assert result.to_json()["first_out"] == {"predicted": 1800, "measured": 1800, "frames": None}


def test_the_screen_names_pixel_channel_and_who_waits(report) -> None:
    mismatch = {
        "set": "test", "index": 3, "seed": 0, "layer": "conv1", "agree": [], "beat": 13, "beats": 20, "pixel": [2, 3],
        "channel": 1, "element": 27, "waiting": ["conv1_pool1: conv1 has data, pool1 does not take it"],
        "note": "beat 13 of 20 never came",
    }  # fmt: skip
    pairs = [*EVIDENCE["pairs"][:2], pair("graph", "rtl", 1)]
    screen = table(report(changed(status="FAIL", pairs=pairs, mismatch=mismatch)), "b").split("\n\n")[-1]
    assert "  first layer    conv1, pixel (2, 3) channel 1, beat 13 of 20" in screen
    assert "  waiting        conv1_pool1: conv1 has data, pool1 does not take it" in screen


def test_rtl_accuracy_only_if_every_test_frame_ran_and_agreed(report) -> None:
    assert report(EVIDENCE).accuracy["rtl"] == 0.969
    fewer = changed(pairs=[*EVIDENCE["pairs"][:2], pair("graph", "rtl") | {"sets": SETS | {"test": 100}}])
    assert report(fewer).accuracy["rtl"] is None
    wrong = changed(status="FAIL", pairs=[*EVIDENCE["pairs"][:2], pair("graph", "rtl", 1)])
    assert report(wrong).accuracy["rtl"] is None


def test_mismatch_screen(report) -> None:
    mismatch = {
        "set": "random", "index": 812, "seed": 0, "layer": "fc2", "element": 17, "agree": ["fc1", "relu1"],
        "graph_integer": -23, "rtl_integer": -22, "graph_value": -0.359375, "rtl_value": -0.34375,
        "type": "fixed<12,6>", "cycle": 6, "of_cycles": 9, "signal": "digits_mlp.tap_fc2_o", "bits": [215, 204],
        "waveform": "reports/mismatch.fst", "replay": "hwgen verify b --seed 0 --only random:812 --waves",
    }  # fmt: skip
    pairs = [*EVIDENCE["pairs"][:2], pair("graph", "rtl", 37)]
    failed = ["graph = rtl: 37 of 10574 vectors differ", "latency as predicted: predicted 9 cycles, measured 10"]
    result = report(changed(status="FAIL", pairs=pairs, mismatch=mismatch, reason=failed[0], failed_checks=failed))
    assert result.exit_status == 1
    screen = table(result, "b").split("\n\n")[-1]
    assert screen.splitlines() == [
        "FAIL  graph and rtl disagree: 37 of 10,574 vectors   exit 1",
        "  first vector   random #812 (seed 0)",
        "  first layer    fc2, element [17]   (fc1, relu1 agree)",
        "  graph          -23   (-0.359375 as fixed<12,6>)",
        "  rtl            -22   (-0.34375)",
        "  cycle          6 of 9, signal digits_mlp.tap_fc2_o[215:204]",
        "  waveform       b/reports/mismatch.fst",
        "  replay         hwgen verify b --seed 0 --only random:812 --waves",
        "  unaffected     qkeras = graph, graph = hls_cpp: 0 mismatches",
        "  also           latency as predicted: predicted 9 cycles, measured 10",
    ]


def test_mismatch_before_the_rtl(report) -> None:
    first = {
        "set": "test", "index": 3, "output": "fc_out", "element": 1, "a_integer": 5, "b_integer": 4,
        "a_value": 0.5, "b_value": 0.4, "type": "fixed<6,1>",
    }  # fmt: skip
    pairs = [pair("qkeras", "graph", 2) | {"first": first}, *EVIDENCE["pairs"][1:]]
    screen = table(report(changed(status="FAIL", pairs=pairs)), "b").split("\n\n")[-1]
    assert "FAIL  qkeras and graph disagree: 2 of 10,574 vectors   exit 1" in screen
    assert "qkeras         5" in screen and "graph          4" in screen
    assert "unaffected     graph = hls_cpp, graph = rtl: 0 mismatches" in screen


def test_other_failed_checks_are_named(report) -> None:
    reason = "interval as predicted: predicted 1 cycles, measured 2"
    result = report(changed(status="FAIL", reason=reason, failed_checks=[reason, "resets in flight: 1 of 9 wrong"]))
    screen = table(result, "b").split("\n\n")[-1]
    assert screen.startswith(f"FAIL  {reason}   exit 1") and "resets in flight" in screen


@pytest.mark.parametrize(
    ("override", "met"),
    [
        ("verify.require.accuracy=0.96", True),
        ("verify.require.accuracy=0.97", False),
        ("verify.require.latency_cycles=9", True),
        ("verify.require.latency_cycles=8", False),
        ("verify.require.latency_ns=45", True),
        ("verify.require.latency_ns=44.9", False),
        ("verify.require.interval_cycles=1", True),
        ("hardware.target.latency_us=0.045", True),
        ("hardware.target.latency_us=0.044", False),
        ("hardware.target.throughput_hz=200000000", True),
        ("hardware.target.throughput_hz=200000001", False),
    ],
)
def test_requirements(report, override: str, met: bool) -> None:
    result = report(EVIDENCE, override)
    assert [r.met for r in result.requirements] == [met]
    assert result.exit_status == (0 if met else 3)
    if not met:
        assert override.split("=")[0] in table(result, "b").splitlines()[-1]


def test_an_unknown_figure_does_not_meet_a_requirement(report) -> None:
    evidence = changed(latency={"predicted_cycles": 9, "measured_cycles": None})
    assert report(evidence, "verify.require.latency_cycles=20").exit_status == 3


def test_a_failed_proof_outranks_a_requirement(report) -> None:
    assert report(changed(status="FAIL"), "verify.require.accuracy=0.99").exit_status == 1


def test_not_run(report) -> None:
    evidence = changed(status="NOT RUN", reason="no usable Verilator", pairs=EVIDENCE["pairs"][:2])
    evidence["latency"]["measured_cycles"] = evidence["interval"]["measured_cycles"] = None
    result = report(evidence)
    assert (result.status, result.exit_status) == ("NOT RUN", 4)
    text = table(result, "b")
    assert text.splitlines()[-1] == "NOT RUN  no usable Verilator   exit 4"
    assert "graph   = rtl            NOT RUN" in text
    assert "9 clk / 45 ns    NOT RUN" in text


def test_a_missing_compiler_is_not_a_pass_even_beside_good_evidence(report) -> None:
    assert report(EVIDENCE, missing="cannot find g++").exit_status == 4


COST = CostTable("synthesized", "yosys", "xcvu13p-flga2577-2-e", "pyosys", "FAILED", "yosys did not end within 1 s")


def test_a_killed_synthesis_is_no_pass(report, tmp_path: Path) -> None:
    place = tmp_path / "build" / "reports" / "cost.json"
    place.parent.mkdir(parents=True)
    for device, status in ((COST.device, "NOT RUN"), ("LFE5U-85F", "PASS")):  # the build's own part, and another
        place.write_text(json.dumps({"tables": [replace(COST, device=device).to_json()]}))
        result = report(EVIDENCE, stages=STAGES | {"cost": 1.0})
        assert (result.status, result.exit_status) == (status, 0 if status == "PASS" else 4)
    place.write_text(json.dumps({"tables": [COST.to_json()]}))
    result = report(EVIDENCE, stages=STAGES | {"cost": 1.0})
    last = table(result, "b").splitlines()[-1]
    assert last.startswith("NOT RUN  verified, but the cost stage did not finish (synthesized: yosys did not end")
    assert last.endswith("all other results are kept   exit 4")
    suite = ElementTree.fromstring(junit(result))[0]
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    assert result.to_json()["exit_status"] == 4
    failed = report(changed(status="FAIL", reason="differs"), stages=STAGES | {"cost": 1.0})
    assert failed.exit_status == 1
    unmet = report(EVIDENCE, "verify.require.accuracy=0.999", stages=STAGES | {"cost": 1.0})
    assert unmet.exit_status == 3


@pytest.mark.parametrize("evidence", [{}, {"status": "pass"}, {"status": None}])
def test_evidence_without_a_verdict_is_not_a_pass(report, evidence: dict[str, Any]) -> None:
    assert report(evidence).exit_status == 4


def test_stopped_earlier_is_not_a_pass_on_the_screen(report) -> None:
    result = report(None, stages={"spec": 0.1, "train": 3.0}, last="train")
    assert (result.status, result.exit_status) == ("PARTIAL", 0)
    assert table(result, "b").splitlines()[-1].startswith("NOT VERIFIED  b  (stopped after train, as asked)")


def test_old_evidence_is_not_shown_for_a_build_that_stopped_before_verify(report) -> None:
    result = report(EVIDENCE, stages={"spec": 0.1}, last="spec")
    assert result.status == "PARTIAL" and result.latency.measured is None


def test_junit_counts_and_never_passes_what_did_not_run(report) -> None:
    def suite(result: Report) -> ElementTree.Element:
        return ElementTree.fromstring(junit(result))[0]

    good = suite(report(EVIDENCE, "verify.require.accuracy=0.9"))
    assert (good.get("tests"), good.get("failures"), good.get("errors")) == ("7", "0", "0")
    assert int(suite(report(None, stages={"spec": 0.1}, last="spec")).get("errors") or 0) >= 4
    late = suite(report(EVIDENCE, "verify.require.latency_ns=10"))
    assert late.get("failures") == "2"  # the requirement, and the status
    slow = changed(status="FAIL", latency={"predicted_cycles": 9, "measured_cycles": 10}, reason="latency")
    assert suite(report(slow)).get("failures") == "2"


def test_json_is_plain(report) -> None:
    document = json.loads(json.dumps(report(EVIDENCE).to_json()))
    assert document["version"] == 1 and document["exit_status"] == 0 and document["status"] == "PASS"
    assert document["latency"] == {"predicted": 9, "measured": 9, "frames": None}
