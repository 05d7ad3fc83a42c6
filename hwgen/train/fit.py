"""Training: the float twin first, then the quantized network, started from the twin's weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.errors import ModelError
from hwgen.train.data import DataSet
from hwgen.train.loop import History, Progress, evaluate, make_task, run, silent, targets_of

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec


@dataclass
class TrainResult:
    """A trained network. Metrics are on the test part; None: not known."""

    model: keras.Model
    float_metric: float | None
    quantized_metric: float | None
    history: dict[str, History] = field(default_factory=dict)
    source: str = "trained"
    """``trained``, ``weights`` (from `train.weights`) or ``file`` (brought)."""


def train_model(
    spec: ModelSpec,
    data: DataSet | None,
    model: keras.Model,
    progress: Progress = silent,
    *,
    retrain: bool = False,
) -> TrainResult:
    """Train the network of a model.yaml, or take the weights it names.

    Parameters
    ----------
    model : keras.Model
        From `make_model`; changed in place.
    retrain : bool
        Train although `train.weights` is there, and write that file again.

    Raises
    ------
    ModelError, DataError, SpecError
        If weights, data, loss or metric do not fit the model.
    """
    if data is not None:
        targets_of(spec, data, model)  # before anything is trained, or measured on a brought network
    if spec.model.file:
        metric = evaluate(spec, data, model) if data else None
        return TrainResult(model, None, metric, source="file")
    weights = spec.base_dir / spec.train.weights if spec.train.weights else None
    if weights and weights.exists() and not retrain:
        return _from_weights(spec, data, model, weights)
    if data is None:
        where = f"{spec.line_of('train')}: train.weights" if weights else f"{spec.line_of('model')}: data"
        raise ModelError(
            "there is nothing to train on", where=where, expected="a data set, or train.weights that exist"
        )
    result = _train(spec, data, model, progress)
    if weights and retrain:
        from hwgen.train.store import save_model

        save_model(model, weights, {"float_metric": result.float_metric, "quantized_metric": result.quantized_metric})
    return result


def _train(spec: ModelSpec, data: DataSet, model: keras.Model, progress: Progress) -> TrainResult:
    history: dict[str, History] = {}
    float_metric = None
    if spec.train.float_epochs:
        from hwgen.train.twin import float_twin

        twin = float_twin(model)
        task = make_task(spec, data, twin, on_grid=False)
        history["float"] = run(
            spec, twin, task, epochs=spec.train.float_epochs, message="float epoch", progress=progress
        )
        float_metric = evaluate(spec, data, twin, on_grid=False)
        model.set_weights(twin.get_weights())
    task = make_task(spec, data, model)
    history["quantized"] = run(spec, model, task, epochs=spec.train.epochs, message="epoch", progress=progress)
    return TrainResult(model, float_metric, evaluate(spec, data, model), history)


def _from_weights(spec: ModelSpec, data: DataSet | None, model: keras.Model, path: Path) -> TrainResult:
    """Take the weights of the file that `train.weights` names."""
    from hwgen.train.store import read_notes

    copy_weights(spec, model, path, "train.weights")
    notes: dict[str, Any] = read_notes(path)
    float_metric = notes.get("float_metric")
    quantized = evaluate(spec, data, model) if data else None
    return TrainResult(model, float_metric if isinstance(float_metric, float) else None, quantized, source="weights")


def copy_weights(spec: ModelSpec, model: keras.Model, path: Path, key: str) -> None:
    """Copy weights into `model`, layer by layer, from the file that the key of model.yaml names.

    Raises
    ------
    ModelError
        If a layer is not in the file, or has another shape there.
    """
    from hwgen.train.store import load_model

    where = f"{spec.line_of(key)}: {key}"
    source = load_model(path, where=where)
    theirs = {layer.name: layer.get_weights() for layer in source.layers}
    for layer in model.layers:
        ours, found = layer.get_weights(), theirs.get(layer.name)
        if not ours:
            continue
        if found is None or [w.shape for w in found] != [w.shape for w in ours]:
            raise ModelError(
                f"the weights in {path.name} do not fit the layer {layer.name}",
                where=where,
                found="no such layer" if found is None else f"shapes {_shapes(found)}",
                expected=f"shapes {_shapes(ours)}",
                hint="--retrain makes the file again",
            )
        layer.set_weights(found)


def _shapes(weights: list[Any]) -> str:
    return ", ".join("×".join(str(n) for n in w.shape) or "scalar" for w in weights)
