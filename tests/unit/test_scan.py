"""`hwgen scan`: what is tried on a kernel, the same figures every time, the suggestion, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from train_helpers import spec_of, write_blobs
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.spec import load_spec
from hwgen.train.build import make_model
from hwgen.train.compress.scan import _furthest, low_rank, narrowed, pruned, scan_model
from hwgen.train.data import load_data
from hwgen.train.fit import train_model
from hwgen.train.loop import grid_inputs, slices
from hwgen.train.metrics import evaluate_outputs
from hwgen.train.store import load_model, save_model

pytestmark = pytest.mark.keras


def test_what_is_tried_on_a_kernel() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 8)).astype(np.float32)
    half = pruned(kernel, 0.5)
    assert (half == 0).sum() == 144 and np.abs(kernel[half == 0]).max() <= np.abs(half[half != 0]).min()
    for bits in (8, 4, 2):
        values = np.unique(narrowed(kernel, bits))
        steps = values / np.diff(values).min()
        assert len(values) <= 2**bits and np.array_equal(steps, np.rint(steps))
    errors = [np.square(narrowed(kernel, b) - kernel).sum() for b in (8, 6, 4, 2)]
    assert errors == sorted(errors) and errors[0] < 0.05 < errors[-1]
    assert np.array_equal(narrowed(np.array([0.5, -0.75, 0.25]), 3), [0.5, -0.75, 0.25])
    assert not narrowed(np.zeros(4), 4).any()
    flat = low_rank(kernel, 0.25).reshape(-1, 8)
    assert np.linalg.matrix_rank(flat, tol=1e-4) == 2
    np.testing.assert_allclose(low_rank(kernel, 1.0), kernel, atol=1e-5)


def test_the_suggestion_stops_at_the_first_loss() -> None:
    values = {0.25: 0.9, 0.5: 0.88, 0.75: 0.905}
    assert _furthest("accuracy", 0.9, values, 0.01) == 0.25 and _furthest("accuracy", 0.9, values, 0.02) == 0.75
    assert _furthest("accuracy", 0.95, values, 0.01) is None and _furthest("accuracy", 0.9, {}, 0.01) is None
    errors = {8: 2.0, 4: 2.1, 2: float("nan")}
    assert _furthest("mse", 2.0, errors, 0.06) == 4 and _furthest("mse", 2.0, errors, 0.04) == 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a model.yaml and the trained weights that it names."""
    path = tmp_path_factory.mktemp("scan")
    write_blobs(path)
    spec = spec_of(path, {"train": {"epochs": 1, "float_epochs": 4, "weights": "net.keras"}})
    data = load_data(spec)
    save_model(train_model(spec, data, make_model(spec, data)).model, path / "net.keras")
    return path


def test_a_scan_changes_one_layer_at_a_time_and_repeats(folder: Path) -> None:
    spec = load_spec(folder / "model.yaml")
    data = load_data(spec)
    found = [scan_model(spec, data, load_model(folder / "net.keras")) for _ in range(2)]
    assert found[0] == found[1]
    fc1, logits = found[0].layers
    assert (fc1.layer, fc1.weights, logits.weights) == ("fc1", 32, 24)
    assert list(fc1.sparsity) == [0.25, 0.5, 0.75, 0.9] and list(fc1.bits) == [8, 7, 6, 5, 4, 3, 2]
    assert list(logits.rank) == [0.75, 0.5, 0.25]
    assert min(logits.sparsity.values()) < found[0].baseline  # a tenth of the weights is not enough

    _, chosen = slices(len(data.x_train), spec.train.seed)
    model = load_model(folder / "net.keras")

    def alone() -> float:
        x = grid_inputs(spec, model, (data.x_train[chosen],))[0]
        return evaluate_outputs("accuracy", model.predict(x, verbose=0), data.y_train[chosen])

    assert found[0].frames == len(chosen) == 9 and found[0].baseline == alone()
    kernel = model.get_layer("logits").kernel
    kernel.assign(pruned(np.asarray(kernel), 0.9))
    assert logits.sparsity[0.9] == alone()  # the layer before was put back


def test_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    shown = CliRunner().invoke(app, ["scan", "model.yaml", "--out", "made", "--max-drop", "0.5", "--quiet"])
    assert shown.exit_code == 0, shown.output
    report = json.loads((folder / "made" / "reports" / "scan.json").read_text())
    assert report["max_drop"] == 0.5 and [row["layer"] for row in report["layers"]] == ["fc1", "logits"]
    assert list(report["layers"][0]["bits"]) == ["8", "7", "6", "5", "4", "3", "2"]
    lines = shown.output.splitlines()
    assert "on 9 samples of the training part; lost, in points" in lines[0] and lines[2].startswith("fc1")
    wrong = CliRunner().invoke(app, ["scan", "model.yaml", "--max-drop", "2"])
    assert wrong.exit_code == 2 and "--max-drop" in wrong.output
