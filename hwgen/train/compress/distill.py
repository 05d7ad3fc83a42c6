"""Knowledge distillation: in every fine-tuning, the outputs of a float teacher are a target beside the labels.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015: for classes the loss is
``(1 - w) * task + w * T² * KL(softmax(teacher / T) || softmax(student / T))``; for other targets the mean squared
difference of the outputs takes the place of the second term.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.train.data import Array
from hwgen.train.env import import_keras
from hwgen.train.loop import Progress, Task, evaluation_batch, make_task, run
from hwgen.train.twin import float_twin

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec
    from hwgen.train.data import DataSet

LEAST = 1e-7
"""The smallest probability whose logarithm is taken."""


def train_teacher(spec: ModelSpec, data: DataSet, model: keras.Model, progress: Progress) -> keras.Model:
    """Return the teacher: `model` without quantizers, begun with its weights and trained in floats.

    Its epochs are `compress.distill.epochs`, or those of `train.float_epochs`.
    """
    plan = spec.compress.distill
    assert plan is not None
    teacher = float_twin(model)
    teacher.set_weights(model.get_weights())
    epochs = spec.train.float_epochs if plan.epochs is None else plan.epochs
    run(spec, teacher, make_task(spec, data, teacher), epochs=epochs, message="teacher", progress=progress)
    return teacher


def with_teacher(spec: ModelSpec, model: keras.Model, task: Task, teacher: keras.Model) -> tuple[keras.Model, Task]:
    """Return `model` with every output given twice, and the task for it: labels first, then what the teacher gives.

    The layers are those of `model`: training the one trains the other.
    """
    keras = import_keras()
    plan = spec.compress.distill
    assert plan is not None
    again = [keras.layers.Identity(name=f"taught_{k}")(output) for k, output in enumerate(model.outputs)]
    student = keras.Model(model.inputs, [*model.outputs, *again], name=model.name)
    labels, losses = _listed(task.y_fit), task.loss if isinstance(task.loss, list) else [task.loss]
    weights = task.loss_weights or [1.0] * len(losses)
    soft = [_teacher_loss(loss, ends, plan.temperature) for loss, ends in zip(losses, _ends(model), strict=True)]
    return student, replace(
        task,
        y_fit=(*labels, *_outputs(teacher, task.x_fit)),
        y_val=(*_listed(task.y_val), *_outputs(teacher, task.x_val)),
        loss=[*losses, *soft],
        loss_weights=[w * (1 - plan.weight) for w in weights] + [w * plan.weight for w in weights],
    )


def _teacher_loss(loss: Any, ends: str | None, temperature: float) -> Any:
    """Return the loss of one output against the teacher's."""
    keras = import_keras()
    if "crossentropy" not in type(loss).__name__.lower():
        return keras.losses.MeanSquaredError()
    one = "Binary" in type(loss).__name__

    def against(teacher: Any, student: Any) -> Any:
        t, s = (_logits(values, ends) / temperature for values in (teacher, student))
        if one:
            p = keras.ops.sigmoid(t)
            return temperature**2 * keras.ops.mean(keras.ops.binary_crossentropy(p, s, from_logits=True), axis=-1)
        p = keras.ops.softmax(t, axis=-1)
        difference = keras.ops.log_softmax(t, axis=-1) - keras.ops.log_softmax(s, axis=-1)
        return temperature**2 * keras.ops.sum(p * difference, axis=-1)

    return against


def _logits(values: Any, ends: str | None) -> Any:
    keras = import_keras()
    if ends is None:
        return values
    p = keras.ops.clip(values, LEAST, 1 - LEAST)
    return keras.ops.log(p) if ends == "softmax" else keras.ops.log(p) - keras.ops.log(1 - p)


def _ends(model: keras.Model) -> list[str | None]:
    from hwgen.train.loop import ends_in

    keras = import_keras()
    return [ends_in(keras.Model(model.inputs, [output])) for output in model.outputs]


def _outputs(teacher: keras.Model, xs: tuple[Array, ...]) -> list[Array]:
    found = teacher.predict(list(xs) if len(xs) > 1 else xs[0], batch_size=evaluation_batch(teacher), verbose=0)
    return [np.asarray(value) for value in _listed(found)]


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list | tuple) else [values]
