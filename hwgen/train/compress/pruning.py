"""Pruning: zeros by magnitude while fine-tuning, one by one, by blocks, or n of m.

Masks are exact: a pruned weight is 0.0 to the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwgen.errors import SpecError
from hwgen.train.compress.masks import Budget, GroupMask, Mask, prunable
from hwgen.train.compress.patterns import Blocks, Groups, matrix_shape
from hwgen.train.compress.workshop import StepResult, Workshop
from hwgen.train.env import import_keras
from hwgen.train.loop import make_task

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec

UPDATES_PER_EPOCH = 10
"""How often masks follow the schedule."""


@dataclass(frozen=True)
class Target:
    """A kernel to prune: how it is divided, and which share of its blocks goes (None: the budget of all decides)."""

    layer: str
    kernel: Any
    units: Blocks | Groups
    share: float | None


def prune(shop: Workshop, model: keras.Model) -> StepResult:
    """Prune and fine-tune `model` in place as `compress.pruning` says.

    What is pruned rises along ``final * (1 - (1 - t) ** 3)`` from `begin_epoch` to `end_epoch` (at most the last
    epoch); then the masks stay, and the best epoch from there on is kept.

    Raises
    ------
    ModelError, SpecError
        If the layers named are not there, a pattern does not divide one, or there is no data.
    """
    spec, plan = shop.spec, shop.spec.compress.pruning
    assert plan is not None
    data = shop.known_data("pruning", "pruning fine-tunes the network and")
    key, epochs = ("epochs", spec.compress.epochs) if plan.epochs is None else ("pruning.epochs", plan.epochs)
    if epochs < 1:
        raise shop.refuse(key, "pruning needs epochs of fine-tuning", str(epochs), "at least 1")
    begin, end = int(plan.begin_epoch), min(int(plan.end_epoch), epochs - 1)
    if begin > end:
        found = f"begin_epoch {begin}, end_epoch {plan.end_epoch}, {epochs} epochs"
        expected = f"begin_epoch ≤ end_epoch < compress.{key}"
        raise shop.refuse("pruning", "the pruning schedule ends before it begins", found, expected)
    masks = _masks(targets_of(spec, model), plan.sparsity)
    samples = make_task(spec, data, model).samples
    steps = math.ceil(samples / min(spec.train.batch_size, samples))
    schedule = _scheduler(masks, begin * steps, end * steps, max(1, steps // UPDATES_PER_EPOCH))
    try:
        history = shop.finetune(model, epochs, "fine-tuning", best_from=end, callbacks=(schedule,))
        for mask in masks:
            mask.check()
    finally:
        for mask in masks:
            mask.release()
    return StepResult(model, history)


def _masks(targets: list[Target], sparsity: float | None) -> list[Mask | Budget]:
    """Return a mask for each target; one budget for all of those that have no share of their own."""
    masks: list[Mask | Budget] = []
    shared: list[Mask] = []
    for target in targets:
        if isinstance(target.units, Groups):
            masks.append(GroupMask(target.layer, target.kernel, target.units))
        elif target.share is None:
            shared.append(Mask(target.layer, target.kernel, 0.0, target.units))
        else:
            masks.append(Mask(target.layer, target.kernel, target.share, target.units))
    return [*masks, Budget(shared, sparsity or 0.0)] if shared else masks


def targets_of(spec: ModelSpec, model: keras.Model) -> list[Target]:
    """Return every kernel that `compress.pruning` prunes.

    Raises
    ------
    SpecError
        If a layer named is not there or has no weights, or a pattern does not divide a kernel.
    """
    plan = spec.compress.pruning
    assert plan is not None
    kernels = {layer.name: (layer, prunable(layer)) for layer in model.layers}
    for name in plan.layers:
        if name not in kernels or not kernels[name][1]:
            where = f"{spec.line_of(f'compress.pruning.layers.{name}')}: compress.pruning.layers.{name}"
            expected = ", ".join(layer for layer, (_, found) in kernels.items() if found)
            what = "no weights to prune in this layer" if name in kernels else "no such layer"
            raise SpecError(what, where=where, found=name, expected=expected)
    result = []
    for name, (layer, found) in kernels.items():
        share = plan.share_of(name)
        result += [Target(name, k, _units(spec, layer, k), share) for k in found if share is None or share > 0]
    return result


def _units(spec: ModelSpec, layer: Any, kernel: Any) -> Blocks | Groups:
    """Return how a kernel is divided; refuses a pattern that does not divide it."""
    plan, matrix = spec.compress.pruning, matrix_shape(layer, kernel)
    assert plan is not None
    share = plan.share_of(layer.name)
    if plan.method == "n_m" and share is not None:
        group = plan.n_of_m[1]
        if matrix[0] % group:
            raise _undivided(spec, "pattern", layer.name, matrix, f"{plan.pattern}: groups of {group} inputs")
        return Groups(matrix, round(group * (1 - share)), group)
    size = (plan.block[0], plan.block[1]) if plan.method == "block" and plan.block else (1, 1)
    if matrix[0] % size[0] or matrix[1] % size[1]:
        raise _undivided(spec, "block", layer.name, matrix, f"blocks of {size[0]} inputs × {size[1]} outputs")
    return Blocks(matrix, size)


def _undivided(spec: ModelSpec, key: str, layer: str, matrix: tuple[int, int], pattern: str) -> SpecError:
    path = f"compress.pruning.{key}"
    return SpecError(
        f"the pattern does not divide the layer {layer}",
        where=f"{spec.line_of(path)}: {path}",
        found=f"{pattern}; {layer} has {matrix[0]} inputs × {matrix[1]} outputs",
        expected="a divisor of both" if key == "block" else "a divisor of the inputs",
        hint=f"compress.pruning.layers: {{{layer}: 0}} leaves the layer as it is",
    )


def _scheduler(masks: Sequence[Mask | Budget], begin: int, end: int, every: int) -> Any:
    """Return a Keras callback that moves the masks along the schedule (in batches)."""
    keras = import_keras()

    class Scheduler(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        step = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if begin <= self.step <= end and ((self.step - begin) % every == 0 or self.step == end):
                progress = 1.0 if end == begin else (self.step - begin) / (end - begin)
                for mask in masks:
                    mask.update(progress)
            self.step += 1

    return Scheduler()
