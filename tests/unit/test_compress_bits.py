"""Bit widths: fitted quantizers, the preset, widths by layer, the search, and zeros that stay zero."""

from __future__ import annotations

import json

import numpy as np
import pytest
from train_helpers import spec_of, write_blobs

from hwgen.errors import HwgenError, ModelError
from hwgen.flow import STAGES, stage_key
from hwgen.spec import load_spec
from hwgen.train.build import make_model
from hwgen.train.compress import compress_model, compressed_before
from hwgen.train.compress.bits import seen_by, widths_of
from hwgen.train.compress.kept import keep, layers_of
from hwgen.train.compress.quantizers import fitted
from hwgen.train.compress.workshop import Workshop
from hwgen.train.data import load_data
from hwgen.train.env import import_keras
from hwgen.train.fit import train_model

pytestmark = pytest.mark.keras


def prepared(folder, plan, base=None, **more):
    """Return a workshop and a network that was not trained yet."""
    write_blobs(folder)
    spec = spec_of(folder, {"compress": {"epochs": 1, "bits": plan} | more}, base or {})
    data = load_data(spec)
    return Workshop(spec, data), make_model(spec, data)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return the weights of the network, trained once."""
    shop, model = prepared(tmp_path_factory.mktemp("trained"), {"preset": "int8"})
    train_model(shop.spec, shop.data, model)
    return model.get_weights()


def trained(folder, weights, plan, **more):
    shop, model = prepared(folder, plan, **more)
    model.set_weights(weights)
    return shop, model


def text(quantizer):
    return f"{type(quantizer).__name__}({quantizer.bits},{quantizer.integer})"


def test_the_binary_point_goes_where_it_loses_least():
    import_keras()
    import qkeras

    x = np.random.default_rng(0).normal(size=4000)
    own = qkeras.quantized_bits(6, 0, symmetric=1, alpha=1)
    for bits, scale in ((2, 0.05), (3, 0.3), (4, 0.1), (8, 3.0)):
        best = fitted(own, scale * x, bits)
        errors = {}
        for integer in range(-12, 6):
            q = qkeras.quantized_bits(bits, integer, symmetric=1, alpha=1)
            errors[integer] = np.mean((np.asarray(q(np.float32(scale * x))) - scale * x) ** 2)
        assert best.bits == bits and best.integer == min(errors, key=errors.get) and best.symmetric == 1
    assert text(fitted(own, 0.1 * x, 4)) == "quantized_bits(4,-2)" and text(own) == "quantized_bits(6,0)"
    assert text(fitted(qkeras.quantized_relu(6, 2), 0.1 * x, 4)) == "quantized_relu(4,0)"  # QKeras knows none below
    assert text(fitted(qkeras.quantized_relu(6, 2), 3 * x, 8)) == "quantized_relu(8,4)"
    assert text(fitted(qkeras.quantized_relu(6, 2), np.zeros(3), 4)) == "quantized_relu(4,2)"
    assert fitted(qkeras.quantized_tanh(6), x, 5).bits == 5
    with pytest.raises(ModelError, match="binary cannot be given 4 bits"):
        fitted(qkeras.binary(alpha=1), x, 4)


def test_int8_makes_everything_8_bits_in_its_range(tmp_path, weights):
    shop, model = trained(tmp_path, weights, {"preset": "int8"})
    before = shop.metric(model)
    result = compress_model(shop, model)
    assert set(widths_of(result.model).values()) == {8} and len(widths_of(result.model)) == 3
    assert {layer.name: layer.bias_quantizer_internal.bits for layer in result.model.layers if layer.weights} == {
        "fc1": 16,
        "logits": 16,
    }
    seen = seen_by(shop, result.model, {"relu1"})["relu1"]
    top = 2.0 ** result.model.get_layer("relu1").activation.integer
    assert 0.5 * top < seen.max() < 1.5 * top and seen.min() < 0  # what comes before the relu
    assert result.metric >= before - 0.05
    assert result.steps[0]["bits"]["fc1"] == {"weight": 8}
    assert set(widths_of(model).values()) == {6}  # the network that came in is left alone


def test_bits_by_layer_reach_the_activation_behind(tmp_path, weights):
    layers = {"fc1": {"weight": 4, "activation": 5}, "logits": {"weight": 3}}
    shop, model = trained(tmp_path, weights, {"layers": layers, "preset": "int8"})
    result = compress_model(shop, model)
    found = {("fc1", "weight"): 4, ("relu1", "activation"): 5, ("logits", "weight"): 3}
    assert widths_of(result.model) == found and "quantized_relu" in str(result.model.get_layer("relu1").activation)


TERNARY = {"name": "fc1", "units": 8, "kernel_quantizer": "ternary(alpha=1,threshold=0.3)"}
LAYERS = [{"QDense": TERNARY}, {"QActivation": {"name": "relu1"}}, {"QDense": {"name": "logits", "units": 3}}]
OWN = {"model": {"layers": LAYERS}}


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ({"fc2": {"weight": 4}}, r"compress\.bits\.layers\.fc2: no layer has this name"),
        ({"relu1": {"weight": 4}}, r"compress\.bits\.layers\.relu1\.weight: this layer has no quantized weights"),
        ({"logits": {"activation": 4}}, r"logits\.activation: there is no quantized activation"),
        ({"fc1": {"weight": 4}}, r"fc1\.weight: the bits of ternary cannot be chosen"),
        (
            {"fc1": {"activation": 4}, "relu1": {"activation": 4}},
            r"relu1\.activation: the same activation as in \S+fc1",
        ),
        ({"fc1": {"weight": 1}}, r"fc1\.weight: wrong value"),
    ],
)
def test_layers_that_cannot_be(tmp_path, layers, says):
    with pytest.raises(HwgenError, match=r"model\.yaml:\d+: (compress\S*)?" + says) as failure:
        compress_model(*prepared(tmp_path, {"layers": layers}, OWN))
    assert failure.value.exit_status == 2


SEARCH = {"max_drop": 0.2, "least": 3}
GREEDY = {"method": "greedy", "tune_epochs": 1, "trials": 2}
BAYESIAN = {"method": "bayesian", "tune_epochs": 0, "trials": 4}


@pytest.mark.parametrize("method", [GREEDY, BAYESIAN])
def test_a_search_saves_bits_and_equal_seeds_agree(tmp_path, weights, method):
    found = []
    for _ in range(2):
        shop, model = trained(tmp_path, weights, {"search": SEARCH | method}, epochs=0)
        found.append(compress_model(shop, model))
    (row,), (again,) = (result.steps for result in found)
    assert row == again and json.dumps(row)
    assert all((a == b).all() for a, b in zip(*(r.model.get_weights() for r in found), strict=True))
    search = row["search"]
    assert search["kept"] and found[0].unmet is None and len(search["trials"]) == method["trials"]
    assert search["after"]["cost"] < 0.9 * search["before"]["cost"] and 350 < search["before"]["cost"] <= 6 * 67
    assert search["after"]["metric"] >= search["floor"] == pytest.approx(search["before"]["metric"] - 0.2)
    assert all(3 <= bits["weight"] <= 6 for t in search["trials"] for bits in t["bits"].values() if "weight" in bits)
    assert row["bits"]["relu1"] == {"activation": 6}  # activations are left alone unless asked for


@pytest.mark.parametrize("method", [GREEDY | {"trials": 4}, BAYESIAN | {"tune_epochs": 1}])
def test_an_interrupted_search_goes_on_and_finds_the_same(tmp_path, weights, method, monkeypatch):
    plan, trainings, most = {"search": SEARCH | method}, [], 99
    train = Workshop.finetune

    def counted(shop, *args, **more):
        if len(trainings) == most:
            raise KeyboardInterrupt
        trainings.append(args[2])
        return train(shop, *args, **more)

    monkeypatch.setattr(Workshop, "finetune", counted)

    def noted(folder):
        shop, model = trained(tmp_path, weights, plan)
        shop.notes = tmp_path / folder
        return shop, model

    plain = compress_model(*trained(tmp_path, weights, plan))
    trainings.clear()
    whole = compress_model(*noted("whole"))
    expected, most = trainings[:], 2
    trainings.clear()
    with pytest.raises(KeyboardInterrupt):
        compress_model(*noted("notes"))
    assert trainings == expected[:2] and len(expected) > 3
    (tmp_path / "notes" / f"{'0' * 32}.part").write_bytes(b"half")  # what a kill leaves behind
    most = 99
    resumed = compress_model(*noted("notes"))
    assert trainings == expected  # the two that were done were not done again
    for other in (plain, whole):
        assert resumed.steps == other.steps
        assert all((a == b).all() for a, b in zip(other.model.get_weights(), resumed.model.get_weights(), strict=True))
    shop, model = noted("notes")
    shop.spec = shop.spec.model_copy(update={"train": shop.spec.train.model_copy(update={"seed": 8})})
    most = len(trainings)
    with pytest.raises(KeyboardInterrupt):  # another seed: other trainings
        compress_model(shop, model)


def test_a_floor_out_of_reach_ends_with_the_best_found(tmp_path, weights):
    shop, model = trained(tmp_path, weights, {"search": SEARCH | {"max_drop": None, "floor": 1.01}})
    result = compress_model(shop, model)
    assert result.unmet is not None and "on the validation slice, required ≥ 1.01" in result.unmet
    assert not result.steps[0]["search"]["kept"] and result.steps[0]["search"]["trials"] == []
    assert widths_of(result.model) == widths_of(model)
    kept = tmp_path / "kept.keras"
    keep(shop, layers_of(model), result.model, kept, result.unmet)
    assert compressed_before(shop, model, kept).unmet == result.unmet  # a build that uses the file is told, too


def test_a_ceiling_is_on_the_cost_of_the_circuit(tmp_path, weights):
    plan = {"search": {"ceiling": 0.6, "cost": "lut", "activations": True, "tune_epochs": 0, "trials": 30}}
    shop, model = trained(tmp_path, weights, plan)
    search = compress_model(shop, model).steps[0]["search"]
    assert search["kept"] and search["after"]["cost"] <= 0.6 * search["before"]["cost"]
    assert any("activation" in trial["what"] for trial in search["trials"])
    compress = next(stage for stage in STAGES if stage.name == "compress")
    path = tmp_path / "model.yaml"
    keys = [stage_key(compress, load_spec(path, [f"hardware.clock_period_ns={p}"]), tmp_path) for p in (5, 3)]
    assert keys[0]["model.yaml"] != keys[1]["model.yaml"]  # the circuit is what the search looks at
    path.write_text(path.read_text().replace("cost: lut", "cost: weight_bits").replace("activations: true", ""))
    keys = [stage_key(compress, load_spec(path, [f"hardware.clock_period_ns={p}"]), tmp_path) for p in (5, 3)]
    assert keys[0]["model.yaml"] == keys[1]["model.yaml"]


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({}, r"compress\.bits: says nothing to do"),
        ({"search": {"floor": 0.9, "ceiling": 0.5}}, r"compress\.bits\.search\.ceiling: excludes \S+floor"),
        ({"search": {"activations": True}}, r"search\.activations: .* no weight_bits"),
        ({"search": {"cost": "memory_bits"}}, r"search\.cost: .* io_parallel"),
        ({"search": {"method": "random"}}, r"search\.method: wrong value"),
    ],
)
def test_searches_that_cannot_be(tmp_path, plan, says):
    with pytest.raises(HwgenError, match=r"model\.yaml:\d+: \S*" + says) as failure:
        prepared(tmp_path, plan)
    assert failure.value.exit_status == 2


def test_pruned_zeros_stay_zero(tmp_path, weights):
    shop, model = trained(
        tmp_path, weights, {"layers": {"fc1": {"weight": 3}}}, pruning={"sparsity": 0.5, "end_epoch": 0}
    )
    result = compress_model(shop, model)
    assert result.sparsity == {"fc1": 0.5, "logits": 0.5}
    assert widths_of(result.model)["fc1", "weight"] == 3
    assert [row["step"] for row in result.steps] == ["pruning", "bits"]
