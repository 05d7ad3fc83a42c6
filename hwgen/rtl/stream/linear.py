"""Layers that multiply by constants (Conv, DepthwiseConv, Dense) as matrices over one operand item, and their folds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import FixedPoint, IntArray
from hwgen.ir import Graph
from hwgen.ir import nodes as ir


@dataclass(frozen=True, eq=False)
class Linear:
    """``y[o] = sum_i x[i] * matrix[i, o] + bias[o]`` for each operand item: a window, a pixel or a vector.

    Parameters
    ----------
    node : Conv, DepthwiseConv or Dense
    matrix : IntArray (window elements, outputs)
        Element order (ky, kx, c).
    bias : IntArray (outputs,)
    firings : int
        Operand items a frame.
    channels : IntArray (outputs,), optional
        Depthwise: the channel each output reads.
    """

    node: ir.Node
    matrix: IntArray
    bias: IntArray
    bias_fraction: int
    firings: int
    acc: FixedPoint
    weight_fraction: int
    channels: IntArray | None = None
    taps: int = 0

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.node.name

    @property
    def outputs(self) -> int:
        """Results of a firing."""
        return int(self.matrix.shape[1])

    @cached_property
    def active(self) -> IntArray:
        """What the operand register must hold: the elements (depthwise: the taps) that some weight reads."""
        weights = self.tap_weights if self.channels is not None else self.matrix
        rows = np.flatnonzero((weights != 0).any(axis=1))
        return rows if len(rows) else np.zeros(1, dtype=np.int64)

    @cached_property
    def tap_weights(self) -> IntArray:
        """Depthwise weights by (tap, output)."""
        assert self.channels is not None
        inputs = self.matrix.shape[0] // self.taps
        return self.matrix.reshape(self.taps, inputs, self.outputs)[:, self.channels, np.arange(self.outputs)]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a frame, zeros counted."""
        each = self.taps * self.outputs if self.channels is not None else self.matrix.size
        return each * self.firings

    @property
    def weights(self) -> int:
        """Weights of a firing, zeros counted."""
        return self.macs // max(self.firings, 1)

    @property
    def nonzero(self) -> int:
        """Non-zero weights."""
        return int(np.count_nonzero(self.matrix))


def linear_of(graph: Graph, node: ir.Node) -> Linear:
    """Return a layer as a matrix over its operand item.

    Raises
    ------
    GraphError
        If its weights are not constants.
    """
    weight = graph.by_name[node.inputs[1]]
    if not isinstance(weight, ir.Const):
        raise GraphError("a product of two live tensors has no streaming hardware", where=node.name)
    t = graph.types[node.name]
    outputs = t.shape[-1]
    bias, bias_fraction = np.zeros(outputs, dtype=np.int64), t.fraction
    if len(node.inputs) > 2:
        const = graph.by_name[node.inputs[2]]
        assert isinstance(const, ir.Const)
        bias, bias_fraction = np.broadcast_to(const.value, (outputs,)), const.fraction
    acc = FixedPoint(t.fmt.width + (not t.fmt.signed), t.fmt.integer + (not t.fmt.signed))
    more: dict[str, Any] = {}
    value = weight.value
    if isinstance(node, ir.DepthwiseConv):
        kh, kw, c, d = value.shape
        more = {"channels": np.repeat(np.arange(c), d), "taps": kh * kw}
        matrix = np.zeros((kh * kw, c, c * d), dtype=value.dtype)
        matrix[:, more["channels"], np.arange(c * d)] = value.reshape(kh * kw, c * d)
        matrix = matrix.reshape(kh * kw * c, c * d)
    else:
        matrix = value.reshape(-1, outputs)
    return Linear(node, matrix, bias, bias_fraction, t.size // outputs, acc, weight.fraction, **more)


@dataclass(frozen=True)
class Fold:
    """How a layer shares multipliers over time.

    Parameters
    ----------
    kind : "mac", "sparse", "unrolled" or "product"
        `hg_mac`, `hg_mac_sparse`, a shared adder graph (one firing a cycle, no multiplier), or products of two
        streams.
    cycles : int
        Cycles of a firing (T).
    multipliers : int
    lanes, products : int
        Results of a beat, and multipliers for each of them.
    """

    kind: str
    cycles: int
    multipliers: int
    lanes: int = 1
    products: int = 1


UNROLLED = Fold("unrolled", 1, 0)


def mac_folds(layer: Linear) -> list[Fold]:
    """Return the folds on `hg_mac` that no other one beats in cycles and multipliers, fewest cycles first.

    All numbers of groups G and of steps R a group are tried: lanes = ceil(outputs / G), products = ceil(N / R).
    """
    n, outputs = len(layer.active), layer.outputs
    best: dict[int, Fold] = {}
    for lanes in sorted({-(-outputs // g) for g in range(1, outputs + 1)}):
        groups = -(-outputs // lanes)
        for products in sorted({-(-n // r) for r in range(1, n + 1)}):
            fold = Fold("mac", -(-n // products) * groups, lanes * products, lanes, products)
            known = best.get(fold.cycles)
            if known is None or (fold.multipliers, fold.lanes) < (known.multipliers, known.lanes):
                best[fold.cycles] = fold
    return pareto(list(best.values()))


SPARSE_BELOW = 0.7
"""Largest part of non-zero weights of a layer for which schedules that skip the zeros are considered."""
SPARSE_LANES = 16
"""Most lanes of a way: each picks from as many banks."""
SPARSE_MULTIPLIERS = 512
"""Most multipliers of such a schedule."""


def sparse_folds(layer: Linear) -> list[Fold]:
    """Return the folds on `hg_mac_sparse`; none for a depthwise or a dense layer.

    Their cycles are what the number of non-zero weights allows: the true ones (`sparse.schedule`) may be more.
    """
    if layer.channels is not None or layer.nonzero >= SPARSE_BELOW * layer.matrix.size:
        return []
    widest = min(layer.outputs, SPARSE_LANES)
    pairs = [(lanes, 1) for lanes in range(1, widest + 1)]
    for lanes in sorted({-(-layer.outputs // g) for g in range(1, layer.outputs + 1)}):
        if widest / 2 <= lanes <= widest:
            most = min(SPARSE_MULTIPLIERS // lanes, len(layer.active))
            pairs += [(lanes, ways) for ways in range(2, most + 1)]
    return [
        Fold("sparse", max(1, -(-layer.outputs // a), -(-layer.nonzero // (a * b))), a * b, lanes=a, products=b)
        for a, b in pairs
    ]


def pareto(folds: list[Fold]) -> list[Fold]:
    """Return the folds that no faster one matches in multipliers, fewest cycles first."""
    result: list[Fold] = []
    for fold in sorted(folds, key=lambda f: (f.cycles, f.multipliers)):
        if not result or fold.multipliers < result[-1].multipliers:
            result.append(fold)
    return result


def mac_operands(layer: Linear, fold: Fold) -> tuple[IntArray, IntArray]:
    """Return the operand selection and the weights (steps, lanes, products) of a layer on `hg_mac`."""
    active, outputs = layer.active, layer.outputs
    lanes, products = fold.lanes, fold.products
    steps, groups = -(-len(active) // products), -(-outputs // lanes)
    places = np.full(steps * products, -1, dtype=np.int64)
    places[: len(active)] = active
    weights = np.zeros((groups, steps, lanes, products), dtype=np.int64)
    table = layer.tap_weights if layer.channels is not None else layer.matrix
    for g in range(groups):
        out = np.arange(g * lanes, min((g + 1) * lanes, outputs))
        part = np.zeros((steps * products, len(out)), dtype=np.int64)
        part[: len(active)] = table[active][:, out]
        weights[g, :, : len(out)] = part.reshape(steps, products, len(out)).transpose(0, 2, 1)
    flat = weights.reshape(groups * steps, lanes, products)
    if layer.channels is None:
        return places, flat
    inputs = layer.matrix.shape[0] // layer.taps
    select = np.full((groups, steps, lanes, products), -1, dtype=np.int64)
    for g in range(groups):
        for lane in range(lanes):
            o = g * lanes + lane
            if o < outputs:
                taps = places.reshape(steps, products)
                select[g, :, lane] = np.where(taps >= 0, taps * inputs + int(layer.channels[o]), -1)
    return select.ravel(), flat
