"""Compression: magnitude pruning while fine-tuning. Masks are exact: a pruned weight is 0.0 to the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import ModelError, SpecError
from hwgen.train.data import DataSet
from hwgen.train.env import import_keras
from hwgen.train.loop import History, Progress, evaluate, make_task, run, silent

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel", "_kernel")
"""Attributes of a layer that hold prunable weights; biases are never pruned."""

UPDATES_PER_EPOCH = 10
"""How often masks follow the schedule."""


@dataclass
class CompressResult:
    """A compressed network. `sparsity` is the share of weights that are exactly 0.0, by layer, of the floats.

    The integers have more zeros: small weights round to 0. Those are counted where integers are.
    """

    model: keras.Model
    metric: float | None
    sparsity: dict[str, float]
    history: History = field(default_factory=dict)


def compress_model(
    spec: ModelSpec, data: DataSet | None, model: keras.Model, progress: Progress = silent
) -> CompressResult:
    """Prune and fine-tune `model` in place as `compress` says; without `compress.pruning` nothing is changed.

    The sparsity rises along ``final * (1 - (1 - t) ** 3)`` from `begin_epoch` to `end_epoch` (at most the last epoch);
    then the masks stay, and the best epoch from there on is kept.

    Raises
    ------
    ModelError, SpecError
        If the layers named are not there, or there is no data.
    """
    plan, epochs = spec.compress.pruning, spec.compress.epochs
    if plan is None:
        return CompressResult(model, evaluate(spec, data, model) if data else None, sparsity_of(model))
    where = f"{spec.line_of('compress.pruning')}: compress.pruning"
    if data is None:
        raise ModelError("pruning fine-tunes the network and needs data", where=where, expected="a data section")
    if epochs < 1:
        where = f"{spec.line_of('compress.epochs')}: compress.epochs"
        raise SpecError("pruning needs epochs of fine-tuning", where=where, found=str(epochs), expected="at least 1")
    begin, end = int(plan.begin_epoch), min(int(plan.end_epoch), epochs - 1)
    if begin > end:
        found = f"begin_epoch {begin}, end_epoch {plan.end_epoch}, {epochs} epochs"
        expected = "begin_epoch ≤ end_epoch < compress.epochs"
        raise SpecError("the pruning schedule ends before it begins", where=where, found=found, expected=expected)
    targets = _targets(spec, model)
    masks = [_Mask(layer, variable, share) for layer, variable, share in targets]
    task = make_task(spec, data, model)
    steps = math.ceil(task.samples / min(spec.train.batch_size, task.samples))
    schedule = _scheduler(masks, begin * steps, end * steps, max(1, steps // UPDATES_PER_EPOCH))
    try:
        history = run(
            spec,
            model,
            task,
            epochs=epochs,
            message="fine-tuning",
            progress=progress,
            best_from=end,
            callbacks=(schedule,),
        )
        for mask in masks:
            mask.check()
    finally:
        for mask in masks:
            mask.release()
    return CompressResult(model, evaluate(spec, data, model), sparsity_of(model), history)


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


class _Mask:
    """The mask of one kernel, applied inside every optimizer step through the variable's constraint."""

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


def _scheduler(masks: list[_Mask], begin: int, end: int, every: int) -> Any:
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
