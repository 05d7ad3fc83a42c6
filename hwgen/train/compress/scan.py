"""Sensitivity: the metric with one layer pruned, narrowed or of lower rank, everything else untouched, no fine-tuning.

The metric is that of the slice of the training part that chooses the best epoch: the test part stays unseen. Nothing is
random, so that two scans give the same figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.train.compress.masks import prunable
from hwgen.train.compress.patterns import Array, matrix_shape
from hwgen.train.data import DataSet
from hwgen.train.loop import Progress, evaluate, silent, targets_of, validation_part
from hwgen.train.metrics import HIGHER_IS_BETTER
from hwgen.train.outputs import judged_by

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec

SPARSITIES = (0.25, 0.5, 0.75, 0.9)
BITS = (8, 7, 6, 5, 4, 3, 2)
RANKS = (0.75, 0.5, 0.25)
FRAMES = 2000
"""How many samples of the slice are used at most."""

DENSE_KINDS = ("Dense", "QDense")
CONV_KINDS = ("Conv1D", "Conv2D", "QConv1D", "QConv2D")


@dataclass(frozen=True)
class LayerScan:
    """What a layer bears.

    Parameters
    ----------
    weights : of its kernels
    sparsity, bits, rank : the metric at each setting; empty where there is no such setting for this layer
    holds : the furthest setting of each kind up to which the metric loses no more than is allowed; None: not even the
        mildest
    """

    layer: str
    kind: str
    weights: int
    sparsity: dict[float, float]
    bits: dict[int, float]
    rank: dict[float, float]
    holds: dict[str, float | None]


@dataclass(frozen=True)
class Scan:
    """The sensitivity of every layer with weights.

    Parameters
    ----------
    baseline : the metric of the network as trained, on the same samples
    frames : how many samples
    max_drop : what may be lost: of accuracy and auc absolutely, of errors as a share of the baseline
    """

    metric: str
    baseline: float
    frames: int
    max_drop: float
    layers: tuple[LayerScan, ...]

    def drop(self, value: float) -> float:
        """Return what is lost against the baseline; negative: gained."""
        return drop(self.metric, self.baseline, value)


def scan_model(
    spec: ModelSpec, data: DataSet, model: keras.Model, max_drop: float = 0.01, progress: Progress = silent
) -> Scan:
    """Return how the metric falls when one layer is pruned, narrowed or of lower rank; `model` is left unusable.

    Zeros are those of smallest magnitude. Bits are those of a two's complement format whose integer bits fit the kernel
    best. A rank is a share of the full one, of dense layers and convolutions of one pixel (singular values cut off).
    """
    targets_of(spec, data, model)
    used = validation_part(spec, data, FRAMES)
    metric = judged_by(spec, data)
    kernels = {layer: [_Kernel(layer, v) for v in prunable(layer)] for layer in model.layers if prunable(layer)}
    for parts in kernels.values():
        for part in parts:
            part.open()
    baseline, rows = evaluate(spec, used, model), []
    for count, (layer, parts) in enumerate(kernels.items()):
        progress(f"scanning {layer.name}", count / len(kernels))

        def score(change: Any, parts: list[_Kernel] = parts) -> float:
            for part in parts:
                part.variable.assign(change(part))
            return evaluate(spec, used, model)

        sparsity = {s: score(lambda k, s=s: k.rounded(pruned(k.trained, s))) for s in SPARSITIES}
        bits = {b: score(lambda k, b=b: narrowed(k.trained, b)) for b in BITS} if all(k.opened for k in parts) else {}
        flat = _is_matrix(layer)
        rank = {r: score(lambda k, r=r: k.rounded(low_rank(k.trained, r))) for r in RANKS} if flat else {}
        for part in parts:
            part.variable.assign(part.rounded(part.trained))
        holds: dict[str, float | None] = {
            "sparsity": _furthest(metric, baseline, sparsity, max_drop),
            "bits": _furthest(metric, baseline, bits, max_drop),
            "rank": _furthest(metric, baseline, rank, max_drop),
        }
        weights = sum(part.trained.size for part in parts)
        rows.append(LayerScan(layer.name, type(layer).__name__, weights, sparsity, bits, rank, holds))
    return Scan(metric, baseline, len(used.xs_test[0]), max_drop, tuple(rows))


def drop(metric: str, baseline: float, value: float) -> float:
    """Return what is lost: of accuracy and auc absolutely, of errors as a share of the baseline."""
    if HIGHER_IS_BETTER[metric]:
        return baseline - value
    return (value - baseline) / baseline if baseline else value


def pruned(kernel: Array, share: float) -> Array:
    """Return a kernel with that share of its weights, the smallest, set to 0."""
    result = kernel.copy().ravel()
    result[np.argsort(np.abs(result), kind="stable")[: round(share * result.size)]] = 0
    return result.reshape(kernel.shape)


def narrowed(kernel: Array, bits: int) -> Array:
    """Return a kernel rounded to a signed format of so many bits, with the integer bits of least squared error."""
    best, least = kernel, np.inf
    top = int(np.ceil(np.log2(max(float(np.abs(kernel).max()), 1e-12))))
    for integer in range(top + 1, top - 4, -1):
        step = 2.0 ** (integer - bits + 1)
        rounded = np.clip(np.rint(kernel / step), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * step
        error = float(np.square(rounded - kernel).sum())
        if error < least:
            best, least = rounded, error
    return best.astype(kernel.dtype)


def low_rank(kernel: Array, share: float) -> Array:
    """Return a kernel's matrix cut to a share of its full rank by singular values."""
    matrix = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    rank = max(1, round(share * len(values)))
    return ((left[:, :rank] * values[:rank]) @ right[:rank]).reshape(kernel.shape).astype(kernel.dtype)


class _Kernel:
    """A kernel whose quantizer is taken out of its layer, so that any values can be tried without a new trace."""

    def __init__(self, layer: Any, variable: Any) -> None:
        self.layer, self.variable = layer, variable
        self.trained: Array = np.asarray(variable).copy()
        names = {"kernel": "kernel", "depthwise_kernel": "depthwise", "pointwise_kernel": "pointwise"}
        found = [part for name, part in names.items() if getattr(layer, name, None) is variable]
        self.attribute = f"{(found or ['kernel'])[-1]}_quantizer_internal"
        self.quantizer = getattr(layer, self.attribute, None)
        self.folded = "atchnorm" in type(layer).__name__  # what is quantized is the kernel with its scale
        self.opened = False

    def open(self) -> None:
        """Take the quantizer out, and leave the rounded values in the kernel."""
        self.opened = not self.folded
        if self.opened and self.quantizer is not None:
            setattr(self.layer, self.attribute, _identity)
        self.variable.assign(self.rounded(self.trained))

    def rounded(self, values: Array) -> Array:
        """Return values as the layer's own quantizer rounds them."""
        if self.folded or self.quantizer is None:
            return values
        from hwgen.train.env import import_keras

        return np.asarray(self.quantizer(import_keras().ops.convert_to_tensor(values)))


def _identity(value: Any) -> Any:
    return value


def _is_matrix(layer: Any) -> bool:
    """Return whether a layer's kernel is one matrix: a dense layer, or a convolution of one pixel."""
    kind, kernels = type(layer).__name__, prunable(layer)
    if kind in DENSE_KINDS:
        return True
    return kind in CONV_KINDS and matrix_shape(layer, kernels[0])[0] == int(kernels[0].shape[-2])


def _furthest(metric: str, baseline: float, values: dict[Any, float], most: float) -> float | None:
    """Return the last setting before one loses more than `most`; settings go from mild to harsh."""
    last = None
    for setting, value in values.items():
        if not drop(metric, baseline, value) <= most + 1e-9:
            break
        last = setting
    return last
