"""Every node kind: the graph's integers = the scalar program's = the RTL's in Verilator, and latency as predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import NumericsError
from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlOptions, emit, plan
from hwgen.sim.native import build_harness
from hwgen.sim.streams import in_streams, out_streams, pack_frames, unpack_frames

SEED = 20261122


def check(graph: Graph, folder: Path, options: RtlOptions | None = None, x: dict | None = None) -> None:
    """Hold reference, interpreter and RTL against each other on `x` (or on random frames)."""
    graph.verify()
    if x is None:
        rng = np.random.default_rng(SEED)
        x = {i.name: rng.integers(i.fmt.int_min, i.fmt.int_max + 1, (600, *i.shape)) for i in graph.inputs}
        for values in x.values():
            values[0], values[1] = values.min(), values.max()
    frames = len(next(iter(x.values())))
    decided = plan(graph, options or RtlOptions(clock_period_ns=2.0))
    trace = graph.evaluate(x, trace=True)
    values = decided.program.run({k: v.reshape(frames, -1) for k, v in x.items()})
    for op, value in zip(decided.program.ops, values, strict=True):
        assert op.lo <= int(value.min()) <= int(value.max()) <= op.hi, op
    for name, expected in trace.items():
        np.testing.assert_array_equal(
            decided.program.tensor_values(name, values), expected.reshape(frames, -1), f"{name} in the interpreter"
        )
    design = emit(decided)
    design.files.write(folder / "rtl")
    sources = [folder / "rtl" / f for f in design.design["files"] if "axis" not in f]
    harness = build_harness(design.design, sources, folder / "obj")
    run = harness.run(pack_frames(in_streams(design.design), x))
    assert set(run.produced - run.accepted) == {decided.predicted.latency_cycles}
    assert set(np.diff(run.produced)) == {1}
    for name, got in unpack_frames(out_streams(design.design), run.outputs).items():
        np.testing.assert_array_equal(got.reshape(frames, -1), trace[name].reshape(frames, -1), f"{name} in the RTL")


def inp(name: str, shape: tuple[int, ...], fmt: str) -> ir.Input:
    return ir.Input(name=name, shape=shape, fmt=FixedPoint.parse(fmt))


def outputs(*names: str) -> list[ir.Node]:
    return [ir.Output(name=f"{n}_out", inputs=(n,)) for n in names]


@pytest.mark.verilator
@pytest.mark.parametrize("signed", [True, False])
def test_requantize_every_mode_over_every_value(tmp_path: Path, signed: bool) -> None:
    source = FixedPoint(8, 4, signed)
    nodes: list[ir.Node] = [ir.Input(name="x", shape=(1,), fmt=source)]
    targets = [(4, 2, True), (4, 2, False), (3, 4, True), (12, 6, True), (2, -1, True), (1, 1, False)]
    for mode in Rounding:
        for overflow in Overflow:
            for k, (width, integer, out_signed) in enumerate(targets):
                fmt = FixedPoint(width, integer, out_signed, mode, overflow)
                nodes.append(ir.Requantize(name=f"r_{mode}_{overflow}_{k}".lower(), inputs=("x",), fmt=fmt))
    fmt = FixedPoint.parse("ufixed<6,3,RND_CONV,SAT>")
    nodes.append(ir.Requantize(name="clamped", inputs=("x",), fmt=fmt, clamp=(3, 41)))
    nodes += outputs(*(n.name for n in nodes[1:]))
    every = np.arange(source.int_min, source.int_max + 1).reshape(-1, 1)
    check(Graph("req", tuple(nodes)), tmp_path, RtlOptions(clock_period_ns=5), {"x": every})


@pytest.mark.verilator
@pytest.mark.parametrize("strategy", ["distributed_arithmetic", "latency"])
@pytest.mark.parametrize("handshake", ["valid_ready", "none"])
def test_dense_chain(tmp_path: Path, strategy: str, handshake: str) -> None:
    rng = np.random.default_rng(SEED)
    nodes: list[ir.Node] = [inp("x", (9,), "fixed<7,3>")]
    previous = "x"
    sizes = (9, 11, 1, 6)
    modes = ("ufixed<6,2,RND_CONV,SAT>", "fixed<5,4,RND,SAT>", "fixed<6,6,TRN,WRAP>")
    for k, fmt in enumerate(modes):
        weight = rng.integers(-31, 32, (sizes[k], sizes[k + 1])) * (rng.random((sizes[k], sizes[k + 1])) < 0.6)
        weight[:, -1] *= sizes[k + 1] == 1  # a neuron without weights
        bias = rng.integers(-64, 64, sizes[k + 1])
        bias[0] = 0
        nodes += [
            ir.Const(name=f"w{k}", value=weight, fraction=5),
            ir.Const(name=f"b{k}", value=bias, fraction=3 + k),
            ir.Dense(name=f"fc{k}", inputs=(previous, f"w{k}", f"b{k}")),
            ir.Requantize(name=f"act{k}", inputs=(f"fc{k}",), fmt=FixedPoint.parse(fmt)),
        ]
        previous = f"act{k}"
    nodes += outputs(previous, "fc2", "act0")  # act0 leaves early: it is delayed to the end
    options = RtlOptions(clock_period_ns=1.5, strategy=strategy, handshake=handshake)
    check(Graph("dense", tuple(nodes)), tmp_path, options)


@pytest.mark.verilator
def test_elementwise_wiring_and_tables(tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    a, b = inp("a", (2, 3), "fixed<6,3>"), inp("b", (2, 3), "ufixed<5,1>")
    nodes: list[ir.Node] = [
        a,
        b,
        ir.Const(name="s", value=np.array([3, -5, 8]), fraction=2),
        ir.Const(name="o", value=np.array([1, 0, -7]), fraction=5),
        ir.Const(name="half", value=np.array([1]), fraction=1),
        ir.Add(name="add", inputs=("a", "b")),
        ir.Sub(name="sub", inputs=("a", "b")),
        ir.Mul(name="mul", inputs=("a", "b")),
        ir.Max(name="larger", inputs=("a", "b")),
        ir.Min(name="smaller", inputs=("a", "b")),
        ir.Scale(name="scaled", inputs=("a", "s", "o")),
        ir.Scale(name="slope", inputs=("a", "half")),
        ir.Max(name="leaky", inputs=("a", "slope")),
        ir.Requantize(name="leaky_q", inputs=("leaky",), fmt=FixedPoint.parse("fixed<5,3,RND_CONV,SAT>")),
        ir.Requantize(name="mul_q", inputs=("mul",), fmt=FixedPoint.parse("fixed<4,2,RND_INF,SAT_SYM>")),
        ir.Requantize(name="add_q", inputs=("add",), fmt=FixedPoint.parse("fixed<5,3,RND,SAT>")),
        ir.Lookup(
            name="curve", inputs=("a",), table=rng.integers(-8, 8, 64), first=-32, fmt=FixedPoint.parse("fixed<4,1>")
        ),
        ir.Transpose(name="turned", inputs=("sub",), perm=(1, 0)),
        ir.Reshape(name="flat", inputs=("turned",), shape=(6,)),
        ir.Reshape(name="flat_mul", inputs=("mul_q",), shape=(6,)),
        ir.Concat(name="both", inputs=("flat", "flat_mul"), axis=0),
        ir.Const(name="w", value=rng.integers(-7, 8, (12, 3)), fraction=3),
        ir.Dense(name="mixed", inputs=("both", "w")),
        ir.ReduceMax(name="top", inputs=("mixed",)),
        ir.Sub(name="below", inputs=("top", "mixed")),
        ir.Const(name="w2", value=rng.integers(-7, 8, (3, 2)), fraction=3),
        ir.Dense(name="rows", inputs=("scaled", "w2")),
    ]
    nodes += outputs("add", "larger", "smaller", "leaky_q", "add_q", "curve", "below", "rows")
    check(Graph("wide", tuple(nodes)), tmp_path)


@pytest.mark.verilator
def test_argmax_takes_the_lowest_index_on_a_tie(tmp_path: Path) -> None:
    nodes: list[ir.Node] = [inp("x", (5,), "fixed<2,2>"), ir.ArgMax(name="best", inputs=("x",)), *outputs("best")]
    every = np.array(np.meshgrid(*[np.arange(-2, 2)] * 5)).reshape(5, -1).T
    check(Graph("arg", tuple(nodes)), tmp_path, x={"x": every})


@pytest.mark.verilator
def test_softmax_construction(tmp_path: Path) -> None:
    d = np.arange(64)
    exp = np.rint(np.exp(-d / 8) * 255).astype(np.int64)
    sums = np.arange(1, 4 * 255 + 2)
    nodes: list[ir.Node] = [
        inp("x", (4,), "fixed<7,4>"),
        ir.ReduceMax(name="m", inputs=("x",)),
        ir.Sub(name="d", inputs=("m", "x")),
        ir.Requantize(name="dq", inputs=("d",), fmt=FixedPoint.parse("ufixed<6,3,TRN,SAT>")),
        ir.Lookup(name="e", inputs=("dq",), table=exp, first=0, fmt=FixedPoint.parse("ufixed<8,0>")),
        ir.Const(name="ones", value=np.ones((4, 1), np.int64), fraction=0),
        ir.Dense(name="total", inputs=("e", "ones")),
        ir.Lookup(
            name="inverse",
            inputs=("total",),
            table=np.concatenate([[0], np.minimum(65535, 65536 // sums)]),
            first=0,
            fmt=FixedPoint.parse("ufixed<16,8>"),
        ),
        ir.Mul(name="p", inputs=("e", "inverse")),
        ir.Requantize(name="y", inputs=("p",), fmt=FixedPoint.parse("ufixed<8,0,RND_CONV,SAT>")),
        *outputs("y"),
    ]
    check(Graph("softmax", tuple(nodes)), tmp_path)


def test_a_value_too_wide_for_the_library_is_refused() -> None:
    nodes = [
        inp("x", (1,), "fixed<40,40>"),
        ir.Const(name="w", value=np.array([[1 << 23]]), fraction=0),
        ir.Dense(name="fc", inputs=("x", "w")),
        ir.Mul(name="squared", inputs=("fc", "x")),
        *outputs("squared"),
    ]
    with pytest.raises(NumericsError, match="bits in layer squared"):
        plan(Graph("wide", tuple(nodes)), RtlOptions())
