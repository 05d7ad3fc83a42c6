"""Generated text, compared byte for byte with what was reviewed: `pytest --update-golden` writes it anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlOptions, generate

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


CASES = {
    "two_layers": (two_layers, RtlOptions(clock_period_ns=2.0, axis_bytes=1)),
    "two_layers_plain": (two_layers, RtlOptions(clock_period_ns=2.0, strategy="latency", handshake="none")),
    "two_inputs": (two_inputs, RtlOptions()),
    "dead_neurons": (dead_neurons, RtlOptions(clock_period_ns=1.5)),
}


@pytest.mark.parametrize("case", CASES)
def test_rtl_is_what_was_reviewed(case: str, request: pytest.FixtureRequest) -> None:
    make, options = CASES[case]
    design = generate(make(), options)
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


def test_generating_twice_gives_the_same_bytes() -> None:
    make, options = CASES["two_layers"]
    assert generate(make(), options).files.digest() == generate(make(), options).files.digest()
