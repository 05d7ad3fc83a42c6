"""One way to train: compile, fit, keep the best weights of a validation slice. Used by fit and prune."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import ModelError, SpecError
from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.train.data import Array, DataSet
from hwgen.train.data.load import check_targets
from hwgen.train.data.types import map_arrays
from hwgen.train.env import import_keras, seed_everything
from hwgen.train.metrics import is_reconstruction
from hwgen.train.outputs import Scores, judged_by, loss_weights, of_output, output_names, score_outputs

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec

Progress = Callable[[str, float | None], None]
"""Called with a message and the share done (None: unknown)."""

History = dict[str, list[float]]

EVALUATED_ELEMENTS = 1 << 24
"""How many values of its widest layer a network may hold at a time where nothing is learnt (64 MB as float32)."""

VALIDATION_SHARE = 0.1
"""Share of the training part that chooses the best epoch; the test part never does."""


def silent(_message: str, _fraction: float | None) -> None:
    """A `Progress` that says nothing."""


@dataclass(frozen=True)
class Task:
    """What a model is trained for: arrays on the input grid, the loss, the metric."""

    x_fit: tuple[Array, ...]
    y_fit: Any
    x_val: tuple[Array, ...]
    y_val: Any
    loss: Any
    metric: str
    threshold: float
    loss_weights: list[float] | None = None
    """A weight an output; None: all 1."""

    @property
    def samples(self) -> int:
        """Number of training samples."""
        return len(self.x_fit[0])


def make_task(spec: ModelSpec, data: DataSet, model: keras.Model, *, on_grid: bool = True) -> Task:
    """Return what to train for; checks that the targets fit the model's outputs.

    Parameters
    ----------
    on_grid : bool
        Whether inputs are rounded to `precision.input` (the float twin sees them as they are).
    """
    xs = grid_inputs(spec, model, data.xs_train) if on_grid else data.xs_train
    targets = targets_of(spec, data, model)
    chosen, validation = slices(len(xs[0]), spec.train.seed)
    return Task(
        tuple(x[chosen] for x in xs),
        map_arrays(lambda y: y[chosen], targets),
        tuple(x[validation] for x in xs),
        map_arrays(lambda y: y[validation], targets),
        make_loss(spec, model, targets),
        judged_by(spec, data, f"{spec.line_of('train.metric')}: train.metric"),
        threshold_of(model),
        loss_weights(spec, model),
    )


def targets_of(spec: ModelSpec, data: DataSet, model: keras.Model) -> Any:
    """Return what the model is to give for the training part: the labels, or for an autoencoder its input.

    Raises
    ------
    DataError, ErrorList
        If labels or targets do not match the model's output.
    """
    if len(model.outputs) > 1:
        return data.y_train
    if is_autoencoder(spec, data, model):
        return data.xs_train[0]
    key = next((k for k in ("npz", "set", "loader") if spec.data and getattr(spec.data, k)), "set")
    where = f"{spec.line_of(f'data.{key}')}: data.{key}"
    check_targets(data, int(np.prod(model.outputs[0].shape[1:])), where, model.layers[-1].name)
    return data.y_train


def is_autoencoder(spec: ModelSpec, data: DataSet, model: keras.Model) -> bool:
    """Return whether the network reconstructs its input: judged by AUC, outputs of the input's size."""
    size = int(np.prod(model.outputs[0].shape[1:]))
    return spec.train.metric == "auc" and size > 1 and is_reconstruction(np.zeros((1, size)), data.xs_train[0][:1])


def run(
    spec: ModelSpec,
    model: keras.Model,
    task: Task,
    *,
    epochs: int,
    message: str,
    progress: Progress,
    best_from: int = 0,
    final_rate: float = 0.05,
    callbacks: tuple[Any, ...] = (),
) -> History:
    """Train `model` in place and leave it with its best weights by validation loss.

    Parameters
    ----------
    best_from : int
        The first epoch whose weights may be chosen (pruning: once the masks are final).
    final_rate : float
        The learning rate falls along half a cosine to this share of `train.learning_rate`.
    """
    if epochs <= 0:
        return {}
    keras = import_keras()
    seed_everything(spec.train.seed)
    batch = min(spec.train.batch_size, task.samples)
    steps = epochs * math.ceil(task.samples / batch)
    rate = keras.optimizers.schedules.CosineDecay(spec.train.learning_rate, steps, alpha=final_rate)
    model.compile(_optimizer(spec, rate), loss=task.loss, loss_weights=task.loss_weights, jit_compile=False)
    keeper = _keeper(spec, message, epochs, best_from, progress)
    fitted = model.fit(
        list(task.x_fit) if len(task.x_fit) > 1 else task.x_fit[0],
        _listed(task.y_fit),
        validation_data=(list(task.x_val) if len(task.x_val) > 1 else task.x_val[0], _listed(task.y_val)),
        epochs=epochs,
        batch_size=batch,
        validation_batch_size=evaluation_batch(model),
        verbose=0,
        callbacks=[*callbacks, keeper],
    )
    return {name: [float(v) for v in values] for name, values in fitted.history.items()}


def evaluate(spec: ModelSpec, data: DataSet, model: keras.Model, *, on_grid: bool = True) -> float:
    """Return the model's metric on the whole test part."""
    return evaluate_all(spec, data, model, on_grid=on_grid).score


def evaluate_all(spec: ModelSpec, data: DataSet, model: keras.Model, *, on_grid: bool = True) -> Scores:
    """Return the model's metrics on the whole test part, of every output that `train.metric` names."""
    xs = grid_inputs(spec, model, data.xs_test) if on_grid else data.xs_test
    outputs = model.predict(list(xs) if len(xs) > 1 else xs[0], batch_size=evaluation_batch(model), verbose=0)
    return scores_of(spec, data, model, outputs)


def scores_of(spec: ModelSpec, data: DataSet, model: keras.Model, outputs: Any) -> Scores:
    """Return the metrics of what `model`, or something that computes the same, gave for the whole test part."""
    names = output_names(model)
    named = dict(zip(names, outputs if isinstance(outputs, list | tuple) else [outputs], strict=True))
    inputs = data.xs_test[0] if len(data.xs_test) == 1 else None
    thresholds = {names[0]: threshold_of(model)} if len(names) == 1 else None
    return score_outputs(spec, data, named, inputs=inputs, thresholds=thresholds)


def outputs_of(model: keras.Model, xs: Sequence[Array]) -> list[Array]:
    """Return what a network gives for frames; nothing is compiled, which pays for networks that run once or twice."""
    batch, parts = evaluation_batch(model), []
    for start in range(0, len(xs[0]), batch):
        feed = [x[start : start + batch] for x in xs]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The structure of `inputs`")  # a list of one, or no list: the same
            parts.append(_tensors(model(feed if len(feed) > 1 else feed[0], training=False)))
    return [np.concatenate([np.asarray(o) for o in outputs]) for outputs in zip(*parts, strict=True)]


def validation_part(spec: ModelSpec, data: DataSet, most: int | None = None) -> DataSet:
    """Return `data` with the validation slice of its training part (at most so many samples) as its test part.

    It is the slice that training itself sets aside: no step of an optimizer has seen it, it chose the best epoch.
    """
    chosen = slices(len(data.xs_train[0]), spec.train.seed)[1][:most]
    x, y = (map_arrays(lambda a: a[chosen], part) for part in (data.x_train, data.y_train))
    return replace(data, x_test=x, y_test=y)


def evaluation_batch(model: keras.Model) -> int:
    """Return how many samples are evaluated at a time: at most 4096, fewer where layers are large."""
    widest = max(int(np.prod(tensor.shape[1:])) for layer in model.layers for tensor in _tensors(layer.output))
    return int(np.clip(EVALUATED_ELEMENTS // widest, 16, 4096))


def _tensors(output: Any) -> list[Any]:
    return list(output) if isinstance(output, list | tuple) else [output]


def grid_inputs(spec: ModelSpec, model: keras.Model, xs: tuple[Array, ...]) -> tuple[Array, ...]:
    """Round samples as the host does: to `precision.input`, half to even, saturating; untouched if there is none."""
    wanted = spec.precision.input
    if wanted is None:
        return xs
    names = [tensor.name for tensor in model.inputs]
    if isinstance(wanted, dict):
        unknown = [name for name in names if name not in wanted]
        if unknown:
            where = f"{spec.line_of('precision.input')}: precision.input"
            expected = ", ".join(names)
            raise SpecError(
                f"no type for the input {unknown[0]}", where=where, found=", ".join(wanted), expected=expected
            )
    texts = [wanted if isinstance(wanted, str) else wanted[name] for name in names]
    return tuple(_on_grid(x, FixedPoint.parse(text)) for x, text in zip(xs, texts, strict=True))


def ends_in(model: keras.Model) -> str | None:
    """Return ``softmax`` or ``sigmoid`` if the model's (first) output is one, else None."""
    layer = getattr(model.outputs[0], "_keras_history", (model.layers[-1],))[0]
    if type(layer).__name__ == "Softmax":
        return "softmax"
    name = getattr(getattr(layer, "activation", None), "__name__", None)
    return name if name in ("softmax", "sigmoid") else None


def threshold_of(model: keras.Model) -> float:
    """Return where a single output says yes: 0.5 after a sigmoid, 0 for a logit."""
    return 0.5 if ends_in(model) == "sigmoid" else 0.0


def make_loss(spec: ModelSpec, model: keras.Model, targets: Any) -> Any:
    """Return the loss: `train.loss`, or by the targets: cross-entropy for class labels, mse for floats."""
    if isinstance(targets, tuple):
        return [_one_loss(spec, model, target, out) for target, out in zip(targets, model.outputs, strict=True)]
    return _one_loss(spec, model, targets, model.outputs[0])


def _one_loss(spec: ModelSpec, model: keras.Model, targets: Array, output: Any) -> Any:
    keras = import_keras()
    logits = ends_in(model) is None
    name = of_output(spec.train.loss, output._keras_history.operation.name)
    size = int(np.prod(output.shape[1:]))
    if name == "auto":
        integers = np.issubdtype(targets.dtype, np.integer)
        name = "mse" if not integers else "binary_crossentropy" if size == 1 else "sparse_categorical_crossentropy"
        if integers and targets.ndim > 1:
            name = "binary_crossentropy"  # several yes/no labels
    if name == "binary_crossentropy":
        return keras.losses.BinaryCrossentropy(from_logits=logits)
    if name == "sparse_categorical_crossentropy":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    if name == "categorical_crossentropy":
        return keras.losses.CategoricalCrossentropy(from_logits=logits)
    if name == "detection":
        from hwgen.train.detection_loss import detection_loss

        return detection_loss
    try:
        return keras.losses.get(name)
    except (ValueError, TypeError) as error:
        where = f"{spec.line_of('train.loss')}: train.loss"
        expected = "auto, mse, mae, huber, binary_crossentropy, sparse_categorical_crossentropy, detection, ..."
        raise SpecError("no such loss in Keras", where=where, found=name, expected=expected) from error


def _optimizer(spec: ModelSpec, rate: Any) -> Any:
    keras = import_keras()
    try:
        optimizer = keras.optimizers.get(spec.train.optimizer)
    except (ValueError, TypeError) as error:
        where = f"{spec.line_of('train.optimizer')}: train.optimizer"
        raise SpecError(
            "no such optimizer in Keras",
            where=where,
            found=spec.train.optimizer,
            expected="adam, adamw, sgd, rmsprop, ...",
        ) from error
    optimizer.learning_rate = rate
    return optimizer


def _keeper(spec: ModelSpec, message: str, epochs: int, best_from: int, progress: Progress) -> Any:
    """Return a Keras callback that reports every epoch, stops when the loss is lost, and restores the best weights."""
    keras = import_keras()

    class Keeper(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        def on_train_begin(self, logs: Any = None) -> None:
            self.best, self.weights = math.inf, None

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            losses = {key: float((logs or {}).get(key, math.inf)) for key in ("loss", "val_loss")}
            if not all(math.isfinite(value) for value in losses.values()):
                raise _diverged(spec, f"{message} {epoch + 1}/{epochs}", losses)
            loss = losses["val_loss"]
            if epoch >= best_from and (loss < self.best or self.weights is None):
                self.best, self.weights = loss, self.model.get_weights()
            progress(f"{message} {epoch + 1}/{epochs}, loss {loss:.4f}", (epoch + 1) / epochs)

        def on_train_end(self, logs: Any = None) -> None:
            if self.weights is not None:
                self.model.set_weights(self.weights)

    return Keeper()


def _diverged(spec: ModelSpec, epoch: str, losses: dict[str, float]) -> ModelError:
    found = ", ".join(f"{key} {value:g}" for key, value in losses.items())
    where = f"{spec.line_of('train.learning_rate')}: train.learning_rate"
    what = f"training diverged in {epoch}: the loss is no number any more"
    hint = f"a lower rate than {spec.train.learning_rate:g}, or data of smaller values (data.scale)"
    return ModelError(what, where=where, found=found, expected="a finite loss", hint=hint)


def slices(count: int, seed: int) -> tuple[Array, Array]:
    """Return (train, validation) indices of the training part; at least one sample in each (one sample is both)."""
    order = np.random.default_rng(seed).permutation(count)
    size = min(max(1, round(count * VALIDATION_SHARE)), count - 1) if count > 1 else 0
    return (np.sort(order[size:]), np.sort(order[:size])) if size else (order, order)


def _on_grid(x: Array, kind: FixedPoint) -> Array:
    host = FixedPoint(kind.width, kind.integer, kind.signed, Rounding.RND_CONV, Overflow.SAT)
    return host.to_float(host.quantize(x)).astype(x.dtype)


def _listed(arrays: Any) -> Any:
    return list(arrays) if isinstance(arrays, tuple) else arrays
