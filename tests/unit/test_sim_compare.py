from __future__ import annotations

import numpy as np
import pytest
from sim_design import tiny_design, tiny_graph

from hwgen.sim.compare import Outcome, match_run, match_stream, pair_row
from hwgen.sim.glue import cpp_name, glue
from hwgen.sim.streams import pack, unpack
from hwgen.sim.transfers import Beats, Transfers


def frames(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint32).reshape(-1, 1)


WANTED = frames(*range(10, 20))


@pytest.mark.parametrize(
    ("got", "outcome"),
    [
        (range(10, 20), (0, 0, 0)),
        ([10, 11, 13, 14, 15, 16, 17, 18, 19], (1, 0, 0)),
        ([10, 11, 12, 12, 13, 14, 15, 16, 17, 18, 19], (0, 1, 0)),
        ([10, 11, 99, 13, 14, 15, 16, 17, 18, 19], (0, 0, 1)),
        (range(10, 18), (2, 0, 0)),
        ([*range(10, 20), 7], (0, 1, 0)),
        ([], (10, 0, 0)),
    ],
)
def test_a_stream_is_followed_through_faults(got: list[int], outcome: tuple[int, int, int]) -> None:
    seen = match_stream(frames(*got), WANTED)
    assert (seen.lost, seen.repeated, seen.changed) == outcome
    assert seen.good == (outcome == (0, 0, 0))
    assert seen.frames == 10
    assert seen.good or seen.bad


def test_frames_cut_by_a_reset_may_be_missing_at_the_end_only() -> None:
    assert match_stream(frames(10, 11), WANTED, cut=True).good
    assert match_stream(frames(10, 12), WANTED, cut=True).lost == 1
    assert match_stream(frames(11), WANTED, cut=True).lost == 1


def _seen(
    accepted: list[int], produced: list[int], outputs: list[int], resets: list[tuple[int, int, int]]
) -> Transfers:
    sources = (np.array(accepted, dtype=np.int64),)
    sinks = (Beats(np.array(produced, dtype=np.int64), frames(*outputs)),)
    return Transfers(sources, sinks, (1,), (1,), np.array(resets).reshape(-1, 3), cycles=100)


def test_epochs_between_resets() -> None:
    resets = [(4, 6, 3)]
    good = _seen([0, 1, 2, 7, 8], [3, 10, 11], [10, 13, 14], resets)
    assert match_run(good, WANTED).good
    stale = _seen([0, 1, 2, 7, 8], [3, 7, 10, 11], [10, 11, 13, 14], resets)
    assert not match_run(stale, WANTED).good
    lost = _seen([0, 1, 2, 7, 8], [3, 11], [10, 14], resets)
    assert match_run(lost, WANTED).lost == 1
    nothing = _seen([0], [3], [10], resets)
    assert match_run(nothing, WANTED).lost == 1


def test_outcomes_add_up() -> None:
    assert Outcome(1, 1) + Outcome(2, 0, 3, 4, (5,)) == Outcome(3, 1, 3, 4, (5,))


def test_pair_row_counts_and_names_the_first() -> None:
    graph = tiny_graph()
    right = {"test": {"fc2_out": np.zeros((0, 2), dtype=int)}, "random": {"fc2_out": np.arange(20).reshape(10, 2)}}
    assert pair_row("a", "b", right, right, graph) == {
        "a": "a",
        "b": "b",
        "vectors": 10,
        "mismatches": 0,
        "sets": {"test": 0, "random": 10},
    }
    left = {name: {key: values.copy() for key, values in outputs.items()} for name, outputs in right.items()}
    left["random"]["fc2_out"][3, 1] += 2
    left["random"]["fc2_out"][5] += 1
    row = pair_row("graph", "hls_cpp", left, right, graph)
    assert (row["vectors"], row["mismatches"]) == (10, 2)
    first = row["first"]
    assert (first["set"], first["index"], first["element"]) == ("random", 3, 1)
    assert (first["a_integer"], first["b_integer"], first["a_value"]) == (9, 7, 9 * 2.0**-9)
    with pytest.raises(ValueError, match="shape"):
        pair_row("a", "b", {**left, "random": {"fc2_out": np.zeros((9, 2), dtype=int)}}, right, graph)
    with pytest.raises(ValueError, match="random"):
        pair_row("a", "b", {"test": left["test"]}, right, graph)


@pytest.mark.parametrize("width", [1, 5, 8, 13, 31, 32, 33, 62, 63, 64, 70])
@pytest.mark.parametrize("signed", [False, True])
def test_packing_is_reversible(width: int, signed: bool) -> None:
    rng = np.random.default_rng(width)
    lo = -(1 << (width - 1)) if signed else 0
    top = lo + (1 << width) - 1
    values = [[lo, top, 0], *([lo + int(v) % (1 << width) for v in rng.integers(0, 1 << 62, 3)] for _ in range(5))]
    array = np.array(values, dtype=np.int64 if width < 63 else object)
    words = pack(array, width)
    assert words.shape == (6, -(-3 * width // 32))
    flat = sum((int(v) & ((1 << width) - 1)) << (k * width) for k, v in enumerate(values[3]))
    assert [int(w) for w in words[3]] == [(flat >> (32 * k)) & 0xFFFFFFFF for k in range(words.shape[1])]
    assert (unpack(words, 3, width, signed) == array).all()


def test_glue_names_ports_as_verilator_does() -> None:
    assert cpp_name("in_a__b_data_i") == "in_a___05Fb_data_i"
    text = glue(tiny_design(), taps=True, trace="vcd")
    assert "top->tap_relu1_o" in text and "verilated_vcd_c.h" in text
    assert "in_ready_o" not in glue(tiny_design("none"))
