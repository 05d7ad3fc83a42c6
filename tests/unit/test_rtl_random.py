"""Random graphs: reference = interpreter on many, = RTL on a few. A failure prints the seed that replays it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from test_rtl_nodes import check

from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.ir import Graph, graph_digest, graph_files, graph_from_files
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlOptions, plan

SEED = int(os.environ.get("HWGEN_SEED", "1000"))


def random_format(rng: np.random.Generator) -> FixedPoint:
    width = int(rng.integers(1, 8))
    modes = list(Rounding), list(Overflow)
    rounding, overflow = (m[int(rng.integers(len(m)))] for m in modes)
    signed = bool(rng.integers(2))
    if signed and overflow is Overflow.SAT_SYM:
        width += 1
    return FixedPoint(width, int(rng.integers(-1, width + 2)), signed, rounding, overflow)


def random_graph(seed: int) -> Graph:
    """Return a graph of a few random nodes over one or two inputs."""
    rng = np.random.default_rng(seed)
    nodes: list[ir.Node] = []
    live: list[tuple[str, int]] = []
    for k in range(int(rng.integers(1, 3))):
        size = int(rng.integers(1, 6))
        fmt = FixedPoint(int(rng.integers(1, 7)), int(rng.integers(-1, 4)), bool(rng.integers(2)))
        nodes.append(ir.Input(name=f"in{k}", shape=(size,), fmt=fmt))
        live.append((f"in{k}", size))

    def pick() -> tuple[str, int]:
        return live[int(rng.integers(len(live)))]

    for k in range(int(rng.integers(3, 9))):
        (x, n), name = pick(), f"n{k}"
        partners = [other for other, size in live if size == n]
        other = partners[int(rng.integers(len(partners)))]
        match int(rng.integers(10)):
            case 0 | 1 | 2:
                m = int(rng.integers(1, 6))
                weight = rng.integers(-15, 16, (n, m)) * (rng.random((n, m)) < rng.random())
                nodes.append(ir.Const(name=f"{name}_w", value=weight, fraction=int(rng.integers(0, 6))))
                nodes.append(
                    ir.Const(name=f"{name}_b", value=rng.integers(-20, 21, m), fraction=int(rng.integers(0, 6)))
                )
                operands = (x, f"{name}_w", f"{name}_b")[: int(rng.integers(2, 4))]
                if len(operands) == 2:
                    nodes.pop()
                nodes += [
                    ir.Dense(name=f"{name}_d", inputs=operands),
                    ir.Requantize(name=name, inputs=(f"{name}_d",), fmt=random_format(rng)),
                ]
                live.append((name, m))
            case 3 | 4:
                nodes.append(ir.Requantize(name=name, inputs=(x,), fmt=random_format(rng)))
                live.append((name, n))
            case 5:
                nodes.append(ir.Const(name=f"{name}_s", value=rng.integers(-9, 10, n), fraction=2))
                nodes.append(ir.Scale(name=f"{name}_x", inputs=(x, f"{name}_s")))
                nodes.append(ir.Requantize(name=name, inputs=(f"{name}_x",), fmt=random_format(rng)))
                live.append((name, n))
            case 6:
                kind = (ir.Add, ir.Sub, ir.Max, ir.Min)[int(rng.integers(4))]
                nodes.append(kind(name=f"{name}_e", inputs=(x, other)))
                nodes.append(ir.Requantize(name=name, inputs=(f"{name}_e",), fmt=random_format(rng)))
                live.append((name, n))
            case 7:
                nodes.append(ir.Mul(name=f"{name}_e", inputs=(x, other)))
                nodes.append(ir.Requantize(name=name, inputs=(f"{name}_e",), fmt=random_format(rng)))
                live.append((name, n))
            case 8:
                nodes.append(ir.Concat(name=name, inputs=(x, pick()[0]), axis=0))
                live.append((name, sum(dict(live)[i] for i in nodes[-1].inputs)))
            case 9:
                nodes.append((ir.ReduceMax, ir.ArgMax)[int(rng.integers(2))](name=name, inputs=(x,)))
                live.append((name, 1))
    used = {operand for node in nodes for operand in node.inputs}
    ends = [n.name for n in nodes if n.name not in used]
    nodes += [ir.Output(name=f"{e}_out", inputs=(e,)) for e in ends]
    return Graph(f"random{seed}", tuple(nodes)).verify()


def frames(graph: Graph, seed: int, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {i.name: rng.integers(i.fmt.int_min, i.fmt.int_max + 1, (count, *i.shape)) for i in graph.inputs}


@pytest.mark.parametrize("seed", range(SEED, SEED + 60))
def test_interpreter_is_the_reference(seed: int) -> None:
    print(f"replay: HWGEN_SEED={seed} pytest {__file__} -k interpreter")
    graph = random_graph(seed)
    assert graph_digest(graph_from_files(graph_files(graph))) == graph_digest(graph)
    x = frames(graph, seed, 200)
    strategy = "latency" if seed % 3 == 0 else "distributed_arithmetic"
    decided = plan(graph, RtlOptions(clock_period_ns=1.5, strategy=strategy))
    values = decided.program.run(x)
    trace = graph.evaluate(x, trace=True)
    for name, t in graph.types.items():
        if name in trace:
            assert (trace[name] >= t.lo).all() and (trace[name] <= t.hi).all(), name
            np.testing.assert_array_equal(
                decided.program.tensor_values(name, values), trace[name].reshape(200, -1), f"{name}, seed {seed}"
            )
    for op, value in zip(decided.program.ops, values, strict=True):
        assert op.lo <= int(value.min()) <= int(value.max()) <= op.hi, (op, seed)


@pytest.mark.verilator
@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
def test_rtl_is_the_reference(seed: int, tmp_path: Path) -> None:
    print(f"replay: HWGEN_SEED={seed} pytest {__file__} -k rtl_is")
    graph = random_graph(seed)
    strategy = "latency" if seed % 3 == 0 else "distributed_arithmetic"
    handshake = "none" if seed % 2 else "valid_ready"
    options = RtlOptions(clock_period_ns=1.5, strategy=strategy, handshake=handshake)
    check(graph, tmp_path, options, frames(graph, seed, 400))
