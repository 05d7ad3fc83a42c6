"""Figures of the integer network: its metric on the test set, its weights and their zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.fixed import IntArray
from hwgen.ir import Graph
from hwgen.ir import nodes as ir

if TYPE_CHECKING:
    from hwgen.spec import ModelSpec
    from hwgen.train.data import DataSet


WEIGHTED = (ir.Dense, ir.Conv, ir.DepthwiseConv)
"""Kinds whose second operand is a kernel."""


def graph_score(spec: ModelSpec, data: DataSet, graph: Graph, outputs: dict[str, IntArray]) -> float:
    """Return the metric of integer outputs on the test set.

    Parameters
    ----------
    outputs : {output name: integers (frames, \\*shape)}
    """
    from hwgen.train.data.types import as_tuple
    from hwgen.train.metrics import evaluate_outputs, metric_name

    metric = metric_name(spec.train.metric, data.integer_labels)
    targets = as_tuple(data.y_test)
    scores = []
    for node, target in zip(graph.outputs, targets, strict=True):
        fmt = graph.types[node.name].fmt
        scores.append(
            evaluate_outputs(
                metric,
                fmt.to_float(outputs[node.name]),
                target,
                inputs=data.xs_test[0] if len(targets) == 1 and len(data.xs_test) == 1 else None,
                is_class=isinstance(graph.by_name[node.inputs[0]], ir.ArgMax),
                threshold=_threshold(graph, node),
            )
        )
    return float(np.mean(scores))


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
