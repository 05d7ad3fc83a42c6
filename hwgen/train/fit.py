"""Training: the float twin first, then the quantized network, started from the twin's weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.errors import ModelError
from hwgen.train.data import DataSet
from hwgen.train.loop import History, Progress, evaluate_all, make_task, run, silent, targets_of
from hwgen.train.outputs import Scores, check_outputs

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
    others: dict[str, dict[str, float]] = field(default_factory=dict)
    """``float`` and ``quantized``: the metrics of the outputs that `train.metric` names after the first."""


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
        check_outputs(spec, data, model)
        targets_of(spec, data, model)  # before anything is trained, or measured on a brought network
    if spec.model.file:
        found = evaluate_all(spec, data, model) if data else None
        return TrainResult(model, None, found.score if found else None, source="file", others=_others(quantized=found))
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

        notes = {"float_metric": result.float_metric, "quantized_metric": result.quantized_metric}
        save_model(model, weights, notes | ({"others": result.others} if result.others else {}))
    return result


def _train(spec: ModelSpec, data: DataSet, model: keras.Model, progress: Progress) -> TrainResult:
    history: dict[str, History] = {}
    before: Scores | None = None
    if spec.train.float_epochs:
        from hwgen.train.twin import float_twin

        twin = float_twin(model)
        task = make_task(spec, data, twin, on_grid=False)
        history["float"] = run(
            spec, twin, task, epochs=spec.train.float_epochs, message="float epoch", progress=progress
        )
        before = evaluate_all(spec, data, twin, on_grid=False)
        model.set_weights(twin.get_weights())
    task = make_task(spec, data, model)
    history["quantized"] = run(spec, model, task, epochs=spec.train.epochs, message="epoch", progress=progress)
    found = evaluate_all(spec, data, model)
    others = _others(float=before, quantized=found)
    return TrainResult(model, before.score if before else None, found.score, history, others=others)


def _from_weights(spec: ModelSpec, data: DataSet | None, model: keras.Model, path: Path) -> TrainResult:
    """Take the weights of the file that `train.weights` names."""
    from hwgen.train.store import read_notes

    copy_weights(spec, model, path, "train.weights")
    notes: dict[str, Any] = read_notes(path)
    float_metric = notes.get("float_metric")
    found = evaluate_all(spec, data, model) if data else None
    others = _others(quantized=found)
    known = (notes.get("others") or {}).get("float")
    if others and known:
        others["float"] = {name: float(known[name]) for name in others["quantized"] if name in known}
    float_metric = float_metric if isinstance(float_metric, float) else None
    return TrainResult(model, float_metric, found.score if found else None, source="weights", others=others)


def _others(**scores: Scores | None) -> dict[str, dict[str, float]]:
    return {stage: found.others for stage, found in scores.items() if found is not None and found.others}


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
