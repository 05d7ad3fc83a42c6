"""Masks over weights: what is pruned is 0.0, in every step of the optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import ModelError
from hwgen.train.compress.patterns import Array, Blocks, Groups, lamp
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


def risen(progress: float) -> float:
    """Return the share of the final pruning that is due at a point of the schedule (0 to 1): a cubic, fast at first."""
    return 1 - (1 - progress) ** 3


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
        Of the blocks that `update` prunes in the end.
    blocks : Blocks, optional
        What is kept or goes as a whole; default: every weight by itself.
    """

    def __init__(self, layer: str, variable: Any, share: float, blocks: Blocks | None = None) -> None:
        keras = import_keras()
        self.layer, self.variable, self.share = layer, variable, share
        self.blocks = blocks or Blocks((int(np.prod(variable.shape)), 1))
        self.kept = np.ones(self.blocks.count, dtype=bool)
        self.before = variable.constraint
        self.mask = keras.Variable(np.ones(variable.shape, variable.dtype), trainable=False, name=f"{layer}_mask")
        variable.constraint = self._constrain

    def _constrain(self, value: Any) -> Any:
        return (self.before(value) if self.before else value) * self.mask

    def update(self, progress: float) -> None:
        """Prune the smallest blocks, up to the share that is due; what was pruned stays so."""
        due = round(self.share * risen(progress) * self.blocks.count)
        if due > self.blocks.count - int(self.kept.sum()):
            order = np.argsort(self.scores(), kind="stable")
            self.keep(np.isin(np.arange(self.blocks.count), order[:due], invert=True))

    def scores(self) -> Array:
        """Return the sum of squares of each block; of those pruned already -1."""
        return np.where(self.kept, self.blocks.scores(np.asarray(self.variable)), -1.0)

    def keep(self, kept: Array) -> None:
        """Prune every block but those kept."""
        self.kept = kept
        self.assign(self.blocks.spread(kept))

    def assign(self, mask: Array) -> None:
        """Take a mask of ones and zeros, in any shape of the kernel's size, and set the weights under zeros to 0.0."""
        shaped = mask.reshape(self.variable.shape).astype(np.asarray(self.mask).dtype)
        self.mask.assign(shaped)
        self.variable.assign(np.asarray(self.variable) * shaped)

    def check(self) -> None:
        """Raise if a pruned weight is not 0.0, or fewer are pruned than asked: then hwgen has a bug."""
        due = round(self.share * self.blocks.count)
        self.refuse_unless(self.blocks.count - int(self.kept.sum()) >= due, f"{due} blocks of 0")

    def refuse_unless(self, complete: bool, expected: str) -> None:
        """Raise if not `complete`, or if a weight under a zero of the mask is not 0.0."""
        if not complete or np.any(np.asarray(self.variable)[np.asarray(self.mask) == 0] != 0):
            raise ModelError(f"the pruning mask of {self.layer} was not kept", expected=expected)

    def release(self) -> None:
        """Give the variable its own constraint back."""
        self.variable.constraint = self.before


class GroupMask(Mask):
    """The mask of a kernel with at most n weights in each group of m inputs; n falls from m along the schedule."""

    def __init__(self, layer: str, variable: Any, groups: Groups) -> None:
        super().__init__(layer, variable, 1 - groups.most / groups.size)
        self.groups, self.gone = groups, 0

    def update(self, progress: float) -> None:
        """Prune the smallest weights of each group, as many as are due; what was pruned stays so."""
        due = round((self.groups.size - self.groups.most) * risen(progress))
        if due > self.gone:
            self.gone = due
            self.keep((self.groups.ranks(self.scores()) >= due).ravel())

    def check(self) -> None:
        """Raise if a pruned weight is not 0.0, or a group has more than n others."""
        complete = self.groups.broken(np.asarray(self.variable)) == 0
        self.refuse_unless(complete, f"{self.groups.most} of {self.groups.size} weights")


class Budget:
    """Masks of several kernels that share one budget: the smallest blocks go wherever they are.

    Blocks of different kernels are compared by their LAMP scores (`patterns.lamp`).

    Parameters
    ----------
    share : float
        Of all blocks of all kernels.
    """

    def __init__(self, masks: Sequence[Mask], share: float) -> None:
        self.masks, self.share = masks, share
        self.total = sum(mask.blocks.count for mask in masks)

    def update(self, progress: float) -> None:
        """Prune up to the share that is due; what was pruned stays so."""
        due = round(self.share * risen(progress) * self.total)
        scores = [np.where(mask.kept, lamp(np.maximum(mask.scores(), 0)), -1.0) for mask in self.masks]
        if due <= self.pruned:
            return
        order = np.argsort(np.concatenate(scores), kind="stable")
        kept = np.isin(np.arange(self.total), order[:due], invert=True)
        for mask, part in zip(self.masks, np.split(kept, np.cumsum([len(s) for s in scores])[:-1]), strict=True):
            mask.keep(part)

    @property
    def pruned(self) -> int:
        """Blocks that are gone."""
        return sum(int((~mask.kept).sum()) for mask in self.masks)

    def check(self) -> None:
        """Raise if a pruned weight is not 0.0, or fewer are pruned than asked."""
        due = round(self.share * self.total)
        for mask in self.masks:
            mask.refuse_unless(self.pruned >= due, f"{due} blocks of 0 in all layers")

    def release(self) -> None:
        """Give every variable its own constraint back."""
        for mask in self.masks:
            mask.release()
