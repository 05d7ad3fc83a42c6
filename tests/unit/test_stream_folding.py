"""Folding, FIFO depths and timing of streaming designs, without a simulator."""

from __future__ import annotations

import numpy as np
import pytest
from test_golden import residual

from hwgen.cost.estimate import multiplications
from hwgen.errors import GraphError, ModelError, RequirementError
from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl import RtlOptions
from hwgen.rtl.stream import FoldRequest, plan_stream, prediction_document
from hwgen.rtl.stream import network as net
from hwgen.rtl.stream.build import linear_layers
from hwgen.rtl.stream.folding import choose_folds, floor_cycles
from hwgen.rtl.stream.generate import with_depths
from hwgen.rtl.stream.linear import mac_folds, mac_operands
from hwgen.rtl.stream.timing import interval_of, simulate


def dense_chain() -> Graph:
    """Two dense convolutions and a dense layer: no zeros to skip."""
    rng = np.random.default_rng(1)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(1, 16, shape) * rng.choice([-1, 1], shape)

    relu = FixedPoint.parse("ufixed<5,2,RND_CONV,SAT>")
    return Graph(
        "chain",
        (
            ir.Input(name="x", shape=(6, 6, 3), fmt=FixedPoint.parse("ufixed<4,0>")),
            ir.Const(name="c1_w", value=weights(3, 3, 3, 6), fraction=4),
            ir.Conv(name="c1", inputs=("x", "c1_w"), padding=(1, 1, 1, 1)),
            ir.Requantize(name="r1", inputs=("c1",), fmt=relu),
            ir.Const(name="c2_w", value=weights(3, 3, 6, 5), fraction=4),
            ir.Conv(name="c2", inputs=("r1", "c2_w"), strides=(2, 2), padding=(0, 1, 0, 1)),
            ir.Requantize(name="r2", inputs=("c2",), fmt=relu),
            ir.Reshape(name="flat", inputs=("r2",), shape=(45,)),
            ir.Const(name="fc_w", value=weights(45, 4), fraction=4),
            ir.Dense(name="fc", inputs=("flat", "fc_w")),
            ir.Output(name="fc_out", inputs=("fc",)),
        ),
    ).verify()


def best_of_all(graph: Graph, budget: int) -> int:
    """Return the smallest interval with `budget` multipliers by trying every lanes x products of every layer."""
    best = None
    tables = []
    for layer in linear_layers(graph):
        rows = {}
        for lanes in range(1, layer.outputs + 1):
            for products in range(1, len(layer.active) + 1):
                cycles = -(-len(layer.active) // products) * -(-layer.outputs // lanes) * layer.firings
                rows[cycles] = min(rows.get(cycles, 10**9), lanes * products)
        tables.append(rows)
    for interval in sorted({c for rows in tables for c in rows}):
        need = [min((m for c, m in rows.items() if c <= interval), default=10**9) for rows in tables]
        if sum(need) <= budget:
            best = interval
            break
    assert best is not None
    return max(best, floor_cycles(graph))


@pytest.mark.parametrize("budget", [3, 5, 9, 20, 47, 100, 250])
def test_the_solver_is_as_good_as_trying_everything(budget: int) -> None:
    graph = dense_chain()
    folding = choose_folds(graph, FoldRequest(reuse_factor=None, max_multipliers=budget))
    assert folding.multipliers <= budget
    assert max(floor_cycles(graph), *(row.cycles for row in folding.rows)) == best_of_all(graph, budget)


@pytest.mark.parametrize("interval", [36, 70, 200, 999])
def test_an_interval_is_met_by_the_fewest_multipliers(interval: int) -> None:
    graph = dense_chain()
    folding = choose_folds(graph, FoldRequest(reuse_factor=None, interval_cycles=interval))
    assert all(row.cycles <= interval for row in folding.rows)
    for layer in linear_layers(graph):
        fold = folding.folds[layer.name]
        smaller = [f for f in mac_folds(layer) if f.multipliers < fold.multipliers]
        assert all(f.cycles * layer.firings > interval for f in smaller), layer.name


def test_reuse_factor_divides_the_multipliers() -> None:
    graph = dense_chain()
    for reuse in (1, 2, 3, 9, 27):
        folding = choose_folds(graph, FoldRequest(reuse_factor=reuse, layer_reuse={"fc": 1}))
        c1, _, fc = folding.rows
        assert (c1.multipliers, c1.cycles) == (27 * 6 // reuse, 36 * reuse)
        assert (fc.multipliers, fc.cycles) == (45 * 4, 1)


def test_targets_out_of_reach_name_the_nearest_that_is_not() -> None:
    graph = dense_chain()
    with pytest.raises(RequirementError) as caught:
        choose_folds(graph, FoldRequest(reuse_factor=None, interval_cycles=35))
    assert "36 cycles or more" in caught.value.render() and caught.value.exit_status == 3
    with pytest.raises(RequirementError) as caught:
        choose_folds(graph, FoldRequest(reuse_factor=None, interval_cycles=72, max_multipliers=50))
    nearest = best_of_all(graph, 50)
    assert f"interval_cycles {nearest}" in caught.value.render()
    with pytest.raises(RequirementError, match=r"3 or more"):
        choose_folds(graph, FoldRequest(reuse_factor=None, max_multipliers=2))
    with pytest.raises(RequirementError, match="reuse_factor gives"):
        choose_folds(graph, FoldRequest(reuse_factor=1, max_multipliers=10))
    with pytest.raises(RequirementError, match="so small a latency"):
        plan_stream(graph, RtlOptions(), FoldRequest(reuse_factor=None), latency_cycles=5)


def test_a_latency_target_takes_the_slowest_design_that_meets_it() -> None:
    graph, request = dense_chain(), FoldRequest(reuse_factor=None)
    plan = plan_stream(graph, RtlOptions(), request, latency_cycles=200)
    assert plan.timing.latency_cycles <= 200
    fastest = plan_stream(graph, RtlOptions(), FoldRequest(reuse_factor=None, interval_cycles=36))
    assert plan.folding.multipliers < fastest.folding.multipliers


def test_the_interval_is_that_of_the_slowest_layer() -> None:
    for graph in (dense_chain(), residual()):
        for budget in (12, 40, 120):
            plan = plan_stream(graph, RtlOptions(), FoldRequest(reuse_factor=None, max_multipliers=budget))
            slowest = max(row.cycles for row in plan.folding.rows)
            assert slowest <= plan.timing.interval_cycles <= max(slowest, 8 * 6), (graph.name, budget)


def test_the_depths_keep_the_interval_and_one_slot_less_may_not() -> None:
    plan = plan_stream(residual(), RtlOptions(), FoldRequest(reuse_factor=4))
    assert interval_of(plan.network, unbounded=True) == plan.timing.interval_cycles
    deep = [s for s in plan.network.stages if isinstance(s, net.Fifo) and s.depth > 2 and not s.register]
    assert deep, "the shortcut needs a queue"
    shallow = with_depths(plan.network, {deep[0].name: 1})
    with pytest.raises(GraphError, match="would stand still") as caught:
        simulate(shallow, 4)
    assert "waits for" in caught.value.render()


def test_the_prediction_names_every_fifo_and_layer() -> None:
    plan = plan_stream(residual(), RtlOptions(), FoldRequest(reuse_factor=4))
    document = prediction_document(plan)
    assert {row["node"] for row in document["taps"]} >= {"x", "r1", "r3", "fc"}
    assert all(row["high_water"] <= row["depth"] for row in document["fifos"])
    assert document["first_out_cycles"] <= document["latency_cycles"]


def test_operands_and_weights_say_the_same_as_the_matrix() -> None:
    rng = np.random.default_rng(0)
    for graph in (dense_chain(), residual()):
        for layer in linear_layers(graph):
            for fold in mac_folds(layer)[::3]:
                select, weights = mac_operands(layer, fold)
                x = rng.integers(-9, 10, layer.matrix.shape[0])
                held = np.where(select >= 0, x[select], 0)
                groups = -(-layer.outputs // fold.lanes)
                steps = len(weights) // groups
                found = np.zeros((groups, fold.lanes), dtype=np.int64)
                for step, word in enumerate(weights):
                    g = step // steps
                    if layer.channels is None:
                        operands = held.reshape(steps, fold.products)[step % steps][None, :]
                    else:
                        operands = held.reshape(len(weights), fold.lanes, fold.products)[step]
                    found[g] += (word * operands).sum(axis=1)
                assert np.array_equal(found.ravel()[: layer.outputs], x @ layer.matrix), (layer.name, fold)


def test_what_has_no_streaming_hardware_is_refused_by_name() -> None:
    fmt = FixedPoint.parse("fixed<4,2>")
    picture = ir.Input(name="a", shape=(2, 3, 2), fmt=fmt)
    other = ir.Input(name="b", shape=(1, 1, 2), fmt=fmt)
    cases = [
        ((picture, other, ir.Mul(name="gate", inputs=("a", "b"))), "different pictures"),
        ((picture, ir.Transpose(name="turn", inputs=("a",), perm=(1, 0, 2))), "Transpose"),
        ((picture, ir.Concat(name="rows", inputs=("a", "a"), axis=0)), "channels only"),
    ]
    for nodes, text in cases:
        graph = Graph("refused", (*nodes, ir.Output(name="out", inputs=(nodes[-1].name,)))).verify()
        with pytest.raises(ModelError, match=text) as caught:
            plan_stream(graph, RtlOptions(), FoldRequest())
        assert nodes[-1].name in caught.value.render()


def gate(channels: int, *, slow: bool = False) -> Graph:
    """A picture times the means of its channels, as squeeze-excite does without its layers; then a layer, if `slow`."""
    fmt = FixedPoint.parse("fixed<6,2,RND_CONV,SAT>")
    nodes = (
        ir.Input(name="x", shape=(3, 3, channels), fmt=FixedPoint.parse("fixed<6,2>")),
        ir.SumPool(name="sum", inputs=("x",), pool=(3, 3)),
        ir.Divide(name="mean", inputs=("sum",), divisor=np.array([9]), fmt=fmt),
        ir.Upsample(name="spread", inputs=("mean",), factors=(3, 3)),
        ir.Mul(name="gated", inputs=("x", "spread")),
        ir.Const(name="w", value=np.arange(1, 5 * channels + 1).reshape(1, 1, channels, 5), fraction=0),
        ir.Conv(name="end", inputs=("gated", "w")),
        ir.Output(name="y", inputs=("end" if slow else "gated",)),
    )
    return Graph("gate", nodes if slow else (*nodes[:5], nodes[-1])).verify()


@pytest.mark.parametrize(("most", "used", "interval"), [(1, 1, 54), (2, 2, 27), (5, 3, 18), (6, 6, 9)])
def test_products_of_two_streams_are_in_the_budget(most: int, used: int, interval: int) -> None:
    """Nine pixels of six channels: parts of equal size, so that five multipliers do no more than three."""
    plan = plan_stream(gate(6), RtlOptions(), FoldRequest(reuse_factor=None, max_multipliers=most))
    assert (plan.folding.multipliers, plan.timing.interval_cycles) == (used, interval)
    (row,) = plan.folding.rows
    assert (row.layer, row.weights, row.nonzero, row.bottleneck) == ("gated", 0, 0, True)
    assert multiplications(plan.graph) == 54
    fifo = next(s for s in plan.network.stages if s.name == "fifo_x_to_gated")
    assert fifo.depth >= 9, "the picture waits until its means are known"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("parts", "cycles"), [(2, 1), (2, 30), (6, 8), (6, 30), (24, 10), (24, 120)])
def test_parts_of_pixels_are_timed_as_one_by_one(parts: int, cycles: int) -> None:
    """The shortcut of `InParts` against the rules of its stages: the layer behind it fast or slow, sources paced."""
    request = FoldRequest(layer_reuse={"gated": parts, "end": cycles})
    network = plan_stream(gate(24 if parts > 6 else 6, slow=True), RtlOptions(), request).network
    assert [stages[2].beats for stages in network.in_parts.values()] == [parts]
    for depth in (9, 10, 30):
        tried = with_depths(network, {"fifo_x_to_gated": depth})
        plain = net.Network(tried.name, tried.streams, tried.stages)
        plain.__dict__["in_parts"] = {}
        for pace in (0, 60, 500):
            assert _transfers(tried, pace) == _transfers(plain, pace), (depth, pace)


def _transfers(network: net.Network, pace: int) -> dict[str, list[int]] | str:
    try:
        run = simulate(network, 5, pace=pace)
    except GraphError:
        return "stands still"
    return {name: flow.taken for name, flow in run.flows.items() if "_part" not in name}
