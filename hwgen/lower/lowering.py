"""From a Keras model to a `Graph`: parse with hls4ml, read its ModelGraph, finish the outputs, check."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, ModelError, SpecError
from hwgen.fixed import FixedPoint, Overflow
from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph
from hwgen.ir.passes import drop_reshapes, fold_padding, sink_reshapes, spread_pictures
from hwgen.lower import vendor
from hwgen.lower.builder import GraphBuilder
from hwgen.lower.handlers import HANDLERS, describe
from hwgen.lower.names import Label, Names
from hwgen.lower.precision import Precision, host_format
from hwgen.lower.quantizers import ActivationRule
from hwgen.lower.reader import read_model_graph
from hwgen.lower.reading import Reading, label
from hwgen.lower.softmax import emit_argmax, emit_softmax, softmax_error

HIDDEN = "__"
"""Suffix of names inside hls4ml."""
Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Lowered:
    """What lowering a model gives.

    Parameters
    ----------
    graph : Graph
    hls_config : dict
        The configuration of the hls4ml project: a precision for every layer and weight.
    notes : list of str
        What a user should know: rounded coefficients, ignored arguments, table errors.
    integer_sparsity : dict
        Layer to the fraction of its integer weights that are zero.
    """

    graph: Graph
    hls_config: dict[str, Any]
    notes: list[str]
    integer_sparsity: dict[str, float]
    weights: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """A lowered model with what the reference needs to compare it layer by layer.

    Parameters
    ----------
    tensors : dict
        Keras tensor name to the graph node that computes it (after any forced type).
    logits : list of str
        Per model output, the node that stands for the Keras tensor: where an argmax or a softmax of ours begins.
    """

    graph: Graph
    reading: Reading
    tensors: dict[str, str]
    logits: list[str]


def analyse(model: Any, spec: Any) -> Analysis:
    """Parse, read and finish a built Keras model.

    Raises
    ------
    HwgenError
        If something in it has no exact meaning in hardware.
    """
    layers, inputs, outputs = vendor.parse(model, dict.fromkeys(HANDLERS, describe))
    names = _rename(layers, inputs, outputs, str(spec.model.name))
    precision = Precision(spec)
    reading = Reading(GraphBuilder(names), precision, _input_formats(layers, precision))
    tensors = {name: conf["name"] for conf in layers for name in conf["output_keras_tensor_names"]}
    read_model_graph(vendor.make_model_graph(layers, inputs, outputs), reading)
    logits, ends = _finish_outputs(reading, outputs, getattr(spec.model, "output", None) or "logits")
    graph = _tidied(reading.builder.graph(str(spec.model.name)), logits)
    for kind, start, end in ends:
        if kind == "softmax":
            error, flips = softmax_error(graph, start, end)
            reading.notes.append(
                f"{end}: tables of 16 fractional bits; over 1,000 random frames off float64 by at most {error:.2e}, "
                f"{flips} argmaxes differ"
            )
    known = {t: reading.values[n] for t, n in tensors.items() if reading.values.get(n) in graph.by_name}
    return Analysis(graph, reading, known, logits)


def _tidied(graph: Graph, logits: Collection[str] = ()) -> Graph:
    """Apply the passes that make hardware cheaper and leave every integer as it is."""
    return spread_pictures(fold_padding(drop_reshapes(sink_reshapes(graph), logits))).verify()


def graph_of(model_graph: Any, name: str, input_formats: Mapping[str, FixedPoint]) -> Graph:
    """Read an hls4ml ModelGraph that any converter of hls4ml made, after the neutral passes.

    Parameters
    ----------
    model_graph : hls4ml.model.ModelGraph
    name : str
        The graph's name.
    input_formats : {hls4ml input name: FixedPoint}
    """
    labels = [label(node) for node in model_graph.get_layers()]
    reading = Reading(GraphBuilder(Names(reserved=labels)), Precision(None), input_formats)
    read_model_graph(model_graph, reading)
    _finish_outputs(reading, list(model_graph.outputs), "logits")
    return _tidied(reading.builder.graph(name))


def _rename(layers: list[dict[str, Any]], inputs: list[str], outputs: list[str], top: str) -> Names:
    """Give every layer of hls4ml's list an identifier as its label, in place; return names for the graph's nodes.

    hls4ml keeps a layer's result among its attributes under the layer's name, so that a layer called ``perm`` or
    ``axis`` would overwrite one: its own names end in `HIDDEN`. No layer is called like the top module.
    """
    names, table, taken = Names(reserved=[top]), {}, {str(conf["name"]) for conf in layers}
    for conf in layers:
        table[conf["name"]] = Label(names.fresh(_undo_numbering(conf, taken)))
    for conf in layers:
        conf["label"] = table[conf["name"]]
        conf["name"] = f"{conf['label']}{HIDDEN}"
        conf["inputs"] = [f"{table[name]}{HIDDEN}" for name in conf["inputs"]]
    for ends in (inputs, outputs):
        ends[:] = [f"{table[name]}{HIDDEN}" for name in ends]
    return Names(reserved=[top, *table.values()])


def _undo_numbering(conf: dict[str, Any], taken: set[str]) -> str:
    """hls4ml's parser numbers layers called i, n, p, u or t even where they are unique."""
    name = str(conf["name"])
    return conf["keras_layer"] if name == f"{conf['keras_layer']}_0" and conf["keras_layer"] not in taken else name


def _input_formats(layers: list[dict[str, Any]], precision: Precision) -> dict[str, FixedPoint]:
    """Return each input's format: as given, else as the activation that every consumer of it begins with."""
    given = {c["name"]: c["keras_layer"] for c in layers if c["class_name"] == "InputLayer"}
    said = precision.inputs(list(given.values()))
    formats = {name: said[keras] for name, keras in given.items() if keras in said}
    for name, keras in given.items():
        if name in formats:
            continue
        rules = [c.get("activation_quantizer") for c in layers if name in c["inputs"]]
        grids = {str(rule.fmt): rule.fmt for rule in rules if isinstance(rule, ActivationRule) and _is_grid(rule)}
        if len(grids) != 1 or not all(isinstance(rule, ActivationRule) and _is_grid(rule) for rule in rules):
            raise SpecError(
                f"the number format of input {keras} is not known",
                where="precision.input" if len(given) == 1 else f"precision.input.{keras}",
                found="the model does not start with a QActivation",
                expected="fixed<16,6>, or QActivation: quantized_bits(8,2,alpha=1) as the first layer",
            )
        formats[name] = host_format(next(iter(grids.values())))
    return formats


def _is_grid(rule: ActivationRule) -> bool:
    return rule.plain and rule.fmt.overflow in (Overflow.SAT, Overflow.SAT_SYM)


def _finish_outputs(reading: Reading, outputs: list[str], wanted: str) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Add argmax or softmax where asked for, and the Output nodes; return the logits and what was added."""
    builder, logits, ends = reading.builder, [], []
    for name in outputs:
        if name in reading.functions:
            function = reading.functions[name]
            raise ModelError(
                f"the network ends in a float {function}",
                where=name.removesuffix(HIDDEN),
                expected=f"end in the layer before it (train from logits), or in QActivation quantized_{function}(8)",
            )
        if name in reading.averages:
            average = reading.averages[name]
            raise ModelError(
                f"the network ends in an average of {int(average.divisor.max())} elements: not a binary number",
                where=average.layer,
                expected="add a QActivation after it, as quantized_bits(8,2,alpha=1)",
            )
        node = result = reading.values[name]
        if wanted == "argmax" and builder.types[node].shape[-1] > 1:
            result = emit_argmax(builder, node)
        elif wanted == "softmax":
            result = emit_softmax(builder, node)
        elif name in reading.softmax:
            reading.notes.append(
                f"{name.removesuffix(HIDDEN)}: the softmax at the end is left out (model.output: logits)"
            )
        if result != node:
            ends.append((wanted, node, result))
        builder.add(ir.Output, f"{result}_out", result)
        logits.append(node)
    return logits, ends


def lower_model(model: Any, spec: Any, progress: Progress = lambda message, fraction: None) -> Lowered:
    """Lower a trained Keras model to a Graph.

    Parameters
    ----------
    model : keras.Model
    spec : ModelSpec
    progress : callable

    Raises
    ------
    HwgenError
        Naming the layer that has no exact meaning in hardware, and what to use instead.
    """
    from hwgen.lower.check import located
    from hwgen.lower.hls import hls_layers

    progress("reading the model through hls4ml", None)
    with vendor.quiet():
        try:
            analysis = analyse(model, spec)
        except HwgenError as error:
            raise located(error, spec) from error
    graph = analysis.graph
    weights = _weight_counts(analysis)
    sparsity = {layer: 1 - nonzero / size for layer, (size, nonzero) in weights.items()}
    return Lowered(graph, hls_layers(graph).configuration, analysis.reading.notes, sparsity, weights)


def _weight_counts(analysis: Analysis) -> dict[str, tuple[int, int]]:
    """Return each layer's number of weights and of non-zero ones; a layer called twice counts once."""
    kernels: dict[str, dict[bytes, tuple[int, int]]] = {}
    for node in analysis.graph.nodes:
        layer = analysis.reading.layer_of.get(node.name)
        if layer is None or not isinstance(node, ir.Dense | ir.Conv | ir.DepthwiseConv):
            continue
        kernel = analysis.graph.by_name[node.inputs[1]]
        if isinstance(kernel, ir.Const):
            counts = (int(kernel.value.size), int(np.count_nonzero(kernel.value)))
            kernels.setdefault(layer, {})[repr(kernel.value.shape).encode() + kernel.value.tobytes()] = counts
    return {layer: (sum(s for s, _ in own.values()), sum(n for _, n in own.values())) for layer, own in kernels.items()}
