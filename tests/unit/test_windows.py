"""The nodes with a window against loops written down from docs/numerics.md, and against Keras."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest

from hwgen.errors import GraphError
from hwgen.fixed import FixedPoint, Overflow, Rounding, divide_round
from hwgen.ir import Graph, graph_files, graph_from_files
from hwgen.ir import nodes as ir
from hwgen.ir.gains import input_gains
from hwgen.ir.vectors import make_vectors

SHAPES = [
    # (H, W, C), kernel, strides, (top, bottom, left, right)
    ((5, 6, 3), (3, 3), (1, 1), (0, 0, 0, 0)),
    ((5, 6, 3), (3, 3), (1, 1), (1, 1, 1, 1)),
    ((7, 5, 2), (2, 3), (2, 1), (0, -1, 1, 1)),
    ((6, 6, 1), (3, 2), (2, 2), (0, 1, 0, 0)),
    ((1, 1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
    ((1, 1, 2), (3, 3), (2, 2), (1, 1, 1, 1)),
    ((1, 9, 2), (1, 4), (1, 3), (0, 0, 3, 0)),
    ((8, 8, 1), (1, 1), (3, 3), (0, -1, 0, -1)),
    ((4, 4, 2), (4, 4), (1, 1), (0, 0, 0, 0)),
    ((6, 7, 2), (3, 3), (4, 4), (0, 0, 0, -2)),
]


def graph_of(x: ir.Input, *nodes: ir.Node) -> Graph:
    return Graph("g", (x, *nodes, ir.Output(name="y_out", inputs=(nodes[-1].name,)))).verify()


def naive(node: ir.Window, x: np.ndarray, kernel: tuple[int, int], pick: object) -> np.ndarray:
    """Walk the windows one by one: `pick` gets the list of (ky, kx, row of channels) that lie inside."""
    height, width, _ = x.shape
    top, bottom, left, right = node.padding
    rows = (height + top + bottom - kernel[0]) // node.strides[0] + 1
    columns = (width + left + right - kernel[1]) // node.strides[1] + 1
    result = []
    for oy in range(rows):
        for ox in range(columns):
            inside = []
            for ky in range(kernel[0]):
                for kx in range(kernel[1]):
                    iy, ix = oy * node.strides[0] - top + ky, ox * node.strides[1] - left + kx
                    if 0 <= iy < height and 0 <= ix < width:
                        inside.append((ky, kx, [int(v) for v in x[iy, ix]]))
            result.append(pick(inside))
    return np.array(result, dtype=object).reshape(rows, columns, -1)


def check(graph: Graph, reference: object, seed: int = 3) -> None:
    """Compare the graph with `reference` frame by frame, and its ranges with what frames take."""
    rng = np.random.default_rng(seed)
    (source,) = graph.inputs
    lo, hi = source.fmt.int_min, source.fmt.int_max
    small = abs(lo) < 1 << 60
    x = rng.integers(lo, hi + 1, (6, *source.shape)) if small else np.array(
        [[lo, hi, 0, 1, -1][k % 5] for k in range(6 * int(np.prod(source.shape)))], dtype=object
    ).reshape(6, *source.shape)  # fmt: skip
    x[0], x[1] = lo, hi
    got = graph.evaluate({source.name: x})["y_out"]
    t = graph.types["y_out"]
    assert got.shape[1:] == t.shape
    for frame, expected in zip(x, got, strict=True):
        np.testing.assert_array_equal(reference(frame), expected)
        assert (expected >= t.lo).all() and (expected <= t.hi).all()


def weights(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> np.ndarray:
    if bits < 50:
        return rng.integers(-(1 << bits), (1 << bits) + 1, shape)
    return np.array([int(v) << bits for v in rng.integers(-3, 4, int(np.prod(shape)))], dtype=object).reshape(shape)


@pytest.mark.parametrize("fmt,bits", [("fixed<6,2>", 3), ("fixed<30,2>", 30), ("fixed<70,2>", 60)])
@pytest.mark.parametrize("shape,kernel,strides,padding", SHAPES)
def test_conv(shape: tuple, kernel: tuple, strides: tuple, padding: tuple, fmt: str, bits: int) -> None:
    rng = np.random.default_rng(1)
    w, b = weights(rng, (*kernel, shape[2], 3), bits), rng.integers(-50, 50, 3)
    node = ir.Conv(name="y", inputs=("x", "w", "b"), strides=strides, padding=padding)
    graph = graph_of(
        ir.Input(name="x", shape=shape, fmt=FixedPoint.parse(fmt)),
        ir.Const(name="w", value=w, fraction=2),
        ir.Const(name="b", value=b, fraction=3),
        node,
    )
    fraction = graph.inputs[0].fmt.fraction + 2

    def pick(inside: list) -> list[int]:
        sums = [sum(v * int(w[ky, kx, c, o]) for ky, kx, row in inside for c, v in enumerate(row)) for o in range(3)]
        return [s + (int(b[o]) << (fraction - 3)) for o, s in enumerate(sums)]

    check(graph, lambda x: naive(node, x, kernel, pick))
    t = graph.types["y"]
    signs = {o: graph_corner(graph, w, o, node, kernel) for o in range(3)} if bits == 3 else {}
    for o, value in signs.items():
        assert value == t.hi[0, 0, o], "the range is reached"


def graph_corner(graph: Graph, w: np.ndarray, o: int, node: ir.Conv, kernel: tuple[int, int]) -> int:
    """Return output (0, 0, o) at the frame that drives it highest."""
    (source,) = graph.inputs
    x = np.zeros(source.shape, dtype=np.int64)
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            iy, ix = ky - node.padding[0], kx - node.padding[2]
            if 0 <= iy < x.shape[0] and 0 <= ix < x.shape[1]:
                x[iy, ix] = np.where(w[ky, kx, :, o] > 0, source.fmt.int_max, source.fmt.int_min)
    return int(graph.evaluate({source.name: x[None]})["y_out"][0, 0, 0, o])


@pytest.mark.parametrize("fmt,bits", [("fixed<6,2>", 3), ("fixed<70,2>", 60)])
@pytest.mark.parametrize("shape,kernel,strides,padding", SHAPES)
def test_depthwise_conv(shape: tuple, kernel: tuple, strides: tuple, padding: tuple, fmt: str, bits: int) -> None:
    rng = np.random.default_rng(2)
    w, depth = weights(rng, (*kernel, shape[2], 2), bits), 2
    node = ir.DepthwiseConv(name="y", inputs=("x", "w"), strides=strides, padding=padding)
    graph = graph_of(
        ir.Input(name="x", shape=shape, fmt=FixedPoint.parse(fmt)), ir.Const(name="w", value=w, fraction=0), node
    )

    def pick(inside: list) -> list[int]:
        return [
            sum(row[c] * int(w[ky, kx, c, d]) for ky, kx, row in inside)
            for c in range(shape[2])
            for d in range(depth)
        ]  # fmt: skip

    check(graph, lambda x: naive(node, x, kernel, pick))


@pytest.mark.parametrize("kind", [ir.MaxPool, ir.SumPool])
@pytest.mark.parametrize("fmt", ["fixed<6,2>", "ufixed<3,2>", "fixed<70,2>"])
@pytest.mark.parametrize("shape,kernel,strides,padding", SHAPES)
def test_pools(shape: tuple, kernel: tuple, strides: tuple, padding: tuple, fmt: str, kind: type) -> None:
    if kernel == (3, 3) and strides == (4, 4):
        padding = (0, 0, 0, 1)
    node = kind(name="y", inputs=("x",), strides=strides, padding=padding, pool=kernel)
    graph = graph_of(ir.Input(name="x", shape=shape, fmt=FixedPoint.parse(fmt)), node)
    join = max if kind is ir.MaxPool else sum

    def pick(inside: list) -> list[int]:
        return [join(row[c] for _, _, row in inside) for c in range(shape[2])]

    check(graph, lambda x: naive(node, x, kernel, pick))


def rounded(value: Fraction, mode: Rounding) -> int:
    """Round as the table of docs/numerics.md says."""
    floor = value.numerator // value.denominator
    half = value - floor - Fraction(1, 2)
    if half != 0 and mode not in (Rounding.TRN, Rounding.TRN_ZERO):
        return floor + (half > 0)
    match mode:
        case Rounding.TRN | Rounding.RND_MIN_INF:
            return floor
        case Rounding.TRN_ZERO:
            return floor + (value < 0 and value != floor)
        case Rounding.RND:
            return floor + 1
        case Rounding.RND_ZERO:
            return floor + (value < 0)
        case Rounding.RND_INF:
            return floor + (value >= 0)
    return floor + floor % 2


@pytest.mark.parametrize("mode", list(Rounding))
@pytest.mark.parametrize("denominator", [1, 2, 3, 4, 6, 9, 49, 1 << 70])
def test_divide_round(mode: Rounding, denominator: int) -> None:
    big = denominator > 1 << 60
    values = np.arange(-200, 200) if not big else np.array([k << 68 for k in range(-20, 20)], dtype=object)
    got = divide_round(values, np.asarray(denominator), mode)
    assert [int(v) for v in got] == [rounded(Fraction(int(v), denominator), mode) for v in values]


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("mode", [Rounding.RND_CONV, Rounding.TRN, Rounding.RND_INF])
def test_divide(mode: Rounding, overflow: Overflow) -> None:
    fmt = FixedPoint(5, 2, True, mode, overflow)
    divisor = np.array([[4, 6], [6, 9], [3, 1]])[..., None]
    clamp = (-9, 12) if overflow is Overflow.SAT else None
    graph = graph_of(
        ir.Input(name="x", shape=(3, 2, 2), fmt=FixedPoint.parse("fixed<9,5>")),
        ir.Divide(name="y", inputs=("x",), divisor=divisor, fmt=fmt, clamp=clamp),
    )

    def reference(x: np.ndarray) -> np.ndarray:
        result = np.zeros(x.shape, dtype=np.int64)
        for index in np.ndindex(x.shape):
            value = Fraction(int(x[index]), 16 * int(divisor[index[0], index[1], 0])) * 8
            (result[index],) = fmt.wrap_or_saturate(np.array([rounded(value, mode)]))
        return result if clamp is None else np.clip(result, *clamp)

    check(graph, reference)


def test_pad_and_upsample() -> None:
    graph = graph_of(
        ir.Input(name="x", shape=(2, 3, 2), fmt=FixedPoint.parse("fixed<6,2>")),
        ir.Upsample(name="u", inputs=("x",), factors=(2, 3)),
        ir.Pad(name="y", inputs=("u",), padding=(1, 0, 2, 1)),
    )

    def reference(x: np.ndarray) -> np.ndarray:
        y = np.zeros((5, 12, 2), dtype=np.int64)
        for oy in range(4):
            for ox in range(9):
                y[oy + 1, ox + 2] = x[oy // 2, ox // 3]
        return y

    check(graph, reference)


def small_network() -> Graph:
    rng = np.random.default_rng(5)
    fmt = FixedPoint(5, 2, False, Rounding.RND_CONV, Overflow.SAT)
    return graph_of(
        ir.Input(name="x", shape=(6, 6, 2), fmt=FixedPoint.parse("fixed<6,2>")),
        ir.Const(name="w1", value=rng.integers(-7, 8, (3, 3, 2, 4)), fraction=3),
        ir.Conv(name="c1", inputs=("x", "w1"), padding=(1, 1, 1, 1)),
        ir.Requantize(name="r1", inputs=("c1",), fmt=fmt),
        ir.Const(name="w2", value=rng.integers(-7, 8, (3, 3, 4, 1)), fraction=3),
        ir.DepthwiseConv(name="c2", inputs=("r1", "w2"), padding=(1, 1, 1, 1)),
        ir.Requantize(name="r2", inputs=("c2",), fmt=fmt),
        ir.Add(name="a", inputs=("r1", "r2")),
        ir.MaxPool(name="m", inputs=("a",), strides=(2, 2), pool=(2, 2)),
        ir.Upsample(name="u", inputs=("m",), factors=(2, 1)),
        ir.Pad(name="p", inputs=("u",), padding=(0, 1, 0, 1)),
        ir.SumPool(name="s", inputs=("p",), strides=(1, 1), pool=(7, 4)),
        ir.Divide(name="d", inputs=("s",), divisor=np.array([28]), fmt=fmt, clamp=(0, 20)),
        ir.Reshape(name="f", inputs=("d",), shape=(4,)),
        ir.Const(name="w3", value=rng.integers(-7, 8, (4, 3)), fraction=3),
        ir.Dense(name="y", inputs=("f", "w3")),
    )


def test_round_trip_and_corners() -> None:
    graph = small_network()
    files = graph_files(graph)
    again = graph_from_files(files)
    assert graph_files(again).digest() == files.digest()
    vectors = make_vectors(graph, None, 50, 0)
    for frames in vectors.values():
        expected = graph.evaluate(frames)["y_out"]
        np.testing.assert_array_equal(expected, again.evaluate(frames)["y_out"])
    trace = graph.evaluate(vectors["corners"], trace=True)
    t = graph.types["c1"]
    assert np.array_equal(trace["c1"].min(axis=0), t.lo) and np.array_equal(trace["c1"].max(axis=0), t.hi)


def test_gains_are_what_a_unit_input_gives() -> None:
    rng = np.random.default_rng(6)
    graph = graph_of(
        ir.Input(name="x", shape=(3, 4, 2), fmt=FixedPoint(4, 4)),
        ir.Pad(name="p", inputs=("x",), padding=(1, 0, 2, 1)),
        ir.Const(name="w1", value=rng.integers(-7, 8, (2, 3, 2, 3)), fraction=1),
        ir.Conv(name="c1", inputs=("p", "w1"), strides=(2, 1), padding=(0, 0, 1, 0)),
        ir.Upsample(name="u", inputs=("c1",), factors=(2, 1)),
        ir.Const(name="w2", value=rng.integers(-7, 8, (2, 2, 3, 2)), fraction=2),
        ir.DepthwiseConv(name="c2", inputs=("u", "w2")),
        ir.SumPool(name="s", inputs=("c2",), pool=(2, 2), padding=(0, 0, 0, 1)),
        ir.Concat(name="k", inputs=("s", "s"), axis=1),
        ir.Transpose(name="t", inputs=("k",), perm=(1, 2, 0)),
        ir.Reshape(name="f", inputs=("t",), shape=(graph_size := 5 * 2 * 6 * 2,)),
        ir.Const(name="w3", value=rng.integers(-7, 8, (graph_size, 4)), fraction=0),
        ir.Dense(name="y", inputs=("f", "w3")),
    )
    units = np.eye(24, dtype=np.int64).reshape(24, 3, 4, 2)
    expected = graph.evaluate({"x": units})["y_out"] * 2.0 ** -graph.types["y"].fraction
    got = input_gains(graph, "y", np.arange(4))["x"]
    np.testing.assert_allclose(got.T, expected)


@pytest.mark.parametrize(
    "node,found",
    [
        (ir.MaxPool(name="y", inputs=("x",), pool=(5, 1)), "larger than the padded input"),
        (ir.MaxPool(name="y", inputs=("x",), pool=(2, 2), padding=(2, 0, 0, 0)), "padding only"),
        (ir.SumPool(name="y", inputs=("x",), pool=(2, 2), strides=(0, 1)), "at least 1"),
        (ir.SumPool(name="y", inputs=("x",), pool=(2, 2), padding=(-1, 0, 0, 0)), "at least 0"),
        (ir.Pad(name="y", inputs=("x",), padding=(0, -1, 0, 0)), "negative"),
        (ir.Upsample(name="y", inputs=("x",), factors=(0, 1)), "at least 1"),
        (ir.Divide(name="y", inputs=("x",), divisor=np.array([0]), fmt=FixedPoint(4, 2)), "positive"),
        (ir.Divide(name="y", inputs=("x",), divisor=np.ones((2, 4, 3, 2), int), fmt=FixedPoint(4, 2)), "fit"),
    ],
)
def test_what_does_not_fit_is_refused(node: ir.Node, found: str) -> None:
    with pytest.raises(GraphError, match=found):
        graph_of(ir.Input(name="x", shape=(4, 3, 2), fmt=FixedPoint(4, 2)), node)


def test_weights_that_do_not_fit_are_refused() -> None:
    x = ir.Input(name="x", shape=(4, 3, 2), fmt=FixedPoint(4, 2))
    w = ir.Const(name="w", value=np.ones((2, 2, 3, 4), int), fraction=0)
    for kind in (ir.Conv, ir.DepthwiseConv):
        with pytest.raises(GraphError, match="do not fit"):
            graph_of(x, w, kind(name="y", inputs=("x", "w")))


def test_many_frames_stay_within_bounds_of_time_and_memory() -> None:
    """A wide layer over thousands of frames: blocks, so that nothing holds every tensor of every frame."""
    import tracemalloc

    rng = np.random.default_rng(5)
    graph = graph_of(
        ir.Input(name="x", shape=(32, 32, 3), fmt=FixedPoint(6, 2)),
        ir.Const(name="w", value=rng.integers(-7, 8, (3, 3, 3, 64)), fraction=3),
        ir.Conv(name="c", inputs=("x", "w"), padding=(1, 1, 1, 1)),
        ir.MaxPool(name="y", inputs=("c",), strides=(32, 32), pool=(32, 32)),
    )
    x = rng.integers(-32, 32, (1000, 32, 32, 3), dtype=np.int64)
    tracemalloc.start()
    begin = time.monotonic()
    graph.evaluate({"x": x})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6, f"{peak / 1e6:.0f} MB"  # every frame's convolution would take 524 MB
    assert time.monotonic() - begin < 60
    corners = make_vectors(graph, None, 10, 0)["corners"]["x"]
    assert corners.nbytes < 150e6


@pytest.mark.keras
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel,strides", [((3, 2), (1, 1)), ((2, 3), (2, 2)), ((1, 1), (3, 2)), ((4, 4), (3, 1))])
def test_against_keras(kernel: tuple[int, int], strides: tuple[int, int], padding: str) -> None:
    import keras

    rng = np.random.default_rng(9)
    x = rng.integers(-32, 32, (3, 8, 7, 2))
    w = rng.integers(-4, 5, (*kernel, 2, 3))
    pads: list[int] = []
    for size, k, s in zip(x.shape[1:3], kernel, strides, strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0) if padding == "same" else 0
        pads += [total // 2, total - total // 2]
    place = {"strides": strides, "padding": tuple(pads)}
    source = ir.Input(name="x", shape=x.shape[1:], fmt=FixedPoint(6, 6))
    const = ir.Const(name="w", value=w, fraction=0)
    nodes = {
        "conv": (const, ir.Conv(name="y", inputs=("x", "w"), **place)),
        "depthwise_conv": (const, ir.DepthwiseConv(name="y", inputs=("x", "w"), **place)),
        "max": (ir.MaxPool(name="y", inputs=("x",), pool=kernel, **place),),
        "sum": (ir.SumPool(name="y", inputs=("x",), pool=kernel, **place),),
    }
    floats = x.astype(np.float64)
    if strides[0] != strides[1]:
        del nodes["depthwise_conv"]  # TensorFlow has none with unequal strides
    for name, made in nodes.items():
        got = graph_of(source, *made).evaluate({"x": x})["y_out"]
        if name in ("max", "sum"):
            pool = {"pool_size": kernel, "strides": strides, "padding": padding}
            layer = keras.layers.MaxPooling2D(**pool) if name == "max" else keras.layers.AveragePooling2D(**pool)
            expected = np.asarray(layer(floats.astype(np.float32)), dtype=np.float64)
            if name == "sum":
                ones = graph_of(source, *made).evaluate({"x": np.ones_like(x)})["y_out"]
                got = got / ones
        else:
            call = getattr(keras.ops, name)
            expected = np.asarray(call(floats.astype(np.float32), w.astype(np.float32), strides, padding))
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-5, err_msg=name)
