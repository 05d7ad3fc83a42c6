"""What a network is judged by, computed from its outputs with NumPy alone; also used on integer outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwgen.errors import SpecError
from hwgen.train.data.types import Array
from hwgen.train.detection import mean_average_precision

HIGHER_IS_BETTER = {"accuracy": True, "auc": True, "map": True, "mse": False, "mae": False}
"""The metrics by name."""


def metric_name(wanted: str, integer_labels: bool, where: str = "train.metric") -> str:
    """Return the metric's name; ``auto`` is accuracy for class labels and mae for float targets.

    Raises
    ------
    SpecError
        If there is no such metric.
    """
    if wanted == "auto":
        return "accuracy" if integer_labels else "mae"
    if wanted not in HIGHER_IS_BETTER:
        raise SpecError("no such metric", where=where, found=wanted, expected=", ".join(["auto", *HIGHER_IS_BETTER]))
    return wanted


def evaluate_outputs(
    name: str,
    outputs: Array,
    targets: Array,
    *,
    inputs: Array | None = None,
    is_class: bool = False,
    threshold: float = 0.0,
) -> float:
    """Return the metric of a network's outputs.

    Parameters
    ----------
    name : str
        One of `HIGHER_IS_BETTER`.
    outputs : Array
        (samples, ...): logits or probabilities; monotonic scalings (integers instead of values) do not matter for
        accuracy and auc.
    targets : Array
        Class labels, float targets, or target grids of detections (``map``).
    inputs : Array, optional
        The samples: with ``auc`` and outputs of their shape, the score is the reconstruction error (autoencoder).
    is_class : bool
        Whether `outputs` are class numbers already (``model.output: argmax``).
    threshold : float
        Where a single output says yes: 0 for logits, 0.5 for probabilities.
    """
    table: dict[str, Callable[[], float]] = {
        "accuracy": lambda: float(np.mean(_classes(outputs, is_class, threshold) == targets)),
        "auc": lambda: _auc(outputs, targets, inputs),
        "map": lambda: mean_average_precision(outputs, targets),
        "mse": lambda: float(np.mean(_difference(outputs, targets) ** 2)),
        "mae": lambda: float(np.mean(np.abs(_difference(outputs, targets)))),
    }
    return table[name]()


def roc_auc(scores: Array, positive: Array) -> float:
    """Return the area under the ROC curve: the chance that a positive scores above a negative, ties as one half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    n_pos = int(positive.sum())
    n_neg = len(positive) - n_pos
    if not n_pos or not n_neg:
        raise SpecError(
            "auc needs samples of both kinds", where="train.metric", found=f"{n_pos} of {len(positive)} positive"
        )
    return float((ranks[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def _classes(outputs: Array, is_class: bool, threshold: float) -> Array:
    flat = outputs.reshape(len(outputs), -1)
    if is_class:
        return flat[:, 0]
    # np.argmax takes the lowest index among equals, as the hardware does.
    return flat.argmax(axis=1) if flat.shape[1] > 1 else (flat[:, 0] > threshold).astype(np.int64)


def _auc(outputs: Array, targets: Array, inputs: Array | None) -> float:
    flat = outputs.reshape(len(outputs), -1).astype(np.float64)
    if is_reconstruction(outputs, inputs):
        assert inputs is not None
        return roc_auc(((flat - inputs.reshape(len(inputs), -1)) ** 2).mean(axis=1), targets == 1)
    if flat.shape[1] == 1:
        return roc_auc(flat[:, 0], targets == 1)
    present = np.unique(targets)
    return float(np.mean([roc_auc(flat[:, c], targets == c) for c in present]))


def is_reconstruction(outputs: Array, inputs: Array | None) -> bool:
    """Return whether outputs have as many values a sample as the inputs, so that they can be compared."""
    return inputs is not None and outputs[0].size == inputs[0].size


def _difference(outputs: Array, targets: Array) -> Array:
    return outputs.reshape(len(outputs), -1).astype(np.float64) - targets.reshape(len(targets), -1)
