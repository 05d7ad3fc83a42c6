"""The builders of `hwgen.zoo`: sizes of the papers, arguments, exactness, and one small instance of each in RTL."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lower_helpers import check_exact, libraries, make_spec, qact, set_random_weights
from stream_check import check_stream

from hwgen import zoo
from hwgen.errors import HwgenError, ModelError
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl.stream import FoldRequest
from hwgen.rtl.stream.network import Fifo

pytestmark = pytest.mark.keras

SMALL = {"weight": 4, "activation": 4, "bias": 6, "sum": 5}
RGB, GREY = (32, 32, 3), (8, 8, 1)


def kernels(model: Any) -> int:
    """Return the weights of all kernels, biases left out."""
    return sum(prod(layer.weights[0].shape) for layer in model.layers if layer.weights)


def work(model: Any) -> int:
    """Return the multiply-accumulates of a frame."""
    return sum(prod(x.weights[0].shape) * prod(x.output.shape[1:-1]) for x in model.layers if x.weights)


PAPERS = {
    # kernels of keras.applications.MobileNet, MobileNetV2, EfficientNetB0 at 1,000 classes; the papers: 4.2, 3.4, 5.3 M
    "mobilenet_v1": (lambda: zoo.mobilenet_v1((224, 224, 3), 1000), 4_209_088),
    "mobilenet_v2": (lambda: zoo.mobilenet_v2((224, 224, 3), 1000), 3_469_760),
    "efficientnet": (lambda: zoo.efficientnet((224, 224, 3), 1000), 5_236_192),
    # SqueezeNet 1.0 has 1,248,424 parameters with its 3,976 biases
    "squeezenet": (lambda: zoo.squeezenet((224, 224, 3), 1000), 1_248_424 - 3_976),
    # 432 + 6 · 2,304 + (4,608 + 5 · 9,216) + (18,432 + 5 · 36,864) + 640, and shortcuts of 512 + 2,048: 0.27 M
    "resnet20": (lambda: zoo.resnet(RGB, 10, depth=20), 270_896),
    # 432 + 2 · 2,304 + (4,608 + 9,216) + (18,432 + 36,864) + 640, and the shortcuts
    "resnet8": (lambda: zoo.resnet(RGB, 10), 77_360),
}


@pytest.mark.parametrize("name", PAPERS)
def test_sizes_of_the_papers(name: str) -> None:
    make, size = PAPERS[name]
    assert kernels(make()) == size


def test_multiplications_of_the_papers() -> None:
    """MobileNetV1's table 8: 569 M at 224; ResNet-8 of MLPerf Tiny: 12.5 M."""
    assert round(work(zoo.mobilenet_v1((224, 224, 3), 1000)), -6) == 569_000_000
    assert work(zoo.resnet(RGB, 10)) == 12_501_632


def test_widths_shapes_and_strides() -> None:
    model = zoo.mobilenet_v1((33, 17, 1), 7, width=0.25, stem_stride=1, blocks=((64, 2), (100, 1)), divisor=4)
    assert [model.get_layer(n).output.shape[1:] for n in ("stem", "pw1", "pw2", "logits")] == [
        (33, 17, 8), (17, 9, 16), (17, 9, 24), (7,),
    ]  # fmt: skip
    wide = zoo.resnet((8, 8, 1), 3, depth=14, width=2.0)
    assert [wide.get_layer(f"block{k}b_conv2").filters for k in (1, 2, 3)] == [32, 64, 128]
    thin = zoo.mobilenet_v2(GREY, 2, width=0.5, stages=((1, 16, 1, 1), (6, 32, 2, 1)), head=64)
    assert thin.get_layer("head").filters == 64 and "block1a_expand" not in {x.name for x in thin.layers}
    assert "block2b_add" in {x.name for x in thin.layers} and "block1a_add" not in {x.name for x in thin.layers}
    fires = zoo.squeezenet((16, 16, 3), 4, width=0.5, fires=((16, 64), None, (32, 64)), pool=2, stem_kernel=3)
    assert fires.get_layer("fire3_relu").output.shape == (None, 2, 2, 64)


def test_compound_scaling() -> None:
    """phi 1: 1.2 times the depth (rounded up), 1.1 times the width (multiples of 8), 1.15 times the resolution."""
    stages = ((1, 3, 16, 1, 1), (6, 3, 40, 2, 2), (6, 5, 112, 4, 1))
    small, large = (zoo.efficientnet((16, 16, 3), 2, phi=phi, stages=stages, head=320) for phi in (0.0, 1.0))

    def blocks(model: Any) -> list[int]:
        names = [x.name for x in model.layers if x.name.endswith("_depthwise")]
        return [sum(name.startswith(f"block{k}") for name in names) for k in (1, 2, 3)]

    assert blocks(small) == [1, 2, 4] and blocks(large) == [2, 3, 5]
    widths = [large.get_layer(n).filters for n in ("stem", "block1a_project", "block3a_project", "head")]
    assert widths == [32, 16, 120, 352], "35.2, 17.6 (16 is not below 90 %), 123.2, 352"
    assert zoo.resolution(224, 1.0) == 258 and zoo.resolution(224, 0.0) == 224
    se = large.get_layer("block2a_se_reduce")
    assert se.filters == 4, "a quarter of the block's 16 channels"


def test_refusals_in_python() -> None:
    with pytest.raises(ModelError, match="20 or 26"):
        zoo.resnet(GREY, 2, depth=21)
    with pytest.raises(ModelError, match=r"model\.args\.outputs"):
        zoo.resnet(GREY, None)
    with pytest.raises(ModelError, match="rows, columns, channels"):
        zoo.resnet((8,), 2)  # type: ignore[arg-type]


def instance(name: str) -> Any:
    """Return a small instance of each architecture with every kind of block, random weights."""
    bits = zoo.Bits(**SMALL)
    small = {"outputs": 3, "divisor": 2, "bits": bits}
    match name:
        case "mobilenet_v1":
            model = zoo.mobilenet_v1(GREY, stem=4, blocks=((4, 2), (6, 1)), **small)
        case "mobilenet_v2":
            model = zoo.mobilenet_v2(GREY, stem=4, stages=((1, 4, 1, 1), (2, 4, 2, 1)), head=6, **small)
        case "squeezenet":
            fires = ((2, 2), None, (2, 4))
            model = zoo.squeezenet(GREY, stem=4, stem_kernel=3, stem_stride=1, fires=fires, pool=2, **small)
        case "resnet":
            model = zoo.resnet(GREY, depth=8, width=0.125, **small)
        case "efficientnet":
            stages = ((1, 3, 4, 1, 1), (2, 5, 4, 2, 1))
            small["bits"] = zoo.SwishBits(**SMALL)
            model = zoo.efficientnet(GREY, stem=4, stages=stages, head=6, squeeze=0.5, **small)
    set_random_weights(model, 7)
    return model


def lowered(name: str, folder: Path | None = None, **more: Any) -> Graph:
    return check_exact(instance(name), make_spec(name, input="ufixed<5,0>", io_type="io_stream"), folder, **more)


@pytest.mark.verilator
@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "squeezenet", "resnet"])
def test_small_instances_in_rtl(name: str, tmp_path: Path) -> None:
    """QKeras = graph = RTL, with and without stalls, and every cycle as predicted."""
    check_stream(lowered(name, frames=100), tmp_path, FoldRequest(reuse_factor=4), frames=5)


@pytest.mark.gxx
@pytest.mark.verilator
def test_efficientnet_in_rtl(tmp_path: Path) -> None:
    """The same with hard swishes and squeeze-excite, and in HLS C++: the map waits in a FIFO while its gate is made."""
    graph = lowered("efficientnet", tmp_path / "hls", frames=100)
    gates = [n for n in graph.nodes if isinstance(n, ir.Mul)]
    assert len(gates) == 3 and sum(isinstance(n, ir.Upsample) for n in graph.nodes) == 3
    assert sum(isinstance(n, ir.Lookup) for n in graph.nodes) == 1 + 1 + 3 + 3 + 2, (
        "stem, head, depthwise, gates, expand"
    )
    plan = check_stream(graph, tmp_path / "rtl", FoldRequest(reuse_factor=4), frames=5)
    folds = [fold for fold in plan.folding.folds.values() if fold.kind == "product"]
    assert [(fold.cycles, fold.multipliers) for fold in folds] == [(4, 1), (4, 2), (4, 2)], "of 4, 8 and 8 channels"
    held = [s.depth for s in plan.network.stages if isinstance(s, Fifo) and s.name.endswith("_se_scale")]
    assert len(held) == 3 and min(held) >= 16, "all 16 pixels of a picture, at least"


def test_hard_functions_for_every_value() -> None:
    """Tables against Keras in float64 at every value of a grid on which many results are ties."""
    layers = libraries().layers
    x = libraries().keras.Input((1,), name="x")
    names = ("hard_sigmoid", "hard_silu")
    ends = [
        qact(f"quantized_bits({bits},2,alpha=1)", f"{name}_{bits}")(layers.Activation(name)(x))
        for name in names
        for bits in (4, 6, 9)
    ]
    model = libraries().keras.Model(x, [*ends, qact("quantized_hswish(6,2)", "own")(x)])
    spec = make_spec(input="fixed<11,4>")
    from hwgen.lower import lower_model
    from hwgen.lower.reference import QKerasReference

    graph = lower_model(model, spec).graph
    values = {"x": np.arange(-1024, 1024)[:, None]}
    ours, keras = graph.evaluate(values), QKerasReference(model, graph, spec).run(values)
    for name, integers in keras.items():
        np.testing.assert_array_equal(ours[name], integers, name)
    exact = np.clip((values["x"] + 3 * 128) / 768, 0, 1) * 32
    assert np.abs(ours["hard_sigmoid_6_out"] / 8 * 32 - np.minimum(exact, 31.875)).max() <= 2.0
    assert (2 * exact % 2 == 1).any()


ARGS = [
    ({"widht": 0.5}, "model.args.widht", "width?"),
    ({"width": "wide"}, "model.args.width", "valid number"),
    ({"width": 0}, "model.args.width", "greater than 0"),
    ({"bits": {"weight": 40}}, "model.args.bits.weight", "less than or equal to 16"),
    ({"bits": {"weights": 4}}, "model.args.bits.weights", "no such key"),
    ({"depth": 8.5}, "model.args.depth", "valid integer"),
    ({"depth": 9}, "model.args.depth", "8 or 14"),
]


@pytest.mark.parametrize(("args", "key", "says"), ARGS)
def test_arguments_are_checked_with_their_line(tmp_path: Path, args: dict[str, Any], key: str, says: str) -> None:
    from train_helpers import spec_of

    from hwgen.train.build import make_model

    with pytest.raises(HwgenError) as caught:
        make_model(spec_of(tmp_path, base=spec_with(args)), None)
    text = caught.value.render()
    assert key in text and says in text and "model.yaml:" in text, text


def spec_with(args: dict[str, Any], builder: str = "hwgen.zoo:resnet") -> dict[str, Any]:
    model = {"name": "net", "builder": builder, "input_shape": [8, 8, 1], "args": {"outputs": 2, **args}}
    return {"model": model, "precision": {"input": "ufixed<8,0>"}}


def test_arguments_reach_the_builder(tmp_path: Path) -> None:
    from train_helpers import spec_of

    from hwgen.train.build import make_model

    args = {"fires": [[8, 8], None, [8, 16]], "stem": 8, "pool": 2, "bits": {"weight": 5}}
    model = make_model(spec_of(tmp_path, base=spec_with(args, "hwgen.zoo:squeezenet")), None)
    assert model.get_layer("fire3_expand3").filters == 16 and model.output_shape == (None, 2)
    assert model.get_layer("stem").kernel_quantizer_internal.bits == 5
    stages = {"stages": [[1, 3, 8, 1, 1]], "head": 16}
    swish = make_model(spec_of(tmp_path, base=spec_with({"bits": {"sum": 7}} | stages, "hwgen.zoo:efficientnet")), None)
    assert "quantized_bits(7,4" in str(swish.get_layer("stem_q").activation), "what is not said keeps its default"
    (tmp_path / "own.py").write_text(
        "import keras\n"
        "def net(input_shape, units: 'list[Unknown]', **more):\n"
        "    x = keras.Input(input_shape)\n"
        "    return keras.Model(x, keras.layers.Dense(units[0], name=more['name'])(x))\n"
    )
    own = {"outputs": None, "units": [3], "name": "end"}
    base = spec_with({}, "own:net")
    base["model"]["args"] = {k: v for k, v in own.items() if v is not None}
    assert make_model(spec_of(tmp_path, base=base), None).get_layer("end").units == 3


def test_arguments_without_a_builder(tmp_path: Path) -> None:
    from train_helpers import spec_of

    with pytest.raises(HwgenError, match=r"model\.args: arguments are given to a builder"):
        spec_of(tmp_path, {"model": {"args": {"width": 1}}})


def test_a_builder_of_hwgen_counts_in_the_digests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from train_helpers import spec_of

    from hwgen import digests

    spec = spec_of(tmp_path, base=spec_with({}))
    assert digests.input_digest(spec, "model.builder") == digests.code_digest("zoo")
