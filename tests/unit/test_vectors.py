from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sim_design import IN_FMT, tiny_graph

from hwgen.errors import DataError
from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.ir.vectors import load_vectors, make_vectors, save_vectors


def rows(frames: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(int(v) for v in frame.ravel()) for frame in frames}


def test_sets_have_the_asked_sizes_and_stay_on_the_grid() -> None:
    graph = tiny_graph()
    test = {"x": np.arange(20).reshape(5, 4)}
    vectors = make_vectors(graph, test, 10_000, 0)
    assert list(vectors) == ["test", "random", "corners"]
    assert vectors["random"]["x"].shape == (10_000, 4)
    assert np.array_equal(vectors["test"]["x"], test["x"])
    for frames in vectors.values():
        assert frames["x"].min() >= IN_FMT.int_min and frames["x"].max() <= IN_FMT.int_max
    assert set(np.unique(vectors["random"]["x"])) == set(range(32))
    assert len(make_vectors(graph, None, 10, 0)["test"]["x"]) == 0


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    graph = tiny_graph()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        save_vectors(tmp_path / name, make_vectors(graph, None, 100, seed))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    again = load_vectors(tmp_path / "a")
    assert np.array_equal(again["random"]["x"], make_vectors(graph, None, 100, 1)["random"]["x"])


def test_every_first_layer_neuron_is_driven_to_both_extremes() -> None:
    graph = tiny_graph()
    corners = make_vectors(graph, None, 10, 0)["corners"]
    fc1 = graph.evaluate(corners, trace=True)["fc1"]
    kind = graph.types["fc1"]
    assert np.array_equal(fc1.min(axis=0), kind.lo)
    assert np.array_equal(fc1.max(axis=0), kind.hi)
    assert {(0,) * 4, (31,) * 4} <= rows(corners["x"])


def test_signed_inputs_and_ties_with_both_neighbours() -> None:
    fmt = FixedPoint(4, 1, True, Rounding.RND_CONV, Overflow.SAT)
    graph = Graph(
        "ties",
        (
            ir.Input(name="x", shape=(3,), fmt=FixedPoint(6, 2)),
            ir.Const(name="w", value=np.array([[1, 3], [-2, 1], [5, -7]]), fraction=3),
            ir.Dense(name="d", inputs=("x", "w")),
            ir.Requantize(name="q", inputs=("d",), fmt=fmt),
            ir.Output(name="q_out", inputs=("q",)),
        ),
    ).verify()
    corners = make_vectors(graph, None, 10, 0)["corners"]
    d = graph.evaluate(corners, trace=True)["d"]
    shift = graph.types["d"].fraction - fmt.fraction
    half = 1 << (shift - 1)
    for neuron in range(2):
        rest, odd = d[:, neuron] & ((1 << shift) - 1), (d[:, neuron] >> shift) & 1
        assert {0, 1} <= set(odd[rest == half]), "ties above even and odd neighbours"
        assert (rest == half - 1).any() and (rest == half + 1).any(), "one LSB beside a tie"
    assert {(-32,) * 3, (31,) * 3} <= rows(corners["x"])


def test_several_inputs_and_formats_past_64_bits(tmp_path: Path) -> None:
    wide = FixedPoint(70, 8)
    graph = Graph(
        "two",
        (
            ir.Input(name="a", shape=(2, 3), fmt=FixedPoint(5, 1)),
            ir.Input(name="b", shape=(2, 3), fmt=wide),
            ir.Add(name="s", inputs=("a", "b")),
            ir.Output(name="s_out", inputs=("s",)),
        ),
    ).verify()
    vectors = make_vectors(graph, None, 50, 3)
    counts = {len(v) for v in vectors["corners"].values()}
    assert len(counts) == 1 and counts.pop() > 10
    b = vectors["random"]["b"]
    assert b.dtype == object and int(b.max()) > 1 << 62 and wide.holds(int(b.min()), int(b.max()))
    save_vectors(tmp_path / "v.npz", vectors)
    again = load_vectors(tmp_path / "v.npz")
    assert (again["random"]["b"] == b).all()
    graph.evaluate(again["corners"])


def test_corners_are_not_repeated() -> None:
    corners = make_vectors(tiny_graph(), None, 10, 0)["corners"]["x"]
    assert len(rows(corners)) == len(corners)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "v.npz").write_bytes(b"PK\x03\x04 nonsense")
    for path in (tmp_path / "v.npz", tmp_path / "none.npz"):
        with pytest.raises(DataError, match=r"\.npz"):
            load_vectors(path)


def test_deep_neurons_are_driven_further_than_random_frames_do() -> None:
    rng = np.random.default_rng(0)
    nodes: list[ir.Node] = [ir.Input(name="x", shape=(10,), fmt=FixedPoint(6, 2))]
    last, size = "x", 10
    for k in range(3):
        weight = rng.integers(-31, 32, (size, 8))
        nodes += [ir.Const(name=f"w{k}", value=weight, fraction=5), ir.Dense(name=f"d{k}", inputs=(last, f"w{k}"))]
        relu = FixedPoint(5, 2, False, Rounding.RND_CONV, Overflow.SAT)
        nodes.append(ir.Requantize(name=f"r{k}", inputs=(f"d{k}",), fmt=relu))
        last, size = f"r{k}", 8
    graph = Graph("deep", (*nodes, ir.Output(name="r2_out", inputs=("r2",)))).verify()
    vectors = make_vectors(graph, None, 10_000, 0)
    corners, random = (graph.evaluate(vectors[name], trace=True) for name in ("corners", "random"))
    further = 0
    for name in ("d1", "d2"):
        assert (corners[name].max(axis=0) >= random[name].max(axis=0)).all()
        assert (corners[name].min(axis=0) <= random[name].min(axis=0)).all()
        further += int((corners[name].max(axis=0) > random[name].max(axis=0)).sum())
    assert further >= 8
