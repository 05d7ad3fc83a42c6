"""Structured pruning, distillation, their order, and networks kept: what goes, what stays, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from train_helpers import BITS, spec_of, write_blobs

from hwgen.errors import HwgenError, ModelError
from hwgen.train.build import make_model
from hwgen.train.compress import compress_model, compressed_before
from hwgen.train.compress.channels import KERNEL, plain_kind, trace_channels
from hwgen.train.compress.kept import keep, layers_of
from hwgen.train.compress.structured import remove_channels
from hwgen.train.compress.workshop import Workshop
from hwgen.train.data import load_data
from hwgen.train.env import import_keras, seed_everything
from hwgen.train.fit import train_model
from hwgen.train.loop import make_task
from hwgen.zoo import mobilenet_v2, resnet, squeezenet

pytestmark = pytest.mark.keras
SMALL = {
    "resnet": lambda: resnet((12, 12, 1), 10),
    "mobilenet": lambda: mobilenet_v2((16, 16, 1), 10, stages=((1, 16, 1, 1), (6, 24, 2, 2)), head=64),
    "squeezenet": lambda: squeezenet((32, 32, 1), 10, width=0.25),
}


def prepared(folder, compress, **train):
    write_blobs(folder)
    spec = spec_of(folder, {"compress": compress, "train": train})
    data = load_data(spec)
    return spec, data, make_model(spec, data)


def pooled_and_reshaped():
    """Return a network with what the shipped ones lack: a reshape, a separable layer, batch normalization, PReLU."""
    keras = import_keras()
    from qkeras import QConv2D, QDense

    seed_everything(0)
    x = inputs = keras.Input((6, 6, 2))
    x = QConv2D(6, 3, kernel_quantizer=BITS, bias_quantizer=BITS, name="conv")(x)
    x = keras.layers.PReLU(shared_axes=[1, 2], name="prelu")(keras.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.Reshape((16, 6), name="places")(x)
    x = QDense(5, kernel_quantizer=BITS, name="mix")(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Concatenate(name="both")([x, keras.layers.Flatten(name="raw")(inputs)])
    return keras.Model(inputs, QDense(3, kernel_quantizer=BITS, name="logits")(x))


def silence(model, channels, gone):
    """Set everything that makes the channels `gone` to zero; all other kernels are loud, so that outputs are not 0."""
    for layer in model.layers:
        if layer.name in channels.of_output and layer.weights:
            dead = np.array([int(root) in gone for root in channels.roots(channels.of_output[layer.name])])
            values = [np.array(w) * (3 if w.ndim > 1 else 1) for w in layer.get_weights()]
            if plain_kind(layer) in KERNEL or type(layer).__name__ == "BatchNormalization":
                values = [np.where(dead, 0, w) if w.shape[-1] == len(dead) else w for w in values]
            elif "Depthwise" in type(layer).__name__:
                values = [w if w.ndim > 1 else np.where(dead, 0, w) for w in values]
            layer.set_weights(values)


@pytest.mark.parametrize("name", ["resnet", "mobilenet", "squeezenet", "mixed"])
def test_channels_that_are_zero_go_without_a_trace(name):
    """What is silenced may be removed: the outputs are the same to the last bit, through adds and depthwise layers."""
    seed_everything(0)
    model = pooled_and_reshaped() if name == "mixed" else SMALL[name]()
    channels = trace_channels(model)
    pinned = channels.pinned()
    roots = [sorted({int(r) for n in g for r in channels.roots(channels.of_output[n])}) for g in channels.groups()]
    gone = {root for group in roots for root in group[::2] if root not in pinned}
    silence(model, channels, gone)
    small = remove_channels(model, gone)
    x = np.random.default_rng(1).random((4, *model.inputs[0].shape[1:])).astype(np.float32)
    expected = model.predict(x, verbose=0)
    assert np.abs(expected).max() > 0
    if name == "mixed":  # its sums are no multiples of a power of two, so their order counts
        assert np.allclose(small.predict(x, verbose=0), expected, atol=1e-6)
    else:
        assert (small.predict(x, verbose=0) == expected).all()
    assert small.count_params() < 0.65 * model.count_params() and small.output_shape == model.output_shape


def test_layers_that_are_added_lose_the_same_channels():
    channels = trace_channels(resnet((12, 12, 1), 10))
    assert ["block2_shortcut", "block2_conv2"] in [sorted(group, reverse=True) for group in channels.groups()]
    assert {int(r) for r in channels.roots(channels.of_output["logits"])} <= channels.pinned()


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_weakest_neurons_go(tmp_path, scope):
    spec, data, model = prepared(tmp_path, {"epochs": 0, "structured": {"share": 0.5, "scope": scope}})
    norms = np.linalg.norm(np.asarray(model.get_layer("fc1").kernel), axis=0)
    result = compress_model(Workshop(spec, data), model)
    expected = np.asarray(model.get_layer("fc1").kernel)[:, np.sort(np.argsort(norms)[4:])]
    assert (np.asarray(result.model.get_layer("fc1").kernel) == expected).all()
    assert result.steps[0] == {"step": "structured", "metric": result.metric, "channels": {"fc1": [8, 4]}}


def test_rounds_fine_tune_between_cuts(tmp_path):
    plan = {"epochs": 3, "structured": {"layers": {"fc1": 0.6}, "rounds": 2}}
    spec, data, model = prepared(tmp_path, plan)
    train_model(spec, data, model)
    messages = []
    result = compress_model(Workshop(spec, data, lambda message, share: messages.append(message)), model)
    assert result.model.get_layer("fc1").units == 3 and model.get_layer("fc1").units == 8
    assert sum("cut 1/2" in m for m in messages) == sum("cut 2/2" in m for m in messages) == 3
    assert result.metric > 0.85 and len(result.history["loss"]) == 6


@pytest.mark.parametrize(
    ("plan", "says", "where"),
    [
        ({"structured": {"layers": {"logits": 0.5}}}, "cannot go", "compress.structured.layers.logits"),
        ({"structured": {"layers": {"relu1": 0.5}}}, "no layer with filters", "compress.structured.layers.relu1"),
        ({"structured": {"share": 1.0}}, "wrong value", "compress.structured.share"),
        ({"structured": {"share": 0.5}, "order": ["pruning"]}, "the order is not", "compress.order"),
        ({"structured": {"share": 0.5}, "order": ["structured"] * 2}, "the order is not", "compress.order"),
        ({"distill": {"weight": 0.5}}, "no technique fine-tunes", "compress.distill"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, plan, says, where):
    with pytest.raises(HwgenError, match=says) as failure:
        spec, data, model = prepared(tmp_path, {"epochs": 1} | plan)
        compress_model(Workshop(spec, data), model)
    assert failure.value.exit_status == 2 and where in str(failure.value) and "model.yaml:" in str(failure.value)


def test_tied_layers_must_agree(tmp_path):
    write_blobs(tmp_path)
    plan = {"structured": {"layers": {"block1_conv2": 0.5, "stem": 0.25}}}
    model = {"name": "net", "builder": "net:build", "layers": None}
    (tmp_path / "net.py").write_text("def build(): ...\n")
    precision = {"weight": None, "bias": None, "activation": None}
    spec = spec_of(tmp_path, {"compress": plan, "model": model, "precision": precision})
    shop = Workshop(spec, load_data(spec))
    with pytest.raises(HwgenError, match="lose the same channels") as failure:
        compress_model(shop, resnet((12, 12, 1), 10))
    assert "block1_conv2 0.5" in str(failure.value)


def test_the_order_is_that_of_model_yaml(tmp_path):
    plan = {"epochs": 1, "structured": {"share": 0.5}, "pruning": {"sparsity": 0.5}}
    spec, data, model = prepared(tmp_path, plan)
    assert [row["step"] for row in compress_model(Workshop(spec, data), model).steps] == ["structured", "pruning"]
    spec, data, model = prepared(tmp_path, plan | {"order": ["pruning", "structured"]})
    assert [row["step"] for row in compress_model(Workshop(spec, data), model).steps] == ["pruning", "structured"]


def test_the_student_follows_its_teacher(tmp_path):
    """With the teacher alone as target the student comes nearer to it than with the labels alone."""
    distances = {}
    for weight in (None, 1.0):
        plan = {"epochs": 6, "structured": {"share": 0.5}} | (
            {} if weight is None else {"distill": {"weight": weight, "temperature": 2.0, "epochs": 3}}
        )
        spec, data, model = prepared(tmp_path, plan)
        train_model(spec, data, model)
        shop = Workshop(spec, data)
        result = compress_model(shop, model)
        if weight is not None:
            teacher = shop.teacher
            assert result.steps[0]["step"] == "teacher" and result.steps[0]["metric"] > 0.9
            assert [o.name for o in result.model.outputs] and len(result.model.outputs) == 1
        task = make_task(spec, data, result.model)
        distances[weight] = (task.x_val[0], result.model.predict(task.x_val[0], verbose=0))
    target = teacher.predict(distances[1.0][0], verbose=0)
    near, far = (np.abs(distances[w][1] - target).mean() for w in (1.0, None))
    assert near < far


def test_a_kept_network_is_used_if_made_by_the_same_settings(tmp_path):
    plan = {"epochs": 2, "weights": "kept.keras", "structured": {"share": 0.5}, "pruning": {"sparsity": 0.5}}
    spec, data, model = prepared(tmp_path, plan)
    train_model(spec, data, model)
    made = compress_model(Workshop(spec, data), model)
    keep(Workshop(spec, data), layers_of(model), made.model, tmp_path / "kept.keras")
    used = compressed_before(Workshop(spec, data), model, tmp_path / "kept.keras")
    assert used.sparsity == made.sparsity and used.metric == made.metric and used.steps[0]["step"] == "weights"
    assert all((a == b).all() for a, b in zip(made.model.get_weights(), used.model.get_weights(), strict=True))
    spec, data, model = prepared(tmp_path, plan | {"pruning": {"sparsity": 0.6}})
    with pytest.raises(ModelError, match=r"compressed with another compress\.pruning") as failure:
        compressed_before(Workshop(spec, data), model, tmp_path / "kept.keras")
    assert failure.value.exit_status == 2 and "'sparsity': 0.5" in str(failure.value)
    assert "model.yaml:" in str(failure.value) and "compress.weights" in str(failure.value)
    spec = spec_of(tmp_path, {"compress": plan, "precision": {"weight": "quantized_bits(4,0,alpha=1)"}})
    with pytest.raises(ModelError, match="compressed from another network") as failure:
        compressed_before(Workshop(spec, data), make_model(spec, data), tmp_path / "kept.keras")
    assert "quantized_bits(4" in str(failure.value) and "fc1" in str(failure.value)
