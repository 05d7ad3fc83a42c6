"""Training, pruning and their metrics, on data learnt in a second."""

from __future__ import annotations

import numpy as np
import pytest
from train_helpers import blobs, spec_of, write_blobs

from hwgen.errors import HwgenError, ModelError
from hwgen.train.build import make_model
from hwgen.train.compress import compress_model
from hwgen.train.compress.masks import sparsity_of
from hwgen.train.compress.workshop import Workshop
from hwgen.train.data import load_data
from hwgen.train.fit import train_model
from hwgen.train.loop import evaluate, evaluation_batch, grid_inputs, make_task
from hwgen.train.metrics import evaluate_outputs, metric_name, roc_auc

pytestmark = pytest.mark.keras


def prepared(folder, *changes, **arrays):
    write_blobs(folder, **arrays)
    spec = spec_of(folder, *changes)
    data = load_data(spec)
    return spec, data, make_model(spec, data)


def test_it_learns_and_reports(tmp_path):
    spec, data, model = prepared(tmp_path)
    seen = []
    result = train_model(spec, data, model, lambda message, share: seen.append((message, share)))
    assert result.float_metric > 0.9 and result.quantized_metric > 0.9 and result.source == "trained"
    assert result.quantized_metric == evaluate(spec, data, model)
    assert len(seen) == 6 and seen[-1][1] == 1 and "epoch 4/4" in seen[-1][0]
    assert len(result.history["float"]["val_loss"]) == 2 and len(result.history["quantized"]["loss"]) == 4


def test_the_same_seed_gives_the_same_network(tmp_path):
    pruning = {"compress": {"epochs": 3, "pruning": {"sparsity": 0.5}}}
    found = []
    for seed in (0, 0, 1):
        spec, data, model = prepared(tmp_path, pruning, {"train": {"seed": seed}})
        train_model(spec, data, model)
        compress_model(Workshop(spec, data), model)
        found.append(model.get_weights())
    assert all((a == b).all() for a, b in zip(found[0], found[1], strict=True))
    assert any((a != b).any() for a, b in zip(found[0], found[2], strict=True))


def test_pruning_is_exact_to_the_end(tmp_path):
    plan = {"epochs": 4, "pruning": {"sparsity": 0.6, "end_epoch": 2, "layers": {"logits": 0.25}}}
    spec, data, model = prepared(tmp_path, {"compress": plan})
    train_model(spec, data, model)
    assert sparsity_of(model) == {"fc1": 0, "logits": 0}
    constraints = [model.get_layer(name).kernel.constraint for name in ("fc1", "logits")]
    result = compress_model(Workshop(spec, data), model)
    fc1, logits = (np.asarray(model.get_layer(name).kernel) for name in ("fc1", "logits"))
    assert (fc1 == 0).sum() == round(0.6 * fc1.size) and (logits == 0).sum() == round(0.25 * logits.size)
    assert result.sparsity == {"fc1": (fc1 == 0).mean(), "logits": (logits == 0).mean()}
    assert result.metric == evaluate(spec, data, model) > 0.85
    assert [model.get_layer(name).kernel.constraint for name in ("fc1", "logits")] == constraints
    assert np.abs(fc1).max() <= 1  # QKeras' own constraint held too


def test_pruning_takes_the_smallest(tmp_path):
    plan = {"epochs": 1, "pruning": {"sparsity": 0.5, "begin_epoch": 0, "end_epoch": 0}}
    spec, data, model = prepared(tmp_path, {"compress": plan, "train": {"learning_rate": 1e-9}})
    before = np.abs(np.asarray(model.get_layer("fc1").kernel))
    compress_model(Workshop(spec, data), model)
    gone = np.asarray(model.get_layer("fc1").kernel) == 0
    assert before[gone].max() < before[~gone].min()


def test_without_pruning_nothing_changes(tmp_path):
    spec, data, model = prepared(tmp_path)
    before = model.get_weights()
    result = compress_model(Workshop(spec, data), model)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert result.metric == evaluate(spec, data, model)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({"epochs": 4, "pruning": {"sparsity": 0.5, "begin_epoch": 3, "end_epoch": 1}}, "ends before it begins"),
        ({"epochs": 0, "pruning": {"sparsity": 0.5}}, "needs epochs"),
        ({"epochs": 2, "pruning": {"sparsity": 0.5, "layers": {"relu1": 0.5}}}, "no weights to prune"),
    ],
)
def test_plans_that_cannot_be(tmp_path, plan, says):
    with pytest.raises(HwgenError, match=says) as failure:
        spec, data, model = prepared(tmp_path, {"compress": plan})
        compress_model(Workshop(spec, data), model)
    assert failure.value.exit_status == 2 and "model.yaml:" in str(failure.value)


def test_weights_are_used_if_there_and_made_again_on_request(tmp_path):
    weights = {"train": {"weights": "net.keras"}}
    spec, data, model = prepared(tmp_path, weights)
    first = train_model(spec, data, model)
    assert first.source == "trained" and not (tmp_path / "net.keras").exists()
    first = train_model(spec, data, make_model(spec, data), retrain=True)
    fresh = make_model(spec, data)
    again = train_model(spec, data, fresh)
    assert again.source == "weights" and again.history == {}
    assert (again.float_metric, again.quantized_metric) == (first.float_metric, first.quantized_metric)
    assert all((a == b).all() for a, b in zip(first.model.get_weights(), fresh.get_weights(), strict=True))
    wider = [{"QDense": {"name": "fc1", "units": 9}}, {"QDense": {"name": "logits", "units": 3}}]
    spec = spec_of(tmp_path, weights, {"model": {"layers": wider}})
    with pytest.raises(ModelError, match="do not fit the layer fc1") as failure:
        train_model(spec, data, make_model(spec, data))
    assert "train.weights" in str(failure.value) and "4×9" in str(failure.value)


def test_large_layers_are_evaluated_in_smaller_batches(tmp_path):
    model = prepared(tmp_path)[2]
    assert evaluation_batch(model) == 4096
    import keras

    x = keras.Input((28, 28, 1))
    wide = keras.Model(x, keras.layers.Conv2D(64, 3, padding="same")(x))
    assert evaluation_batch(wide) == (1 << 24) // (28 * 28 * 64)


def test_inputs_are_rounded_as_the_host_does(tmp_path):
    spec, _, model = prepared(tmp_path, {"precision": {"input": "fixed<4,2>"}})
    x = np.array([[0.125, 0.375, 5.0, -5.0]], np.float32)
    np.testing.assert_array_equal(grid_inputs(spec, model, (x,))[0], [[0.0, 0.5, 1.75, -2.0]])


@pytest.mark.parametrize(
    "ending", [{"Softmax": {"name": "s"}}, {"Activation": {"name": "s", "activation": "softmax"}}, None]
)
def test_cross_entropy_knows_logits_from_probabilities(tmp_path, ending):
    layers = [{"QDense": {"name": "logits", "units": 3}}] + ([ending] if ending else [])
    spec, data, model = prepared(tmp_path, {"model": {"layers": layers}})
    assert make_task(spec, data, model).loss.get_config()["from_logits"] is (ending is None)


def test_yes_or_no(tmp_path):
    x, y = blobs(classes=2)
    layers = {"model": {"layers": [{"QDense": {"name": "score", "units": 1}}]}}
    arrays = {"x_train": x[:90], "y_train": y[:90], "x_test": x[90:], "y_test": y[90:]}
    spec, data, model = prepared(tmp_path, layers, {"train": {"learning_rate": 0.1}}, **arrays)
    assert train_model(spec, data, model).quantized_metric > 0.9
    spec = spec_of(tmp_path, layers, {"train": {"metric": "auc"}})
    assert evaluate(spec, data, model) > 0.9


def test_regression(tmp_path):
    x, _ = blobs()
    target = (x @ np.array([0.5, -0.25, 0.125, 0.0], np.float32))[:, None]
    layers = {"model": {"layers": [{"QDense": {"name": "out", "units": 1}}]}}
    arrays = {"y_train": target[:90], "y_test": target[90:]}
    spec, data, model = prepared(tmp_path, layers, {"train": {"learning_rate": 0.05, "epochs": 30}}, **arrays)
    result = train_model(spec, data, model)
    assert result.quantized_metric < 0.2 * np.abs(target).mean()


def test_autoencoder_is_judged_by_its_error(tmp_path):
    x, _ = blobs(classes=1)
    odd = np.where(np.arange(30)[:, None] < 15, x[90:], -x[90:])
    layers = {"model": {"layers": [{"QDense": {"name": "code", "units": 2}}, {"QDense": {"name": "back", "units": 4}}]}}
    train = {"train": {"metric": "auc", "epochs": 20}}
    arrays = {
        "x_train": x[:90],
        "y_train": np.zeros(90, int),
        "x_test": odd,
        "y_test": (np.arange(30) >= 15).astype(int),
    }
    spec, data, model = prepared(tmp_path, layers, train, **arrays)
    assert make_task(spec, data, model).loss is not None
    assert train_model(spec, data, model).quantized_metric > 0.9


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ({"loss": "nonsense"}, "train.loss"),
        ({"optimizer": "nonsense"}, "train.optimizer"),
        ({"metric": "f1"}, "train.metric"),
    ],
)
def test_names_keras_does_not_know(tmp_path, train, says):
    with pytest.raises(HwgenError, match=r"model\.yaml:\d+: " + says):
        train_model(*prepared(tmp_path, {"train": train}))


def test_training_that_diverges_is_said(tmp_path):
    spec, data, model = prepared(tmp_path, {"train": {"learning_rate": 1e30, "float_epochs": 1}})
    with pytest.raises(ModelError, match=r"train\.learning_rate: training diverged in float epoch 1/1") as caught:
        train_model(spec, data, model)
    assert "nan" in str(caught.value) and caught.value.exit_status == 2


def test_labels_are_checked_against_a_built_model(tmp_path):
    (tmp_path / "small.py").write_text(
        "import keras\ndef net(): return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name='two')])\n"
    )
    quiet = {"precision": {"weight": None, "bias": None, "activation": None}}
    with pytest.raises(HwgenError, match=r"two has 2 outputs") as failure:
        train_model(*prepared(tmp_path, {"model": {"layers": None, "builder": "small:net"}}, quiet))
    assert "data.npz" in str(failure.value)


def test_metrics():
    assert metric_name("auto", True) == "accuracy" and metric_name("auto", False) == "mae"
    logits = np.array([[1, 1], [0, 2], [3, 1]])
    assert evaluate_outputs("accuracy", logits, np.array([0, 1, 1])) == pytest.approx(2 / 3)  # a tie: the lowest index
    assert evaluate_outputs("accuracy", np.array([[0], [1]]), np.array([0, 1]), is_class=True) == 1
    assert evaluate_outputs("mse", np.array([[1.0], [3.0]]), np.array([1.0, 1.0])) == 2
    scores, positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True])
    assert roc_auc(scores, positive) == 0.875
    with pytest.raises(HwgenError, match="both kinds"):
        roc_auc(scores, positive | True)
