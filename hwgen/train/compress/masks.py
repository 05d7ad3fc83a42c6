"""Masks over weights: what is pruned is 0.0, in every step of the optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import ModelError
from hwgen.train.env import import_keras

if TYPE_CHECKING:
    import keras

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel", "_kernel")
"""Attributes of a layer that hold prunable weights; biases are never pruned."""


def sparsity_of(model: keras.Model) -> dict[str, float]:
    """Return the share of weights that are exactly 0.0 in the kernels of each layer that has some."""
    result = {}
    for layer in model.layers:
        kernels = [np.asarray(variable) for variable in prunable(layer)]
        if kernels:
            result[layer.name] = sum(int((k == 0).sum()) for k in kernels) / sum(k.size for k in kernels)
    return result


def prunable(layer: Any) -> list[Any]:
    """Return the kernel variables of a layer, each once."""
    found: list[Any] = []
    for name in KERNELS:
        variable = getattr(layer, name, None)
        if hasattr(variable, "assign") and not any(variable is other for other in found):
            found.append(variable)
    return found


@contextmanager
def zeros_held(model: keras.Model) -> Iterator[None]:
    """Keep every kernel weight that is 0.0 now at 0.0 in all training inside: what was pruned stays pruned.

    Raises
    ------
    ModelError
        If one is not: then hwgen has a bug.
    """
    masks = []
    for layer in model.layers:
        for variable in prunable(layer):
            zeros = int((np.asarray(variable) == 0).sum())
            if zeros:
                masks.append(Mask(layer.name, variable, zeros / np.asarray(variable).size))
                masks[-1].update(1.0)
    try:
        yield
        for mask in masks:
            mask.check()
    finally:
        for mask in reversed(masks):
            mask.release()


class Mask:
    """The mask of one kernel, applied inside every optimizer step through the variable's constraint.

    Parameters
    ----------
    share : float
        Of the weights that `update` prunes in the end.
    """

    def __init__(self, layer: str, variable: Any, share: float) -> None:
        keras = import_keras()
        self.layer, self.variable, self.share = layer, variable, share
        self.before = variable.constraint
        self.mask = keras.Variable(np.ones(variable.shape, variable.dtype), trainable=False, name=f"{layer}_mask")
        variable.constraint = self._constrain

    def _constrain(self, value: Any) -> Any:
        return (self.before(value) if self.before else value) * self.mask

    def update(self, progress: float) -> None:
        """Prune the smallest magnitudes, up to the share that is due; what was pruned stays so."""
        weights = np.abs(np.asarray(self.variable))
        due = round(self.share * (1 - (1 - progress) ** 3) * weights.size)
        mask = np.asarray(self.mask)
        already = weights.size - int(mask.sum())
        if due <= already:
            return
        order = np.argsort(np.where(mask == 0, -1.0, weights), axis=None, kind="stable")
        flat = np.ones(weights.size, mask.dtype)
        flat[order[:due]] = 0
        self.mask.assign(flat.reshape(mask.shape))
        self.variable.assign(np.asarray(self.variable) * flat.reshape(mask.shape))

    def check(self) -> None:
        """Raise if a pruned weight is not 0.0, or fewer are pruned than asked: then hwgen has a bug."""
        weights, mask = np.asarray(self.variable), np.asarray(self.mask)
        due = round(self.share * weights.size)
        if np.any(weights[mask == 0] != 0) or weights.size - int(mask.sum()) < due:
            raise ModelError(f"the pruning mask of {self.layer} was not kept", expected=f"{due} weights of 0")

    def release(self) -> None:
        """Give the variable its own constraint back."""
        self.variable.constraint = self.before
