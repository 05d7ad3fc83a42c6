"""The proof of streaming designs: a good one passes, each kind of bad one fails and is located."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stream_design import BEATS, pair_design, pair_folder, pair_graph, pair_prediction, verification

from hwgen.sim import case as case_module
from hwgen.sim.compare import match_epoch
from hwgen.sim.effort import COCOTB_WHOLE, effort
from hwgen.sim.glue import glue
from hwgen.sim.native import build_harness
from hwgen.sim.streams import in_streams, out_streams, pack_frames, tap_streams, unpack_frames
from hwgen.sim.timing import measure_paced, measure_timing
from hwgen.sim.transfers import Beats, Epoch
from hwgen.sim.verify import VerifyOptions, verify

FAST = VerifyOptions(cocotb=False)


def failed(folder: Path) -> list[str]:
    return [text.split(":")[0] for text in verification(folder)["failed_checks"] if "did not run" not in text]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = pair_folder(tmp_path_factory.mktemp("good"))
    evidence = verify(folder, VerifyOptions())
    assert evidence.status == "PASS", evidence.document.get("failed_checks")
    return folder


@pytest.mark.verilator
def test_a_good_design_passes_with_every_part_counted(good: Path) -> None:
    document = verification(good)
    latency, interval = 62, 61
    assert document["latency"] == {
        **{
            f"{what}{key}_cycles": latency
            for what in ("", "first_out_", "steady_")
            for key in ("predicted", "measured")
        },
        "clock_period_ns": 5.0,
    }
    assert document["interval"] == {"predicted_cycles": interval, "measured_cycles": interval, "frames": 7}
    assert [(row["name"], row["predicted"], row["measured"]) for row in document["fifos"]] == [
        ("f1", 1, 1), ("f2", 2, 2), ("f3", 1, 1), ("f4", 1, 1),
    ]  # fmt: skip
    assert [row["measured"] for row in document["layers"]] == [[0, 53], [1, 52], [61, 61]]
    assert document["pairs"][2]["sets"] == {"test": 80, "corners": 3, "random": 200}
    patterns = {(row["bench"], row["pattern"]) for row in document["stalls"]}
    for bench in ("native", "cocotb core"):
        for pattern in ("none", "source_gaps", "sink_stalls", "both", "source_stops_in_mid_frame"):
            assert (bench, pattern) in patterns
    assert all(row["frames"] > 0 for row in document["stalls"])
    assert document["resets"]["count"] >= 40 and document["resets"]["frames"] > document["resets"]["count"]
    measured = document["cocotb"]["core"]["measured"]
    assert (measured["latency"], measured["first_output"], measured["interval"]) == (latency, latency, interval)
    names = {case.get("name") for case in _cases(good)}
    assert {"first output as predicted", "steady latency as predicted", "interval: cocotb agrees"} <= names


def _cases(folder: Path) -> list:
    from xml.etree import ElementTree

    return list(ElementTree.parse(folder / "reports" / "verification.junit.xml").getroot().iter("testcase"))


@pytest.mark.verilator
def test_a_wrong_bit_is_found_with_its_pixel_and_channel(tmp_path: Path) -> None:
    folder = pair_folder(tmp_path, ("= {t1[5:0], t0[5:0]};", "= {t1[5:0], t0[5:0]} ^ {4'd0, place_q == 13, 7'd0};"))
    assert verify(folder, FAST).status == "FAIL"
    found = verification(folder)["mismatch"]
    assert (found["layer"], found["beat"], found["pixel"], found["channel"]) == ("total", 13, [2, 3], 1)
    assert (found["element"], found["bits"], found["signal"]) == (13 * 2 + 1, [11, 6], "pair.total")
    assert abs(found["graph_integer"] - found["rtl_integer"]) == 2
    assert found["cycle"] == 3 * 11 + 1 and found["agree"] == ["aq"]
    assert (found["set"], found["index"]) == ("test", 0)
    assert (folder / found["waveform"]).stat().st_size > 500


@pytest.mark.verilator
def test_a_lost_beat_is_named(tmp_path: Path) -> None:
    folder = pair_folder(tmp_path, ("wire send_total = joined;", "wire send_total = joined && place_q != 9;"))
    assert verify(folder, replace(FAST, waves="never")).status == "FAIL"
    found = verification(folder)["mismatch"]
    assert (found["layer"], found["beat"], found["pixel"]) == ("total", 9, [1, 4])
    assert found["note"] == "beat 9 is missing: beat 10 comes in its place"
    assert any("output total_out: waits for beat" in text for text in found["waiting"])


@pytest.mark.verilator
def test_one_cycle_late_names_the_layer(tmp_path: Path) -> None:
    late = ("wait_q <= fire ? 3 - 1", "wait_q <= fire ? 3 - 1 + 16'(beat_q == 19)")
    folder = pair_folder(tmp_path, late)
    assert verify(folder, FAST).status == "FAIL"
    document = verification(folder)
    wanted = {"latency", "first output", "steady latency", "interval", "cycles of every layer"}
    assert set(failed(folder)) == {f"{what} as predicted" for what in wanted}
    assert any("dense: first and last beat predicted in cycles (61, 61), measured (62, 62)" in text
               for text in document["failed_checks"])  # fmt: skip
    assert document["pairs"][2]["mismatches"] == 0 and document["mismatch"] is None


@pytest.mark.verilator
def test_a_deadlock_ends_and_says_who_waits(tmp_path: Path) -> None:
    folder = pair_folder(tmp_path, ("wire can_join = f3_space;", "wire can_join = f3_space && out_dense_valid_o;"))
    assert verify(folder, FAST).status == "FAIL"
    document = verification(folder)
    assert "aq_total: aq has data, total does not take it" in document["mismatch"]["waiting"]
    assert "aq_dense: dense waits for aq" in document["mismatch"]["waiting"]
    assert document["mismatch"]["note"].startswith("beat 4 of 20 never came")
    reasons = " ".join(document["failed_checks"])
    assert "input a: beat 4 of 20 of frame 0 is offered, the design does not take it" in reasons


@pytest.mark.verilator
def test_a_source_that_stops_for_good_is_reported(good: Path) -> None:
    files = [good / "rtl" / "pair.sv"]
    watched = build_harness(pair_design(), files, good / "tb" / "sim" / "watched", taps=True)
    frames = np.zeros((4, 40), dtype=np.uint32)
    seen = watched.run(frames, source_pause=10**6, stuck=5000)
    assert seen.ended == "no progress" and seen.cycles < 20_000
    assert any("the source stopped before beat" in text for text in seen.waiting if text.startswith("input "))
    assert any(text.startswith("output total_out: waits for beat") for text in seen.waiting)


BAD = {
    "an engine that a reset leaves in mid-frame": (("full_q <= 0; beat_q <= 0;", "full_q <= 0;"), "resets in flight"),
    "a join that does not look at its sink": (("wire can_join = f3_space;", "wire can_join = 1;"), "stalls"),
    "valid waits for ready": (
        (".out_valid_o(out_dense_valid_o)", ".out_valid_o(dv)"),
        "stalls",
        (
            "`ifdef HWGEN_TAPS\n  assign",
            "wire dv; assign out_dense_valid_o = dv && out_dense_ready_i;\n`ifdef HWGEN_TAPS\n  assign",
        ),
    ),
    "a FIFO one slot short": ((".Depth(2)) u_f2", ".Depth(1)) u_f2"), "high-water marks as predicted"),
}


@pytest.mark.verilator
@pytest.mark.parametrize("name", BAD)
def test_each_fault_is_found(tmp_path: Path, name: str) -> None:
    edit, check, *more = BAD[name]
    folder = pair_folder(tmp_path, edit, *more)
    assert verify(folder, replace(FAST, waves="never", locate=False)).status == "FAIL"
    assert any(text.startswith(check) for text in failed(folder)), failed(folder)


@pytest.mark.verilator
def test_each_wrong_prediction_fails(tmp_path: Path, good: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(good, folder)
    wrong = pair_prediction()
    wrong |= {key: wrong[key] + 1 for key in wrong if key.endswith("_cycles")}
    wrong["fifos"][1]["high_water"], wrong["taps"][0]["first_cycle"] = 1, 1
    (folder / "reports" / "prediction.json").write_text(json.dumps(wrong))
    assert verify(folder, replace(FAST, stalls=False)).status == "FAIL"
    whats = ("high-water marks", "cycles of every layer", "latency", "first output", "steady latency", "interval")
    assert failed(folder) == [f"{what} as predicted" for what in whats]
    missing = {k: v for k, v in pair_prediction().items() if k not in ("steady_latency_cycles", "fifos")}
    (folder / "reports" / "prediction.json").write_text(json.dumps(missing))
    evidence = verify(folder, replace(FAST, stalls=False))
    silent = {check.name for check in evidence.checks if check.status == "NOT RUN"}
    assert silent == {"steady latency as predicted", "high-water marks as predicted", "cocotb core"}


@pytest.mark.verilator
def test_the_budget_leaves_at_least_fifty_test_frames(tmp_path: Path, good: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(good, folder)
    assert verify(folder, replace(FAST, budget_s=0.0, stalls=False)).status == "NOT RUN"
    document = verification(folder)
    assert document["pairs"][2]["sets"]["test"] == case_module.AT_LEAST == 50
    assert document["pairs"][2]["vectors"] == 50
    assert any("233 of 283 vectors in RTL" in text for text in document["not_checked"])
    assert verify(folder, replace(FAST, vectors=7, budget_s=0.0, stalls=False)).status == "NOT RUN"
    assert verification(folder)["pairs"][2]["sets"]["test"] == 7
    assert verify(folder, replace(FAST, vectors="all", budget_s=0.0, stalls=False)).status == "NOT RUN"
    assert verification(folder)["pairs"][2]["vectors"] == 283


@pytest.mark.verilator
def test_replay_of_one_vector(good: Path) -> None:
    evidence = verify(good, VerifyOptions(only="random:150", waves="never"))
    assert (evidence.status, evidence.exit_status, evidence.mismatch) == ("NOT RUN", 0, None)


@pytest.mark.verilator
def test_long_frames_get_a_shorter_program_that_says_so(tmp_path: Path) -> None:
    folder = pair_folder(tmp_path, step=640, test=60, random=10)
    evidence = verify(folder, VerifyOptions(budget_s=1.0))
    assert evidence.status == "PASS", evidence.document.get("failed_checks")
    document = verification(folder)
    assert document["latency"]["measured_cycles"] == 640 * BEATS + 2 and 2 * 640 * BEATS > COCOTB_WHOLE
    assert document["cocotb"]["core"]["tests"] == 1
    assert any(
        text.startswith("cocotb bench of the core: interval, stalls, resets") for text in document["not_checked"]
    )
    assert document["pairs"][2]["sets"]["test"] >= 50
    assert all(row["frames"] >= 2 for row in document["stalls"])


@pytest.mark.verilator
def test_the_interval_is_measured_once_the_fifos_are_full(tmp_path: Path) -> None:
    """A source that always offers first fills the FIFOs, faster than the engine takes the beats."""
    folder = pair_folder(tmp_path, (".Depth(4)) u_f1", ".Depth(180)) u_f1"), (".Depth(2)) u_f2", ".Depth(180)) u_f2"))
    harness = build_harness(pair_design(), [folder / "rtl" / "pair.sv"], tmp_path / "sim")
    vectors = {name: np.zeros((2, 4, 5, 2), dtype=int) for name in "ab"}
    frames = pack_frames(in_streams(pair_design()), vectors)
    seen = measure_timing(harness, frames)
    assert (seen.latency, seen.interval, seen.notes) == (62, 61, ()) and seen.frames in (14, 28)
    paced = measure_paced(harness, frames, 61)
    assert (paced.steady_latency, paced.interval, paced.notes) == (62, 61, ())
    hurried = measure_paced(harness, frames, 50)
    assert hurried.steady_latency is not None and hurried.steady_latency > 62


def test_effort_follows_the_cycles_of_a_frame() -> None:
    small, middle, large = effort(9, 1, 1), effort(5_000, 4_000, 784), effort(300_000, 150_000, 9216)
    assert (small.stall_frames, small.resets, small.cuts, small.cocotb["frames"]) == (512, 20, (), 48)
    assert 2 <= middle.stall_frames < 20 and middle.cocotb["interval_frames"] >= 7
    assert (large.stall_frames, len(large.stall_seeds), large.resets, large.cocotb["frames"]) == (2, 1, 2, 1)
    assert len(large.cuts) == 3 and all("150,000 cycles a frame" in text for text in large.cuts)


def test_frames_are_packed_stream_by_stream_beat_by_beat() -> None:
    design, graph = pair_design(), pair_graph()
    rng = np.random.default_rng(1)
    values = {"a": rng.integers(0, 16, (3, 4, 5, 2)), "b": rng.integers(-8, 8, (3, 4, 5, 2))}
    words = pack_frames(in_streams(design), values)
    assert words.shape == (3, 2 * BEATS)
    assert int(words[1, 7]) == int(values["a"][1, 1, 2, 0]) | int(values["a"][1, 1, 2, 1]) << 4
    assert int(words[2, BEATS + 19]) & 15 == int(values["b"][2, 3, 4, 0]) & 15
    back = unpack_frames(in_streams(design), words)
    assert all((back[name] == values[name].reshape(3, -1)).all() for name in values)
    assert [s.words * s.beats for s in out_streams(design)] == [BEATS, 2]
    text = glue(design, taps=True)
    assert "case 1: top->in_b_valid_i = level; break;" in text and "top->mark_f2_o" in text
    assert [s.valid for s in tap_streams(design)] == ["tap_aq_valid_o", "tap_total_valid_o", "tap_dense_valid_o"]
    assert graph.types["total"].fmt.width == 6


def _epoch(ins: tuple[int, int], outs: tuple[list[int], list[int]], *, first: int = 0, cut: bool = False) -> Epoch:
    """Two streams in of 2 beats a frame; one out of 2 beats, one of 1, a word a beat."""
    sinks = tuple(Beats(np.arange(len(v)), np.array(v, dtype=np.uint32).reshape(-1, 1)) for v in outs)
    return Epoch(first, tuple(np.arange(n) for n in ins), sinks, (2, 2), (2, 1), cut)


EXPECTED = np.array([[10 * k, 10 * k + 1, 10 * k + 2] for k in range(4)], dtype=np.uint32)


@pytest.mark.parametrize(
    ("epoch", "outcome"),
    [
        (_epoch((6, 6), ([0, 1, 10, 11, 20, 21], [2, 12, 22])), (3, 0, 0, 0)),
        (_epoch((4, 4), ([30, 31, 0, 1], [32, 2]), first=3), (2, 0, 0, 0)),
        (_epoch((4, 4), ([0, 1, 10], [2, 12])), (2, 1, 0, 0)),
        (_epoch((4, 4), ([0, 1, 10, 11], [2])), (2, 1, 0, 0)),
        (_epoch((4, 4), ([0, 1, 10, 11, 20], [2, 12])), (2, 0, 1, 0)),
        (_epoch((4, 4), ([0, 1, 10, 12], [2, 12])), (2, 0, 0, 1)),
        (_epoch((4, 4), ([0, 1, 10], [2]), cut=True), (2, 0, 0, 0)),
        (_epoch((4, 4), ([0, 1, 11], [2]), cut=True), (2, 0, 0, 1)),
        (_epoch((4, 4), ([0, 1, 20, 21], [2, 12]), cut=True), (2, 0, 0, 1)),
        (_epoch((4, 3), ([0, 1], [2, 12])), (1, 1, 0, 0)),
    ],
)
def test_beats_are_compared_stream_by_stream(epoch: Epoch, outcome: tuple[int, int, int, int]) -> None:
    seen = match_epoch(epoch, EXPECTED)
    assert (seen.frames, seen.lost, seen.repeated, seen.changed) == outcome
    assert seen.good or seen.bad
