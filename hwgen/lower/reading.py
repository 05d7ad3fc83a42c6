"""State of reading a ModelGraph, and what the readers of all node classes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.errors import ModelError, NumericsError
from hwgen.fixed import FixedPoint, Overflow, shift_round
from hwgen.ir import nodes as ir
from hwgen.lower import vendor
from hwgen.lower.activations import QUANTIZED
from hwgen.lower.builder import GraphBuilder
from hwgen.lower.names import Label, identifier
from hwgen.lower.precision import Precision
from hwgen.lower.quantizers import on_grid, weight_rule


@dataclass(frozen=True)
class Average:
    """A sum that is still to be divided: its graph node, the divisors (broadcast to it), and the layer's name."""

    total: str
    divisor: np.ndarray[Any, Any]
    layer: str


@dataclass
class Reading:
    """State of one reading: the graph so far, what each hls4ml tensor became, notes for the report.

    Parameters
    ----------
    values : dict
        hls4ml output name to graph node.
    functions : dict
        hls4ml output name to a float function still to be tabulated with the quantizer that follows.
    averages : dict
        hls4ml output name to a sum still to be divided, with the quantizer that follows.
    scales : dict
        Batch norm layer to its rounded coefficients (scale, bias) as floats: the reference uses them too.
    """

    builder: GraphBuilder
    precision: Precision
    input_formats: Mapping[str, FixedPoint]
    values: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    softmax: set[str] = field(default_factory=set)
    averages: dict[str, Average] = field(default_factory=dict)
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
                expected=f"QActivation after it, as {QUANTIZED[self.functions[name]]}",
            )
        if name in self.averages:
            average = self.averages[name]
            raise ModelError(
                f"an average of {int(average.divisor.max())} elements is not a binary number: a quantizer must follow",
                where=average.layer,
                found=f"its result goes to {label(node)}",
                expected="add a QActivation after it, as quantized_bits(8,2,alpha=1) or quantized_relu(6)",
            )
        if name in self.softmax:
            raise ModelError(
                "softmax is supported at the end of a network only", where=label(node), expected="no softmax here"
            )
        return self.values[name]


def label(node: Any) -> Label:
    """Return the name a node has in the graph."""
    return Label(node.get_attr("label") or identifier(node.name))


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


def read_weight(node: Any, reading: Reading, name: str, layer: str) -> tuple[Any, int]:
    """Return a weight's integers and their binary point, by its quantizer, else by the type given for it."""
    data = node.weights[name].data_unquantized
    rule, foreign = vendor.node_rule(node, name)
    if rule is None and foreign is not None:
        rule = weight_rule(foreign, f"{layer}.{name}_quantizer")
    if rule is not None:
        return rule.apply(np.asarray(data, dtype=np.float64)), rule.fraction
    fmt = reading.precision.weight_type(layer, name)
    if fmt is None:
        raise not_quantized(layer, name, node.get_attr("weight_key", "kernel_quantizer"))
    return on_grid(data, fmt, f"{layer}.{name}"), fmt.fraction


def not_quantized(layer: str, name: str, key: str = "kernel_quantizer") -> ModelError:
    """Return the error for a float ``weight`` or ``bias``.

    Parameters
    ----------
    key : the weight's quantizer, as Keras calls it
    """
    quantizer = key if name == "weight" else "bias_quantizer"
    return ModelError(
        f"the {name} is not quantized",
        where=f"{layer}.{quantizer}",
        found="floats",
        expected=f"QDense (QConv2D, ...) with {quantizer}: quantized_bits(6,0,alpha=1)",
        hint=f"or, if the floats are on a grid already, its type in precision.layers.{layer}.{name}",
    )


def accumulator(reading: Reading, x: str, fmt: FixedPoint, name: str, layer: str) -> str:
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


def divide(reading: Reading, average: Average, fmt: FixedPoint, clamp: tuple[int, int] | None, name: str) -> str:
    """Add the division of a sum into `fmt`.

    Raises
    ------
    NumericsError
        If `fmt` wraps and does not hold every average, unless allow_wrap.
    """
    t = reading.builder.types[average.total]
    if fmt.overflow in (Overflow.WRAP, Overflow.SAT_ZERO) and not reading.precision.allow_wrap:
        least = int(average.divisor.min())
        low, high = (int(np.floor(end / least)) for end in (int(t.lo.min()), int(t.hi.max())))
        needed = FixedPoint.for_range(low, high + 1, t.fraction)
        if needed.integer + (fmt.signed and not needed.signed) > fmt.integer or (needed.signed and not fmt.signed):
            raise NumericsError(
                "result can overflow",
                where=f"precision.layers.{average.layer}.result",
                found=f"{fmt}; the average reaches {low * t.fmt.lsb:g} to {(high + 1) * t.fmt.lsb:g}",
                expected=f"a type with {needed.integer} integer bits, or one that saturates",
            )
    return reading.builder.add(ir.Divide, name, average.total, divisor=average.divisor, fmt=fmt, clamp=clamp)
