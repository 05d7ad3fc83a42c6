"""hls4ml's ModelGraph, read at one named point, becomes our Graph (docs/lowering.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.errors import ModelError, NumericsError
from hwgen.fixed import FixedPoint, Overflow, shift_round
from hwgen.ir import nodes as ir
from hwgen.lower import vendor
from hwgen.lower.activations import emit_relu, emit_rule, emit_table
from hwgen.lower.builder import GraphBuilder
from hwgen.lower.coefficients import round_coefficients
from hwgen.lower.names import Label, identifier
from hwgen.lower.precision import Precision
from hwgen.lower.quantizers import activation_rule, on_grid, weight_rule


@dataclass
class Reading:
    """State of one reading: the graph so far, what each hls4ml tensor became, notes for the report.

    Parameters
    ----------
    values : dict
        hls4ml output name to graph node.
    functions : dict
        hls4ml output name to a float function still to be tabulated with the quantizer that follows.
    scales : dict
        Batch norm layer to its rounded coefficients (scale, bias) as floats: the reference uses them too.
    """

    builder: GraphBuilder
    precision: Precision
    input_formats: Mapping[str, FixedPoint]
    values: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    softmax: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    scales: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = field(default_factory=dict)
    layer_of: dict[str, str] = field(default_factory=dict)

    def operand(self, node: Any, index: int = 0) -> str:
        """Return the graph node of an operand; a pending float function there is an error."""
        name = node.inputs[index]
        if name in self.functions:
            raise ModelError(
                f"{self.functions[name]} must be followed by a quantizer",
                where=name.rstrip("_"),
                found=f"its result goes to {label(node)}",
                expected=f"QActivation with quantized_{self.functions[name]}(6), or a QActivation after it",
            )
        if name in self.softmax:
            raise ModelError(
                "softmax is supported at the end of a network only", where=label(node), expected="no softmax here"
            )
        return self.values[name]


def label(node: Any) -> Label:
    """Return the name a node has in the graph."""
    return Label(node.get_attr("label") or identifier(node.name))


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
        if result is not None:
            fmt = reading.precision.result(layer, kind in COMPUTING)
            if fmt is not None and node.get_attr("result_goes_here", True):
                result = force(reading, result, fmt, f"{label(node)}_result", layer, "result")
            reading.values[node.outputs[0]] = result


def force(reading: Reading, x: str, fmt: FixedPoint, name: str, layer: str, key: str) -> str:
    """Bring x into a type that a user forces; one that can wrap is an error unless allow_wrap.

    Raises
    ------
    NumericsError
        Naming the layer and a type that cannot wrap.
    """
    t = reading.builder.types[x]
    if fmt.overflow in (Overflow.WRAP, Overflow.SAT_ZERO) and not reading.precision.allow_wrap:
        shift = t.fraction - fmt.fraction
        low = int(shift_round(t.lo, shift, fmt.rounding).min())
        high = int(shift_round(t.hi, shift, fmt.rounding).max())
        if not fmt.holds(low, high):
            safe = FixedPoint.for_range(low, high, fmt.fraction)
            if fmt.signed and not safe.signed:
                safe = FixedPoint(safe.width + 1, safe.integer + 1)
            raise NumericsError(
                f"{key} can overflow",
                where=f"precision.layers.{layer}.{key}",
                found=f"{fmt}; the layer reaches {t.fmt.lsb * int(t.lo.min()):g} to {t.fmt.lsb * int(t.hi.max()):g}",
                expected=str(safe),
                hint="or precision.allow_wrap: true, which models the wrapping exactly",
            )
    return reading.builder.requantize(name, x, fmt)


def _input(node: Any, reading: Reading) -> str:
    shape = tuple(int(d) for d in node.get_attr("input_shape"))
    return reading.builder.add(ir.Input, label(node), shape=shape, fmt=reading.input_formats[node.name])


def _weight(node: Any, reading: Reading, name: str, layer: str) -> tuple[Any, int]:
    """Return a weight's integers and their binary point, by its quantizer, else by the type given for it."""
    data = node.weights[name].data_unquantized
    rule, foreign = vendor.node_rule(node, name)
    if rule is None and foreign is not None:
        rule = weight_rule(foreign, f"{layer}.{name}_quantizer")
    if rule is not None:
        return rule.apply(np.asarray(data, dtype=np.float64)), rule.fraction
    fmt = reading.precision.weight_type(layer, name)
    if fmt is None:
        raise not_quantized(layer, name)
    return on_grid(data, fmt, f"{layer}.{name}"), fmt.fraction


def not_quantized(layer: str, name: str) -> ModelError:
    """Return the error for a float ``weight`` or ``bias``."""
    quantizer = "kernel_quantizer" if name == "weight" else "bias_quantizer"
    return ModelError(
        f"the {name} is not quantized",
        where=f"{layer}.{quantizer}",
        found="floats",
        expected=f"QDense with {quantizer}: quantized_bits(6,0,alpha=1)",
        hint=f"or, if the floats are on a grid already, its type in precision.layers.{layer}.{name}",
    )


def _dense(node: Any, reading: Reading) -> str:
    builder, layer = reading.builder, reading.layer_of[label(node)]
    x = reading.operand(node)
    weight, fraction = _weight(node, reading, "weight", layer)
    operands = [x, builder.const(f"{label(node)}_w", weight, fraction)]
    if node.get_attr("bias_data") is not None:
        bias, fraction = _weight(node, reading, "bias", layer)
        operands.append(builder.const(f"{label(node)}_b", bias, fraction))
    result = builder.add(ir.Dense, label(node), *operands)
    accum = reading.precision.accum(layer)
    return result if accum is None else _accumulator(reading, result, accum, label(node), layer)


def _accumulator(reading: Reading, x: str, fmt: FixedPoint, name: str, layer: str) -> str:
    """Check an accumulator type: it may be wider than needed, and may wrap if allowed, but never round a product."""
    t = reading.builder.types[x]
    if fmt.fraction < t.fraction or fmt.overflow is not Overflow.WRAP:
        why = "would saturate in between" if fmt.overflow is not Overflow.WRAP else "would round every product"
        raise NumericsError(
            f"an accumulator of {fmt} {why}, and the result would then depend on the order of the sum",
            where=f"precision.layers.{layer}.accum",
            found=str(fmt),
            expected=f"at least {max(t.fraction, 0)} fractional bits and no saturation: {t.fmt}",
        )
    return force(reading, x, fmt, f"{name}_accum", layer, "accum")


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


def _softmax(node: Any, reading: Reading) -> str:
    x = reading.operand(node)
    reading.softmax.add(node.outputs[0])
    return x


def _reshape(node: Any, reading: Reading) -> str:
    shape = tuple(int(d) for d in node.get_attr("target_shape"))
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
}
"""What becomes of each hls4ml node class."""

COMPUTING = frozenset({"Dense", "BatchNormalization", "Merge"})
"""Classes whose result the network-wide ``precision.result`` applies to."""
