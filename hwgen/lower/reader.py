"""hls4ml's ModelGraph, read at one named point, becomes our Graph (docs/lowering.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hwgen.errors import ModelError
from hwgen.ir import nodes as ir
from hwgen.lower import vendor
from hwgen.lower.activations import emit_relu, emit_rule, emit_table
from hwgen.lower.coefficients import round_coefficients
from hwgen.lower.quantizers import ActivationRule, activation_rule
from hwgen.lower.reader_windows import WINDOW_READERS
from hwgen.lower.reading import Average, Reading, accumulator, divide, force, label, read_weight


def _input(node: Any, reading: Reading) -> str:
    shape = tuple(int(d) for d in node.get_attr("input_shape"))
    return reading.builder.add(ir.Input, label(node), shape=shape, fmt=reading.input_formats[node.name])


def _dense(node: Any, reading: Reading) -> str:
    builder, layer = reading.builder, reading.layer_of[label(node)]
    x = reading.operand(node)
    weight, fraction = read_weight(node, reading, "weight", layer)
    operands = [x, builder.const(f"{label(node)}_w", weight, fraction)]
    if node.get_attr("bias_data") is not None:
        bias, fraction = read_weight(node, reading, "bias", layer)
        operands.append(builder.const(f"{label(node)}_b", bias, fraction))
    result = builder.add(ir.Dense, label(node), *operands)
    accum = reading.precision.accum(layer)
    return result if accum is None else accumulator(reading, result, accum, label(node), layer)


def _batchnorm(node: Any, reading: Reading) -> str:
    builder, layer = reading.builder, reading.layer_of[label(node)]
    x = reading.operand(node)
    scale = np.asarray(node.weights["scale"].data_unquantized, dtype=np.float64)
    bias = np.asarray(node.weights["bias"].data_unquantized, dtype=np.float64)
    types = (reading.precision.weight_type(layer, "weight"), reading.precision.weight_type(layer, "bias"))
    rounded_scale = round_coefficients(scale, types[0], f"{layer}.weight")
    rounded_bias = round_coefficients(bias, types[1], f"{layer}.bias")
    t = builder.types[x]
    reach = np.ldexp(float(max(abs(int(t.lo.min())), abs(int(t.hi.max())))), -t.fraction)
    deviation = np.abs(rounded_scale.values - scale) * reach + np.abs(rounded_bias.values - bias)
    reading.scales[layer] = (rounded_scale.values, rounded_bias.values)
    if float(deviation.max()) > 0:
        reading.notes.append(
            f"{layer}: batch norm coefficients rounded to {rounded_scale.fmt} and {rounded_bias.fmt}; "
            f"its result moves by at most {float(deviation.max()):.3g}"
        )
    operands = [x, builder.const(f"{label(node)}_s", rounded_scale.ints, rounded_scale.fmt.fraction)]
    if rounded_bias.ints.any():
        operands.append(builder.const(f"{label(node)}_b", rounded_bias.ints, rounded_bias.fmt.fraction))
    return builder.add(ir.Scale, label(node), *operands)


def _activation(node: Any, reading: Reading) -> str | None:
    rule = node.get_attr("activation_quantizer")
    if isinstance(rule, Mapping):
        rule = activation_rule(vendor.quantizer_of(rule), f"{label(node)}.activation")
    function = node.get_attr("float_function")
    if rule is not None and node.inputs[0] in reading.functions and node.inputs[0] not in reading.values:
        source = reading.functions[node.inputs[0]]
        before = reading.values[f"{node.inputs[0]} before"]
        return emit_table(reading.builder, before, source, rule, label(node))
    if node.inputs[0] in reading.averages:
        return _activated_average(node, reading, rule)
    x = reading.operand(node)
    if rule is not None:
        return emit_rule(reading.builder, x, rule, label(node))
    if function is not None:
        reading.functions[node.outputs[0]] = function
        reading.values[f"{node.outputs[0]} before"] = x
        return None
    if node.get_attr("relu") is not None:
        slope, top = node.get_attr("relu")
        return emit_relu(reading.builder, x, slope, top, label(node))
    if node.get_attr("activation") == "linear":
        return x
    raise ModelError(f"activation {node.get_attr('activation')} cannot be made exact", where=label(node))


def _activated_average(node: Any, reading: Reading, rule: ActivationRule | None) -> str | None:
    """Divide a sum where a quantizer says how to round; pass it on through what changes nothing."""
    average = reading.averages[node.inputs[0]]
    if rule is None and node.get_attr("float_function") is None and node.get_attr("activation") == "linear":
        reading.averages[node.outputs[0]] = average
        return None
    if rule is not None and rule.sign is not None:
        return emit_rule(reading.builder, average.total, rule, label(node))
    if rule is None or not rule.plain:
        raise ModelError(
            "an average must be rounded by a plain quantizer",
            where=label(node),
            found=rule.text if rule else str(node.get_attr("activation")),
            expected=f"quantized_bits(8,2,alpha=1) or quantized_relu(6) right after {average.layer}",
        )
    return divide(reading, average, rule.fmt, rule.clamp, label(node))


def _softmax(node: Any, reading: Reading) -> str:
    x = reading.operand(node)
    reading.softmax.add(node.outputs[0])
    return x


def _reshape(node: Any, reading: Reading) -> str | None:
    shape = tuple(int(d) for d in node.get_attr("target_shape"))
    if node.inputs[0] in reading.averages:
        average = reading.averages[node.inputs[0]]
        before = reading.builder.types[average.total].shape
        divisor = np.broadcast_to(average.divisor, before).reshape(shape)
        total = reading.builder.add(ir.Reshape, f"{label(node)}_sum", average.total, shape=shape)
        reading.averages[node.outputs[0]] = Average(total, divisor, average.layer)
        return None
    x = reading.operand(node)
    return (
        x if reading.builder.types[x].shape == shape else reading.builder.add(ir.Reshape, label(node), x, shape=shape)
    )


def _transpose(node: Any, reading: Reading) -> str:
    perm = tuple(int(p) for p in node.get_attr("perm"))
    return reading.builder.add(ir.Transpose, label(node), reading.operand(node), perm=perm)


_MERGES: dict[str, type[ir.Elementwise]] = {
    "add": ir.Add,
    "subtract": ir.Sub,
    "multiply": ir.Mul,
    "maximum": ir.Max,
    "minimum": ir.Min,
}


def _merge(node: Any, reading: Reading) -> str:
    operands = [reading.operand(node, i) for i in range(2)]
    return reading.builder.add(_MERGES[node.get_attr("op")], label(node), *operands)


def _concatenate(node: Any, reading: Reading) -> str:
    operands = [reading.operand(node, i) for i in range(2)]
    axis = int(node.get_attr("axis"))  # hls4ml's counts the batch axis where it is positive
    axis = axis - 1 if axis > 0 else axis + len(reading.builder.types[operands[0]].shape)
    return reading.builder.add(ir.Concat, label(node), *operands, axis=axis)


READERS: dict[str, Callable[[Any, Reading], str | None]] = {
    "Input": _input,
    "Dense": _dense,
    "BatchNormalization": _batchnorm,
    **dict.fromkeys(("Activation", "HardActivation", "ParametrizedActivation", "TernaryTanh"), _activation),
    "Softmax": _softmax,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Merge": _merge,
    "Concatenate": _concatenate,
    **WINDOW_READERS,
}
"""What becomes of each hls4ml node class."""

COMPUTING = frozenset(
    {"Dense", "BatchNormalization", "Merge", "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D"}
)
"""Classes whose result the network-wide ``precision.result`` applies to."""


def read_model_graph(graph: Any, reading: Reading) -> None:
    """Read every node of a ModelGraph, in order.

    Parameters
    ----------
    graph : hls4ml.model.ModelGraph
        After the neutral passes.
    """
    for node in graph.get_layers():
        kind = node.class_name
        if kind not in READERS:
            raise ModelError(f"hls4ml made a {kind} of it, which hwgen does not know", where=label(node))
        layer = reading.layer_of[label(node)] = str(node.get_attr("keras_layer", label(node)))
        result = READERS[kind](node, reading)
        fmt = reading.precision.result(layer, kind in COMPUTING)
        if result is None and fmt is not None and node.outputs[0] in reading.averages:
            average = reading.averages.pop(node.outputs[0])
            reading.values[node.outputs[0]] = divide(reading, average, fmt, None, f"{label(node)}_result")
        if result is not None:
            if fmt is not None and node.get_attr("result_goes_here", True):
                result = force(reading, result, fmt, f"{label(node)}_result", layer, "result")
            reading.values[node.outputs[0]] = result
