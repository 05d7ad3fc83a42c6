"""Random streaming networks: shapes, strides, padding, branches, folds; every integer and every cycle.

``HWGEN_SEED`` sets the first seed, ``HWGEN_STREAM_SEEDS`` how many are tried (`make nightly`: 200).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from stream_check import check_stream

from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl.stream import FoldRequest
from hwgen.rtl.stream.folding import floor_cycles
from hwgen.rtl.stream.kernels import real_counts

SEED = int(os.environ.get("HWGEN_SEED", "0"))
SEEDS = int(os.environ.get("HWGEN_STREAM_SEEDS", "20"))


class Net:
    """A random graph under construction: pictures of one size can be merged."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[ir.Node] = []
        self.name = f"net{seed}"
        self.count = 0

    def pick(self, *values: int) -> int:
        return int(self.rng.choice(values))

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def add(self, kind: type, stem: str, *inputs: str, **fields: object) -> str:
        name = self.fresh(stem)
        self.nodes.append(kind(name=name, inputs=inputs, **fields))
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        return Graph(self.name, tuple(self.nodes)).types[name].shape

    def quantized(self, x: str) -> str:
        signed = bool(self.rng.integers(2))
        rounding = Rounding(self.rng.choice(["TRN", "RND", "RND_CONV"]))
        overflow = Overflow(self.rng.choice(["SAT", "WRAP"]))
        width = self.pick(3, 4, 6)
        fmt = FixedPoint(width, self.pick(1, 2, 4), signed, rounding, overflow)
        return self.add(ir.Requantize, "q", x, fmt=fmt)

    def weight(self, shape: tuple[int, ...]) -> str:
        density = self.rng.choice([1.0, 0.4, 0.1])
        kind = self.pick(0, 1, 2, 3)
        values = self.rng.integers(-7, 8, shape) if kind else self.rng.choice([-1, 1], shape)
        if kind == 1:
            values = np.full(shape, 3)
        return self.add(ir.Const, "w", value=values * (self.rng.random(shape) < density), fraction=self.pick(0, 3))

    def window(self, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """Return kernel, strides and padding that fit a picture."""
        kernel, strides, padding = [], [], []
        for n in size:
            k, s = self.pick(1, 2, 3), self.pick(1, 1, 2, 3)
            if self.rng.random() < 0.6:
                total = max((-(-n // s) - 1) * s + k - n, 0)
                before = total // 2
                after = total - before
            else:
                k = min(k, n)
                before, after = 0, -((n - k) % s)
            kernel.append(k)
            strides.append(s)
            padding += [before, after]
        return {"kernel": tuple(kernel), "strides": tuple(strides), "padding": tuple(padding)}

    def layer(self, x: str) -> str:
        h, w, c = self.shape(x)
        at = self.window((h, w))
        kernel = at.pop("kernel")
        match self.pick(0, 0, 0, 1, 2, 3, 4, 5, 6):
            case 0:
                operands = [x, self.weight((*kernel, c, self.pick(1, 2, 5)))]
                out = Graph(self.name, tuple(self.nodes)).by_name[operands[1]].value.shape[-1]
                if self.rng.random() < 0.7:
                    operands.append(self.add(ir.Const, "b", value=self.rng.integers(-20, 21, out), fraction=4))
                return self.quantized(self.add(ir.Conv, "conv", *operands, **at))
            case 1:
                depth = self.pick(1, 2)
                y = self.add(ir.DepthwiseConv, "dw", x, self.weight((*kernel, c, depth)), **at)
                return self.quantized(y)
            case 2:
                return self.add(ir.MaxPool, "max", x, pool=kernel, **at)
            case 3:
                y = self.add(ir.SumPool, "sum", x, pool=kernel, **at)
                return self.average(y) if self.rng.random() < 0.5 else self.quantized(y)
            case 4:
                if h * w > 60:
                    return self.add(ir.MaxPool, "max", x, pool=kernel, **at)
                return self.add(ir.Upsample, "up", x, factors=(self.pick(1, 2), self.pick(1, 2)))
            case 5:
                sides = tuple(self.pick(0, 1, 2) for _ in range(4))
                return self.add(ir.Pad, "pad", x, padding=sides) if any(sides) else x
            case _:
                scale = self.add(ir.Const, "s", value=self.rng.integers(-9, 10, c), fraction=2)
                shift = self.add(ir.Const, "t", value=self.rng.integers(-9, 10, c), fraction=1)
                y = self.add(ir.Conv, "conv", x, self.weight((1, 1, c, c)))
                return self.quantized(self.add(ir.Scale, "bn", y, scale, shift))

    def average(self, x: str) -> str:
        """Divide a window's sum by its real elements, as Keras does with padding ``same``."""
        node = self.nodes[-1]
        rows, columns = real_counts(node, node.pool, self.shape(node.inputs[0]), self.shape(x))
        fmt = FixedPoint(self.pick(4, 6), 3, True, Rounding.RND_CONV, Overflow.SAT)
        return self.add(ir.Divide, "mean", x, divisor=(rows[:, None] * columns)[:, :, None], fmt=fmt)

    def graph(self) -> Graph:
        h, w = self.pick(1, 3, 5, 8), self.pick(1, 4, 6, 9)
        fmt = FixedPoint(self.pick(2, 5, 8), 2, bool(self.rng.integers(2)))
        x = self.add(ir.Input, "x", shape=(h, w, self.pick(1, 2, 3)), fmt=fmt)
        for _ in range(self.pick(1, 2, 3)):
            x = self.branches(x) if self.rng.random() < 0.4 else self.layer(x)
        if self.rng.random() < 0.6:
            x = self.head(x)
        self.add(ir.Output, "out", x)
        return Graph(self.name, tuple(self.nodes)).verify()

    def branches(self, x: str) -> str:
        """Two ways that meet again."""
        _, _, c = self.shape(x)
        a = self.quantized(self.add(ir.Conv, "conv", x, self.weight((3, 3, c, 2)), padding=(1, 1, 1, 1)))
        kind = self.pick(0, 1, 2)
        b = self.quantized(self.add(ir.Conv, "conv", x, self.weight((1, 1, c, 2)))) if kind else x
        if kind == 0 or self.rng.random() < 0.5:
            return self.add(ir.Concat, "cat", a, b, axis=2)
        merge = (ir.Add, ir.Mul, ir.Max, ir.Sub)[self.pick(0, 1, 2, 3)]
        return self.quantized(self.add(merge, "merge", a, b))

    def head(self, x: str) -> str:
        h, w, c = self.shape(x)
        if self.rng.random() < 0.5:
            pool = (ir.MaxPool, ir.SumPool)[self.pick(0, 1)]
            x = self.quantized(self.add(pool, "gap", x, pool=(h, w)))
            h = w = 1
        x = self.add(ir.Reshape, "flat", x, shape=(h * w * c,))
        x = self.add(ir.Dense, "fc", x, self.weight((h * w * c, self.pick(1, 3, 4))))
        return self.add(ir.ArgMax, "arg", x) if self.rng.random() < 0.3 else x


def random_request(graph: Graph, seed: int) -> FoldRequest:
    rng = np.random.default_rng(seed + 10_000)
    strategy = str(rng.choice(["resource", "distributed_arithmetic"]))
    match int(rng.integers(3)):
        case 0:
            return FoldRequest(reuse_factor=int(rng.choice([1, 2, 3, 7, 50])), strategy=strategy)
        case 1:
            interval = floor_cycles(graph) * int(rng.choice([1, 2, 5, 20]))
            return FoldRequest(reuse_factor=None, interval_cycles=interval, strategy=strategy)
        case _:
            return FoldRequest(reuse_factor=None, max_multipliers=int(rng.integers(8, 60)), strategy=strategy)


@pytest.mark.verilator
@pytest.mark.parametrize("seed", range(SEED, SEED + SEEDS))
def test_random_stream(seed: int, tmp_path: Path) -> None:
    print(f"replay: HWGEN_SEED={seed} HWGEN_STREAM_SEEDS=1 pytest {__file__}")
    graph = Net(seed).graph()
    check_stream(graph, tmp_path, random_request(graph, seed), seed=seed, frames=7)


def test_mean_over_a_power_of_two(tmp_path: Path) -> None:
    """A mean of 16 pixels is a sum and a scale by 2^-4, whose constant is no stream."""
    fmt = FixedPoint(8, 2, False, Rounding.RND_CONV, Overflow.SAT)
    nodes = (
        ir.Input(name="x", shape=(4, 4, 3), fmt=fmt),
        ir.SumPool(name="mean_sum", inputs=("x",), pool=(4, 4), strides=(4, 4)),
        ir.Const(name="mean_s", value=np.ones(1, dtype=np.int64), fraction=4),
        ir.Scale(name="mean", inputs=("mean_sum", "mean_s")),
        ir.Requantize(name="mean_q", inputs=("mean",), fmt=fmt),
        ir.Output(name="y", inputs=("mean_q",)),
    )
    check_stream(Graph("mean", nodes).verify(), tmp_path, FoldRequest(reuse_factor=1), frames=4)
