"""The QKeras model itself, run in float64 on the graph's input grid: what all other representations are compared to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.errors import ProofError
from hwgen.fixed import FixedPoint, IntArray
from hwgen.ir import nodes as ir
from hwgen.ir.evaluate import evaluate_node
from hwgen.ir.graph import Graph
from hwgen.lower import vendor
from hwgen.lower.lowering import Analysis, analyse
from hwgen.train.env import mend_qkeras

Array = np.ndarray[Any, Any]
BATCH = 4096
BATCH_BYTES = 256 << 20
"""Frames run at once, at most, and memory for every layer's result: bounds the memory."""


@dataclass(frozen=True)
class Step:
    """One layer call: operand tensors, result tensor, and a function of float64 arrays."""

    layer: str
    inputs: list[str]
    output: str
    apply: Callable[..., Array]


class QKerasReference:
    """A QKeras model in float64.

    Parameters
    ----------
    model : keras.Model
    graph : Graph
        As lowered from `model`; gives the grids of inputs and outputs, and what follows the logits.
    spec : ModelSpec

    Notes
    -----
    Three things are not QKeras' own, and are stated in ``docs/numerics.md``: the rounded coefficients of a float batch
    norm, types a user forces (``precision.result``, ``precision.accum``), and an argmax or softmax after the logits.
    """

    def __init__(self, model: Any, graph: Graph, spec: Any) -> None:
        self._graph = graph
        with vendor.quiet():
            mend_qkeras()
            self._analysis = analyse(model, spec)
            with vendor.float64():
                self._steps = _steps(model, self._analysis)
        self._inputs = {t: n for t, n in self._analysis.tensors.items() if isinstance(graph.by_name.get(n), ir.Input)}
        self._outputs = vendor.tensor_names(vendor.functional(model).outputs)
        sizes = sum(t.size for t in graph.types.values())
        self._batch = max(1, min(BATCH, BATCH_BYTES // (8 * max(sizes, 1))))

    def run(self, inputs: Mapping[str, IntArray], *, trace: bool = False) -> dict[str, IntArray]:
        """Run the model on integers.

        Parameters
        ----------
        inputs : {input name: integers (frames, \\*shape)}
        trace : bool
            Also return every layer's result, under the name of the graph node that computes it.

        Raises
        ------
        ProofError
            If a result is not on the graph's grid.
        """
        frames, step = len(next(iter(inputs.values()))), self._batch
        if not frames:  # a network without data has no test set
            return {o.name: np.zeros((0, *self._graph.types[o.name].shape), np.int64) for o in self._graph.outputs}
        parts = [
            self._run_batch({k: v[i : i + step] for k, v in inputs.items()}, trace) for i in range(0, frames, step)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run_batch(self, inputs: Mapping[str, IntArray], trace: bool) -> dict[str, IntArray]:
        values: dict[str, Array] = {}
        for tensor, name in self._inputs.items():
            values[tensor] = self._graph.types[name].fmt.to_float(inputs[name])
        with vendor.quiet(), vendor.float64():
            for step in self._steps:
                values[step.output] = step.apply(*(values[name] for name in step.inputs))
        traced: dict[str, IntArray] = {}
        if trace:
            for tensor, name in self._analysis.tensors.items():
                if tensor in values:
                    traced[name] = self._to_ints(values[tensor], name)
        known = {
            node: self._to_ints(values[tensor], node)
            for tensor, node in zip(self._outputs, self._analysis.logits, strict=True)
        }
        return traced | self._tail(known)

    def _to_ints(self, values: Array, name: str) -> IntArray:
        """Return float64 values as integers of the graph's node; they must be on its grid, exactly."""
        t = self._graph.types[name]
        scaled = np.ldexp(values.reshape(len(values), *t.shape), t.fraction)
        ints = np.rint(scaled)
        if not np.array_equal(ints, scaled):
            worst = np.unravel_index(int(np.abs(ints - scaled).argmax()), scaled.shape)
            raise ProofError(
                "QKeras gives a value that is not on the grid of the graph",
                where=name,
                found=f"{float(values[worst])!r} at frame {worst[0]}, index {[int(i) for i in worst[1:]]}",
                expected=f"a multiple of {t.fmt.lsb:g}",
                hint="this is a bug in hwgen's reading of the layer: please report it with the model",
            )
        return ints.astype(np.int64)

    def _tail(self, values: dict[str, IntArray]) -> dict[str, IntArray]:
        """Evaluate what hwgen puts after the logits: nothing, an argmax, or a softmax."""
        graph, needed = self._graph, set(values)
        known: dict[str, IntArray] = dict(values)
        for node in graph.nodes:
            if isinstance(node, ir.Const):
                known[node.name] = node.value
            elif node.name not in needed and node.inputs and all(i in known for i in node.inputs):
                if not any(i in needed for i in node.inputs):
                    continue
                operands = [graph.types[i] for i in node.inputs]
                args = [known[i] for i in node.inputs]
                known[node.name] = evaluate_node(node, args, operands, graph.types[node.name])
                needed.add(node.name)
        return {o.name: known[o.name] for o in graph.outputs}


def _steps(model: Any, analysis: Analysis) -> list[Step]:
    """Return the model's layer calls as functions of float64 arrays."""
    steps, clones = [], dict[str, Callable[..., Array]]()
    for layer, ins, outs in vendor.layer_calls(model):
        if not ins:
            continue
        if layer.name not in clones:
            clones[layer.name] = _function(layer, analysis)
        steps.append(Step(layer.name, vendor.tensor_names(ins), vendor.tensor_names(outs)[0], clones[layer.name]))
    return steps


def _function(layer: Any, analysis: Analysis) -> Callable[..., Array]:
    """Return one layer as a function of float64 arrays: QKeras' own code, and the types a user forces."""
    reading, kind = analysis.reading, type(layer).__name__
    if layer.name in reading.scales:
        scale, bias = reading.scales[layer.name]
        core: Callable[..., Array] = lambda x: x * scale + bias  # noqa: E731
        after = None
    elif kind == "Softmax" or (vendor.is_softmax(getattr(layer, "activation", None)) and not vendor.has_weights(layer)):
        return lambda x: x
    else:
        core, after = vendor.float64_layer(layer)
    forced = [reading.precision.accum(layer.name)] if vendor.has_weights(layer) else []
    forced.append(reading.precision.result(layer.name, _computes(kind)))
    types = [fmt for fmt in forced if fmt is not None]

    def apply(*args: Array) -> Array:
        value = core(*args)
        for fmt in types:
            value = fmt.to_float(fmt.quantize(value))
        return value if after is None else after(value)

    return apply


def _computes(kind: str) -> bool:
    merges = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
    return "Conv" in kind or kind in ("QDense", "Dense", "QDenseBatchnorm", "BatchNormalization", *merges)


__all__ = ["FixedPoint", "QKerasReference"]
