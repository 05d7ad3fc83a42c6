"""FixedPoint and exact evaluation against docs/numerics.md, once more in plain fractions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.errors import NumericsError
from hwgen.fixed import FixedPoint, Overflow, Rounding, bits_for, shift_round
from hwgen.ir import Graph
from hwgen.ir import nodes as ir


def rounded(r: Fraction, mode: Rounding) -> int:
    """Section 1, first table."""
    floor, up = math.floor(r), math.ceil(r)
    h = r - floor
    if h == 0:
        return floor
    nearest = floor if h < Fraction(1, 2) else up
    tie = h == Fraction(1, 2)
    return {
        Rounding.TRN: floor,
        Rounding.TRN_ZERO: floor if r >= 0 else up,
        Rounding.RND: up if h >= Fraction(1, 2) else floor,
        Rounding.RND_MIN_INF: up if h > Fraction(1, 2) else floor,
        Rounding.RND_ZERO: (floor if r >= 0 else up) if tie else nearest,
        Rounding.RND_INF: (up if r >= 0 else floor) if tie else nearest,
        Rounding.RND_CONV: (floor if floor % 2 == 0 else up) if tie else nearest,
    }[mode]


def overflowed(n: int, fmt: FixedPoint) -> int:
    """Section 1, second table."""
    lo, hi = (-(1 << (fmt.width - 1)), (1 << (fmt.width - 1)) - 1) if fmt.signed else (0, (1 << fmt.width) - 1)
    if fmt.overflow is Overflow.WRAP:
        low = n % (1 << fmt.width)
        return low - (1 << fmt.width) if low > hi else low
    if fmt.overflow is Overflow.SAT_SYM and fmt.signed:
        lo = -hi
    if fmt.overflow is Overflow.SAT_ZERO:
        return n if lo <= n <= hi else 0
    return min(max(n, lo), hi)


formats = st.builds(
    FixedPoint,
    st.integers(2, 70),
    st.integers(-8, 72),
    st.booleans(),
    st.sampled_from(list(Rounding)),
    st.sampled_from(list(Overflow)),
)


@settings(max_examples=600, deadline=None)
@given(formats, st.floats(-(2.0**74), 2.0**74, allow_nan=False))
def test_floats_are_brought_into_a_format_as_defined(fmt: FixedPoint, x: float) -> None:
    expected = overflowed(rounded(Fraction(x) * Fraction(2) ** fmt.fraction, fmt.rounding), fmt)
    assert fmt.quantize(np.array([x, x, 0.0])).tolist() == [expected, expected, 0]


@settings(max_examples=600, deadline=None)
@given(formats, st.integers(-(2**75), 2**75), st.integers(-8, 80))
def test_integers_are_brought_into_a_format_as_defined(fmt: FixedPoint, n: int, fraction: int) -> None:
    expected = overflowed(rounded(Fraction(n) * Fraction(2) ** (fmt.fraction - fraction), fmt.rounding), fmt)
    assert fmt.requantize(np.array([n], dtype=object), fraction).tolist() == [expected]


@pytest.mark.parametrize(("rounding", "overflow", "signed"), list(itertools.product(Rounding, Overflow, (True, False))))
def test_every_mode_at_every_tie(rounding: Rounding, overflow: Overflow, signed: bool) -> None:
    fmt = FixedPoint(4, 2, signed, rounding, overflow)
    for n in range(-200, 201):  # 1/16 of an LSB: every tie, and both sides of it
        expected = overflowed(rounded(Fraction(n, 16), rounding), fmt)
        assert fmt.quantize(n / 64) == fmt.requantize(np.array(n), 6) == expected, n


def test_the_narrowest_type_and_what_cannot_be_quantized() -> None:
    assert [bits_for(*r) for r in ((0, 0), (0, 1), (-1, 0), (-8, 7), (-9, 7), (0, 8))] == [
        (False, 1),
        (False, 1),
        (True, 1),
        (True, 4),
        (True, 5),
        (False, 4),
    ]
    for bad in (math.nan, math.inf):
        with pytest.raises(NumericsError, match="not finite"):
            FixedPoint(8, 3).quantize(bad)
    with pytest.raises(NumericsError, match="at least one bit"):
        FixedPoint(0, 0)
    assert shift_round(np.array([3]), -70, Rounding.TRN).tolist() == [3 << 70]


@pytest.mark.parametrize("width", [8, 25, 27, 31, 40, 70])
def test_sums_of_products_are_exact_at_every_width(width: int) -> None:
    """BLAS in float64 below 2**53, int64 below 2**62, Python's integers beyond: all the same sum."""
    rng = np.random.default_rng(width)
    fmt = FixedPoint(width, width)
    weight = np.array(
        [[int(v) * fmt.int_max // (1 << 30) for v in row] for row in rng.integers(-(1 << 30), 1 << 30, (9, 3))]
    )
    graph = Graph(
        "net",
        (
            ir.Input(name="x", shape=(9,), fmt=fmt),
            ir.Const(name="w", value=weight.astype(object), fraction=0),
            ir.Const(name="b", value=np.array([1, -1, 3]), fraction=2),
            ir.Dense(name="d", inputs=("x", "w", "b")),
            ir.Output(name="d_out", inputs=("d",)),
        ),
    ).verify()
    x = np.array([[fmt.int_max - int(v) for v in row] for row in rng.integers(0, 50, (20, 9))], dtype=object)
    x[::2] = -x[::2]
    expected = [
        [
            4 * sum(a * int(w) for a, w in zip(row, col, strict=True)) + b
            for col, b in zip(weight.T, (1, -1, 3), strict=True)
        ]
        for row in x.tolist()
    ]
    assert graph.evaluate({"x": x})["d_out"].tolist() == expected
    widest = max(abs(v) for row in expected for v in row)
    assert int(max(graph.types["d"].hi.max(), -graph.types["d"].lo.min())) >= widest
