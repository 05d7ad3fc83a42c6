"""Low-rank factorisation: the factors, the surgery, what is refused, the search, and the RTL of what comes out."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from lower_helpers import check_exact, make_spec, set_random_weights
from stream_check import check_stream
from train_helpers import spec_of, write_blobs

from hwgen.errors import HwgenError
from hwgen.rtl.stream import FoldRequest
from hwgen.train.build import make_model
from hwgen.train.compress import compress_model
from hwgen.train.compress.factor_layers import factorised, kernel_of, obstacle, work_of
from hwgen.train.compress.factorise import (
    Work,
    by_budget,
    by_energy,
    choice,
    compose,
    decompose,
    largest,
    price,
    spectrum,
)
from hwgen.train.compress.low_rank import low_rank
from hwgen.train.compress.rank_plan import check_ranks
from hwgen.train.compress.rank_search import Bench, search
from hwgen.train.compress.workshop import Workshop
from hwgen.train.data import load_data
from hwgen.train.env import import_keras
from hwgen.train.fit import train_model
from hwgen.train.loop import evaluate, make_task
from hwgen.train.twin import float_twin

Q6 = "quantized_bits(6,0,alpha=1)"
KERNEL = np.random.default_rng(5).normal(size=(3, 2, 5, 7))
WORK = Work(KERNEL.shape, (99, 55, 40))


# --- the factors, in numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["svd", "spatial", "tucker2"])
def test_more_rank_is_less_error_and_full_rank_is_exact(method):
    most = largest(method, KERNEL.shape)
    errors = []
    for rank in range(1, max(most) + 1):
        factors = decompose(method, KERNEL, tuple(min(rank, m) for m in most))
        errors.append(np.linalg.norm(KERNEL - compose(method, factors)))
    assert all(b < a for a, b in pairwise(errors)), errors
    assert errors[0] > 1 and errors[-1] < 1e-9


def test_cp_finds_the_components_a_kernel_is_made_of():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=s) for s in ((1, 1, 8, 3), (3, 3, 3, 1), (1, 1, 3, 9))]
    kernel = compose("cp", parts)
    errors = [np.linalg.norm(kernel - compose("cp", decompose("cp", kernel, (r,)))) for r in (1, 2, 3)]
    assert errors[0] > errors[1] > 1 and errors[2] < 1e-3 * np.linalg.norm(kernel)


@pytest.mark.parametrize("method", ["svd", "spatial", "tucker2", "cp"])
def test_what_a_choice_keeps_and_costs(method):
    """Prices are those of the factors; energies are those measured, of tucker2 before its sweeps, which only gain."""
    table = spectrum(method, KERNEL, WORK)
    for row in range(0, len(table.ranks), 3):
        ranks = tuple(int(r) for r in table.ranks[row])
        made = choice(method, KERNEL, WORK, ranks)
        assert made.weights == sum(f.size for f in decompose(method, KERNEL, ranks)) == table.weights[row]
        assert made.multiplications == table.multiplications[row] == price(method, WORK, ranks)[0]
        if method == "tucker2":
            assert table.energy[row] - 1e-9 <= made.energy <= table.energy[row] + 0.1
        else:
            assert made.energy == pytest.approx(table.energy[row], abs=1e-9)


@pytest.mark.parametrize("method", ["svd", "spatial", "tucker2", "cp"])
def test_ranks_follow_from_energy_and_budget(method):
    table = spectrum(method, KERNEL, WORK)
    made = by_energy(method, KERNEL, WORK, 0.7)
    assert made.energy >= 0.7 or made.energy == table.energy.max()
    assert not ((table.energy >= 0.7) & (table.multiplications < made.multiplications)).any()
    made = by_budget(method, KERNEL, WORK, 0.6)
    fits = table.multiplications <= 0.6 * WORK.multiplications
    assert fits.any() and made.multiplications <= 0.6 * WORK.multiplications
    assert made.energy == table.energy[fits].max()
    assert by_budget(method, KERNEL, WORK, 0.001) is None


def test_a_kernel_of_zeros_has_factors():
    for method in ("svd", "spatial", "tucker2", "cp"):
        factors = decompose(method, np.zeros((3, 3, 4, 5)), (2, 2) if method == "tucker2" else (2,))
        assert not compose(method, factors).any() and by_energy(method, np.zeros((3, 3, 4, 5)), WORK, 0.9).energy == 1


# --- layers -------------------------------------------------------------------------------------------------------


def network():
    """Return a network with every kind of layer that has factors, and one that has none."""
    keras = import_keras()
    from qkeras import QActivation, QConv1D, QConv2D, QDense, QDepthwiseConv2D

    both = {"kernel_quantizer": Q6, "bias_quantizer": Q6, "bias_initializer": "random_normal"}
    x = inputs = keras.Input((9, 8, 3), name="x")
    x = QConv2D(6, (3, 2), strides=(2, 1), padding="same", name="conv", **both)(x)
    x = QActivation("quantized_relu(5,1)", name="act")(x)
    x = QConv2D(6, 3, dilation_rate=(2, 1), name="wide", activation="quantized_relu(5,1)", **both)(x)
    x = QDepthwiseConv2D(1, depthwise_quantizer=Q6, bias_quantizer=Q6, name="dw")(x)
    x = keras.layers.Reshape((6, 6), name="steps")(x)
    x = QConv1D(5, 3, strides=2, padding="same", name="line", **both)(x)
    x = QDense(5, name="fc", **both)(keras.layers.Flatten(name="flat")(x))
    model = keras.Model(inputs, x)
    set_random_weights(model, 0)
    return model


@pytest.fixture(scope="module")
def floats():
    """Return the float twin of `network`, some frames, and what it gives for them."""
    model = float_twin(network())
    set_random_weights(model, 0)
    x = np.random.default_rng(1).normal(size=(8, 9, 8, 3)).astype(np.float32)
    return model, x, model.predict(x, verbose=0)


@pytest.mark.keras
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("fc", "svd"),
        ("conv", "svd"),
        ("conv", "spatial"),
        ("conv", "tucker2"),
        ("wide", "spatial"),
        ("wide", "tucker2"),
        ("line", "svd"),
        ("line", "tucker2"),
    ],
)
def test_full_rank_changes_nothing(floats, name, method):
    """Strides, padding and dilation are where they belong, and bias and activation at the end."""
    model, x, wanted = floats
    layer = model.get_layer(name)
    full = choice(method, kernel_of(layer), work_of(layer), largest(method, work_of(layer).shape))
    new = factorised(model, name, full, [x], None)
    endings = ("_rank1", "_rank2", "") if method == "tucker2" else ("_rank", "")
    names = [other.name for other in new.layers]
    first = names.index(name + endings[0])
    assert names[first : first + len(endings)] == [name + e for e in endings]
    np.testing.assert_allclose(new.predict(x, verbose=0), wanted, atol=2e-4)
    np.testing.assert_array_equal(model.predict(x, verbose=0), wanted)  # the old network is left alone


@pytest.mark.keras
def test_a_cp_chain_is_its_kernel(floats):
    """Layers of a cp factorisation compute what the kernel composed of its factors computes."""
    keras = import_keras()
    from qkeras import QConv2D

    x = keras.Input((9, 8, 3))
    model = keras.Model(x, QConv2D(4, 3, strides=2, padding="same", name="conv")(x))
    layer, frames = model.get_layer("conv"), floats[1]
    layer.set_weights([kernel_of(layer), np.arange(4.0)])
    new = factorised(model, "conv", choice("cp", kernel_of(layer), work_of(layer), (5,)), [frames], None)
    assert [type(other).__name__ for other in new.layers[1:]] == ["QConv2D", "QDepthwiseConv2D", "QConv2D"]
    layer.set_weights([compose("cp", decompose("cp", kernel_of(layer), (5,))), np.arange(4.0)])
    np.testing.assert_allclose(new.predict(frames, verbose=0), model.predict(frames, verbose=0), atol=1e-4)


@pytest.mark.keras
def test_activations_between_hold_what_was_seen(floats):
    """No value of the samples saturates, one bit less would; bits are those of the layer's own input and a sign."""
    keras = import_keras()
    model, x = network(), floats[1]
    layer = model.get_layer("wide")
    assert [obstacle(model, model.get_layer(n)) for n in ("wide", "line", "fc")] == [None] * 3
    made = choice("tucker2", kernel_of(layer), work_of(layer), (4, 3))
    new = factorised(model, "wide", made, [x], None)
    for name in ("wide_rank1", "wide_rank2"):
        quantizer = new.get_layer(f"{name}_q").activation
        assert quantizer.bits == 6  # quantized_relu(5,1) and a sign
        values = keras.Model(new.inputs, new.get_layer(name).output).predict(x, verbose=0)
        step = 2.0 ** (int(quantizer.integer) - 5)
        assert np.abs(np.asarray(quantizer(values)) - values).max() <= step / 2
        assert np.abs(values).max() > 2.0 ** (int(quantizer.integer) - 1) * (1 - 2**-5)
        kernel = new.get_layer(name).kernel_quantizer_internal
        assert type(kernel).__name__ == "quantized_bits" and kernel.bits == 6
    assert factorised(model, "wide", made, [x], 9).get_layer("wide_rank1_q").activation.bits == 9


# --- model.yaml ---------------------------------------------------------------------------------------------------

LAYERS = [
    {"QConv2D": {"name": "conv", "filters": 8, "kernel_size": 3}},
    {"QActivation": {"name": "relu"}},
    {"QDepthwiseConv2D": {"name": "dw", "kernel_size": 2}},
    {"QActivation": {"name": "relu2"}},
    {"Flatten": {"name": "flat"}},
    {"QDense": {"name": "logits", "units": 3}},
]


def described(folder, plan, **compress):
    """Return spec, data and the untrained network of pictures with the colours of four blobs."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 80)
    x = (rng.normal(size=(80, 6, 6, 4)) * 0.3 + np.eye(3, 4)[y][:, None, None, :]).astype(np.float32)
    write_blobs(folder, x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    changes = {"model": {"layers": LAYERS}, "compress": {"epochs": 1, "low_rank": plan} | compress}
    spec = spec_of(folder, changes)
    data = load_data(spec)
    return spec, data, make_model(spec, data)


REFUSED = [
    ({"layers": {"logits": {"rank": 4}}}, "the rank is larger than logits", "layers.logits.rank", "at most 3"),
    ({"layers": {"conv": {"rank": [5, 2]}}}, "the rank is larger than conv", "layers.conv.rank", "at most 4 and 8"),
    ({"layers": {"conv": {"rank": 3}}}, "nothing says of which factorisation", "layers.conv.rank", "svd or spatial"),
    ({"layers": {"dw": {"rank": 1}}}, "dw cannot be factorised", "layers.dw", "QDepthwiseConv2D"),
    ({"layers": {"flat": {"rank": 1}}}, "flat cannot be factorised", "layers.flat", "Flatten"),
    ({"layers": {"logits": {"rank": 1, "method": "spatial"}}}, "does not fit", "layers.logits.method", "svd"),
    (
        {"layers": {"conv": {"rank": 8, "method": "svd"}}},
        "does not make conv smaller",
        "layers.conv",
        "4,608 -> 5,632 multiplications, 288 -> 352 weights",
    ),
    ({"layers": {"logit": {"rank": 1}}}, "no layer has this name", "layers.logit", "logits?"),
    ({"energy": 0.9, "budget": 0.5}, "budget excludes energy", "compress.low_rank", "one of energy, budget"),
    ({"energy": 1.5}, "wrong value", "compress.low_rank.energy", "< 1"),
    ({"layers": {"conv": {}}}, "nothing says the rank of conv", "compress.low_rank", "rank, energy or budget"),
    ({"force": True}, "nothing says which ranks", "compress.low_rank", "max_drop"),
    ({"layers": {"conv": {"rank": 2, "energy": 0.5}}}, "energy excludes rank", "layers.conv", "one of rank"),
]


@pytest.mark.keras
@pytest.mark.parametrize(("plan", "what", "where", "more"), REFUSED)
def test_plans_that_cannot_be(tmp_path, plan, what, where, more):
    """Before anything is trained: one message with file, line, key, found and expected."""
    with pytest.raises(HwgenError) as failure:
        spec, _, model = described(tmp_path, plan)
        check_ranks(spec, model)
    text = str(failure.value)
    assert failure.value.exit_status == 2 and what in text and where in text and more in text, text
    key = where.rpartition(".")[2]
    line = next(n for n, t in enumerate((tmp_path / "model.yaml").read_text().splitlines(), 1) if f" {key}:" in t)
    if key not in ("conv", "logits", "dw", "flat"):  # those are names of layers further up, too
        assert f"model.yaml:{line}:" in text


@pytest.mark.keras
def test_force_factorises_anyway(tmp_path):
    spec, data, model = described(tmp_path, {"force": True, "layers": {"conv": {"rank": 8, "method": "svd"}}}, epochs=0)
    kernel, bias = model.layers[0].get_weights()
    model.layers[0].set_weights([np.where(np.arange(8) < 2, 0, kernel), bias])
    result = low_rank(Workshop(spec, data), model)
    assert result.remarks[-1] == "conv had 25% zeros, its factors have none"
    assert result.model.get_layer("conv_rank").kernel.shape == (3, 3, 4, 8)


@pytest.mark.keras
def test_layers_that_would_grow_are_left_and_told(tmp_path):
    spec, data, model = described(tmp_path, {"energy": 0.999}, epochs=0)
    result = compress_model(Workshop(spec, data), model)
    assert [layer.name for layer in result.model.layers] == [layer.name for layer in model.layers]
    told = "\n".join(result.remarks)
    assert "dw is left as it is: QDepthwiseConv2D" in told
    assert "logits is left as it is: svd of rank 3 216 -> 225 multiplications" in told


# --- trained, searched, in hardware -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function from `compress` to a workshop and a network trained on blobs; it is trained once."""
    folder = tmp_path_factory.mktemp("blobs")
    write_blobs(folder)
    spec = spec_of(folder, {"train": {"epochs": 8}})
    data = load_data(spec)
    model = make_model(spec, data)
    assert train_model(spec, data, model).quantized_metric > 0.9

    def prepared(plan):
        planned = spec_of(folder, {"compress": plan})
        copy = make_model(planned, data)
        copy.set_weights(model.get_weights())
        return Workshop(planned, data), copy

    return prepared


@pytest.mark.keras
def test_a_factorised_network_learns(trained):
    """With pruning of a factor behind it; the rows and remarks say what was done."""
    pruning = {"sparsity": 0, "layers": {"fc1_rank": 0.25}}
    shop, model = trained({"epochs": 6, "low_rank": {"layers": {"fc1": {"rank": 2}}}, "pruning": pruning})
    result = compress_model(shop, model)
    assert [layer.name for layer in result.model.layers] == ["x", "fc1_rank", "fc1_rank_q", "fc1", "relu1", "logits"]
    assert result.metric == evaluate(shop.spec, shop.data, result.model) > 0.85
    assert result.sparsity["fc1_rank"] == 0.25 and result.sparsity["fc1"] == 0
    row = result.steps[0]["layers"]["fc1"]
    assert (row["method"], tuple(row["ranks"]), row["weights"], row["multiplications"]) == ("svd", (2,), 24, 24)
    assert "fc1 became svd of rank 2" in result.remarks[0] and "32 -> 24 multiplications" in result.remarks[0]
    json.dumps(result.steps)


@pytest.mark.keras
def test_the_search_keeps_the_metric(trained):
    shop, model = trained({"low_rank": {"max_drop": 0.1}})
    task = make_task(shop.spec, shop.data, model)
    bench = Bench(shop, model, task.x_fit)
    remarks: list[str] = []
    chosen = search(bench, {}, 0.1, remarks)
    assert set(chosen) <= {"fc1", "logits"} and chosen["fc1"].multiplications < 32
    assert bench.drop(chosen) <= 0.1 and len(remarks) == 2 - len(chosen)
    assert not search(bench, {}, -1, remarks) and "fc1 is left as it is: any factors lose more" in remarks[-2]


@pytest.mark.keras
@pytest.mark.verilator
def test_factors_agree_from_qkeras_to_rtl(tmp_path):
    """Rectangular kernels with strides, a core between 1 × 1s, a depthwise middle; weights on a grid below 1/32."""
    keras = import_keras()
    from qkeras import QActivation, QConv2D, QDense

    rng = np.random.default_rng(3)
    both = {"kernel_quantizer": Q6, "bias_quantizer": Q6}
    x = inputs = keras.Input((6, 5, 2), name="x")
    x = QActivation("quantized_bits(5,1,alpha=1)", name="a0")(x)
    for name, options in (("one", {"strides": (1, 2)}), ("two", {"padding": "same"}), ("three", {})):
        x = QConv2D(4, 3, name=name, **({"padding": "same"} | options), **both)(x)
        x = QActivation("quantized_relu(4,1)", name=f"{name}_q")(x)
    model = keras.Model(inputs, QDense(3, name="fc", **both)(keras.layers.Flatten()(x)))
    set_random_weights(model, 3, 0.3)
    fc = model.get_layer("fc")
    fc.set_weights([w * 0.05 for w in fc.get_weights()])
    frames = rng.normal(size=(32, 6, 5, 2)).astype(np.float32)
    for name, method, ranks in (
        ("one", "spatial", (3,)),
        ("two", "tucker2", (2, 3)),
        ("three", "cp", (3,)),
        ("fc", "svd", (2,)),
    ):
        layer = model.get_layer(name)
        model = factorised(model, name, choice(method, kernel_of(layer), work_of(layer), ranks), [frames], None)
    assert model.get_layer("fc").kernel_quantizer_internal.integer < 0
    graph = check_exact(model, make_spec(io_type="io_stream"), frames=200)
    check_stream(graph, tmp_path, FoldRequest(reuse_factor=4), frames=5)
