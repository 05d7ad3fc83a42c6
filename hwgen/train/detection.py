"""Grid detection on the host: boxes to targets, outputs to boxes, and mAP; NumPy alone, also on integer outputs.

A detection head is a grid of (rows, columns, 5 + classes) values a picture. The cell that an object's centre lies in
answers for the object. Channels, before the activations that the host applies:

========  ==================  ================================================================
channel   output              target
========  ==================  ================================================================
0         sigmoid             1 where the cell has an object, else 0
1, 2      sigmoid             centre of the box in the cell, x and y, 0..1 from its corner
3, 4      sigmoid             width and height of the box, as a share of the picture's
5 ...     softmax             one-hot class
========  ==================  ================================================================
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.errors import DataError
from hwgen.train.data.types import Array

BOX_CHANNELS = 5
"""Channels before those of the classes."""

MATCH_IOU = 0.5
"""From this overlap on a found box is the true one (PASCAL VOC)."""

NMS_IOU = 0.5
"""Of two boxes of a class that overlap more than this, the weaker one is dropped."""

MIN_SCORE = 0.01
"""Candidates below this score are not looked at."""


@dataclass(frozen=True)
class Boxes:
    """Boxes of many pictures, one row each.

    Attributes
    ----------
    frame : (n,) number of the picture
    label : (n,) class number
    score : (n,) 0..1; of true boxes 1
    box : (n, 4) centre x, centre y, width, height as shares of the picture's width and height
    """

    frame: Array
    label: Array
    score: Array
    box: Array

    def __len__(self) -> int:
        return len(self.frame)

    def chosen(self, rows: Array) -> Boxes:
        """Return some rows, by mask or by index."""
        return Boxes(self.frame[rows], self.label[rows], self.score[rows], self.box[rows])


def encode(boxes: Sequence[Array], labels: Sequence[Array], grid: tuple[int, int], classes: int) -> Array:
    """Return the target grid of pictures: float32 (pictures, rows, columns, 5 + classes).

    Parameters
    ----------
    boxes : a picture's boxes (n, 4): centre x, centre y, width, height as shares of the picture's
    labels : a picture's class numbers (n,)
    grid : rows, columns

    Raises
    ------
    DataError
        If two objects of a picture have their centres in one cell, or a centre lies outside of the picture.
    """
    rows, columns = grid
    target = np.zeros((len(boxes), rows, columns, BOX_CHANNELS + classes), np.float32)
    for frame, (own, kinds) in enumerate(zip(boxes, labels, strict=True)):
        for (x, y, width, height), kind in zip(own, kinds, strict=True):
            if not (0 <= x < 1 and 0 <= y < 1):
                raise DataError(
                    f"an object's centre lies outside of picture {frame}",
                    found=f"{x:g}, {y:g}",
                    expected="0 ≤ x, y < 1",
                )
            row, column = int(y * rows), int(x * columns)
            cell = target[frame, row, column]
            if cell[0]:
                raise DataError(
                    f"two objects of picture {frame} have their centres in one cell",
                    found=f"row {row}, column {column} of {rows}×{columns}",
                    expected="one at most",
                    hint="a finer grid, or pictures without such pairs",
                )
            cell[:BOX_CHANNELS] = 1, x * columns - column, y * rows - row, width, height
            cell[BOX_CHANNELS + int(kind)] = 1
    return target


def decode(grid: Array, *, min_score: float = MIN_SCORE, nms_iou: float = NMS_IOU) -> Boxes:
    """Return the boxes that a network's outputs say: what the host does with every inference.

    A candidate's score is ``sigmoid(objectness) * softmax(classes)[class]``; every cell is a candidate for every class.
    Within a class of a picture the strongest candidate stays and drops those that overlap it (greedy non-maximum
    suppression), then the next strongest.

    Parameters
    ----------
    grid : (pictures, rows, columns, 5 + classes) outputs as values (integers of the hardware: divided by their scale)
    min_score : candidates below are dropped
    nms_iou : overlap from which the weaker of two is dropped

    Returns
    -------
    Boxes
        By picture, then by class, then by falling score.
    """
    values = grid.astype(np.float64)
    shares = np.exp(values[..., BOX_CHANNELS:] - values[..., BOX_CHANNELS:].max(axis=-1, keepdims=True))
    scores = _sigmoid(values[..., :1]) * shares / shares.sum(axis=-1, keepdims=True)
    picked = np.nonzero(scores >= min_score)
    boxes = _boxes(_sigmoid(values[..., 1:BOX_CHANNELS]))[picked[:3]]
    found = Boxes(picked[0], picked[3], scores[picked], boxes)
    found = found.chosen(np.lexsort((-found.score, found.label, found.frame)))
    return found.chosen(_survivors(found, nms_iou))


def true_boxes(targets: Array) -> Boxes:
    """Return the boxes that a target grid holds."""
    frame, row, column = np.nonzero(targets[..., 0] > 0.5)
    values = targets.astype(np.float64)
    boxes = _boxes(values[..., 1:BOX_CHANNELS])[frame, row, column]
    labels = values[frame, row, column, BOX_CHANNELS:].argmax(axis=-1)
    return Boxes(frame, labels, np.ones(len(frame)), boxes)


def mean_average_precision(outputs: Array, targets: Array) -> float:
    """Return mAP at an IoU of 0.5: the mean of `average_precision` over the classes that the targets have.

    Parameters
    ----------
    outputs, targets : (pictures, rows, columns, 5 + classes); outputs flat or in that shape

    Raises
    ------
    DataError
        If the targets have no object at all.
    """
    found, true = decode(outputs.reshape(targets.shape)), true_boxes(targets)
    present = np.unique(true.label)
    if not len(present):
        raise DataError("mAP needs objects", where="train.metric", found="targets without one", expected="one or more")
    return float(np.mean([average_precision(_of(found, kind), _of(true, kind)) for kind in present]))


def average_precision(found: Boxes, true: Boxes, iou_least: float = MATCH_IOU) -> float:
    """Return the average precision of one class: the area below the precision-recall curve, all points interpolated.

    As PASCAL VOC counts since 2010 (Everingham et al., The PASCAL Visual Object Classes Challenge: a Retrospective,
    IJCV 2015, and VOCap.m of its development kit): boxes of all pictures by falling score; each is right if the true
    box of its picture that it overlaps most is overlapped by at least `iou_least` and was not found before, else wrong,
    so that a second box on the same object counts against it. Precision at a recall is the highest one at that recall
    or beyond; the area is the sum over the steps of recall.
    """
    if not len(true):
        raise DataError("average precision needs objects", found="none", expected="one or more of the class")
    order = np.argsort(-found.score, kind="stable")
    right = _right(found.chosen(order), true, iou_least)
    hits = np.cumsum(right)
    recall = hits / len(true)
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def overlaps(a: Array, b: Array) -> Array:
    """Return the intersection over union of boxes (n, 4) and (m, 4): (n, m)."""
    low = np.maximum((a[:, :2] - a[:, 2:] / 2)[:, None], (b[:, :2] - b[:, 2:] / 2)[None])
    high = np.minimum((a[:, :2] + a[:, 2:] / 2)[:, None], (b[:, :2] + b[:, 2:] / 2)[None])
    common = np.prod(np.maximum(high - low, 0), axis=-1)
    union = np.prod(a[:, 2:], axis=-1)[:, None] + np.prod(b[:, 2:], axis=-1)[None] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def grid_fault(shape: tuple[int, ...]) -> str | None:
    """Return what is wrong with an output's shape (one picture) as a detection grid; None: nothing."""
    if len(shape) == 3 and shape[-1] > BOX_CHANNELS:
        return None
    return "×".join(map(str, shape))


def target_fault(targets: Array) -> str | None:
    """Return what is wrong with target grids; None: nothing."""
    on = targets[..., 0] == 1
    if not np.all(on | (targets[..., 0] == 0)):
        return "channel 0 is neither 0 nor 1 everywhere"
    held = targets[on]
    if not (held[:, 1:BOX_CHANNELS].min(initial=0) >= 0 and held[:, 1:BOX_CHANNELS].max(initial=0) <= 1):
        return "centres or sizes outside of 0..1"
    if not np.all((held[:, BOX_CHANNELS:].sum(axis=-1) == 1) & (held[:, BOX_CHANNELS:].max(axis=-1, initial=0) == 1)):
        return "classes that are not one-hot where there is an object"
    return None


def _boxes(cells: Array) -> Array:
    """Return boxes of the picture from channels 1..4, activated: (..., rows, columns, 4)."""
    rows, columns = cells.shape[-3:-1]
    corner = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    centres = (corner + cells[..., :2]) / (columns, rows)
    return np.concatenate([centres, cells[..., 2:]], axis=-1)


def _survivors(found: Boxes, nms_iou: float) -> Array:
    """Return which of boxes sorted by picture, class and falling score no stronger one drops."""
    stays = np.ones(len(found), dtype=bool)
    starts = np.nonzero(np.diff(found.frame, prepend=-1) | np.diff(found.label, prepend=-1))[0]
    for start, end in itertools.pairwise([*starts, len(found)]):
        close = overlaps(found.box[start:end], found.box[start:end]) > nms_iou
        own = stays[start:end]
        for index in range(end - start):
            if own[index]:
                own[index + 1 :] &= ~close[index, index + 1 :]
    return stays


def _right(found: Boxes, true: Boxes, iou_least: float) -> Array:
    """Return which of boxes by falling score are right: (n,) bool."""
    right = np.zeros(len(found), dtype=bool)
    rows = {int(frame): np.nonzero(true.frame == frame)[0] for frame in np.unique(true.frame)}
    taken = np.zeros(len(true), dtype=bool)
    for index, frame in enumerate(found.frame):
        own = rows.get(int(frame))
        if own is None:
            continue
        shares = overlaps(found.box[index : index + 1], true.box[own])[0]
        best = own[int(shares.argmax())]
        if shares.max() >= iou_least and not taken[best]:
            right[index] = taken[best] = True
    return right


def _of(boxes: Boxes, kind: int) -> Boxes:
    return boxes.chosen(boxes.label == kind)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
