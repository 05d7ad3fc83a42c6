"""Grid detection: targets, decoding, mAP by hand-worked curves, the loss, and networks with several outputs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hwgen.errors import DataError
from hwgen.report.figures import metric_change, metric_text, metric_title
from hwgen.train.detection import (
    Boxes,
    average_precision,
    decode,
    encode,
    grid_fault,
    mean_average_precision,
    overlaps,
    target_fault,
    true_boxes,
)

CLASSES = 3


def scenes(count: int = 40, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return one to three boxes a picture, each in a cell of its own of a 4×6 grid."""
    rng = np.random.default_rng(seed)
    boxes, labels = [], []
    for _ in range(count):
        cells = rng.choice(24, int(rng.integers(1, 4)), replace=False)
        centres = (np.stack([cells % 6, cells // 6], axis=1) + rng.uniform(0.05, 0.95, (len(cells), 2))) / (6, 4)
        boxes.append(np.concatenate([centres, rng.uniform(0.1, 0.5, (len(cells), 2))], axis=1))
        labels.append(rng.integers(0, CLASSES, len(cells)))
    return boxes, labels


def logits(targets: np.ndarray, sure: float = 12.0) -> np.ndarray:
    """Return outputs that say exactly what target grids say."""
    out = np.full(targets.shape, -sure)
    out[..., 0] = np.where(targets[..., 0] > 0, sure, -sure)
    inside = np.clip(targets[..., 1:5].astype(np.float64), 1e-6, 1 - 1e-6)
    out[..., 1:5] = np.log(inside / (1 - inside))
    out[..., 5:] = sure * targets[..., 5:]
    return out


def one_class(frames: list[int], scores: list[float], boxes: list[tuple[float, ...]]) -> Boxes:
    return Boxes(np.array(frames), np.zeros(len(frames), int), np.array(scores), np.array(boxes).reshape(-1, 4))


# ---- boxes and grids ----------------------------------------------------------------------------------------------


def test_overlaps_by_hand() -> None:
    a = np.array([[0.5, 0.5, 0.2, 0.2]])
    b = np.array([a[0], [0.6, 0.5, 0.2, 0.2], [0.5, 0.5, 0.1, 0.2], [0.9, 0.5, 0.2, 0.2], [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(overlaps(a, b)[0], [1, 1 / 3, 1 / 2, 0, 0], atol=1e-12)


def test_grids_hold_what_was_put_in() -> None:
    boxes, labels = scenes()
    targets = encode(boxes, labels, (4, 6), CLASSES)
    assert targets.shape == (40, 4, 6, 8) and targets.dtype == np.float32 and target_fault(targets) is None
    for found in (true_boxes(targets), decode(logits(targets), min_score=0.5)):
        assert len(found) == sum(map(len, boxes))
        for frame, (own, kinds) in enumerate(zip(boxes, labels, strict=True)):
            rows = found.chosen(found.frame == frame)
            order, wanted = np.lexsort(rows.box.T), np.lexsort(own.T)
            np.testing.assert_allclose(rows.box[order], own[wanted], atol=1e-5)
            assert rows.label[order].tolist() == kinds[wanted].tolist()


def test_which_channel_is_what() -> None:
    """The example of docs/detection.md: row 1, column 2 of a 2×4 grid."""
    targets = encode([np.array([[0.6, 0.75, 0.3, 0.4]])], [np.array([1])], (2, 4), 2)
    np.testing.assert_allclose(targets[0, 1, 2], [1, 0.4, 0.5, 0.3, 0.4, 0, 1], atol=1e-6)
    assert np.count_nonzero(targets) == 6


def test_what_a_grid_cannot_hold() -> None:
    pair = np.array([[0.55, 0.5, 0.1, 0.1], [0.6, 0.5, 0.1, 0.1]])
    with pytest.raises(DataError, match="two objects of picture 1 have their centres in one cell"):
        encode([np.zeros((0, 4)), pair], [np.zeros(0), np.zeros(2)], (2, 2), 1)
    with pytest.raises(DataError, match="outside of picture 0"):
        encode([np.array([[1.0, 0.5, 0.1, 0.1]])], [np.zeros(1)], (2, 2), 1)
    assert grid_fault((6, 6, 8)) is None and grid_fault((6, 6, 5)) == "6×6×5" and grid_fault((8,)) == "8"
    good = encode(*scenes(3), (4, 6), CLASSES)
    cell = tuple(np.argwhere(good[..., 0] == 1)[0])
    for channel, value, fault in ((0, 0.5, "channel 0"), (2, 1.5, "outside of 0..1"), (5, 0.5, "one-hot")):
        bad = good.copy()
        bad[(*cell, channel)] = value
        assert fault in str(target_fault(bad))


def test_the_stronger_of_two_boxes_stays_within_its_class() -> None:
    """Three neighbouring cells see the same object; the weakest sees another class in it."""
    targets = encode([np.array([[0.49, 0.5, 0.5, 0.5]])], [np.array([0])], (1, 6), 2)
    out = np.full((1, 1, 6, 7), -12.0)
    for column, score, kind in ((2, 2.0, 0), (3, 1.0, 0), (1, 0.5, 1)):
        at = 0.49 * 6 - column
        at = min(max(at, 1e-3), 1 - 1e-3)
        out[0, 0, column] = [score, math.log(at / (1 - at)), 0, 0, 0, 12 * (kind == 0), 12 * (kind == 1)]
    found = decode(out, min_score=0.3)
    assert found.label.tolist() == [0, 1]
    assert found.score[0] == pytest.approx(1 / (1 + math.exp(-2.0)), abs=1e-4)
    assert len(decode(out, min_score=0.3, nms_iou=1.0)) == 3 and len(decode(out, min_score=0.75)) == 1
    assert mean_average_precision(out, targets) == 1


# ---- average precision ----------------------------------------------------------------------------------------------

A, B, C, D = (0.1, 0.1, 0.1, 0.1), (0.4, 0.4, 0.1, 0.1), (0.7, 0.7, 0.1, 0.1), (0.9, 0.1, 0.1, 0.1)
NOWHERE = (0.1, 0.9, 0.1, 0.1)


def test_a_hand_worked_curve() -> None:
    """Right, wrong, right, right, wrong of four objects.

    Precision 1, 1/2, 2/3, 3/4, 3/5 at recall 1/4, 1/4, 2/4, 3/4, 3/4; interpolated 1, 3/4, 3/4: (1 + 3/4 + 3/4) / 4.
    """
    true = one_class([0, 0, 1, 1], [1] * 4, [A, B, C, D])
    found = one_class([1, 0, 0, 1, 0], [0.5, 0.9, 0.8, 0.6, 0.7], [NOWHERE, A, NOWHERE, C, B])
    assert average_precision(found, true) == pytest.approx(0.625)
    # The order in which boxes come does not matter, their scores do.
    assert average_precision(found.chosen(np.arange(5)[::-1]), true) == pytest.approx(0.625)


def test_a_second_box_on_an_object_is_wrong() -> None:
    """Right, again, right of two objects: precision 1, 1/2, 2/3, so (1 + 2/3) / 2."""
    true = one_class([0, 0], [1, 1], [A, B])
    found = one_class([0, 0, 0], [0.9, 0.8, 0.7], [A, A, B])
    assert average_precision(found, true) == pytest.approx(5 / 6)
    assert average_precision(found.chosen(np.array([0, 2])), true) == 1


def test_boxes_of_another_picture_are_wrong() -> None:
    true = one_class([0], [1], [A])
    assert average_precision(one_class([1, 0], [0.9, 0.8], [A, A]), true) == 0.5
    assert average_precision(one_class([1], [0.9], [A]), true) == 0


@pytest.mark.parametrize(("width", "right"), [(0.125, True), (0.1249, False)])
def test_half_an_overlap_is_enough(width: float, right: bool) -> None:
    true = one_class([0], [1], [(0.5, 0.5, 0.25, 0.25)])
    assert average_precision(one_class([0], [1], [(0.5, 0.5, width, 0.25)]), true) == float(right)


def test_map_of_grids() -> None:
    boxes, labels = scenes(60, 1)
    targets = encode(boxes, labels, (4, 6), CLASSES)
    perfect = logits(targets)
    assert mean_average_precision(perfect, targets) == 1
    assert mean_average_precision(perfect.reshape(60, -1), targets) == 1
    missed = perfect.copy()
    missed[..., 0] = -12
    assert mean_average_precision(missed, targets) == 0
    other = perfect.copy()
    other[..., 5:] = np.roll(other[..., 5:], 1, axis=-1)
    assert mean_average_precision(other, targets) < 0.01
    # A class that is never found counts as much as the others, whatever the number of its objects.
    blind = perfect.copy()
    blind[targets[..., 5] == 1, 0] = -12
    assert mean_average_precision(blind, targets) == pytest.approx(2 / 3)
    only = targets[[1 not in kinds for kinds in labels]]
    assert len(only) and mean_average_precision(logits(only), only) == 1  # classes without objects do not count
    with pytest.raises(DataError, match="mAP needs objects"):
        mean_average_precision(perfect, np.zeros_like(targets))


def test_small_integers_order_as_their_values_do() -> None:
    """Scores that rounding makes equal stay in the order of their cells: the same every time."""
    targets = encode(*scenes(60, 2), (4, 6), CLASSES)
    noisy = logits(targets, 2.0) + np.random.default_rng(3).normal(0, 0.6, targets.shape)
    coarse = np.round(noisy * 8) / 8
    assert mean_average_precision(coarse, targets) == mean_average_precision(coarse.copy(), targets)
    assert 0.2 < mean_average_precision(noisy, targets) < 0.99
    assert abs(mean_average_precision(coarse, targets) - mean_average_precision(noisy, targets)) < 0.03


def test_shown_in_per_cent() -> None:
    assert metric_text(0.8346, "map") == "83.46 %" and metric_text(0.8346, "map", digits=1) == "83.5 %"
    assert metric_text(0.08346, "mae") == "0.08346" and metric_text(None, "map") == "–"
    assert metric_change(0.83, 0.834, "map") == "-0.40" and metric_change(0.5, 0.25, "mse") == "+0.25"
    assert (metric_title("map"), metric_title("accuracy"), metric_title(None)) == ("mAP", "Accuracy", "Accuracy")


# ---- the loss -----------------------------------------------------------------------------------------------------


@pytest.mark.keras
def test_the_loss_by_hand() -> None:
    from hwgen.train.detection_loss import detection_loss

    targets = encode([np.array([[0.5, 0.5, 0.2, 0.4]])], [np.array([1])], (1, 1), 2)
    out = np.zeros((1, 1, 1, 7), np.float32)
    # Found: 0.5 × 0.5 around the same centre. IoU 0.08 / 0.25, and the hull is the found box.
    wanted = math.log(2) + 2 * (1 - 0.08 / 0.25 + (0.25 - 0.25) / 0.25) + math.log(2)
    assert float(detection_loss(targets, out)[0]) == pytest.approx(wanted, abs=1e-5)
    far = encode([np.array([[0.1, 0.5, 0.1, 0.1]])], [np.array([0])], (1, 2), 2)
    out = np.zeros((1, 1, 2, 7), np.float32)
    out[..., 0] = (9, -9)
    out[0, 0, 0, 1:5] = 9, 0, math.log(0.1 / 0.9), math.log(0.1 / 0.9)
    # Found at x = 0.5, true at 0.1: apart; the hull is 0.5 × 0.1.
    centre = 0.5 / (1 + math.exp(-9))
    hull = (centre - 0.1 + 0.1) * 0.1
    wanted = 2 * math.log1p(math.exp(-9)) + 2 * (1 + (hull - 0.02) / hull) + math.log(2)
    assert float(detection_loss(far, out)[0]) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.keras
def test_the_loss_is_least_at_the_targets() -> None:
    import tensorflow as tf

    from hwgen.train.detection_loss import detection_loss

    targets = encode(*scenes(8, 4), (4, 6), CLASSES)
    best = logits(targets, 14.0).astype(np.float32)
    assert np.asarray(detection_loss(targets, best)).max() < 1e-2
    rng = np.random.default_rng(0)
    for channels, change in ((0, -1.5), (1, 1), (3, 1), (slice(5, 8), -1.5)):
        worse = best.copy()
        worse[..., channels] = worse[..., channels] * change if change < 0 else worse[..., channels] + change
        assert np.asarray(detection_loss(targets, worse)).min() > 0.05
    point = tf.Variable(rng.normal(0, 1, targets.shape).astype(np.float32))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(detection_loss(targets, point))
    slope = tape.gradient(total, point).numpy()
    # Cells without an object teach objectness alone.
    empty = targets[..., 0] == 0
    assert np.isfinite(slope).all() and (slope[empty][:, 1:] == 0).all() and (slope[..., 0] != 0).all()
    assert (np.abs(slope[~empty]).max(axis=0) > 0).all()
