"""The traps of hls4ml and QKeras: each ends in exact agreement or in a refusal that names the way out."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lower_helpers import Q6, chain, check_exact, libraries, make_spec, qact, qdense, set_random_weights

from hwgen.errors import ErrorList, HwgenError, NumericsError, ProofError
from hwgen.ir import nodes as ir

pytestmark = pytest.mark.keras

ACTIVATIONS = [
    "quantized_bits(6,2,alpha=1)",
    "quantized_bits(6,2)",
    "quantized_bits(6,2,1,alpha=1)",
    "quantized_bits(6,2,keep_negative=0,alpha=1)",
    "quantized_bits(1,0,alpha=1)",
    "quantized_bits(1,3,alpha=1)",
    "quantized_bits(1,0,keep_negative=0,alpha=1)",
    "quantized_bits(6,2,alpha=2.0)",
    "quantized_bits(6,2,alpha=0.25)",
    "quantized_bits(4,6,alpha=1)",
    "quantized_bits(4,-2,alpha=1)",
    "quantized_relu(6)",
    "quantized_relu(6,2)",
    "quantized_relu(1,1)",
    "quantized_relu(6,2,negative_slope=0.25)",
    "quantized_relu(6,2,negative_slope=1.0)",
    "quantized_relu(6,2,negative_slope=2.0)",
    "quantized_relu(6,2,use_sigmoid=1)",
    "quantized_relu(6,2,relu_upper_bound=1.5)",
    "quantized_relu(6,2,relu_upper_bound=1.5,is_quantized_clip=False)",
    "quantized_relu(6,2,is_quantized_clip=False)",
    "quantized_relu(6,2,negative_slope=0.25,relu_upper_bound=1.5,is_quantized_clip=False)",
    "quantized_tanh(6)",
    "quantized_tanh(6,symmetric=1)",
    "quantized_sigmoid(6)",
    "quantized_sigmoid(6,symmetric=1)",
    "quantized_sigmoid(1)",
    "binary",
    "binary(alpha=1)",
    "binary(use_01=1,alpha=1)",
    "binary(alpha=2)",
    "ternary",
    "ternary(alpha=1)",
    "ternary(alpha=1,threshold=0.5)",
    "ternary(alpha=1,threshold=0.0)",
    "ternary(alpha=2,threshold=1.7)",
]
TABLES = [
    "quantized_tanh(6,use_real_tanh=True)",
    "quantized_sigmoid(6,use_real_sigmoid=True)",
    "quantized_hswish(6,2,alpha=1)",
    "quantized_hswish(5,1,1,alpha=0.5)",
]
WEIGHTS = [
    "quantized_bits(6,0,alpha=1)",
    "quantized_bits(6,0,1,alpha=1)",
    "quantized_bits(6,0,keep_negative=0,alpha=1)",
    "quantized_bits(1,0,alpha=1)",
    "quantized_bits(2,1,alpha=1)",
    "quantized_bits(4,2,alpha=0.5)",
    "quantized_bits(4,2,alpha=2.0)",
    "binary(alpha=1)",
    "binary(use_01=1,alpha=1)",
    "ternary(alpha=1)",
    "ternary(alpha=1,threshold=0.5)",
    "quantized_po2(4)",
    "quantized_po2(4,2)",
    "quantized_po2(4,quadratic_approximation=True)",
    "quantized_po2(3,log2_rounding='floor')",
    "quantized_po2(5,max_value=0.5)",
]


def everything() -> Any:
    """Every activation and weight quantizer, batch norms and ReLUs in one network of many outputs."""
    lib = libraries()
    layers = lib.layers
    x = lib.keras.Input((8,), name="x")
    d = qdense(8, "d")(x)
    narrow = qact("quantized_bits(8,3,alpha=1)", "narrow")(d)
    ends = [qact(text, f"act{i}")(d) for i, text in enumerate(ACTIVATIONS)]
    ends += [qact(text, f"table{i}")(narrow) for i, text in enumerate(TABLES)]
    ends += [qdense(4, f"weight{i}", text, text)(narrow) for i, text in enumerate(WEIGHTS)]
    ends += [layers.BatchNormalization(name="bn")(d), layers.BatchNormalization(center=False, scale=False)(narrow)]
    folded = {"kernel_quantizer": "quantized_bits(6,2,alpha=1)", "bias_quantizer": Q6}
    ends += [lib.QDenseBatchnorm(3, name="folded", **folded)(narrow)]
    ends += [lib.QDenseBatchnorm(3, use_bias=False, activation="quantized_relu(4,1)", **folded)(narrow)]
    ends += [
        layers.ReLU(max_value=1.28125)(narrow),
        layers.ReLU(max_value=1.3125)(d),
        layers.ReLU(max_value=6.0, negative_slope=0.5)(d),
        layers.ReLU()(d),
    ]
    ends += [layers.LeakyReLU(negative_slope=0.125)(d), layers.LeakyReLU(negative_slope=4.0)(d)]
    sigmoid = layers.Activation("sigmoid")(narrow)
    ends += [qact("quantized_relu(6)", "of_sigmoid")(sigmoid), qact("binary(alpha=1)", "of_sigmoid2")(sigmoid)]
    ends += [qact("quantized_bits(6,0,alpha=1)", "of_tanh")(layers.Activation("tanh")(narrow))]
    for name in ("hard_sigmoid", "hard_silu"):
        ends += [qact("quantized_bits(7,2,alpha=1)", f"of_{name}")(layers.Activation(name)(narrow))]
    model = lib.keras.Model(x, ends)
    set_random_weights(model, 5)
    return model


@pytest.mark.gxx
def test_every_quantizer_is_exact_in_qkeras_graph_and_cpp(tmp_path: Path) -> None:
    """Covers hls4ml's default types, merge_linear_activation, symmetric, keep_negative, slopes, ternary thresholds,
    binary weights with a bias (xnor), po2 weights under numpy 2, batch norm, scales other than 1."""
    graph = check_exact(everything(), make_spec(input="fixed<8,3>"), tmp_path, frames=2000)
    assert {type(n) for n in graph.nodes} >= {ir.Dense, ir.Scale, ir.Requantize, ir.Lookup, ir.Max, ir.Min, ir.Add}


def merges() -> Any:
    """Two inputs, QDense on 2-D input, a layer called twice, n-ary merges, broadcasting, all shapes; names that hls4ml
    or SystemVerilog would trip over."""
    lib = libraries()
    layers = lib.layers
    a, b = lib.keras.Input((2, 3), name="index"), lib.keras.Input((2, 3), name="b-in")
    shared = qdense(4, "p")
    x, y = shared(a), shared(b)
    total = layers.Add(name="add")([x, y, x, y, y])
    below = layers.Subtract(name="sub")([x, y])
    product = layers.Multiply(name="mul")(
        [qact("quantized_bits(6,2,alpha=1)")(total), qact("quantized_relu(4,1)", "clk")(below)]
    )
    top = layers.Maximum(name="op")([x, y, product])
    low = layers.Minimum(name="axis")([x, y])
    joined = layers.Concatenate(name="activation", axis=1)([top, low, total])
    other = layers.Concatenate(name="n_in", axis=-1)([top, low])
    turned = layers.Permute((2, 1), name="perm")(joined)
    flat = layers.Flatten(name="flat")(layers.Dropout(0.5)(layers.Reshape((6, 4), name="rs")(turned)))
    end = qdense(5, "module")(flat)
    column = layers.Reshape((8, 1))(layers.Flatten()(qact("quantized_relu(3,1)")(x)))
    row = layers.Reshape((1, 16))(layers.Flatten()(qact("quantized_relu(3,1)")(other)))
    outer = layers.Multiply(name="weight")([column, row])
    cubes = [layers.Reshape((2, 2, 2))(t) for t in (top, low, x)]
    ends = [layers.Concatenate(axis=axis)(cubes) for axis in (1, 2, 3)]
    ends += [layers.Concatenate(axis=2)([layers.Reshape((2, 2, 1, 2))(t) for t in (top, low)])]
    model = lib.keras.Model([a, b], [end, other, outer, x, layers.Flatten()(a), x, *ends])
    set_random_weights(model, 3)
    return model


TWO_INPUTS = {"index": "fixed<5,2>", "b-in": "ufixed<4,1>"}


@pytest.mark.gxx
def test_two_inputs_shared_layers_merges_shapes_and_awkward_names(tmp_path: Path) -> None:
    graph = check_exact(merges(), make_spec(input=TWO_INPUTS), tmp_path, frames=500)
    assert {"index", "b_in", "perm", "p", "module_n", "axis_n", "clk_n"} <= set(graph.by_name)


@pytest.mark.gxx
@pytest.mark.parametrize("output", ["logits", "argmax", "softmax"])
def test_trailing_softmax(output: str, tmp_path: Path) -> None:
    model = chain(qdense(5, "d", activation="softmax"))
    graph = check_exact(model, make_spec(input="fixed<8,3>", output=output), tmp_path if output == "softmax" else None)
    kinds = {type(n) for n in graph.nodes}
    assert (ir.ArgMax in kinds, ir.Lookup in kinds) == (output == "argmax", output == "softmax")


def test_softmax_tables_are_close_to_float_and_keep_the_argmax() -> None:
    from hwgen.lower import lower_model

    model = chain(qdense(10, "d"), libraries().layers.Softmax(name="sm"))
    lowered = lower_model(model, make_spec(input="fixed<8,3>", output="softmax"))
    note = next(n for n in lowered.notes if "float64" in n)
    error = float(note.split("at most ")[1].split(",")[0])
    assert 0 < error < 4e-3
    assert " 0 argmaxes differ" in note


def test_softmax_is_what_the_numerics_say() -> None:
    """docs/numerics.md, section 8, once more in plain Python."""
    from hwgen.lower import lower_model

    model = chain(qdense(5, "d"))
    graph = lower_model(model, make_spec(input="fixed<8,3>", output="softmax")).graph
    trace = graph.evaluate({"x": np.random.default_rng(4).integers(-128, 128, (40, 8))}, trace=True)
    fraction = graph.types["d"].fraction
    assert fraction > 8
    for logits, got in zip(trace["d"].tolist(), trace["d_softmax_out"].tolist(), strict=True):
        below = [Fraction(n - max(logits), 1 << fraction) for n in logits]
        arguments = [min(max(round(d * 256), -12 * 256), 0) for d in below]
        exps = [round(2**16 * math.exp(a / 256)) for a in arguments]
        total = min(max(round(Fraction(sum(exps), 2**16) * 2**9), 1 << 9), 5 << 9)  # 12 - ceil(log2 5) = 9
        inverse = round(2**16 / (total / 2**9))
        assert got == [min(round(Fraction(e * inverse, 2**17)), 2**16 - 1) for e in exps]


@pytest.mark.gxx
def test_argmax_ties_take_the_lowest_index(tmp_path: Path) -> None:
    from hwgen.lower import lower_model
    from hwgen.lower.firmware import Emulator, write_project

    spec = make_spec(input="fixed<4,4>", output="argmax")
    model = chain(qdense(4, "d", "quantized_bits(6,5,alpha=1)", use_bias=False), n=4)
    model.layers[0].kernel.assign(np.eye(4))
    lowered = lower_model(model, spec)
    x = {"x": np.array([[3, 3, 3, 3], [0, 5, 5, 1], [-8, -8, -8, -7], [1, 2, 7, 7]])}
    assert lowered.graph.evaluate(x)["d_argmax_out"].ravel().tolist() == [0, 1, 3, 2]
    write_project(model, lowered, spec, tmp_path)
    assert Emulator.build(tmp_path).run(x)["d_argmax_out"].ravel().tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize("text", ["quantized_relu(3,2)", "quantized_bits(4,2,alpha=1)", "quantized_tanh(3)", "ternary"])
def test_ties_round_half_to_even(text: str) -> None:
    """Every value at and around half an LSB."""
    from hwgen.lower import lower_model
    from hwgen.lower.reference import QKerasReference

    model = chain(qact(text, "a"), n=1)
    spec = make_spec(input="fixed<8,4>")
    graph = lower_model(model, spec).graph
    x = {"x": np.arange(-128, 128)[:, None]}
    assert np.array_equal(graph.evaluate(x)["a_out"], QKerasReference(model, graph, spec).run(x)["a_out"])


def test_sums_beyond_24_bits_need_float64() -> None:
    """QKeras in float32 is wrong here; the reference is not, and its settings are put back."""
    lib = libraries()
    from hwgen.lower import lower_model
    from hwgen.lower.reference import QKerasReference

    wide = "quantized_bits(14,0,alpha=1)"
    model = chain(qdense(4, "d", wide, wide), qact("quantized_relu(20,6)", "a"), n=16)
    spec = make_spec(input="fixed<18,4>")
    graph = lower_model(model, spec).graph
    x = {"x": np.random.default_rng(0).integers(-(1 << 17), 1 << 17, (200, 16))}
    expected = graph.evaluate(x, trace=True)
    got = QKerasReference(model, graph, spec).run(x, trace=True)
    assert all(np.array_equal(v, expected[k]) for k, v in got.items())
    in_float32 = np.asarray(model(x["x"] * 2.0**-14))
    assert not np.array_equal(in_float32, graph.types["a_out"].fmt.to_float(expected["a_out"]))
    assert lib.keras.config.floatx() == "float32"
    assert lib.keras.config.dtype_policy().name == "float32"


def test_upper_bound_survives_saving(tmp_path: Path) -> None:
    """QKeras' own configuration leaves is_quantized_clip out, so that a saved bound was silently lost."""
    lib = libraries()
    model = chain(qact("quantized_relu(6,2,relu_upper_bound=1.5,is_quantized_clip=False)", "a"), n=2)
    model.save(tmp_path / "m.keras")
    loaded = lib.keras.models.load_model(tmp_path / "m.keras")
    assert loaded.layers[0].activation.is_quantized_clip is False
    graph = check_exact(loaded, make_spec(input="fixed<8,4>"))
    assert int(graph.types["a"].hi.max()) == 24


def test_folded_batch_norm_survives_saving(tmp_path: Path) -> None:
    lib = libraries()
    model = chain(lib.QDenseBatchnorm(3, kernel_quantizer="quantized_bits(6,2,alpha=1)", bias_quantizer=Q6, name="f"))
    model.save(tmp_path / "m.keras")
    loaded = lib.keras.models.load_model(tmp_path / "m.keras", custom_objects={"QDenseBatchnorm": lib.QDenseBatchnorm})
    first, second = (check_exact(m, make_spec(input="fixed<8,3>")) for m in (model, loaded))
    assert np.array_equal(first.by_name["f_w"].value, second.by_name["f_w"].value)  # type: ignore[attr-defined]


def test_the_passes_that_lose_information_are_not_run() -> None:
    from hwgen.lower.vendor import NEUTRAL_PASSES

    lossy = {
        "bit_exact",
        "merge_linear_activation",
        "eliminate_linear_activation",
        "fuse_batch_normalization",
        "fuse_consecutive_batch_normalization",
        "qkeras_factorize_alpha",
        "extract_ternary_threshold",
        "replace_multidimensional_dense_with_conv",
        "infer_precision_types",
    }
    assert not lossy & set(NEUTRAL_PASSES)


def test_hgq2_is_not_a_dependency() -> None:
    """Its wheels overwrite the qkeras package."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert "hgq" not in project.read_text().lower()


def _auto(text: str, alpha: str) -> Any:
    lib = libraries()
    quantizer = lib.quantized_bits(6, 0, symmetric=1, alpha=alpha)
    return [lib.QDense(4, kernel_quantizer=quantizer, bias_quantizer=Q6, name=text)]


REFUSALS: list[tuple[str, Any, tuple[int, ...], list[str]]] = [
    ("no alpha", lambda: [qdense(4, "d", "quantized_bits(6,0)")], (8,), ["d.kernel_quantizer", "alpha=1"]),
    ("binary, no alpha", lambda: [qdense(4, "d", "binary()")], (8,), ["d.kernel_quantizer", "alpha=1"]),
    ("ternary, no alpha", lambda: [qdense(4, "d", "ternary()")], (8,), ["d.kernel_quantizer", "alpha=1"]),
    ("auto", lambda: _auto("d", "auto"), (8,), ["d.kernel_quantizer", "auto", "alpha=1"]),
    ("auto_po2", lambda: _auto("d", "auto_po2"), (8,), ["d.kernel_quantizer", "auto_po2", "alpha=1"]),
    ("scale 3", lambda: [qdense(4, "d", "quantized_bits(6,0,alpha=3.0)")], (8,), ["power of two", "alpha=1"]),
    ("float kernel", lambda: [qdense(4, "d", None)], (8,), ["d.kernel_quantizer", "not quantized"]),
    ("float bias", lambda: [qdense(4, "d", Q6, None)], (8,), ["d.bias_quantizer", "bias_quantizer: quantized_bits"]),
    ("plain Dense", lambda: [libraries().layers.Dense(4, name="d")], (8,), ["d.kernel_quantizer", "QDense"]),
    ("stochastic", lambda: [qact("quantized_relu(6,0,0,0.0,1)", "a")], (8,), ["a.activation", "stochastic"]),
    ("slope below the grid", lambda: [qact("quantized_relu(3,0,negative_slope=0.0625)", "a")], (8,), ["a.activation"]),
    (
        "bound off the grid",
        lambda: [qact("quantized_relu(3,0,relu_upper_bound=0.3,is_quantized_clip=False)", "a")],
        (8,),
        ["relu_upper_bound", "multiple of 0.125"],
    ),
    ("po2 activation", lambda: [qact("quantized_relu_po2(4)", "a")], (8,), ["a.activation", "quantized_relu(6)"]),
    ("ulaw", lambda: [qact("quantized_ulaw(6)", "a")], (8,), ["a.activation", "quantized_bits(8,2,alpha=1)"]),
    ("hard_tanh", lambda: [qact("hard_tanh", "a")], (8,), ["a.activation", "quantized_tanh(6)"]),
    ("QKeras' hard_sigmoid", lambda: [qact("hard_sigmoid", "a")], (8,), ["a.activation", "quantized_sigmoid(6)"]),
    ("hswish of another slope", lambda: [qact("quantized_hswish(6,2,relu_shift=2)", "a")], (8,), ["relu_shift=3"]),
    (
        "float hard swish into Dense",
        lambda: [libraries().layers.Activation("hard_silu", name="s"), qdense(3, "d")],
        (8,),
        ["s: hard_silu must be followed", "quantized_bits(8,2,alpha=1)"],
    ),
    ("elu", lambda: [libraries().layers.Activation("elu", name="a")], (8,), ["a.activation", "quantized_relu(6)"]),
    (
        "float sigmoid at the end",
        lambda: [libraries().layers.Activation("sigmoid", name="s")],
        (8,),
        ["quantized_sigmoid"],
    ),
    (
        "float tanh into Dense",
        lambda: [libraries().layers.Activation("tanh", name="s"), qdense(3, "d")],
        (8,),
        ["s: tanh must be followed", "quantized_tanh(6)"],
    ),
    ("softmax inside", lambda: [libraries().layers.Softmax(name="s"), qdense(3, "d")], (8,), ["end of a network"]),
    ("QBatchNormalization", lambda: [libraries().QBatchNormalization(name="b")], (8,), ["b:", "BatchNormalization"]),
    ("LSTM", lambda: [libraries().layers.LSTM(2, name="r")], (8, 2), ["r: LSTM", "QDense"]),
    ("threshold", lambda: [libraries().layers.ReLU(threshold=1.0, name="r")], (8,), ["r.threshold", "threshold=0"]),
    ("slope 0.3", lambda: [libraries().layers.LeakyReLU(0.3, name="r")], (8,), ["r.negative_slope", "0.125"]),
    ("po2 too fine", lambda: [qdense(4, "d", "quantized_po2(8)")], (8,), ["d.kernel_quantizer", "quantized_po2(4)"]),
    ("unfolded bias", lambda: [_dense_batchnorm(None)], (8,), ["f.bias_quantizer", "quantized_bits(8,2,alpha=1)"]),
    ("nested model", lambda: [chain(qdense(4, "d"))], (8,), ["one by one"]),
]


def _dense_batchnorm(bias: str | None) -> Any:
    return libraries().QDenseBatchnorm(3, kernel_quantizer="quantized_bits(6,2,alpha=1)", bias_quantizer=bias, name="f")


@pytest.mark.parametrize(("make", "shape", "words"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refused_before_training(make: Any, shape: tuple[int, ...], words: list[str]) -> None:
    from hwgen.lower import check_model

    k = libraries().keras
    model = k.Sequential([k.Input(shape, name="x"), *make()])
    with pytest.raises(ErrorList) as caught:
        check_model(model, make_spec(input="fixed<8,3>"))
    assert caught.value.exit_status == 2
    for word in words:
        assert word in str(caught.value)


def test_all_refusals_at_once_with_their_lines() -> None:
    from hwgen.lower import check_model

    model = chain(qdense(4, "d", "quantized_bits(6,0)"), qact("quantized_ulaw(6)", "a"), qdense(4, "e", Q6, None))
    spec = make_spec(input="fixed<8,3>")
    spec.model.layers = [_Layer("d", "kernel_quantizer"), _Layer("a", "activation"), _Layer("e", "units")]
    spec.line_of = lambda path: {
        "model.layers[0].kernel_quantizer": "model.yaml:4",
        "model.layers[1].activation": "model.yaml:6",
    }[path]
    with pytest.raises(ErrorList) as caught:
        check_model(model, spec)
    text = str(caught.value)
    assert "model.yaml:4: d.kernel_quantizer" in text
    assert "model.yaml:6: a.activation" in text


class _Layer:
    def __init__(self, name: str, *keys: str) -> None:
        self.kind, self.args = "QDense", {"name": name, **dict.fromkeys(keys, "")}


def test_input_format_from_leading_activation_or_an_error() -> None:
    from hwgen.lower import check_model

    model = chain(qact("quantized_bits(8,2,1,alpha=1)", "q"), qdense(4, "d"))
    graph = check_exact(model, make_spec())
    assert str(graph.inputs[0].fmt) == "fixed<8,3,RND_CONV,SAT_SYM>"
    with pytest.raises(ErrorList, match=r"precision\.input: the number format of input x is not known"):
        check_model(chain(qdense(4, "d")), make_spec())


def test_accumulators_and_results_that_a_user_forces() -> None:
    from hwgen.lower import lower_model

    def model() -> Any:
        return chain(qdense(8, "d", activation="quantized_relu(6,2)"), qdense(5, "e"))

    def spec(**more: Any) -> Any:
        return make_spec(input="fixed<8,3>", **more)

    with pytest.raises(NumericsError, match=r"precision\.layers\.d\.accum: accum can overflow") as caught:
        lower_model(model(), spec(layers={"d": {"accum": "fixed<13,2>"}}))
    wide = caught.value.expected
    assert wide
    check_exact(model(), spec(layers={"d": {"accum": wide}}))
    with pytest.raises(NumericsError, match="round every product"):
        lower_model(model(), spec(layers={"d": {"accum": "fixed<20,14>"}}))
    with pytest.raises(NumericsError, match="would saturate"):
        lower_model(model(), spec(layers={"d": {"accum": "fixed<32,14,TRN,SAT>"}}))
    with pytest.raises(NumericsError, match=r"precision\.layers\.e\.result: result can overflow"):
        lower_model(model(), spec(layers={"e": {"result": "fixed<4,2>"}}))
    layers = {"d": {"accum": "fixed<13,2>", "result": "fixed<9,4,RND,SAT>"}, "e": {"result": "fixed<4,2>"}}
    graph = check_exact(model(), spec(layers=layers, allow_wrap=True))
    assert {"d_accum", "d_result", "e_result"} <= set(graph.by_name)
    check_exact(model(), spec(result="fixed<10,6,RND_CONV,SAT>"))


def test_sums_too_wide_for_float64_are_refused() -> None:
    from hwgen.lower import lower_model

    wide = "quantized_bits(24,0,alpha=1)"
    model = chain(qdense(8, "a", wide, wide), qdense(8, "b", wide, wide))
    with pytest.raises(NumericsError, match=r"float64 is exact up to 54"):
        lower_model(model, make_spec(input="fixed<16,3>"))


def test_a_table_too_large_is_refused() -> None:
    from hwgen.lower import lower_model

    model = chain(qdense(8, "a"), qact("quantized_tanh(6,use_real_tanh=True)", "t"))
    with pytest.raises(NumericsError, match=r"t: a table of tanh") as caught:
        lower_model(model, make_spec(input="fixed<16,3>"))
    assert "quantized_bits" in str(caught.value)


def test_plain_dense_on_a_stated_grid() -> None:
    from hwgen.lower import lower_model

    model = chain(libraries().layers.Dense(4, name="d"))
    layers = {"d": {"weight": "fixed<6,2>", "bias": "fixed<8,4>"}}
    with pytest.raises(NumericsError, match="not on the grid of fixed<6,2>"):
        lower_model(model, make_spec(input="fixed<8,3>", layers=layers))
    layer = model.layers[0]
    layer.kernel.assign(np.clip(np.round(layer.kernel.numpy() * 16), -32, 31) / 16)
    layer.bias.assign(np.round(layer.bias.numpy() * 16) / 16)
    check_exact(model, make_spec(input="fixed<8,3>", layers=layers))


def test_batch_norm_grid_is_stated_and_can_be_given() -> None:
    from hwgen.lower import lower_model

    model = chain(libraries().layers.BatchNormalization(name="bn"))
    graph = check_exact(model, make_spec(input="fixed<8,3>"))
    assert int(np.abs(graph.by_name["bn_s"].value).max()).bit_length() <= 15  # type: ignore[attr-defined]
    spec = make_spec(input="fixed<8,3>", layers={"bn": {"weight": "fixed<8,5>", "bias": "fixed<6,3>"}})
    lowered = lower_model(model, spec)
    assert lowered.graph.by_name["bn_s"].fraction <= 3  # type: ignore[attr-defined]
    assert any("bn: batch norm coefficients rounded to fixed<8,5" in note for note in lowered.notes)
    check_exact(model, spec)
    with pytest.raises(NumericsError, match=r"bn\.weight: fixed<8,-4> cannot hold"):
        lower_model(model, make_spec(input="fixed<8,3>", layers={"bn": {"weight": "fixed<8,-4>"}}))


def test_a_wrong_graph_is_seen() -> None:
    """The comparison has teeth: one weight changed by one LSB is noticed, and off-grid values are errors."""
    from hwgen.lower import lower_model
    from hwgen.lower.reference import QKerasReference

    model, spec = chain(qdense(4, "d")), make_spec(input="fixed<8,3>")
    graph = lower_model(model, spec).graph
    reference = QKerasReference(model, graph, spec)
    node = graph.by_name["d_w"]
    assert isinstance(node, ir.Const)
    changed = node.value.copy()
    changed[2, 1] += 1
    others = tuple(
        ir.Const(name=n.name, value=changed, fraction=node.fraction) if n is node else n for n in graph.nodes
    )
    x = {"x": np.random.default_rng(1).integers(-128, 128, (50, 8))}
    good = reference.run(x)["d_out"]
    bad = graph.with_nodes(others).evaluate(x)["d_out"]
    assert np.array_equal(good, graph.evaluate(x)["d_out"])
    assert (good != bad).any(axis=0).tolist() == [False, True, False, False]
    model.layers[0].bias_quantizer_internal.bits = 12
    with pytest.raises((ProofError, HwgenError)):
        QKerasReference(model, graph, spec).run(x)
