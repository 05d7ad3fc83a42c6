"""Networks with several outputs: a loss, its weight and a metric for each, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import DataError, SpecError
from hwgen.train.data.types import Array, as_tuple
from hwgen.train.detection import BOX_CHANNELS, grid_fault, target_fault
from hwgen.train.metrics import HIGHER_IS_BETTER, evaluate_outputs, metric_name

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec
    from hwgen.train.data import DataSet


@dataclass(frozen=True)
class Scores:
    """What a network reaches on the test part.

    Attributes
    ----------
    score : what it is judged by: the metric of its output, the mean over its outputs, or of the output that
        `train.metric` names first
    others : the metrics of the outputs that `train.metric` names after the first, by output
    """

    score: float
    others: dict[str, float] = field(default_factory=dict)


def output_names(model: keras.Model) -> list[str]:
    """Return the names of the model's outputs: those of the layers that give them."""
    return [tensor._keras_history.operation.name for tensor in model.outputs]


def of_output(said: str | Mapping[str, str], name: str) -> str:
    """Return what `train.loss` says for an output; ``auto`` where it names others alone."""
    return said if isinstance(said, str) else said.get(name, "auto")


def loss_weights(spec: ModelSpec, model: keras.Model) -> list[float] | None:
    """Return `train.loss_weights` in the order of the outputs, 1 where none is said; None without any."""
    said = spec.train.loss_weights
    return [said.get(name, 1.0) for name in output_names(model)] if said and len(model.outputs) > 1 else None


def check_outputs(spec: ModelSpec, data: DataSet, model: keras.Model) -> None:
    """Refuse targets, losses and metrics that do not fit the model's outputs, before anything is trained.

    Raises
    ------
    SpecError, DataError
    """
    names = output_names(model)
    for key in ("loss", "loss_weights", "metric"):
        said = getattr(spec.train, key)
        for name in said if isinstance(said, dict) else ():
            if name not in names:
                where = f"{spec.line_of(f'train.{key}.{name}')}: train.{key}.{name}"
                raise SpecError("no output has this name", where=where, found=name, expected=", ".join(names))
    for name, metric in spec.train.metric.items() if isinstance(spec.train.metric, dict) else ():
        if metric not in HIGHER_IS_BETTER:
            where = f"{spec.line_of(f'train.metric.{name}')}: train.metric.{name}"
            raise SpecError("no such metric", where=where, found=metric, expected=", ".join(HIGHER_IS_BETTER))
    targets = as_tuple(data.y_train)
    where = f"{spec.line_of('data')}: data"
    if len(targets) != len(names):
        found, expected = f"{len(targets)}", f"{len(names)}, one for each of {', '.join(names)}"
        raise DataError(
            "the number of targets y_train differs from that of the outputs",
            where=where,
            found=found,
            expected=expected,
        )
    if len(names) > 1:
        _check_shapes(spec, model, targets, where)
    for name, tensor, parts in zip(names, model.outputs, zip(targets, as_tuple(data.y_test), strict=True), strict=True):
        detects = _detects(spec, name)
        if detects is not None:
            _check_grid(spec, detects, name, tuple(tensor.shape[1:]), parts)


def score_outputs(
    spec: ModelSpec,
    data: DataSet,
    outputs: Mapping[str, Array],
    *,
    inputs: Array | None = None,
    is_class: Mapping[str, bool] | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> Scores:
    """Return the metrics of outputs on the test part.

    Parameters
    ----------
    outputs : {name: (samples, ...)} in the order of the model's outputs
    inputs, is_class, thresholds : as `hwgen.train.metrics.evaluate_outputs` has them, by output
    """
    said = spec.train.metric
    where = f"{spec.line_of('train.metric')}: train.metric"
    targets = dict(zip(outputs, as_tuple(data.y_test), strict=True))

    def one(name: str, metric: str) -> float:
        return evaluate_outputs(
            metric_name(metric, data.integer_labels, where),
            outputs[name],
            targets[name],
            inputs=inputs if len(outputs) == 1 else None,
            is_class=(is_class or {}).get(name, False),
            threshold=(thresholds or {}).get(name, 0.0),
        )

    if isinstance(said, str):
        return Scores(float(np.mean([one(name, said) for name in outputs])))
    values = {name: one(name, metric) for name, metric in said.items()}
    first = next(iter(said))
    return Scores(values.pop(first), values)


def judged_by(spec: ModelSpec, data: DataSet, where: str = "train.metric") -> str:
    """Return the name of the metric that the network is judged by."""
    said = spec.train.metric
    return metric_name(said if isinstance(said, str) else next(iter(said.values())), data.integer_labels, where)


def other_metrics(spec: ModelSpec) -> dict[str, str]:
    """Return the metrics after the first that `train.metric` names, by output."""
    said = spec.train.metric
    return {} if isinstance(said, str) else dict(list(said.items())[1:])


def _detects(spec: ModelSpec, name: str) -> str | None:
    """Return the key that makes an output a detection grid."""
    said = {"train.loss": spec.train.loss, "train.metric": spec.train.metric}
    for key, value in said.items():
        own = value if isinstance(value, str) else value.get(name)
        if own in ("detection", "map"):
            return key if isinstance(value, str) else f"{key}.{name}"
    return None


def _check_shapes(spec: ModelSpec, model: keras.Model, targets: Sequence[Array], where: str) -> None:
    for name, tensor, target in zip(output_names(model), model.outputs, targets, strict=True):
        wanted, found = int(np.prod(tensor.shape[1:])), int(np.prod(target.shape[1:], dtype=int))
        is_label = np.issubdtype(target.dtype, np.integer) and target.ndim == 1
        if not is_label and wanted != found:
            raise DataError(
                f"the targets of {name} do not match the output",
                where=where,
                found=f"{found} values a sample",
                expected=f"{wanted}, as many as {name} gives",
            )


def _check_grid(spec: ModelSpec, key: str, name: str, shape: tuple[Any, ...], parts: Sequence[Array]) -> None:
    where = f"{spec.line_of(key)}: {key}"
    if (found := grid_fault(shape)) is not None:
        raise SpecError(
            f"{name} is no grid of detections",
            where=where,
            found=f"an output of {found}",
            expected=f"rows × columns × ({BOX_CHANNELS} + classes)",
            hint="docs/detection.md says what is in which channel",
        )
    for part, target in zip(("y_train", "y_test"), parts, strict=True):
        wrong = target.shape[1:] != shape or not np.issubdtype(target.dtype, np.floating)
        fault = f"{target.dtype} {target.shape[1:]}" if wrong else target_fault(target)
        if fault is not None:
            raise DataError(
                f"{part} of {name} holds no detection targets",
                where=where,
                found=fault,
                expected=f"floats of shape {shape}, as hwgen.train.detection.encode makes them",
            )
