"""An `ActivationRule` as graph nodes, and the literal tables of functions that no integer arithmetic gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from hwgen.errors import NumericsError
from hwgen.fixed import FixedPoint, IntArray, Overflow
from hwgen.ir import nodes as ir
from hwgen.lower.builder import GraphBuilder
from hwgen.lower.quantizers import ActivationRule, power_of_two

MAX_TABLE = 1 << 16
"""Most entries of a literal table."""
MAX_EXTRA_BITS = 16
"""Most bits a ReLU's max_value may add below the binary point."""


def sigmoid(x: float) -> float:
    """Return the logistic function in float64."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def hard_sigmoid(x: float) -> float:
    """Return Keras' hard sigmoid in float64: ``min(max(x + 3, 0), 6) / 6``."""
    return min(max(x + 3.0, 0.0), 6.0) / 6.0


def hard_silu(x: float) -> float:
    """Return the hard SiLU (hard swish) in float64, in Keras' order; QKeras divides last.

    Of a table's values that makes no difference: x = n / 2^f. A result that is a dyadic number needs n to be a multiple
    of 3, and then the quotient by 6 is exact; all others are further from a tie than float64 is from the exact result.
    """
    return x * hard_sigmoid(x)


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sigmoid": sigmoid,
    "tanh": math.tanh,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
}
"""The float functions that may become literal tables."""
QUANTIZED = {
    "sigmoid": "quantized_sigmoid(6)",
    "tanh": "quantized_tanh(6)",
    "hard_sigmoid": "quantized_relu(8,0)",
    "hard_silu": "quantized_bits(8,2,alpha=1)",
}
"""What may follow each of Keras' functions, or take its place."""


def rule_on_floats(rule: ActivationRule, values: np.ndarray[Any, Any]) -> IntArray:
    """Apply `rule` to float64 values, as QKeras does in float64; return integers of ``rule.fmt``."""
    x = np.asarray(values, dtype=np.float64)
    if rule.function is not None:
        x = np.array([FUNCTIONS[rule.function](float(v)) for v in x.ravel()]).reshape(x.shape)
    if rule.sign is not None:
        return np.where(x >= 0, rule.sign[1], rule.sign[0]).astype(np.int64)
    if rule.threshold is not None:
        limit = float(rule.threshold)
        return ((np.abs(x) >= limit) * np.sign(x)).astype(np.int64)
    if rule.scale is not None:
        x = x * float(rule.scale)
    if rule.offset is not None:
        x = x + float(rule.offset)
    if rule.negative_slope is not None:
        x = np.where(x < 0, x * float(rule.negative_slope), x)
    ints = rule.fmt.quantize(x)
    ints = ints if rule.clamp is None else np.clip(ints, *rule.clamp)
    return ints if rule.then is None else rule_on_floats(rule.then, rule.fmt.to_float(ints))


def emit_rule(builder: GraphBuilder, x: str, rule: ActivationRule, name: str) -> str:
    """Add the nodes of `rule` acting on node `x`; the last one is called `name`."""
    if rule.function is not None:
        return emit_table(builder, x, rule.function, rule, name)
    if rule.sign is not None:
        return _emit_sign(builder, x, rule, name)
    if rule.threshold is not None:
        return _emit_threshold(builder, x, rule, name)
    if rule.scale is not None or rule.offset is not None:
        x = _emit_affine(
            builder, x, rule.scale or Fraction(1), rule.offset, f"{name}_scaled" if not rule.then else f"{name}_in"
        )
    if rule.negative_slope is not None:
        x = emit_leaky(builder, x, rule.negative_slope, f"{name}_leaky")
    if rule.then is not None:
        middle = builder.requantize(f"{name}_hard", x, rule.fmt, rule.clamp)
        return emit_rule(builder, middle, rule.then, name)
    return builder.requantize(name, x, rule.fmt, rule.clamp)


def _dyadic(value: Fraction) -> tuple[int, int]:
    """Return (integer, fractional bits) of a dyadic number."""
    return value.numerator, value.denominator.bit_length() - 1


def _emit_affine(builder: GraphBuilder, x: str, scale: Fraction, offset: Fraction | None, name: str) -> str:
    """Add ``x * scale + offset``."""
    integer, fraction = _dyadic(scale)
    operands = [x, builder.const(f"{name}_s", [integer], fraction)]
    if offset is not None:
        integer, fraction = _dyadic(offset)
        operands.append(builder.const(f"{name}_b", [integer], fraction))
    return builder.add(ir.Scale, name, *operands)


def emit_leaky(builder: GraphBuilder, x: str, slope: Fraction, name: str) -> str:
    """Add ``x`` for x >= 0, ``slope * x`` below; `slope` is a power of two."""
    if slope == 1 or int(builder.types[x].lo.min()) >= 0:
        return x
    scaled = _emit_affine(builder, x, slope, None, f"{name}_slope")
    return builder.add(ir.Max if slope < 1 else ir.Min, name, x, scaled)


def emit_relu(builder: GraphBuilder, x: str, slope: float, top: float | None, name: str) -> str:
    """Add Keras' ReLU: ``min(max(x, 0), top) + slope * min(x, 0)``, exact.

    Raises
    ------
    NumericsError
        If `top` is not a value the hardware can hold exactly.
    """
    if slope and power_of_two(slope) is not None:
        x = emit_leaky(builder, x, Fraction(slope), f"{name}_leaky")
    t = builder.types[x]
    lo, hi, fraction = min(int(t.lo.min()), 0) if slope else 0, max(int(t.hi.max()), 0), t.fraction
    clamp = None
    if top is not None:
        integer, bits = _dyadic(Fraction(top))
        if bits > max(fraction, 0) + MAX_EXTRA_BITS:
            raise NumericsError(
                "max_value needs too many bits to be exact",
                where=name,
                found=repr(top),
                expected=f"a multiple of {2.0 ** -max(fraction, 0):g}",
            )
        extra = max(bits - fraction, 0)
        lo, hi, fraction = lo << extra, hi << extra, fraction + extra
        limit = integer << (fraction - bits)
        clamp, hi = ((lo, limit), max(limit, 0)) if limit < hi else (None, hi)
    fmt = FixedPoint.for_range(lo, hi, fraction)
    return builder.requantize(
        name, x, FixedPoint(fmt.width, fmt.integer, fmt.signed, fmt.rounding, Overflow.SAT), clamp
    )


def _emit_sign(builder: GraphBuilder, x: str, rule: ActivationRule, name: str) -> str:
    """The sign bit of x, as a one-bit number, selects one of two levels."""
    fraction = builder.types[x].fraction
    sign = builder.requantize(f"{name}_sign", x, FixedPoint(1, 1 - fraction, True, overflow=Overflow.SAT))
    assert rule.sign is not None
    return builder.add(ir.Lookup, name, sign, table=np.array(rule.sign, dtype=np.int64), first=-1, fmt=rule.fmt)


def _emit_threshold(builder: GraphBuilder, x: str, rule: ActivationRule, name: str) -> str:
    """Clamp x to [T-1, T] and to [-T, -T+1]: the sum of the two is -1, 0 or 1 units."""
    fraction = builder.types[x].fraction
    assert rule.threshold is not None
    level = max(math.ceil(rule.threshold * Fraction(2) ** fraction), 1)
    halves = []
    for part, low in (("upper", level - 1), ("lower", -level)):
        fmt = FixedPoint.for_range(low, low + 1, fraction)
        saturating = FixedPoint(fmt.width, fmt.integer, fmt.signed, overflow=Overflow.SAT)
        halves.append(builder.requantize(f"{name}_{part}", x, saturating, (low, low + 1)))
    total = builder.add(ir.Add, f"{name}_sum", *halves)
    return builder.add(ir.Lookup, name, total, table=np.array([-1, 0, 1], dtype=np.int64), first=-1, fmt=rule.fmt)


def emit_table(builder: GraphBuilder, x: str, function: str, rule: ActivationRule, name: str) -> str:
    """Add a Lookup of ``rule(function(x))`` over every value x can take.

    Raises
    ------
    NumericsError
        If that is more than `MAX_TABLE` values.
    """
    t = builder.types[x]
    first, last = int(t.lo.min()), int(t.hi.max())
    if last - first + 1 > MAX_TABLE:
        raise NumericsError(
            f"a table of {function} over {last - first + 1} values",
            where=name,
            found=f"its input takes {t.fmt}",
            expected=f"at most {MAX_TABLE} values",
            hint="put a QActivation, as quantized_bits(10,3,alpha=1), before it",
        )
    points = np.ldexp(np.arange(first, last + 1, dtype=np.float64), -t.fraction)
    values = np.array([FUNCTIONS[function](float(p)) for p in points])
    from dataclasses import replace

    table = rule_on_floats(replace(rule, function=None), values)
    fmt = rule.fmt if rule.then is None else rule.then.fmt
    return builder.add(ir.Lookup, name, x, table=table.astype(np.int64), first=first, fmt=fmt)
