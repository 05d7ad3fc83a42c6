"""Schedules that skip zeros: right, close to the ideal, chosen where they save multipliers, and exact in hardware."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stream_check import check_stream

from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl.generate import RtlOptions
from hwgen.rtl.stream import FoldRequest, plan_stream
from hwgen.rtl.stream.generate import statistics
from hwgen.rtl.stream.sparse import SparseSchedule, estimated_cycles, schedule


def random_matrix(seed: int, inputs: int, outputs: int, density: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 16, (inputs, outputs)) * rng.choice([-1, 1], (inputs, outputs))
    return values * (rng.random((inputs, outputs)) < density)


def check_schedule(plan: SparseSchedule, weights: np.ndarray, seed: int = 0) -> None:
    """Fail unless the schedule computes the product and its words say what its tables say."""
    x = np.random.default_rng(seed).integers(-128, 128, (3, len(weights)))
    np.testing.assert_array_equal(plan.apply(x), x @ weights)
    assert plan.cycles >= plan.accs and len(np.unique(plan.order)) == plan.outputs
    assert len(plan.words) == plan.cycles and max(plan.words) < 1 << plan.word_bits
    for target, weight in zip(plan.acc.T, plan.weights.T, strict=True):  # idle steps clear what no product goes to
        worked = set(target[weight != 0].tolist())
        empty = plan.accs * (1 + (max(worked, default=0) >= plan.accs)) - len(worked)
        assert len(set(target.tolist()) - worked) == min(empty, int((weight == 0).sum()))
    held = plan.select[plan.select >= 0]
    assert len(np.unique(held)) == len(held)


@pytest.mark.parametrize("density", [0.25, 0.1])
@pytest.mark.parametrize(("inputs", "outputs"), [(144, 16), (288, 32), (576, 64)])
def test_a_pruned_matrix_takes_little_more_than_its_products(inputs: int, outputs: int, density: float) -> None:
    weights = random_matrix(7, inputs, outputs, density)
    for results, ways in ((4, 1), (8, 1), (16, 1), (8, 2), (16, 2), (16, 4)):
        plan = schedule(weights, results, ways)
        check_schedule(plan, weights)
        assert plan.cycles <= max(plan.ideal_cycles + 1, 1.02 * plan.ideal_cycles), (results, ways)
        assert plan.lanes > outputs or plan.cycles * plan.lanes <= 1.1 * plan.nonzero, (results, ways)
        assert plan.cycles >= estimated_cycles(weights, results, ways) >= plan.ideal_cycles
        if density == 0.25:
            assert plan.cycles <= 0.3 * -(-inputs * outputs // plan.lanes), (results, ways)


def test_any_shape() -> None:
    rng = np.random.default_rng(3)
    for seed in range(150):
        inputs, outputs = (int(v) for v in rng.integers(1, 40, 2))
        weights = random_matrix(seed, inputs, outputs, float(rng.choice([0, 0.02, 0.1, 0.4, 1])))
        banks = None if seed % 2 else int(rng.integers(1, 12))
        plan = schedule(weights, int(rng.integers(1, outputs + 3)), int(rng.integers(1, 6)), banks)
        check_schedule(plan, weights, seed)


@pytest.mark.parametrize(
    "weights",
    [
        np.zeros((10, 6), dtype=np.int64),
        np.full((10, 6), 3),
        np.full((1, 9), -2),
        np.full((9, 1), -2),
        np.zeros((1, 1), dtype=np.int64),
        np.eye(7, dtype=np.int64),
    ],
    ids=["no_weight", "all_equal", "one_input", "one_output", "nothing", "diagonal"],
)
def test_corners(weights: np.ndarray) -> None:
    for results, ways in ((1, 1), (2, 1), (50, 1), (3, 4), (50, 50)):
        check_schedule(schedule(weights, results, ways), weights)


def test_few_heavy_elements_share_their_reads() -> None:
    """Whole rows pruned: more products a bank than steps, were each read for one lane alone."""
    weights = random_matrix(1, 36, 16, 1.0)
    weights[np.arange(36) % 4 > 0] = 0
    plan = schedule(weights, 16, banks=4)
    check_schedule(plan, weights)
    assert plan.cycles <= 10  # 9 elements with a weight, each for all 16 lanes


def pruned_net(seed: int, density: float, signed: bool = True) -> Graph:
    """Conv, scale, conv with strides, dense; each pruned."""
    rng = np.random.default_rng(seed)
    nodes: list[ir.Node] = [ir.Input(name="x", shape=(6, 5, 3), fmt=FixedPoint(6, 2, signed))]

    def layer(kind: type, name: str, x: str, shape: tuple[int, ...], **fields: object) -> str:
        w = rng.integers(-15, 16, shape) * (rng.random(shape) < density)
        nodes.append(ir.Const(name=f"{name}_w", value=w, fraction=5))
        nodes.append(ir.Const(name=f"{name}_b", value=rng.integers(-40, 40, shape[-1]), fraction=6))
        nodes.append(kind(name=name, inputs=(x, f"{name}_w", f"{name}_b"), **fields))
        return name

    def relu(name: str, x: str) -> str:
        fmt = FixedPoint(6, 3, False, Rounding.RND_CONV, Overflow.SAT)
        nodes.append(ir.Requantize(name=name, inputs=(x,), fmt=fmt))
        return name

    x = layer(ir.Conv, "c1", "x", (3, 3, 3, 8), strides=(1, 1), padding=(1, 1, 1, 1))
    for k in "sb":
        nodes.append(ir.Const(name=f"scale_{k}", value=rng.integers(-7, 8, 8), fraction=3))
    nodes.append(ir.Scale(name="scale", inputs=(x, "scale_s", "scale_b")))
    x = layer(ir.Conv, "c2", relu("r1", "scale"), (3, 3, 8, 10), strides=(2, 2), padding=(0, 1, 1, 1))
    nodes.append(ir.Reshape(name="flat", inputs=(relu("r2", x),), shape=(90,)))
    x = layer(ir.Dense, "d", "flat", (90, 7))
    nodes.append(ir.Output(name="y", inputs=(x,)))
    return Graph(f"pruned_{seed}", tuple(nodes)).verify()


@pytest.mark.verilator
@pytest.mark.parametrize(
    ("seed", "density", "request_"),
    [
        (1, 0.25, FoldRequest(reuse_factor=6)),
        (2, 0.1, FoldRequest(reuse_factor=40)),
        (3, 0.3, FoldRequest(reuse_factor=200)),
        (4, 0.05, FoldRequest(reuse_factor=None, max_multipliers=20)),
        (5, 0.0, FoldRequest(reuse_factor=4)),
    ],
)
def test_bits_and_cycles(tmp_path: Path, seed: int, density: float, request_: FoldRequest) -> None:
    plan = check_stream(pruned_net(seed, density, seed % 2 == 0), tmp_path, request_, seed=seed)
    assert density == 0 or "sparse" in {fold.kind for fold in plan.folding.folds.values()}


def test_the_report_says_what_skipping_saves() -> None:
    graph = pruned_net(1, 0.2)
    options = RtlOptions(clock_period_ns=4.0)
    report = statistics(plan_stream(graph, options, FoldRequest(reuse_factor=12)))
    for row in report["layers"]:
        sparse = row["sparse"]
        assert row["kind"] == "sparse" and row["multipliers"] < row["weights"] / 24  # half of what a dense engine needs
        assert sparse["ideal_cycles"] <= sparse["cycles"] == row["cycles"] < sparse["dense_cycles"]
        assert 0.6 < sparse["saving"] <= sparse["ideal_saving"]
        assert 0 < sparse["index_bits"] < row["weight_memory_bits"]


def test_a_dense_layer_keeps_the_dense_engine() -> None:
    plan = plan_stream(pruned_net(1, 0.9), RtlOptions(clock_period_ns=4.0), FoldRequest(reuse_factor=12))
    assert {fold.kind for fold in plan.folding.folds.values()} == {"mac"}


def block_matrix(seed: int, shape: tuple[int, int], block: tuple[int, int], density: float) -> np.ndarray:
    """Return weights of which `density` of the blocks is left."""
    rng, grid = np.random.default_rng(seed), (shape[0] // block[0], shape[1] // block[1])
    count = grid[0] * grid[1]
    kept = (rng.permutation(count) < round(density * count)).reshape(grid)
    values = rng.integers(1, 16, shape) * rng.choice([-1, 1], shape)
    return values * kept.repeat(block[0], axis=0).repeat(block[1], axis=1)


@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("block", [(1, 8), (4, 8), (2, 16)])
def test_blocks_across_the_lanes_need_one_bank(block: tuple[int, int], ways: int) -> None:
    blocked, scattered = block_matrix(5, (64, 64), block, 0.25), random_matrix(5, 64, 64, 0.25)
    plan, other = schedule(blocked, 8, ways), schedule(scattered, 8, ways)
    check_schedule(plan, blocked)
    assert plan.banks == 1 and not plan.spill and plan.cycles == plan.ideal_cycles
    assert other.banks == 8 and plan.index_bits < 0.5 * other.index_bits


def test_zeros_inside_blocks_do_not_part_the_lanes() -> None:
    weights = block_matrix(6, (64, 64), (1, 8), 0.25)
    weights[np.random.default_rng(6).random(weights.shape) < 0.04] = 0  # rounded to 0
    plan = schedule(weights, 8)
    check_schedule(plan, weights)
    assert plan.banks == 1 and plan.ideal_cycles < plan.cycles <= 1.0625 * plan.ideal_cycles
    assert plan.cycles == estimated_cycles(weights, 8)


def test_blocks_narrower_than_the_lanes_keep_the_banks() -> None:
    weights = block_matrix(5, (64, 64), (4, 1), 0.25)
    plan = schedule(weights, 8)
    check_schedule(plan, weights)
    assert plan.banks == 8 and plan.cycles <= plan.ideal_cycles + 1


@pytest.mark.verilator
def test_a_block_pruned_layer_is_exact_in_hardware(tmp_path: Path) -> None:
    weights = block_matrix(2, (16, 8), (2, 4), 0.25)
    graph = Graph(
        "blocks",
        (
            ir.Input(name="x", shape=(16,), fmt=FixedPoint(6, 2)),
            ir.Const(name="w", value=weights, fraction=4),
            ir.Dense(name="fc", inputs=("x", "w")),
            ir.Output(name="y", inputs=("fc",)),
        ),
    ).verify()
    decided = check_stream(graph, tmp_path, FoldRequest(reuse_factor=8))
    (row,) = statistics(decided)["layers"]
    assert row["sparse"]["banks"] == 1 and row["sparse"]["cycles"] == 8
