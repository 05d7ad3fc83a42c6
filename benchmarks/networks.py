"""The seeded networks that the benchmarks share."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir

JET_SIZES = (16, 64, 32, 32, 5)
"""The jet tagger's topology, the LHC trigger's standard example."""


def dense_network(
    name: str, sizes: tuple[int, ...], seed: int, inputs: str = "fixed<8,3>", relu: str = "ufixed<6,2,RND_CONV,SAT>"
) -> Graph:
    """Return dense layers with seeded 6-bit weights, half of them zero, and saturating ReLUs between them.

    The input is ``x``, the layers ``fc0``, ``relu0``, ``fc1`` …, the output ``y``.
    """
    rng = np.random.default_rng(seed)
    nodes: list[ir.Node] = [ir.Input(name="x", shape=(sizes[0],), fmt=FixedPoint.parse(inputs))]
    previous = "x"
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        weight = rng.integers(-31, 32, (n_in, n_out)) * (rng.random((n_in, n_out)) < 0.5)
        nodes += [
            ir.Const(name=f"fc{k}_w", value=weight, fraction=5),
            ir.Const(name=f"fc{k}_b", value=rng.integers(-31, 32, n_out), fraction=5),
            ir.Dense(name=f"fc{k}", inputs=(previous, f"fc{k}_w", f"fc{k}_b")),
        ]
        previous = f"fc{k}"
        if k < len(sizes) - 2:
            nodes.append(ir.Requantize(name=f"relu{k}", inputs=(previous,), fmt=FixedPoint.parse(relu)))
            previous = f"relu{k}"
    nodes.append(ir.Output(name="y", inputs=(previous,)))
    return Graph(name, tuple(nodes)).verify()
