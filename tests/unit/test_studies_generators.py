"""The synthetic data of the studies: what is drawn is what is labelled, and the same every time."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from study_modules import module


@pytest.fixture(scope="module")
def phantom() -> ModuleType:
    return module("medical_imaging/phantom")


@pytest.fixture(scope="module")
def scenes() -> ModuleType:
    return module("autonomous_vehicles/scenes")


def test_radiographs(phantom) -> None:
    x, y = phantom.radiographs(120, 3)
    assert x.shape == (120, 28, 28, 1) and x.dtype == np.uint8 and np.bincount(y).tolist() == [30] * 4
    again, labels = phantom.radiographs(120, 3)
    assert np.array_equal(x, again) and np.array_equal(y, labels)
    assert not np.array_equal(x, phantom.radiographs(120, 4)[0])
    middle, lung = x[:, 5:20, 13:15].mean(), x[:, 8:14, 6:9].mean()
    assert middle > lung + 60  # spine and mediastinum against lungs: what attenuates is bright
    lower = x[:, 17:22, 5:9].mean(axis=(1, 2, 3)) + x[:, 17:22, 19:23].mean(axis=(1, 2, 3))
    assert lower[y == 2].mean() > lower[y == 0].mean() + 20  # fluid in one lung
    heart = x[:, 15:20, 20:23].astype(float).mean(axis=(1, 2, 3))
    assert heart[y == 3].mean() > heart[y == 0].mean() + 5


def test_attenuation_follows_beer_and_lambert(phantom) -> None:
    """Twice the photons: the same picture but for the noise, which falls as its root."""
    rng = np.random.default_rng(0)
    flat = np.full((56, 56), 3.0)
    few = np.stack([phantom._expose(flat, rng, 5_000.0, 0.01) for _ in range(20)]).astype(float)
    many = np.stack([phantom._expose(flat, rng, 500_000.0, 0.01) for _ in range(20)]).astype(float)
    expected = 255 * (3.0 - phantom.WINDOW[0]) / (phantom.WINDOW[1] - phantom.WINDOW[0])
    assert abs(many.mean() - expected) < 0.5 and abs(few.mean() - expected) < 1.0
    # A pixel sums 4 rays: relative deviation 1 / sqrt(4 N exp(-3)), seen through the logarithm.
    scale = 255 / (phantom.WINDOW[1] - phantom.WINDOW[0])
    assert few.std() == pytest.approx(scale / np.sqrt(4 * 5_000 * np.exp(-3)), rel=0.1)
    assert many.std() < 0.2 * few.std()


def test_the_other_machine_is_noisier(phantom) -> None:
    """An eighth of the photons: the same patients, other noise."""
    x, y = phantom.radiographs(40, 5, photons=phantom.PHOTONS / 8)
    own, labels = phantom.radiographs(40, 5)
    assert x.shape == own.shape and np.array_equal(np.bincount(y), np.bincount(labels))
    assert not np.array_equal(x, own)


def test_breast_cancer_is_standardised_by_its_training_part() -> None:
    x_train, y_train, x_test, y_test = module("medical_imaging/breast_cancer").load()
    assert x_train.shape == (379, 30) and x_test.shape == (190, 30)
    assert np.abs(x_train.mean(axis=0)).max() < 0.06 and np.abs(x_train).max() <= 4
    assert abs(y_train.mean() - y_test.mean()) < 0.01


# ---- road scenes ---------------------------------------------------------------------------------------------------


def objects() -> tuple[np.ndarray, np.ndarray]:
    """Return things as Fashion-MNIST has them: bright on black, one shape a class."""
    rng = np.random.default_rng(2)
    pictures = np.zeros((30, 28, 28), np.uint8)
    kinds = np.arange(30) % 3
    for picture, kind in zip(pictures, kinds, strict=True):
        height, width = ((26, 10), (10, 26), (22, 22))[kind]
        picture[1 : 1 + height, 1 : 1 + width] = rng.integers(150, 255, (height, width))
    return pictures, kinds


def test_scenes(scenes) -> None:
    made = scenes.compose(60, *objects(), 1)
    again = scenes.compose(60, *objects(), 1)
    assert all(
        np.array_equal(a.picture, b.picture) and np.array_equal(a.boxes, b.boxes)
        for a, b in zip(made, again, strict=True)
    )
    for scene in made:
        assert scene.picture.shape == (scenes.SIZE, scenes.SIZE) and scene.picture.dtype == np.uint8
        assert len(scene.boxes) == len(scene.labels) and 1 <= len(scene.boxes) <= scenes.MOST
        low, high = scene.boxes[:, :2] - scene.boxes[:, 2:] / 2, scene.boxes[:, :2] + scene.boxes[:, 2:] / 2
        assert low.min() >= 0 and high.max() <= scenes.SIZE
        assert (scene.lane[0] < scene.lane[1]).all()
        for (width, height), kind in zip(scene.boxes[:, 2:], scene.labels, strict=True):
            assert kind == 2 or bool(height > width) == bool(kind == 0)
    assert {int(k) for scene in made for k in scene.labels} == {0, 1, 2}


def test_a_boxs_pixels_are_the_object(scenes) -> None:
    """Within a box the picture is the bright object, beside it the darker road."""
    inside, around = [], []
    for scene in scenes.compose(60, *objects(), 3):
        x, y, w, _ = scene.boxes[0]
        if len(scene.boxes) == 1 and 18 < y < 40:
            row, column = int(y), int(x)
            inside.append(scene.picture[row - 1 : row + 2, column - 1 : column + 2].mean())
            around.append(scene.picture[row, [max(0, int(x - w / 2) - 3), min(47, int(x + w / 2) + 3)]].mean())
    assert len(inside) > 8 and np.mean(inside) > np.mean(around) + 50


def test_the_line_of_the_lane_is_where_it_is_said_to_be(scenes) -> None:
    """The solid right line is brighter than the road beside it."""
    on, off = [], []
    for scene in scenes.compose(40, *objects(), 4):
        for row, x in zip(scenes.ANCHORS, scene.lane[1], strict=True):
            column = int(x)
            if 3 < column < scenes.SIZE - 4:
                on.append(scene.picture[row, column - 1 : column + 2].max())
                off.append(scene.picture[row, column - 4])
    assert np.mean(on) > np.mean(off) + 40


def test_grids_and_lanes_hold_the_scenes(scenes) -> None:
    """No two centres share a cell, however crowded; every box comes back out of its cell."""
    from hwgen.train.detection import true_boxes

    made = scenes.compose(200, *objects(), 5)
    x, grids, lanes = scenes.arrays(made)
    assert x.shape == (200, 48, 48, 1) and grids.shape == (200, 6, 6, 8) and lanes.shape == (200, 8)
    found = true_boxes(grids)
    assert len(found) == sum(len(scene.boxes) for scene in made) > 300
    for frame, scene in enumerate(made):
        rows = found.chosen(found.frame == frame)
        order, wanted = np.lexsort(rows.box.T), np.lexsort((scene.boxes / 48).T)
        np.testing.assert_allclose(48 * rows.box[order], scene.boxes[wanted], atol=1e-4)
        assert rows.label[order].tolist() == scene.labels[wanted].tolist()
        np.testing.assert_allclose(48 * lanes[frame], scene.lane.reshape(-1), atol=1e-4)


def test_dusk_is_darker_and_noisier(scenes) -> None:
    day = np.stack([s.picture for s in scenes.compose(40, *objects(), 6)]).astype(float)
    dusk = scenes.compose(40, *objects(), 6, light=scenes.DUSK, noise=0.04)
    dark = np.stack([s.picture for s in dusk]).astype(float)
    assert dark.mean() < 0.7 * day.mean()
    # In the smooth sky at the top, rows differ by noise alone.
    assert np.diff(dark[:, :4], axis=2).std() > 1.6 * np.diff(day[:, :4], axis=2).std()


@pytest.mark.keras
def test_the_detector_has_two_heads_and_narrower_weights_where_said() -> None:
    net = module("autonomous_vehicles/net")
    wide, narrow = net.build((48, 48, 1)), net.build_narrow((48, 48, 1))
    assert [tuple(t.shape[1:]) for t in wide.outputs] == [(6, 6, 8), (8,)]
    assert [w.shape for w in wide.get_weights()] == [w.shape for w in narrow.get_weights()]
    bits = [model.get_layer("boxes").get_quantizers()[0].bits for model in (wide, narrow)]
    assert bits == [8, 6]
