"""The shipped models, built as a user builds them: they pass, and reach what their READMEs say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rtl_readers import slang_says, verilator_says, yosys_reads

pytestmark = [pytest.mark.e2e, pytest.mark.keras, pytest.mark.gxx, pytest.mark.verilator]


def run(root: Path, name: str, folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "hwgen.cli", "build", str(root / "models" / name / "model.yaml"), "--json"]
    command += ["--out", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["status"] == "PASS"
    for pair in report["pairs"]:
        if pair["requested"]:
            assert pair["mismatches"] == 0 and pair["sets"]["corners"] > 0
    for timing in ("latency", "interval"):
        assert report[timing]["predicted"] == report[timing]["measured"]
    return report


def build(root: Path, name: str, folder: Path, cost: bool = False) -> dict[str, Any]:
    """Build with time for every vector, however slow the machine."""
    budget = ("--set", "verify.budget_s=1200")
    asked = "outputs.cost_budget_s=900" if cost else "outputs.cost=false"
    report = run(root, name, folder, *budget, "--set", asked)
    for pair in report["pairs"][:3]:
        assert pair["sets"]["random"] >= 10_000
        assert pair["sets"]["test"] == (report["test_frames"] or 0), "the whole test set is compared"
    assert report["interval"]["measured"] == 1 and report["interval"]["frames"] >= 16
    return report


STREAMING = {
    "mnist_cnn": 0.97,
    "kws_dscnn": 0.90,
    "fashion_squeezenet": 0.88,
    "fashion_mobilenet": 0.88,
    "fashion_resnet8": 0.90,
}
"""Shipped streaming models and the test accuracy their integers must have."""


@pytest.mark.parametrize("name", [n for n in STREAMING if (Path(__file__).parents[2] / "models" / n).is_dir()])
def test_streaming_model(root: Path, tmp_path: Path, name: str) -> None:
    """Every test frame in QKeras and graph; 50 and more in HLS C++ and RTL; all cycles as predicted."""
    quick = ("--set", "verify.random_vectors=20", "--set", "verify.budget_s=8", "--set", "outputs.cost=false")
    report = run(root, name, tmp_path / "out", *quick)
    assert report["accuracy"]["integer"] >= STREAMING[name]
    frames = {(pair["a"], pair["b"]): pair["sets"].get("test") for pair in report["pairs"]}
    assert frames["qkeras", "graph"] == report["test_frames"]
    assert min(frames["graph", "hls_cpp"], frames["graph", "rtl"]) >= 50
    for timing in ("first_out", "steady"):
        assert report[timing]["predicted"] == report[timing]["measured"] is not None
    assert report["interval"]["frames"] >= 4
    assert all(row["predicted"] == row["measured"] for row in report["fifos"])


def test_digits_mlp(root: Path, tmp_path: Path) -> None:
    report = build(root, "digits_mlp", tmp_path / "out", cost=True)
    (mapped,) = (table for table in report["cost"] if table["kind"] == "synthesized")
    assert [row["layer"] for row in mapped["layers"]] == ["fc1", "fc2", "logits", "(top)"]
    assert mapped["status"] == "DONE" and 20_000 < mapped["total"]["LUT"] < 30_000
    assert report["accuracy"]["rtl"] == report["accuracy"]["integer"] >= 0.95
    assert report["nonzero"] <= 0.5 * report["weights"]
    for taps in (False, True):
        assert verilator_says(tmp_path / "out" / "rtl", taps) == ""
        assert slang_says(tmp_path / "out" / "rtl", taps) == ""
    yosys_reads(tmp_path / "out" / "rtl")


def test_mnist_mlp(root: Path, tmp_path: Path) -> None:
    report = build(root, "mnist_mlp", tmp_path / "out")
    assert report["accuracy"]["rtl"] == report["accuracy"]["integer"] >= 0.92


def test_jet_tagger(root: Path, tmp_path: Path) -> None:
    report = build(root, "jet_tagger", tmp_path / "out")
    accuracy = report["accuracy"]
    assert accuracy["float"] >= 0.68
    assert accuracy["rtl"] == accuracy["integer"] >= accuracy["float"] - 0.01
    assert report["nonzero"] <= 0.5 * report["weights"]


def test_bring_your_own(root: Path, tmp_path: Path) -> None:
    report = build(root, "bring_your_own", tmp_path / "out")
    assert report["accuracy"]["float"] is None, "nobody knows the float accuracy of a brought network"


def test_study_of_road_traffic(root: Path, tmp_path: Path) -> None:
    """`hwgen compare` builds both networks to the end, and says the same twice; the study's bars hold."""
    study = root / "models" / "studies" / "smart_city"
    files = [str(study / name) for name in ("baseline.yaml", "optimized.yaml")]
    command = [sys.executable, "-m", "hwgen.cli", "compare", *files, "--json"]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, cwd=tmp_path)
        for _ in range(2)
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stdout + runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    baseline, optimized = json.loads(runs[0].stdout)["builds"]
    for build in (baseline, optimized):
        assert build["status"] == "PASS" and build["simulated"] and build["figures"]["mismatches"] == 0
    assert baseline["figures"]["multipliers"] == optimized["figures"]["multipliers"] == 16
    assert optimized["figures"]["accuracy"] <= 1.02 * baseline["figures"]["accuracy"]
    assert optimized["figures"]["accuracy"] <= 0.6 * 0.0392, "persistence"
    assert optimized["ratios"]["multiplications"] <= 0.3
    assert optimized["ratios"]["latency_cycles"] <= 0.4 and optimized["ratios"]["interval_cycles"] <= 0.3
    table = subprocess.run([*command[:-1], "--quiet"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "×0.298" in table.stdout and table.stdout.splitlines()[-1].split() == ["verdict", "PASS", "PASS"]
