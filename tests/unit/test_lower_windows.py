"""Convolutional networks: QKeras = graph = HLS C++ for every layer, as streams and unrolled; and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lower_helpers import Q6, check_exact, libraries, make_spec, qact, qdense, set_random_weights
from test_lower_traps import WEIGHTS

from hwgen.errors import ErrorList, HwgenError, ModelError
from hwgen.fixed import FixedPoint
from hwgen.ir import Graph, graph_digest
from hwgen.ir import nodes as ir
from hwgen.ir.passes import drop_reshapes, fold_padding, sink_reshapes

pytestmark = pytest.mark.keras

BOTH = {"kernel_quantizer": Q6, "bias_quantizer": Q6}
DEPTH = {"depthwise_quantizer": Q6, "bias_quantizer": Q6}


def q() -> Any:
    """QKeras."""
    libraries()
    import qkeras

    return qkeras


def relu(x: Any, name: str) -> Any:
    return qact("quantized_relu(5,2)", name)(x)


def pictures() -> Any:
    """Every layer on pictures: rectangular kernels, strides with partial windows, both paddings, dilation."""
    lib, k = libraries(), q()
    layers = lib.layers
    x = lib.keras.Input((7, 6, 3), name="x")
    c = relu(k.QConv2D(4, (3, 2), padding="same", name="c1", **BOTH)(x), "a1")
    d = k.QDepthwiseConv2D(
        3, padding="same", strides=2, depth_multiplier=2, activation="quantized_relu(5,2)", name="dw",
        depthwise_quantizer="ternary(alpha=1)", bias_quantizer=Q6,
    )(c)  # fmt: skip
    po2 = {"depthwise_quantizer": Q6, "pointwise_quantizer": "quantized_po2(4)", "bias_quantizer": Q6}
    separable = relu(k.QSeparableConv2D(5, (2, 2), name="sep", **po2)(d), "a2")
    folded = k.QConv2DBatchnorm(3, 3, strides=2, name="cb", activation="quantized_relu(5,2)", **BOTH)(c)
    ends = [separable, k.QDepthwiseConv2DBatchnorm((2, 2), name="db", **DEPTH)(folded)]
    ends += [k.QConv2D(2, 3, dilation_rate=2, kernel_quantizer="binary(alpha=1)", use_bias=False, name="dil")(c)]
    padded = layers.ZeroPadding2D(((1, 0), (2, 1)), name="zp")(c)
    ends += [k.QConv2D(2, 3, strides=2, name="zc", **BOTH)(padded)]
    ends += [layers.ZeroPadding2D(3, name="far")(d)]
    ends += [k.QConv2D(3, 1, strides=2, name="point", **BOTH)(c)]
    ends += [layers.UpSampling2D((2, 3), name="up")(d)]
    ends += [layers.MaxPooling2D(3, 2, padding="same", name="mp")(c), layers.MaxPooling2D((1, 2), name="mp1")(c)]
    ends += [relu(layers.AveragePooling2D((3, 2), 2, padding="same", name="ap")(c), "a4")]
    ends += [k.QAveragePooling2D((7, 3), activation="quantized_relu(4,1)", name="qa")(c)]
    mean = layers.GlobalAveragePooling2D
    ends += [qact("quantized_bits(7,2,alpha=1)", "a5")(mean(name="gap")(c))]
    ends += [qact("quantized_bits(7,2,alpha=1)", "a6")(layers.Flatten()(mean(keepdims=True, name="gap2")(c)))]
    ends += [qact("binary(alpha=1)", "a7")(mean(name="gap3")(c)), layers.GlobalMaxPooling2D(name="gm")(c)]
    peaks = ends[-1]
    halves = layers.AveragePooling2D(2, name="ap2")(c)
    normal = layers.BatchNormalization(name="bn")(c)
    merged = layers.Add(name="add")([halves, layers.MaxPooling2D(2, name="mp2")(normal)])
    both = layers.Concatenate(name="cat")([halves, merged])
    flat = layers.Flatten(name="flat")(relu(both, "a8"))
    ends += [both, qdense(3, "fc")(flat)]
    ends += [layers.Multiply(name="mul")([merged, layers.Reshape((1, 1, 4), name="gate")(peaks)])]
    model = lib.keras.Model(x, ends)
    set_random_weights(model, 3)
    return model


def sequences() -> Any:
    """The same on sequences, and one-pixel, one-channel tensors."""
    lib, k = libraries(), q()
    layers = lib.layers
    x = lib.keras.Input((9, 2), name="x")
    c = relu(k.QConv1D(4, 3, padding="same", strides=2, name="c1", **BOTH)(x), "a1")
    c = relu(k.QConv1D(3, 2, name="c2", **BOTH)(c), "a2")
    pair = layers.Add(name="add")([c, relu(k.QConv1D(3, 1, name="c3", **BOTH)(c), "a3")])
    quantizers = {"depthwise_quantizer": Q6, "pointwise_quantizer": Q6, "bias_quantizer": Q6}
    ends = [k.QSeparableConv1D(2, 3, padding="same", name="sep", **quantizers)(pair)]
    grid = {"weight": "fixed<8,4>", "bias": "fixed<8,4>"}
    ends += [layers.Conv1D(2, 3, padding="causal", dilation_rate=2, name="plain")(x)]
    ends += [layers.DepthwiseConv1D(2, 2, padding="same", name="plaindw")(x)]
    ends += [layers.MaxPooling1D(3, 2, padding="same", name="mp")(pair)]
    ends += [qact("ternary(alpha=1)", "t")(layers.MaxPooling1D(2, name="mp2")(c))]
    ends += [relu(layers.AveragePooling1D(3, name="ap")(pair), "a5")]
    ends += [relu(layers.GlobalAveragePooling1D(name="gap")(x), "a6"), layers.GlobalMaxPooling1D(name="gm")(pair)]
    ends += [layers.UpSampling1D(3, name="up")(layers.ZeroPadding1D((1, 2), name="zp")(c))]
    ends += [qdense(2, "rows")(pair)]
    one = layers.Reshape((1, 1, 1), name="one")(layers.GlobalMaxPooling1D(name="gm1")(k.QConv1D(1, 9, **BOTH)(x)))
    ends += [k.QConv2D(1, (3, 3), padding="same", name="pixel", **BOTH)(one)]
    model = lib.keras.Model(x, ends)
    set_random_weights(model, 4)
    for name in ("plain", "plaindw"):
        layer = model.get_layer(name)
        layer.set_weights([np.round(w * 16) / 16 for w in layer.get_weights()])
    return model, {"plain": grid, "plaindw": grid}


@pytest.mark.gxx
@pytest.mark.parametrize("io_type", ["io_stream", "io_parallel"])
def test_every_layer_is_exact_in_qkeras_graph_and_cpp(io_type: str, tmp_path: Path) -> None:
    graph = check_exact(pictures(), make_spec(input="fixed<6,2>", io_type=io_type), tmp_path, frames=60)
    kinds = {type(n) for n in graph.nodes}
    assert kinds >= {ir.Conv, ir.DepthwiseConv, ir.MaxPool, ir.SumPool, ir.Divide, ir.Pad, ir.Upsample}
    assert "zp" not in graph.by_name and graph.by_name["zc"].padding == (1, -1, 2, 1), "folded into the convolution"
    assert "far" in graph.by_name
    spread = graph.by_name["mul"].inputs[1]
    assert graph.by_name[spread].factors == (3, 3), "a pixel is repeated, so that streams can be multiplied"
    top = (tmp_path / "firmware" / "net.cpp").read_text()
    assert ("hls::stream<input_t> &x" in top) == (io_type == "io_stream")
    assert "nnet::conv_2d_cl<" in top and "nnet::depthwise_conv_2d_cl<" in top and "nnet::pooling2d_cl<" in top


@pytest.mark.gxx
@pytest.mark.parametrize("io_type", ["io_stream", "io_parallel"])
def test_sequences_are_pictures_of_height_one(io_type: str, tmp_path: Path) -> None:
    model, layers = sequences()
    graph = check_exact(model, make_spec(input="fixed<5,2>", io_type=io_type, layers=layers), tmp_path, frames=60)
    after = graph.by_name["c2"]
    assert graph.by_name[after.inputs[0]].name == "a1" and graph.types["a1"].shape == (1, 5, 4), "no reshape between"
    assert graph.by_name["plain"].padding == (0, 0, 4, 0) and graph.types["plain_w"].shape == (1, 5, 2, 2)


@pytest.mark.gxx
def test_a_reuse_factor_changes_the_project_and_no_bit(tmp_path: Path) -> None:
    lib, k = libraries(), q()
    x = lib.keras.Input((6, 6, 2), name="x")
    c = relu(k.QConv2D(4, 3, name="c", **BOTH)(x), "a")
    d = relu(k.QDepthwiseConv2D(3, padding="same", name="d", **DEPTH)(c), "b")
    model = lib.keras.Model(x, qdense(3, "fc")(lib.layers.Flatten()(d)))
    set_random_weights(model, 6)
    spec = make_spec(input="fixed<6,2>", io_type="io_stream", reuse=6)
    spec.hardware.layers = {"c": SimpleNamespace(reuse_factor=9)}
    check_exact(model, spec, tmp_path, frames=60)
    parameters = (tmp_path / "firmware" / "parameters.h").read_text()
    assert "reuse_factor = 9" in parameters and "reuse_factor = 6" in parameters
    assert "strategy = nnet::resource" in parameters


def test_saved_networks_lower_to_the_same_graph(tmp_path: Path) -> None:
    """QKeras' own QDepthwiseConv2DBatchnorm could not be loaded again."""
    from hwgen.lower import lower_model
    from hwgen.train.store import load_model, save_model

    for model, layers in ((pictures(), {}), sequences()):
        save_model(model, tmp_path / "m.keras")
        spec = make_spec(input="fixed<6,2>", layers=layers)
        graphs = [lower_model(m, spec).graph for m in (model, load_model(tmp_path / "m.keras", trust=False))]
        assert graph_digest(graphs[0]) == graph_digest(graphs[1])


def test_every_weight_quantizer_is_exact_in_a_convolution() -> None:
    lib, k = libraries(), q()
    x = lib.keras.Input((5, 5, 2), name="x")
    ends = []
    for index, text in enumerate(WEIGHTS):
        both = {"kernel_quantizer": text, "bias_quantizer": text}
        ends.append(k.QConv2D(2, (2, 3), padding="same", name=f"c{index}", **both)(x))
        both = {"depthwise_quantizer": text, "bias_quantizer": text}
        ends.append(k.QDepthwiseConv2D(2, name=f"d{index}", dilation_rate=2, **both)(x))
    model = lib.keras.Model(x, ends)
    set_random_weights(model, 5)
    check_exact(model, make_spec(input="fixed<6,2>"), frames=60)


def test_a_mask_is_part_of_the_kernel() -> None:
    lib, k = libraries(), q()
    x = lib.keras.Input((4, 4, 1), name="x")
    mask = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    model = lib.keras.Model(
        x, k.QConv2D(2, 3, mask=mask, name="c", **(BOTH | {"kernel_quantizer": "binary(alpha=1)"}))(x)
    )
    graph = check_exact(model, make_spec(input="fixed<6,2>"), frames=30)
    assert not graph.by_name["c_w"].value[0, 1].any() and graph.by_name["c_w"].value[0, 0].all()


def test_averages_that_tie() -> None:
    """Half an LSB, above even and odd results: Keras' average in float64 falls on it exactly."""
    lib = libraries()
    for index, count in enumerate((3, 49, 6, 7, 9, 12, 49, 98)):
        x = lib.keras.Input((1, count, 1), name="x")
        pool = lib.layers.AveragePooling2D((1, count)) if index % 2 else lib.layers.GlobalAveragePooling2D()
        model = lib.keras.Model(x, qact("quantized_bits(6,5,alpha=1)", "a")(pool(x)))
        spec = make_spec(input="fixed<8,7>")
        from hwgen.lower import lower_model
        from hwgen.lower.reference import QKerasReference

        graph = lower_model(model, spec).graph
        sums = np.arange(-60 * count, 60 * count)
        frames = np.stack([sums // count + (np.arange(count)[:, None] < sums % count) for sums in [sums]])[0].T
        values = {"x": frames.reshape(-1, 1, count, 1)}
        assert np.array_equal(frames.sum(axis=1), sums)
        expected = graph.evaluate(values)["a_out"]
        assert np.array_equal(expected, QKerasReference(model, graph, spec).run(values)["a_out"])
        assert (2 * sums % (2 * count) == 0).any()


def test_forced_types_of_averages_and_convolutions() -> None:
    lib, k = libraries(), q()
    x = lib.keras.Input((3, 3, 1), name="x")
    c = k.QConv2D(2, 2, name="c", **BOTH)(x)
    model = lib.keras.Model(x, [lib.layers.AveragePooling2D((3, 3), name="p")(x), c])
    layers = {"p": {"result": "fixed<8,3,RND,SAT>"}, "c": {"result": "fixed<7,4,TRN,SAT>"}}
    graph = check_exact(model, make_spec(input="fixed<6,2>", layers=layers, accum="fixed<30,15>"), frames=200)
    assert isinstance(graph.by_name["p_result"], ir.Divide)
    wraps = {"p": {"result": "fixed<4,1>"}}
    with pytest.raises(HwgenError, match="result can overflow"):
        check_exact(model, make_spec(input="fixed<6,3>", layers=wraps), frames=10)


def small(*layers: Any, shape: tuple[int, ...] = (8, 8, 2)) -> Any:
    keras = libraries().keras
    return keras.Sequential([keras.Input(shape, name="x"), *layers])


REFUSALS: list[tuple[str, Any, tuple[int, ...], list[str]]] = [
    ("groups", lambda k, n: [k.QConv2D(4, 3, groups=2, name="c", **BOTH)], (8, 8, 2), ["c.groups", "QDepthwiseConv2D"]),
    ("float kernel", lambda k, n: [k.QConv2D(2, 3, bias_quantizer=Q6, name="c")], (8, 8, 2), ["c.kernel_quantizer"]),
    ("float depthwise", lambda k, n: [k.QDepthwiseConv2D(3, name="c")], (8, 8, 2), ["c.depthwise_quantizer"]),
    (
        "float pointwise",
        lambda k, n: [k.QSeparableConv2D(2, 3, depthwise_quantizer=Q6, bias_quantizer=Q6, name="c")],
        (8, 8, 2),
        ["c.pointwise_quantizer", "not quantized"],
    ),
    (
        "no alpha",
        lambda k, n: [k.QConv2D(2, 3, kernel_quantizer="quantized_bits(6,0)", bias_quantizer=Q6, name="c")],
        (8, 8, 2),
        ["c.kernel_quantizer", "alpha=1"],
    ),
    ("average at the end", lambda k, n: [n.AveragePooling2D(3, name="p")], (8, 8, 2), ["p", "add a QActivation"]),
    (
        "average without a quantizer",
        lambda k, n: [n.GlobalAveragePooling1D(name="p"), qdense(2, "d")],
        (7, 2),
        ["p", "add a QActivation after it", "goes to d"],
    ),
    (
        "average into a leaky relu",
        lambda k, n: [n.AveragePooling2D(3, name="p"), qact("quantized_relu(4,1,negative_slope=0.25)", "a")],
        (8, 8, 2),
        ["a", "plain quantizer", "right after p"],
    ),
    (
        "quantized factor",
        lambda k, n: [k.QAveragePooling2D(3, average_quantizer=Q6, name="p")],
        (8, 8, 2),
        ["p.average_quantizer", "AveragePooling2D, then QActivation"],
    ),
    ("bilinear", lambda k, n: [n.UpSampling2D(2, interpolation="bilinear", name="u")], (4, 4, 1), ["u.interpolation"]),
    ("transposed", lambda k, n: [n.Conv2DTranspose(2, 3, name="t")], (4, 4, 1), ["t:", "UpSampling2D"]),
    ("3D", lambda k, n: [n.Conv3D(2, 2, name="t")], (4, 4, 4, 1), ["t:", "1D or 2D"]),
    ("cropping", lambda k, n: [n.Cropping2D(1, name="t")], (4, 4, 1), ["t:", "padding='valid'"]),
    (
        "channels first",
        lambda k, n: [n.MaxPooling2D(2, data_format="channels_first", name="p")],
        (2, 4, 4),
        ["p.data_format", "channels_last"],
    ),
    (
        "unequal strides",
        lambda k, n: [k.QDepthwiseConv2D(3, strides=(1, 2), name="c", **DEPTH)],
        (8, 8, 2),
        ["c.strides", "unequal"],
    ),
    (
        "other masks",
        lambda k, n: [k.QConv2D(2, 2, mask=np.full((2, 2), 0.5), name="c", **BOTH)],
        (8, 8, 2),
        ["c.mask", "zeros and ones"],
    ),
]  # fmt: skip


@pytest.mark.parametrize("make,shape,words", [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refused_before_training(make: Any, shape: tuple[int, ...], words: list[str]) -> None:
    from hwgen.lower import check_model

    model = small(*make(q(), libraries().layers), shape=shape)
    with pytest.raises(ErrorList) as refusal:
        check_model(model, make_spec(input="fixed<6,2>"))
    text = "\n".join(error.render() for error in refusal.value.errors)
    for word in words:
        assert word in text


def test_unrolled_networks_that_would_explode_are_refused_before_training() -> None:
    from hwgen.lower import check_model

    model = small(q().QConv2D(16, 3, name="c", **BOTH), shape=(32, 32, 3))
    with pytest.raises(ErrorList, match="io_stream"):
        check_model(model, make_spec(input="fixed<6,2>"))
    check_model(model, make_spec(input="fixed<6,2>", io_type="io_stream"))


def test_passes_keep_every_integer() -> None:
    """Pads that may and may not be folded; reshapes that sink, cancel, and stay."""
    x = ir.Input(name="x", shape=(4, 2), fmt=FixedPoint(5, 3))
    fmt = FixedPoint(4, 2, False)
    w = ir.Const(name="w", value=np.arange(-6, 6).reshape(1, 3, 2, 2), fraction=0)
    divisor = np.array([1, 2, 3, 3])[:, None]
    nodes: list[ir.Node] = [
        x, w,
        ir.Reshape(name="row", inputs=("x",), shape=(1, 4, 2)),
        ir.Pad(name="pad", inputs=("row",), padding=(0, 0, 2, 1)),
        ir.Conv(name="c", inputs=("pad", "w"), padding=(0, 0, 0, -1)),
        ir.Reshape(name="line", inputs=("c",), shape=(4, 2)),
        ir.Requantize(name="q", inputs=("line",), fmt=fmt),
        ir.Divide(name="d", inputs=("line",), divisor=divisor, fmt=fmt),
        ir.Add(name="a", inputs=("q", "d")),
        ir.Concat(name="cat", inputs=("a", "q"), axis=-1),
        ir.Reshape(name="back", inputs=("cat",), shape=(1, 4, 4)),
        ir.Pad(name="wide", inputs=("back",), padding=(0, 0, 3, 0)),
        ir.MaxPool(name="m", inputs=("wide",), pool=(1, 3)),
        ir.Pad(name="whole", inputs=("row",), padding=(0, 0, 0, 3)),
        ir.Conv(name="k", inputs=("whole", "w")),
        ir.Pad(name="low", inputs=("row",), padding=(0, 0, 1, 0)),
        ir.MaxPool(name="n", inputs=("low",), pool=(1, 3)),
        *[ir.Output(name=f"{n}_out", inputs=(n,)) for n in ("m", "n", "a", "c", "k")],
    ]  # fmt: skip
    graph = Graph("g", tuple(nodes)).verify()
    done = fold_padding(drop_reshapes(sink_reshapes(graph))).verify()
    values = {"x": np.random.default_rng(0).integers(-16, 16, (50, 4, 2))}
    before, after = graph.evaluate(values), done.evaluate(values)
    for name, expected in before.items():
        np.testing.assert_array_equal(expected, after[name], name)
    assert "pad" not in done.by_name and done.by_name["c"].padding == (0, 0, 2, 0)
    assert {"wide", "low", "whole"} <= set(done.by_name), "a whole kernel of padding; a maximum of negative numbers"
    assert done.by_name["q"].inputs == ("c",) and done.by_name["wide"].inputs == ("cat",)
    assert [n.name for n in done.nodes if isinstance(n, ir.Reshape)] == ["row", "a_reshaped"]


def test_the_emulation_keeps_to_its_budget_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from hwgen.lower import emulator as module
    from hwgen.stages import emulated_row

    graph = Graph(
        "g", (ir.Input(name="x", shape=(2,), fmt=FixedPoint(5, 3)), ir.Output(name="y", inputs=("x",)))
    ).verify()
    sizes, rng = {"test": 300, "random": 8, "corners": 100}, np.random.default_rng(1)
    sets = {name: {"x": rng.integers(-16, 16, (n, 2))} for name, n in sizes.items()}
    expected = {name: graph.evaluate(frames) for name, frames in sets.items()}
    clock = iter(np.arange(0, 10_000, 1.2))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    emulator = module.Emulator(Path("none"), {})
    monkeypatch.setattr(emulator, "run", lambda frames: {"y": frames["x"].copy()})
    results, rows = emulator.run_sets(sets, budget_s=15.0)  # 0.1 s a frame: 150 frames
    row = emulated_row(graph, expected, results, rows)
    assert row["sets"] == {"test": 71, "random": 8, "corners": 71} and row["mismatches"] == 0
    assert "258 of 408 vectors in HLS C++" in row["not_checked"]
    assert rows["corners"][0] == 0 and rows["corners"][-1] == 99
    results["corners"]["y"][70, 1] ^= 1
    assert emulated_row(graph, expected, results, rows)["first"]["index"] == 99
    results, rows = emulator.run_sets(sets, budget_s=0.001)
    fewest = module.FEWEST_FRAMES
    assert {name: len(chosen) for name, chosen in rows.items()} == {"test": fewest, "random": 8, "corners": fewest}
    results, rows = emulator.run_sets(sets, None)
    assert "not_checked" not in emulated_row(graph, expected, results, rows)


def test_an_average_pool_is_refused_in_words() -> None:
    from hwgen.lower import lower_model

    with pytest.raises(ModelError, match="9 elements"):
        lower_model(small(libraries().layers.AveragePooling2D(3, name="p")), make_spec(input="fixed<6,2>"))
