"""What a detection head learns from: objectness, box and class of every cell, in one loss for Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.train.detection import BOX_CHANNELS
from hwgen.train.env import import_keras

BOX_WEIGHT = 2.0
"""Of the box, against objectness and class."""


def detection_loss(y_true: Any, y_pred: Any) -> Any:
    """Return the loss of each picture: (batch,).

    Summed over the cells: binary cross-entropy of objectness; where there is an object also twice ``1 - GIoU`` of the
    box (Rezatofighi et al., Generalized Intersection over Union, CVPR 2019, equation 1 and algorithm 2: unlike IoU it
    has a slope where boxes do not touch) and the cross-entropy of the class.

    Parameters
    ----------
    y_true, y_pred : (batch, rows, columns, 5 + classes), channels as `hwgen.train.detection` has them; predictions
        before their activations
    """
    ops = import_keras().ops
    y_true = ops.cast(y_true, y_pred.dtype)
    there, logit = y_true[..., 0], y_pred[..., 0]
    objectness = ops.softplus(logit) - there * logit
    box = 1 - _giou(y_true[..., 1:BOX_CHANNELS], ops.sigmoid(y_pred[..., 1:BOX_CHANNELS]))
    kind = -ops.sum(y_true[..., BOX_CHANNELS:] * ops.log_softmax(y_pred[..., BOX_CHANNELS:], axis=-1), axis=-1)
    return ops.sum(objectness + there * (BOX_WEIGHT * box + kind), axis=(1, 2))


def _giou(true: Any, found: Any) -> Any:
    """Return the generalised IoU of boxes of the same cell: channels 1..4, activated."""
    ops = import_keras().ops
    cells = np.array([true.shape[2], true.shape[1]], np.float32)
    # Within a cell only the difference of the centres counts: the cell's own place falls out.
    low_t, high_t = true[..., :2] / cells - true[..., 2:] / 2, true[..., :2] / cells + true[..., 2:] / 2
    low_f, high_f = found[..., :2] / cells - found[..., 2:] / 2, found[..., :2] / cells + found[..., 2:] / 2
    common = _area(ops.relu(ops.minimum(high_t, high_f) - ops.maximum(low_t, low_f)))
    union = _area(true[..., 2:]) + _area(found[..., 2:]) - common
    hull = _area(ops.maximum(high_t, high_f) - ops.minimum(low_t, low_f))
    tiny = 1e-7
    return common / (union + tiny) - (hull - union) / (hull + tiny)


def _area(sides: Any) -> Any:
    return sides[..., 0] * sides[..., 1]
