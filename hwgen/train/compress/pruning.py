"""Pruning: zeros by magnitude while fine-tuning. Masks are exact: a pruned weight is 0.0 to the end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hwgen.errors import SpecError
from hwgen.train.compress.masks import Mask, prunable
from hwgen.train.compress.workshop import StepResult, Workshop
from hwgen.train.env import import_keras
from hwgen.train.loop import make_task

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec

UPDATES_PER_EPOCH = 10
"""How often masks follow the schedule."""


def prune(shop: Workshop, model: keras.Model) -> StepResult:
    """Prune and fine-tune `model` in place as `compress.pruning` says.

    The sparsity rises along ``final * (1 - (1 - t) ** 3)`` from `begin_epoch` to `end_epoch` (at most the last epoch);
    then the masks stay, and the best epoch from there on is kept.

    Raises
    ------
    ModelError, SpecError
        If the layers named are not there, or there is no data.
    """
    spec, plan = shop.spec, shop.spec.compress.pruning
    assert plan is not None
    data, epochs = shop.known_data("pruning", "pruning fine-tunes the network and"), spec.compress.epochs
    if epochs < 1:
        raise shop.refuse("epochs", "pruning needs epochs of fine-tuning", str(epochs), "at least 1")
    begin, end = int(plan.begin_epoch), min(int(plan.end_epoch), epochs - 1)
    if begin > end:
        found = f"begin_epoch {begin}, end_epoch {plan.end_epoch}, {epochs} epochs"
        expected = "begin_epoch ≤ end_epoch < compress.epochs"
        raise shop.refuse("pruning", "the pruning schedule ends before it begins", found, expected)
    masks = [Mask(layer, variable, share) for layer, variable, share in _targets(spec, model)]
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


def _targets(spec: ModelSpec, model: keras.Model) -> list[tuple[str, Any, float]]:
    """Return (layer, kernel, final sparsity) for every kernel to prune."""
    plan = spec.compress.pruning
    assert plan is not None
    kernels = {layer.name: prunable(layer) for layer in model.layers}
    for name in plan.layers:
        if not kernels.get(name):
            where = f"{spec.line_of(f'compress.pruning.layers.{name}')}: compress.pruning.layers.{name}"
            expected = ", ".join(layer for layer, found in kernels.items() if found)
            what = "no weights to prune in this layer" if name in kernels else "no such layer"
            raise SpecError(what, where=where, found=name, expected=expected)
    shares = {name: float(plan.layers.get(name, plan.sparsity)) for name in kernels}
    return [(name, kernel, shares[name]) for name, found in kernels.items() for kernel in found if shares[name] > 0]


def _scheduler(masks: list[Mask], begin: int, end: int, every: int) -> Any:
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
