"""Folding: how many multipliers each layer gets, so that none is faster than it must be.

Each layer has a list of folds in which more multipliers buy fewer cycles (`linear.mac_folds`, `linear.sparse_folds`).
For a given interval the cheapest choice is, layer by layer, the smallest fold that is fast enough; the fewest cycles
for a given number of multipliers is found by bisection over the intervals that occur. Both are optimal over the lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hwgen.errors import RequirementError
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl.stream.build import linear_layers, pixel_layout
from hwgen.rtl.stream.linear import UNROLLED, Fold, Linear, mac_folds, pareto, sparse_folds
from hwgen.rtl.stream.products import Product, product_folds, products_of
from hwgen.rtl.stream.sparse import estimated_cycles, schedule_of

Layer = Linear | Product
"""What has multipliers to share."""


@dataclass(frozen=True)
class FoldRequest:
    """What the user asks for (`hardware:` in model.yaml): a reuse factor, or a target.

    Parameters
    ----------
    reuse_factor : int, optional
        Cycles of a firing that a layer may take: multipliers = weights / reuse factor, where that divides.
    layer_reuse : by layer, the same
    interval_cycles, max_multipliers : int, optional
    strategy : "resource" or "distributed_arithmetic"
        Of layers with reuse factor 1: an engine with a multiplier a weight, or a shared adder graph.
    layer_strategy : by layer, the same
    """

    reuse_factor: int | None = 1
    layer_reuse: Mapping[str, int] = field(default_factory=dict)
    interval_cycles: int | None = None
    max_multipliers: int | None = None
    strategy: str = "resource"
    layer_strategy: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldRow:
    """One line of the folding table.

    Parameters
    ----------
    cycles : int
        A frame: firings times cycles of a firing.
    share : float
        Of the slowest stage's cycles.
    """

    layer: str
    firings: int
    lanes: int
    products: int
    multipliers: int
    cycles: int
    share: float
    bottleneck: bool
    weights: int
    nonzero: int


@dataclass(frozen=True)
class Folding:
    """The chosen folds, and why."""

    folds: Mapping[str, Fold]
    rows: tuple[FoldRow, ...]
    floor_cycles: int
    bound_cycles: int

    @property
    def multipliers(self) -> int:
        """All multipliers."""
        return sum(fold.multipliers for fold in self.folds.values())


def floor_cycles(graph: Graph) -> int:
    """Return the interval that no folding beats: the pixels of the largest picture that passes by."""
    return max(pixel_layout(graph.types[node.name].shape)[1] for node in graph.nodes if not isinstance(node, ir.Const))


def layer_folds(layer: Layer, strategy: str) -> list[Fold]:
    """Return a layer's folds that skip no zeros, fewest cycles first, no two alike."""
    if isinstance(layer, Product):
        return product_folds(layer)
    folds = mac_folds(layer)
    if strategy == "distributed_arithmetic":
        folds = [UNROLLED, *(f for f in folds if f.cycles > 1)]
    return folds


def choose_folds(graph: Graph, request: FoldRequest) -> Folding:
    """Choose every layer's fold.

    Raises
    ------
    RequirementError
        If the target cannot be reached, with the nearest one that can.
    """
    layers: Sequence[Layer] = [*linear_layers(graph), *products_of(graph)]
    dense = {x.name: layer_folds(x, request.layer_strategy.get(x.name, request.strategy)) for x in layers}
    sparse = {x.name: sparse_folds(x) if isinstance(x, Linear) else [] for x in layers}
    while True:
        table = {x.name: pareto([*dense[x.name], *sparse[x.name]]) for x in layers}
        chosen = _chosen(graph, layers, table, request)
        if not _corrected(layers, sparse, chosen):
            return _explained(graph, layers, chosen)


def _corrected(layers: Sequence[Layer], sparse: dict[str, list[Fold]], chosen: Mapping[str, Fold]) -> bool:
    """Put better cycles of the chosen sparse folds into their lists; return whether some were too low.

    First what the loads of the lanes allow; only when that changes nothing any more, what a whole schedule takes.
    """
    for exact in (False, True):
        changed = False
        for layer in layers:
            fold = chosen[layer.name]
            if fold.kind != "sparse" or not isinstance(layer, Linear):
                continue
            arguments = (layer.matrix, fold.lanes, fold.products)
            cycles = schedule_of(*arguments).cycles if exact else estimated_cycles(*arguments)
            if cycles > fold.cycles:
                better = replace(fold, cycles=cycles)
                sparse[layer.name] = [better if f == fold else f for f in sparse[layer.name]]
                changed = True
        if changed:
            return True
    return False


def _chosen(
    graph: Graph, layers: Sequence[Layer], table: Mapping[str, list[Fold]], request: FoldRequest
) -> Mapping[str, Fold]:
    if request.reuse_factor is not None or (request.interval_cycles is None and request.max_multipliers is None):
        reuse = {x.name: request.layer_reuse.get(x.name, request.reuse_factor or 1) for x in layers}
        chosen: Mapping[str, Fold] = {x.name: within(table[x.name], reuse[x.name]) for x in layers}
        if request.max_multipliers is not None:
            _check_budget(sum(f.multipliers for f in chosen.values()), request.max_multipliers, "reuse_factor")
        return chosen
    return _for_target(graph, layers, table, request)


def within(folds: list[Fold], cycles: int) -> Fold:
    """Return the smallest fold of at most `cycles` (the fastest one, if none is that fast)."""
    fast = [f for f in folds if f.cycles <= cycles]
    return min(fast, key=lambda f: (f.multipliers, f.cycles)) if fast else folds[0]


def smallest(layers: Sequence[Layer], table: Mapping[str, list[Fold]], interval: int) -> dict[str, Fold] | None:
    """Return the cheapest folds that reach an interval; None if a layer cannot."""
    result = {}
    for layer in layers:
        cycles = interval // layer.firings
        fast = [f for f in table[layer.name] if f.cycles <= cycles]
        if not fast:
            return None
        result[layer.name] = min(fast, key=lambda f: (f.multipliers, f.cycles))
    return result


def _for_target(
    graph: Graph, layers: Sequence[Layer], table: Mapping[str, list[Fold]], request: FoldRequest
) -> dict[str, Fold]:
    fastest = floor_cycles(graph)
    wanted, budget = request.interval_cycles, request.max_multipliers
    if wanted is not None:
        if wanted < fastest:
            raise RequirementError(
                "no folding is that fast: a pixel enters a clock",
                where="hardware.target",
                found=f"an interval of {wanted} cycles",
                expected=f"{fastest} cycles or more",
            )
        chosen = smallest(layers, table, wanted)
        assert chosen is not None
        if budget is None or sum(f.multipliers for f in chosen.values()) <= budget:
            return chosen
    assert budget is not None
    candidates = sorted(
        {fastest} | {f.cycles * x.firings for x in layers for f in table[x.name] if f.cycles * x.firings > fastest}
    )
    low, high = 0, len(candidates)
    while low < high:  # the first interval that fits the budget
        middle = (low + high) // 2
        folds = smallest(layers, table, candidates[middle])
        fits = folds is not None and sum(f.multipliers for f in folds.values()) <= budget
        low, high = (low, middle) if fits else (middle + 1, high)
    if low == len(candidates):
        least = sum(table[x.name][-1].multipliers for x in layers)
        raise RequirementError(
            "too few multipliers",
            where="hardware.target.max_multipliers",
            found=f"{budget}",
            expected=f"{least} or more: one a layer",
        )
    if wanted is not None:
        needed = sum(f.multipliers for f in (smallest(layers, table, wanted) or {}).values())
        raise RequirementError(
            "the target needs more multipliers",
            where="hardware.target",
            found=f"interval_cycles {wanted} takes {needed} multipliers, max_multipliers is {budget}",
            expected=f"interval_cycles {candidates[low]} (the fastest with {budget} multipliers)",
        )
    chosen = smallest(layers, table, candidates[low])
    assert chosen is not None
    return chosen


def _check_budget(needed: int, budget: int, key: str) -> None:
    if needed > budget:
        raise RequirementError(
            "more multipliers than allowed",
            where="hardware.target.max_multipliers",
            found=f"{key} gives {needed}",
            expected=f"{budget} at most: a larger reuse_factor, or a target without one",
        )


def _explained(graph: Graph, layers: Sequence[Layer], chosen: Mapping[str, Fold]) -> Folding:
    floor = floor_cycles(graph)
    cycles = {x.name: chosen[x.name].cycles * x.firings for x in layers}
    slowest = max([floor, *cycles.values()])
    bound = floor
    rows = []
    for x in layers:
        fold = chosen[x.name]
        if fold.multipliers:
            work = x.nonzero * x.firings if fold.kind == "sparse" else x.macs
            bound = max(bound, -(-work // fold.multipliers))
        rows.append(
            FoldRow(
                x.name,
                x.firings,
                fold.lanes,
                fold.products,
                fold.multipliers,
                cycles[x.name],
                cycles[x.name] / slowest,
                cycles[x.name] == slowest,
                x.weights,
                x.nonzero,
            )
        )
    return Folding(dict(chosen), tuple(rows), floor, bound)
