"""Small networks for the tests of ASIC figures."""

from __future__ import annotations

import numpy as np

from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.ir import Graph
from hwgen.ir import nodes as ir

RELU = FixedPoint(4, 1, False, Rounding.RND_CONV, Overflow.SAT)


def dense_graph(name: str = "dense") -> Graph:
    rng = np.random.default_rng(5)
    return Graph(
        name,
        (
            ir.Input(name="x", shape=(4,), fmt=FixedPoint(4, 1, signed=True)),
            ir.Const(name="fc1_w", value=rng.integers(-7, 8, (4, 4)), fraction=3),
            ir.Dense(name="fc1", inputs=("x", "fc1_w")),
            ir.Requantize(name="relu1", inputs=("fc1",), fmt=RELU),
            ir.Const(name="fc2_w", value=rng.integers(-7, 8, (4, 3)), fraction=3),
            ir.Dense(name="fc2", inputs=("relu1", "fc2_w")),
            ir.Output(name="y", inputs=("fc2",)),
        ),
    ).verify()


def conv_graph(name: str = "conv") -> Graph:
    rng = np.random.default_rng(6)
    return Graph(
        name,
        (
            ir.Input(name="x", shape=(5, 4, 1), fmt=FixedPoint(4, 1, signed=False)),
            ir.Const(name="c1_w", value=rng.integers(-7, 8, (3, 3, 1, 2)), fraction=3),
            ir.Conv(name="c1", inputs=("x", "c1_w"), padding=(1, 1, 1, 1)),
            ir.Requantize(name="relu1", inputs=("c1",), fmt=RELU),
            ir.Output(name="y", inputs=("relu1",)),
        ),
    ).verify()
