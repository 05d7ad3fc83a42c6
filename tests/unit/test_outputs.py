"""Networks with several outputs: a loss, a weight and a metric by name, from training to the RTL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwgen.api import BuildResult, build
from hwgen.compare import compare
from hwgen.compare.page import page_html
from hwgen.digests import digest_of, spec_slice
from hwgen.errors import HwgenError
from hwgen.report.table import table
from hwgen.spec import load_spec

NET = '''\
import keras
import numpy as np
from qkeras import QActivation, QConv2D, QDense

from hwgen.train.detection import encode

BITS = "quantized_bits(8,2,alpha=1)"
OPTIONS = dict(kernel_quantizer=BITS, bias_quantizer=BITS)


def build(input_shape):
    x = inputs = keras.Input(input_shape, name="x")
    for name in ("conv1", "conv2"):
        x = QConv2D(6, 3, strides=2, padding="same", name=name, **OPTIONS)(x)
        x = QActivation("quantized_relu(8,3)", name=name + "_relu")(x)
    boxes = QConv2D(7, 1, name="boxes", **OPTIONS)(x)
    flat = keras.layers.Flatten(name="flat")(x)
    return keras.Model(inputs, [boxes, QDense(1, name="light", **OPTIONS)(flat)])


def load(count=240):
    """A square or a bar on a ground of some brightness; two cells a side."""
    rng = np.random.default_rng(0)
    x, boxes, labels = rng.uniform(0, 0.3, (count, 1, 1, 1)) * np.ones((1, 8, 8, 1)), [], []
    light = x[:, 0, 0].astype(np.float32)
    for picture in x:
        kind, row, column = rng.integers(2), *rng.integers(0, 5, 2)
        height, width = ((3, 3), (1, 4))[kind]
        picture[row : row + height, column : column + width] = 0.9
        boxes.append(np.array([[column + width / 2, row + height / 2, width, height]]) / 8)
        labels.append(np.array([kind]))
    y = encode(boxes, labels, (2, 2), 2)
    return x[40:], (y[40:], light[40:]), x[:40], (y[:40], light[:40])


def whole_numbers():
    x, (y, light), x_test, (y_test, light_test) = load()
    return x, (2 * y, light), x_test, (y_test, light_test)


def boxes_alone():
    x, (y, _), x_test, (y_test, _) = load()
    return x, y, x_test, y_test
'''

SPEC: dict[str, Any] = {
    "model": {"name": "two_heads", "builder": "two_heads:build"},
    "data": {"loader": "two_heads:load"},
    "train": {
        "epochs": 2,
        "float_epochs": 12,
        "batch_size": 8,
        "learning_rate": 0.02,
        "loss": {"boxes": "detection", "light": "mae"},
        "loss_weights": {"light": 5.0},
        "metric": {"boxes": "map", "light": "mae"},
        "weights": "two_heads.keras",
    },
    "compress": {"epochs": 2, "pruning": {"sparsity": 0.3}},
    "precision": {"input": "ufixed<8,0>"},
    "hardware": {"io_type": "io_stream", "target": {"max_multipliers": 16}},
    "verify": {"random_vectors": 20, "netlist": False, "robustness": {"noise": [0.02], "sensor_bits": [2]}},
    "outputs": {"cost": False},
}


def write(folder: Path, **train: Any) -> Path:
    (folder / "two_heads.py").write_text(NET)
    spec = SPEC | {"train": SPEC["train"] | train}
    (folder / "model.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return folder / "model.yaml"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    folder = tmp_path_factory.mktemp("two_heads")
    return build(write(folder), out=folder / "out", retrain=True)


pytestmark = pytest.mark.keras


@pytest.mark.gxx
@pytest.mark.verilator
def test_a_detector_with_a_second_head_from_training_to_rtl(built: BuildResult) -> None:
    report = built.report
    assert built.status == "PASS", report.reason
    assert all(pair.mismatches == 0 for pair in report.pairs if pair.requested)
    assert report.metric == "map" and set(report.accuracy) == {"float", "quantized", "compressed", "integer", "rtl"}
    assert all(value is not None and 0.2 < value <= 1 for value in report.accuracy.values())
    assert report.accuracy["integer"] == report.accuracy["compressed"] == report.accuracy["rtl"]
    (light,) = report.others
    assert (light["output"], light["metric"]) == ("light", "mae")
    assert all(0 < light[stage] < 0.08 for stage in report.accuracy) and light["rtl"] == light["integer"]
    robustness = report.robustness
    assert robustness is not None and robustness["metric"] == "map"
    assert robustness["clean"]["after"] == report.accuracy["compressed"]
    assert robustness["rows"][1]["after"] < robustness["rows"][0]["after"] + 0.05


@pytest.mark.gxx
@pytest.mark.verilator
def test_both_outputs_are_shown(built: BuildResult, tmp_path: Path) -> None:
    lines = table(built.report, ".").splitlines()
    (row,) = (k for k, line in enumerate(lines) if line.startswith(" mAP (40 test)"))
    assert lines[row + 1].count(" %") == 5 and lines[row + 2].startswith(" Mae of light")
    assert any(line.startswith(" Robustness (mAP)") for line in lines)
    page = (built.folder / "report.html").read_text()
    assert "mAP on 40 test frames" in page and '<tr><th scope="row">light</th><td>mae</td>' in page
    side_by_side = compare([built.folder, built.folder])
    text = side_by_side.text().splitlines()
    (row,) = (k for k, line in enumerate(text) if line.startswith(" mAP "))
    assert text[row].endswith("%  0.00")
    assert text[row + 1].split()[:3] == ["mae", "of", "light"] and text[row + 1].endswith("  +0")
    json.dumps(side_by_side.to_json())
    assert "of light" in page_html(side_by_side)
    assert side_by_side.columns[0].others == {"light": ("mae", built.report.others[0]["rtl"])}


@pytest.mark.gxx
@pytest.mark.verilator
def test_searches_go_by_the_metric_that_judges(built: BuildResult) -> None:
    """Ranks and bits are judged by mAP of the boxes alone, on samples that are not the test part."""
    from hwgen.spec import load_spec
    from hwgen.train.compress.judge import Judge
    from hwgen.train.compress.rank_search import Bench
    from hwgen.train.compress.workshop import Workshop
    from hwgen.train.data import load_data
    from hwgen.train.loop import evaluate_all, validation_part
    from hwgen.train.store import load_model

    spec = load_spec(built.folder / "resolved.yaml")
    data, model = load_data(spec), load_model(built.folder / "compress" / "model.keras")
    assert data is not None
    part, shop = validation_part(spec, data), Workshop(spec, data)
    expected = evaluate_all(spec, part, model)
    assert set(expected.others) == {"light"} and len(part.x_test) < len(data.x_train)
    assert Bench(shop, model, []).metric(model) == pytest.approx(expected.score)
    assert Judge(shop, model, lambda _: 0.0).score(model).metric == pytest.approx(expected.score)


@pytest.mark.gxx
@pytest.mark.verilator
def test_committed_weights_know_what_the_float_network_reached(built: BuildResult) -> None:
    folder = built.folder.parent
    again = build(folder / "model.yaml", out=folder / "again", to_stage="train")
    assert json.loads((folder / "again/reports/train.json").read_text())["source"] == "weights"
    assert again.report.accuracy["float"] == built.report.accuracy["float"]
    assert again.report.others[0] == built.report.others[0] | dict.fromkeys(("compressed", "integer", "rtl"))


def test_the_order_of_the_metrics_counts(tmp_path: Path) -> None:
    """The first one judges, so the other order is another build; a loss says the same in any order."""
    file = write(tmp_path)
    first, same = load_spec(file), load_spec(write(tmp_path, loss={"light": "mae", "boxes": "detection"}))
    turned = load_spec(write(tmp_path, metric={"light": "mae", "boxes": "map"}))
    for key in ("train", "train.metric"):
        digests = [digest_of(spec_slice(spec, key)) for spec in (first, same, turned)]
        assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("train", "loader", "says"),
    [
        ({"loss": {"box": "detection"}}, "load", ("train.loss.box", "no output has this name", "boxes, light")),
        ({"metric": {"lamp": "mae"}}, "load", ("train.metric.lamp", "no output has this name", "boxes, light")),
        ({"loss_weights": {"lamp": 2.0}}, "load", ("train.loss_weights.lamp", "boxes, light")),
        ({"loss": {"light": "detection"}}, "load", ("train.loss.light", "no grid of detections", "an output of 1")),
        (
            {"metric": {"boxes": "map", "light": "rms"}},
            "load",
            ("train.metric.light", "no such metric", "auc, map, mse"),
        ),
        ({}, "whole_numbers", ("train.loss.boxes", "y_train of boxes holds no detection targets", "channel 0")),
        ({}, "boxes_alone", ("number of targets", "one for each of boxes, light")),
    ],
)
def test_refused_before_training(tmp_path: Path, train: dict[str, Any], loader: str, says: tuple[str, ...]) -> None:
    from hwgen.train.build import make_model
    from hwgen.train.data import load_data
    from hwgen.train.fit import train_model

    spec = load_spec(write(tmp_path, **train), [f"data.loader=two_heads:{loader}"])
    data = load_data(spec)
    with pytest.raises(HwgenError) as failure:
        train_model(spec, data, make_model(spec, data), lambda *_: pytest.fail("trained"))
    text = str(failure.value)
    assert failure.value.exit_status == 2 and all(part in text for part in says), text


@pytest.mark.parametrize(
    ("key", "value"),
    [("loss", {}), ("metric", {}), ("loss", 3), ("metric", {"boxes": 1}), ("loss_weights", {"boxes": 0.0})],
)
def test_refused_by_the_file(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(HwgenError) as failure:
        load_spec(write(tmp_path, **{key: value}))
    text = str(failure.value)
    assert f"train.{key}" in text and "model.yaml:" in text, text
