"""Robustness: disturbances do what they say, are the same for the same seed, and are refused where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from train_helpers import NET, blobs, spec_of, write_blobs

from hwgen.errors import DataError, HwgenError, SpecError
from hwgen.spec import load_spec
from hwgen.spec_robustness import DEFAULTS, DISTURBANCES, PICTURES
from hwgen.train.data import load_data
from hwgen.train.data.shifted import load_shifted
from hwgen.train.disturb import DISTURB, Reference, disturb
from hwgen.train.robustness import check_robustness, measure_robustness

RNG = np.random.default_rng(1)
PICTURE = RNG.random((6, 12, 10, 2)).astype(np.float32)
FEATURES = (RNG.normal(size=(200, 5)) * [1, 2, 3, 4, 5]).astype(np.float32)


def of(name: str, x: np.ndarray, severity: float, **reference: Any) -> np.ndarray:
    return disturb(name, x, Reference.of(x, **reference), severity, 0)


def asked(**keys: Any) -> dict[str, Any]:
    return {"verify": {"robustness": keys}}


def test_every_disturbance_has_defaults_and_a_function() -> None:
    assert set(DISTURBANCES) == {*DISTURB, "shifted"} and set(DEFAULTS) == set(DISTURB)


@pytest.mark.parametrize("name", DISTURB)
def test_seeded_and_of_the_same_form(name: str) -> None:
    severity = DEFAULTS[name][-1]
    one, again = of(name, PICTURE, severity), of(name, PICTURE, severity)
    other = disturb(name, PICTURE, Reference.of(PICTURE), severity, 7)
    assert one.dtype == PICTURE.dtype and one.shape == PICTURE.shape
    assert np.array_equal(one, again) and not np.array_equal(one, PICTURE)
    assert np.array_equal(one, other) is (name in ("sensor_bits", "brightness", "contrast", "blur"))
    assert one.min() >= PICTURE.min() - 1e-6 and one.max() <= PICTURE.max() + 1e-6


def test_noise_is_a_share_of_each_features_range() -> None:
    added = of("noise", FEATURES, 0.05) - FEATURES
    span = FEATURES.max(axis=0) - FEATURES.min(axis=0)
    assert np.allclose(added.std(axis=0) / span, 0.05, rtol=0.2)


@pytest.mark.parametrize("value", ["mean", "zero"])
def test_missing_values(value: str) -> None:
    lost = of("missing", FEATURES, 0.3, missing_value=value)
    where = lost != FEATURES
    assert abs(where.mean() - 0.3) < 0.04
    expected = FEATURES.mean(axis=0) if value == "mean" else np.zeros(5)
    assert np.allclose(lost[where], np.broadcast_to(expected, FEATURES.shape)[where], atol=1e-5)
    gone = of("missing", PICTURE, 0.5, missing_value="zero")
    assert np.array_equal((gone == 0).all(axis=-1), (gone == 0).any(axis=-1))  # whole pixels


def test_a_coarse_sensor_has_few_levels_and_a_fine_one_changes_nothing() -> None:
    x = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1) / 256
    assert len(np.unique(of("sensor_bits", x, 3))) == 8
    assert np.array_equal(of("sensor_bits", x, 8), x)


def test_brightness_contrast_and_blur() -> None:
    assert np.allclose(of("brightness", PICTURE, 0.1).mean(), PICTURE.mean() + 0.1, atol=0.02)
    flat = of("contrast", PICTURE, 0.5)
    assert np.allclose(flat.std(axis=(1, 2)), PICTURE.std(axis=(1, 2)) / 2, rtol=0.02)
    smooth = of("blur", PICTURE, 1.0)
    assert smooth.std() < 0.5 * PICTURE.std()
    assert np.allclose(smooth[0], disturb("blur", PICTURE[:1], Reference.of(PICTURE), 1.0, 0)[0])  # pictures apart


def test_occlusion_hides_its_share_elsewhere_in_every_picture() -> None:
    hidden = (of("occlusion", PICTURE, 0.25) != PICTURE).all(axis=-1)
    assert (hidden.sum(axis=(1, 2)) == 6 * 5).all()
    assert len({hidden[k].tobytes() for k in range(6)}) > 1


def test_dead_pixels_are_the_same_in_all_pictures() -> None:
    changed = (of("dead_pixels", PICTURE, 0.1) != PICTURE).any(axis=-1)
    assert changed.any(axis=0).sum() == 12 and (changed == changed[0]).mean() > 0.99


def test_refused_by_name_with_line(tmp_path: Path) -> None:
    write_blobs(tmp_path)
    spec = spec_of(tmp_path, asked(noise=[0.1], blur=[1.0]))
    data = load_data(spec)
    assert data is not None
    with pytest.raises(SpecError, match="blur is a disturbance of pictures") as caught:
        check_robustness(spec, data)
    assert "model.yaml:" in caught.value.where and "verify.robustness.blur" in caught.value.where
    assert caught.value.found == "samples of 4"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("noise", [0.1, 1.5], "≤ 1"),
        ("missing", [0.0], "> 0"),
        ("sensor_bits", [0], "≥ 1"),
        ("sensor_bits", [2.5], "a whole number"),
        ("brightness", [-2.0], "≥ -1"),
        ("contrast", [0.0], "> 0"),
        ("occlusion", [1.0], "< 1"),
        ("noise", 0.1, "a list"),
        ("noize", [0.1], "noise?"),
        ("shifted", "gone.npz", "gone.npz"),
        ("shifted", "nowhere:load", "package.module:function"),
    ],
)
def test_severities_out_of_range(tmp_path: Path, key: str, value: Any, expected: str) -> None:
    write_blobs(tmp_path)
    with pytest.raises(HwgenError) as caught:
        spec_of(tmp_path, asked(**{key: value}))
    text = str(caught.value)
    assert f"verify.robustness.{key}" in text and "model.yaml:" in text and expected in text


def test_needs_data(tmp_path: Path) -> None:
    value = {**NET, "data": None, "train": {"weights": "net.keras"}} | asked(noise=[0.1])
    value["model"] = {**NET["model"], "input_shape": [4]}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(value))
    with pytest.raises(HwgenError, match="robustness cannot be measured without data"):
        load_spec(tmp_path / "model.yaml")


def test_shifted_samples_get_the_same_treatment(tmp_path: Path) -> None:
    write_blobs(tmp_path)
    x, y = blobs(30, seed=5)
    np.savez(tmp_path / "far.npz", x=x + 1, y=y)
    (tmp_path / "far.py").write_text(
        "import numpy as np\ndef load():\n    f = np.load(__file__[:-2] + 'npz')\n    return f['x'], f['y']\n"
    )
    data_section = {"data": {"scale": 0.5, "offset": 1.0}}
    spec = spec_of(tmp_path, asked(shifted="far.npz"), data_section)
    data = load_data(spec)
    assert data is not None
    shifted = load_shifted(spec, data, "far.npz")
    assert np.allclose(shifted.x_test, (x + 1) * 0.5 + 1) and np.array_equal(shifted.y_test, y)
    assert np.array_equal(shifted.x_train, data.x_train)
    assert np.array_equal(load_shifted(spec, data, "far:load").x_test, shifted.x_test)
    np.savez(tmp_path / "far.npz", x=x, y=y + 2)
    with pytest.raises(DataError, match="labels are not the data set's"):
        check_robustness(spec, data)
    np.savez(tmp_path / "far.npz", x=x[:, :3], y=y)
    with pytest.raises(DataError, match="does not fit"):
        check_robustness(spec, data)


def test_measured_before_and_after(tmp_path: Path) -> None:
    """A good network loses by noise; one of zeros gives the share of its class; without it there is no `after`."""
    from hwgen.train.build import make_model
    from hwgen.train.fit import train_model

    write_blobs(tmp_path)
    spec = spec_of(tmp_path, asked(noise=[0.01, 0.5], missing=[0.4], frames=25))
    data = load_data(spec)
    assert data is not None
    good, zeros = make_model(spec, data), make_model(spec, data)
    train_model(spec, data, good)
    zeros.set_weights([0 * w for w in zeros.get_weights()])
    found = measure_robustness(spec, data, good, zeros)
    assert found["metric"] == "accuracy" and found["frames"] == 25
    first = float(np.mean(data.y_test[:25] == 0))
    assert [row["after"] for row in found["rows"]] == [first] * 3
    assert [(row["name"], row["severity"]) for row in found["rows"]] == [
        ("noise", 0.01),
        ("noise", 0.5),
        ("missing", 0.4),
    ]
    assert found["clean"]["before"] > 0.9 and found["rows"][0]["before"] > 0.9 > found["rows"][1]["before"]
    again = measure_robustness(spec, data, good, None)
    assert "after" not in again["clean"] and [r["before"] for r in again["rows"]] == [
        r["before"] for r in found["rows"]
    ]
    everything = measure_robustness(spec_of(tmp_path, asked()), data, good, None)
    assert {row["name"] for row in everything["rows"]} == set(DEFAULTS) - set(PICTURES)
    json.dumps(found)
