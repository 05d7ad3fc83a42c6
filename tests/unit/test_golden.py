"""Generated text, compared byte for byte with what was reviewed: `pytest --update-golden` writes it anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlDesign, RtlOptions, generate
from hwgen.rtl.stream import FoldRequest, emit_stream, plan_stream

GOLDEN = Path(__file__).parents[1] / "golden"


def two_layers() -> Graph:
    rng = np.random.default_rng(7)
    return Graph(
        "two_layers",
        (
            ir.Input(name="x", shape=(4,), fmt=FixedPoint.parse("ufixed<5,1>")),
            ir.Const(name="fc1_w", value=rng.integers(-15, 16, (4, 3)), fraction=4),
            ir.Const(name="fc1_b", value=np.array([3, -8, 0]), fraction=4),
            ir.Dense(name="fc1", inputs=("x", "fc1_w", "fc1_b")),
            ir.Requantize(name="relu1", inputs=("fc1",), fmt=FixedPoint.parse("ufixed<5,1,RND_CONV,SAT>")),
            ir.Const(name="logits_w", value=rng.integers(-15, 16, (3, 2)), fraction=4),
            ir.Dense(name="logits", inputs=("relu1", "logits_w")),
            ir.Output(name="logits_out", inputs=("logits",)),
        ),
    ).verify()


def two_inputs() -> Graph:
    return Graph(
        "two_inputs",
        (
            ir.Input(name="a", shape=(2,), fmt=FixedPoint.parse("fixed<4,2>")),
            ir.Input(name="b", shape=(2,), fmt=FixedPoint.parse("ufixed<3,1>")),
            ir.Add(name="total", inputs=("a", "b")),
            ir.Lookup(
                name="curve", inputs=("a",), table=np.arange(16)[::-1].copy(), first=-8, fmt=FixedPoint(4, 0, False)
            ),
            ir.ArgMax(name="best", inputs=("total",)),
            ir.Output(name="total_out", inputs=("total",)),
            ir.Output(name="curve_out", inputs=("curve",)),
            ir.Output(name="best_out", inputs=("best",)),
        ),
    ).verify()


def dead_neurons() -> Graph:
    """One neuron whose ReLU is always 0, one whose is always full: only taps look at their sums."""
    return Graph(
        "dead_neurons",
        (
            ir.Input(name="x", shape=(3,), fmt=FixedPoint.parse("ufixed<4,1>")),
            ir.Const(name="fc1_w", value=np.array([[3, -2, 5], [1, 0, 7], [-6, -3, 2]]), fraction=3),
            ir.Const(name="fc1_b", value=np.array([2, -1, 64]), fraction=2),
            ir.Dense(name="fc1", inputs=("x", "fc1_w", "fc1_b")),
            ir.Requantize(name="relu1", inputs=("fc1",), fmt=FixedPoint.parse("ufixed<4,1,RND_CONV,SAT>")),
            ir.Const(name="fc2_w", value=np.array([[3], [2], [-1]]), fraction=3),
            ir.Dense(name="fc2", inputs=("relu1", "fc2_w")),
            ir.Output(name="fc2_out", inputs=("fc2",)),
        ),
    ).verify()


def residual() -> Graph:
    """A convolution, a pruned one beside a shortcut, a merge, a depthwise one with a scale, a pool, a dense layer."""
    rng = np.random.default_rng(3)
    relu = FixedPoint.parse("ufixed<5,2,RND_CONV,SAT>")
    pruned = rng.integers(-15, 16, (3, 3, 4, 4)) * (rng.random((3, 3, 4, 4)) < 0.25)
    return Graph(
        "residual",
        (
            ir.Input(name="x", shape=(6, 5, 2), fmt=FixedPoint.parse("ufixed<4,0>")),
            ir.Const(name="c1_w", value=rng.integers(-15, 16, (3, 3, 2, 4)), fraction=4),
            ir.Const(name="c1_b", value=rng.integers(-15, 16, 4), fraction=5),
            ir.Conv(name="c1", inputs=("x", "c1_w", "c1_b"), padding=(1, 1, 1, 1)),
            ir.Requantize(name="r1", inputs=("c1",), fmt=relu),
            ir.Const(name="c2_w", value=pruned, fraction=4),
            ir.Conv(name="c2", inputs=("r1", "c2_w"), padding=(1, 1, 1, 1)),
            ir.Requantize(name="r2", inputs=("c2",), fmt=FixedPoint.parse("fixed<6,3,RND,SAT>")),
            ir.Add(name="sum", inputs=("r2", "r1")),
            ir.Requantize(name="r3", inputs=("sum",), fmt=relu),
            ir.Const(name="dw_w", value=rng.integers(-15, 16, (2, 2, 4, 1)), fraction=4),
            ir.DepthwiseConv(name="dw", inputs=("r3", "dw_w"), strides=(2, 2), padding=(0, 0, 0, 1)),
            ir.Const(name="bn_s", value=np.array([3, -2, 5, 7]), fraction=2),
            ir.Const(name="bn_b", value=np.array([1, 0, -4, 2]), fraction=3),
            ir.Scale(name="bn", inputs=("dw", "bn_s", "bn_b")),
            ir.Requantize(name="r4", inputs=("bn",), fmt=relu),
            ir.MaxPool(name="pool", inputs=("r4",), pool=(2, 2)),
            ir.Reshape(name="flat", inputs=("pool",), shape=(16,)),
            ir.Const(name="fc_w", value=rng.integers(-15, 16, (16, 3)), fraction=4),
            ir.Dense(name="fc", inputs=("flat", "fc_w")),
            ir.Output(name="fc_out", inputs=("fc",)),
        ),
    ).verify()


def streamed(graph: Graph, request: FoldRequest) -> RtlDesign:
    return emit_stream(plan_stream(graph, RtlOptions(clock_period_ns=4.0, axis_bytes=2), request))


CASES: dict[str, Callable[[], RtlDesign]] = {
    "two_layers": lambda: generate(two_layers(), RtlOptions(clock_period_ns=2.0, axis_bytes=1)),
    "two_layers_plain": lambda: generate(
        two_layers(), RtlOptions(clock_period_ns=2.0, strategy="latency", handshake="none")
    ),
    "two_inputs": lambda: generate(two_inputs(), RtlOptions()),
    "dead_neurons": lambda: generate(dead_neurons(), RtlOptions(clock_period_ns=1.5)),
    "residual": lambda: streamed(residual(), FoldRequest(reuse_factor=8)),
}


@pytest.mark.parametrize("case", CASES)
def test_rtl_is_what_was_reviewed(case: str, request: pytest.FixtureRequest) -> None:
    design = CASES[case]()
    folder = GOLDEN / case
    text = {name: content for name, content in design.files.items() if not name.startswith("hg_")}
    if request.config.getoption("--update-golden"):
        for old in folder.glob("*"):
            old.unlink()
        for name, content in text.items():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    assert sorted(p.name for p in folder.iterdir()) == sorted(text)
    for name, content in text.items():
        assert content.decode() == (folder / name).read_text(), f"{case}/{name} changed"


@pytest.mark.parametrize("case", ["two_layers", "residual"])
def test_generating_twice_gives_the_same_bytes(case: str) -> None:
    assert CASES[case]().files.digest() == CASES[case]().files.digest()
