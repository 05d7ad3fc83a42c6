"""Figures of the integer network: its metric on the test set, its weights and their zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.fixed import IntArray
from hwgen.ir import Graph
from hwgen.ir import nodes as ir

if TYPE_CHECKING:
    from hwgen.spec import ModelSpec
    from hwgen.train.data import DataSet
    from hwgen.train.outputs import Scores


WEIGHTED = (ir.Dense, ir.Conv, ir.DepthwiseConv)
"""Kinds whose second operand is a kernel."""


def graph_scores(
    spec: ModelSpec,
    data: DataSet,
    graph: Graph,
    outputs: dict[str, IntArray],
    names: Sequence[str] | None = None,
) -> Scores:
    """Return the metrics of integer outputs on the test set.

    Parameters
    ----------
    outputs : {output of the graph: integers (frames, \\*shape)}
    names : what the network calls its outputs, in the graph's order; default: as the graph does
    """
    from hwgen.train.outputs import score_outputs

    named = dict(zip(names or [node.name for node in graph.outputs], graph.outputs, strict=True))
    return score_outputs(
        spec,
        data,
        {name: graph.types[node.name].fmt.to_float(outputs[node.name]) for name, node in named.items()},
        inputs=data.xs_test[0] if len(data.xs_test) == 1 else None,
        is_class={name: isinstance(graph.by_name[node.inputs[0]], ir.ArgMax) for name, node in named.items()},
        thresholds={name: _threshold(graph, node) for name, node in named.items()},
    )


def _threshold(graph: Graph, node: ir.Output) -> float:
    """A single output says yes above 0.5 where it comes from a table (a sigmoid), above 0 where it is a logit."""
    return 0.5 if isinstance(graph.by_name[node.inputs[0]], ir.Lookup) else 0.0


def weight_counts(graph: Graph) -> dict[str, Any]:
    """Return the number of weights and of non-zero ones, in all and by layer, of the integers."""
    layers = {}
    for node in graph.nodes:
        weight = graph.by_name[node.inputs[1]] if isinstance(node, WEIGHTED) else None
        if isinstance(weight, ir.Const):
            layers[node.name] = {"weights": weight.value.size, "nonzero": int(np.count_nonzero(weight.value))}
    total = {key: sum(layer[key] for layer in layers.values()) for key in ("weights", "nonzero")}
    return {**total, "layers": layers}
