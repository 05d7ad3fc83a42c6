"""Unrolled windows: the graph's integers = the scalar program's = the RTL's in Verilator; and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from test_rtl_nodes import check, inp, outputs
from test_windows import rounded

from hwgen.errors import NumericsError
from hwgen.fixed import FixedPoint, Overflow, Rounding, shift_round
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.ir.reciprocal import FIRST_ROUNDING, reciprocal
from hwgen.rtl import RtlOptions, plan

RELU = FixedPoint(5, 2, False, Rounding.RND_CONV, Overflow.SAT)


@pytest.mark.parametrize("divisor", [1, 2, 3, 6, 9, 49, 60, 12544])
@pytest.mark.parametrize("up", [-3, -1, 0, 4])
def test_reciprocals_are_exact_for_every_value_and_rounding(divisor: int, up: int) -> None:
    lo, hi = -3000, 4000
    exact = reciprocal(divisor, up, lo, hi)
    x = np.arange(lo, hi + 1)
    near = shift_round(x * exact.multiplier, exact.shift, FIRST_ROUNDING)
    factor = Fraction(2) ** up / divisor
    for mode in Rounding:
        got = shift_round(near, exact.guard, mode)
        assert got.tolist() == [rounded(v * factor, mode) for v in x.tolist()], mode


@pytest.mark.verilator
def test_convolutions_pools_and_pads(tmp_path: Path) -> None:
    """Rectangular kernels, strides, padding on some sides, padding within a layer's inputs, depth multipliers."""
    rng = np.random.default_rng(4)
    w = {
        name: ir.Const(name=name, value=rng.integers(-7, 8, shape), fraction=2)
        for name, shape in {"w1": (3, 2, 2, 3), "w2": (2, 3, 3, 2), "w3": (1, 1, 6, 2)}.items()
    }
    bias = ir.Const(name="b1", value=rng.integers(-9, 10, 3), fraction=4)
    graph = Graph(
        "windows",
        (
            inp("x", (5, 4, 2), "fixed<5,2>"),
            *w.values(),
            bias,
            ir.Conv(name="c1", inputs=("x", "w1", "b1"), padding=(1, 1, 0, 1)),
            ir.Requantize(name="r1", inputs=("c1",), fmt=RELU),
            ir.DepthwiseConv(name="c2", inputs=("r1", "w2"), strides=(2, 1), padding=(0, 0, 1, 1)),
            ir.Conv(name="c3", inputs=("c2", "w3")),
            ir.MaxPool(name="m", inputs=("c1",), pool=(2, 2), strides=(2, 2), padding=(0, 1, 0, 0)),
            ir.Pad(name="p", inputs=("r1",), padding=(1, 0, 0, 2)),
            ir.SumPool(name="s", inputs=("p",), pool=(3, 2), strides=(3, 2)),
            ir.Upsample(name="u", inputs=("s",), factors=(2, 1)),
            ir.Requantize(name="q", inputs=("u",), fmt=FixedPoint(4, 3, True, Rounding.RND, Overflow.SAT)),
            *outputs("c3", "m", "q"),
        ),
    )
    check(graph, tmp_path)


@pytest.mark.verilator
def test_divide_every_rounding(tmp_path: Path) -> None:
    """Ties, both signs, saturation, clamps, divisors that differ by place, and powers of two among them."""
    divisor = np.array([[4, 6], [6, 9], [3, 1], [12, 40]])[..., None]
    nodes: list[ir.Node] = [inp("x", (4, 2, 1), "fixed<9,5>")]
    for k, mode in enumerate(Rounding):
        overflow = list(Overflow)[k % 4]
        clamp = (-5, 9) if overflow is Overflow.SAT else None
        fmt = FixedPoint(5, 2, True, mode, overflow)
        nodes.append(ir.Divide(name=f"d{k}", inputs=("x",), divisor=divisor, fmt=fmt, clamp=clamp))
    fine = FixedPoint(24, 4, True, Rounding.RND_CONV, Overflow.SAT)
    nodes.append(ir.Divide(name="fine", inputs=("x",), divisor=np.array([49]), fmt=fine))
    graph = Graph("division", (*nodes, *outputs(*[f"d{k}" for k in range(len(Rounding))], "fine")))
    values = np.tile(np.arange(-256, 256)[:, None, None, None], (1, 4, 2, 1))
    check(graph, tmp_path, x={"x": values})


def test_a_convolution_is_solved_once_for_all_places() -> None:
    from hwgen.rtl import elaboration

    rng = np.random.default_rng(4)
    calls = []
    solve = elaboration.solve
    graph = Graph(
        "many",
        (
            inp("x", (8, 8, 1), "fixed<5,2>"),
            ir.Const(name="w", value=rng.integers(-7, 8, (3, 3, 1, 2)), fraction=2),
            ir.Conv(name="c", inputs=("x", "w"), padding=(1, 1, 1, 1)),
            *outputs("c"),
        ),
    ).verify()
    try:
        elaboration.solve = lambda *args: calls.append(1) or solve(*args)  # type: ignore[assignment]
        plan(graph, RtlOptions(clock_period_ns=2.0))
    finally:
        elaboration.solve = solve
    assert len(calls) == 9, "the inside, four edges, four corners"


def test_what_would_explode_is_refused_with_the_number_and_the_way_out() -> None:
    graph = Graph(
        "large",
        (
            inp("x", (32, 32, 3), "fixed<5,2>"),
            ir.Const(name="w", value=np.ones((3, 3, 3, 8), int), fraction=2),
            ir.Conv(name="c", inputs=("x", "w")),
            *outputs("c"),
        ),
    ).verify()
    with pytest.raises(NumericsError) as refusal:
        plan(graph, RtlOptions(clock_period_ns=2.0))
    text = refusal.value.render()
    assert "194,400" in text and "io_stream" in text and "layer: c" in text
