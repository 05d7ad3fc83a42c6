"""The adder-graph door: every solution computes the kernel, cached or not."""

import numpy as np
import pytest

from hwgen.errors import NumericsError
from hwgen.rtl.adder_graph import AdderGraph, solve


def run(graph: AdderGraph, x: np.ndarray) -> np.ndarray:
    values = [x[:, i] for i in range(graph.n_inputs)]
    for adder in graph.adders:
        a, b = values[adder.a], values[adder.b]
        a, b = (a, b << adder.shift) if adder.shift >= 0 else (a << -adder.shift, b)
        values.append(a - b if adder.subtract else a + b)
    columns = []
    for index, shift, negated in graph.outputs:
        column = np.zeros(len(x), np.int64) if index is None else values[index] << shift
        columns.append(-column if negated else column)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("shape", [(16, 64), (64, 32), (5, 1), (1, 3), (1, 1), (300, 24)])
@pytest.mark.parametrize("density", [0.1, 0.5])
def test_solution_is_the_product(shape: tuple[int, int], density: float, tmp_path) -> None:
    rng = np.random.default_rng(hash((shape, density)) % 2**32)
    kernel = rng.integers(-32, 32, shape) * (rng.random(shape) < density)
    kernel[:, 0] = 0
    x = rng.integers(-128, 128, (50, shape[0]))
    first = solve(kernel, [(-128, 127)] * shape[0], cache=tmp_path)
    again = solve(kernel, [(-128, 127)] * shape[0], cache=tmp_path)
    assert first == again
    np.testing.assert_array_equal(run(first, x), x @ kernel)


def test_column_ordered_kernel_is_read_right() -> None:
    kernel = np.asfortranarray(np.arange(12).reshape(3, 4) - 5)
    x = np.array([[1, 2, 3], [-7, 5, 2]])
    np.testing.assert_array_equal(run(solve(kernel, [(-8, 7)] * 3), x), x @ kernel)


def test_too_wide_weight_is_refused() -> None:
    with pytest.raises(NumericsError, match="24 bits"):
        solve(np.array([[1 << 24]]), [(0, 1)])
