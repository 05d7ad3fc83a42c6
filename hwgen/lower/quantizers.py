"""What each QKeras quantizer means, in one place: it becomes a `WeightRule` or an `ActivationRule`, or is refused.

A rule is exact: it names integers on a dyadic grid, and how ties and out-of-range values go. The rules were read off
QKeras' own formulas and are checked against QKeras' own results when a model is lowered (`docs/numerics.md`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from hwgen.errors import ModelError, NumericsError
from hwgen.fixed import FixedPoint, IntArray, Overflow, Rounding, as_ints

MAX_PO2_EXPONENT = 48
"""Larger exponents of `quantized_po2` could not be checked in float64."""
PO2_EPSILON = 1e-7
"""Keras' fuzz factor: smaller magnitudes take quantized_po2's smallest exponent."""


@dataclass(frozen=True)
class WeightRule:
    """How a weight quantizer maps floats to integers with `fraction` fractional bits.

    Parameters
    ----------
    text : str
        The quantizer as a user writes it.
    fraction : int
    apply : callable
        float64 values to integers with `fraction` fractional bits.
    """

    text: str
    fraction: int
    apply: Callable[[np.ndarray[Any, Any]], IntArray]


@dataclass(frozen=True)
class ActivationRule:
    """How an activation quantizer acts on an exact value x.

    First ``x * scale + offset`` (both dyadic); then, for `negative_slope`, values below zero are multiplied by it; then
    `fmt` rounds and saturates and `clamp` bounds the integers; `then`, if given, is a second rule on the result.
    Some rules are something else instead: `sign` gives the integers for x below zero and not below; `threshold` gives
    +1 for ``x >= threshold``, -1 for ``x <= -threshold``, else 0, as integers of `fmt`. A float `function` comes first.
    """

    text: str
    fmt: FixedPoint
    clamp: tuple[int, int] | None = None
    scale: Fraction | None = None
    offset: Fraction | None = None
    negative_slope: Fraction | None = None
    then: ActivationRule | None = None
    sign: tuple[int, int] | None = None
    threshold: Fraction | None = None
    function: str | None = None

    @property
    def plain(self) -> bool:
        """Whether the rule is rounding, saturation and a clamp alone."""
        special = (self.scale, self.offset, self.negative_slope, self.then, self.sign, self.threshold, self.function)
        return all(item is None for item in special)


def _refuse(where: str, text: str, why: str, expected: str) -> ModelError:
    return ModelError(f"{text}: {why}", where=where, found=text, expected=expected)


def quantizer_text(quantizer: Any) -> str:
    """Return a quantizer as a user would write it, its class name at least."""
    if quantizer is None:
        return "none"
    name = getattr(quantizer, "__name__", type(quantizer).__name__)
    try:
        return str(quantizer) if hasattr(quantizer, "get_config") else name
    except Exception:
        return name


def power_of_two(value: float) -> int | None:
    """Return e for ``value == 2**e``, else None."""
    if not value > 0 or not math.isfinite(value):
        return None
    mantissa, exponent = math.frexp(value)
    return exponent - 1 if mantissa == 0.5 else None


def _alpha_exponent(quantizer: Any, where: str, text: str, weight: bool) -> int:
    """Return e of the scale ``alpha = 2**e``; refuse scales chosen by the data and scales that are not exact."""
    alpha = getattr(quantizer, "alpha", None)
    name = type(quantizer).__name__
    if alpha is None:
        return 0
    if isinstance(alpha, str):
        fix = str(text).replace(f"alpha='{alpha}'", "alpha=1").replace(",1,alpha=1", ",alpha=1")
        why = f"its scale is {alpha}, chosen by the data"
        if weight and alpha == "auto_po2":
            why += " (QKeras also takes this when a weight quantizer leaves alpha out)"
        raise _refuse(where, text, why, fix if "alpha=1" in fix else f"{name} with alpha=1")
    exponents = {power_of_two(float(a)) for a in np.ravel(np.asarray(alpha, dtype=np.float64))}
    if len(exponents) != 1 or None in exponents:
        raise _refuse(where, text, "a scale that is not one power of two is not exact", f"{name} with alpha=1")
    return int(exponents.pop() or 0)


def _check_common(quantizer: Any, where: str, text: str) -> None:
    """Refuse what makes a quantizer random or only partly quantizing."""
    name = type(quantizer).__name__
    if getattr(quantizer, "use_stochastic_rounding", False):
        raise _refuse(where, text, "stochastic rounding has no hardware", f"{name} without use_stochastic_rounding")
    noise = getattr(quantizer, "qnoise_factor", 1.0)
    if float(np.asarray(noise)) != 1.0:
        raise _refuse(where, text, "it quantizes only in part (qnoise_factor)", f"{name} with qnoise_factor=1")
    if getattr(quantizer, "post_training_scale", None) is not None:
        raise _refuse(where, text, "a post-training scale is not a power of two in general", f"{name} with alpha=1")


def _as_int(value: Any, where: str, text: str, key: str) -> int:
    number = float(np.asarray(value))
    if not number.is_integer():
        raise _refuse(where, text, f"{key} must be a whole number", f"{key} as an integer")
    return int(number)


def weight_rule(quantizer: Any, where: str) -> WeightRule:
    """Return the rule of a weight or bias quantizer.

    Parameters
    ----------
    quantizer : object of QKeras
    where : str
        For messages: ``fc1.kernel_quantizer``.

    Raises
    ------
    ModelError
        If it is not exact, naming the nearest that is.
    """
    name, text = type(quantizer).__name__, quantizer_text(quantizer)
    maker = {
        "quantized_bits": _bits_weight,
        "binary": _binary_weight,
        "ternary": _ternary_weight,
        "quantized_po2": _po2_weight,
    }
    if name not in maker:
        nearest = (
            "quantized_po2"
            if "po2" in name
            else next((n for n in ("binary", "ternary") if n in name), "quantized_bits")
        )
        example = {"quantized_bits": "quantized_bits(6,0,alpha=1)", "quantized_po2": "quantized_po2(4)"}
        raise _refuse(where, text, "not a weight quantizer hwgen knows", example.get(nearest, f"{nearest}(alpha=1)"))
    _check_common(quantizer, where, text)
    return maker[name](quantizer, where, text)


def _bits_format(quantizer: Any, where: str, text: str) -> tuple[FixedPoint, bool]:
    """Return the format of a quantized_bits, and whether it is the one-bit sign."""
    bits = _as_int(quantizer.bits, where, text, "bits")
    integer = _as_int(quantizer.integer, where, text, "integer")
    negative = bool(quantizer.keep_negative)
    overflow = Overflow.SAT_SYM if quantizer.symmetric and negative else Overflow.SAT
    if bits < 1:
        raise _refuse(where, text, "no bits", "bits >= 1")
    return FixedPoint(bits, integer + negative, negative, Rounding.RND_CONV, overflow), bits == 1 and negative


def _bits_weight(quantizer: Any, where: str, text: str) -> WeightRule:
    fmt, is_sign = _bits_format(quantizer, where, text)
    exponent = _alpha_exponent(quantizer, where, text, weight=True)
    if is_sign:
        return WeightRule(text, -exponent, lambda x: np.where(x >= 0, 1, -1).astype(np.int64))
    return WeightRule(text, fmt.fraction - exponent, fmt.quantize)


def _binary_weight(quantizer: Any, where: str, text: str) -> WeightRule:
    exponent = _alpha_exponent(quantizer, where, text, weight=True)
    low = 0 if quantizer.use_01 else -1
    return WeightRule(text, -exponent, lambda x: np.where(x >= 0, 1, low).astype(np.int64))


def _threshold(quantizer: Any, where: str, text: str) -> float:
    threshold = quantizer.default_threshold if quantizer.threshold is None else quantizer.threshold
    if isinstance(threshold, str):
        raise _refuse(where, text, "a threshold chosen by the data", "ternary(alpha=1,threshold=0.33)")
    return float(threshold)


def _ternary_weight(quantizer: Any, where: str, text: str) -> WeightRule:
    exponent = _alpha_exponent(quantizer, where, text, weight=True)
    threshold = _threshold(quantizer, where, text)
    return WeightRule(text, -exponent, lambda x: ((np.abs(x) >= threshold) * np.sign(x)).astype(np.int64))


def _po2_weight(quantizer: Any, where: str, text: str) -> WeightRule:
    low, high = int(quantizer._min_exp), int(quantizer._max_exp)
    factor = 2 if quantizer.quadratic_approximation else 1
    if factor * max(abs(low), abs(high)) > MAX_PO2_EXPONENT:
        found = f"weights from 2**{factor * low} to 2**{factor * high}"
        raise _refuse(where, text, f"{found} do not fit one accumulator", "quantized_po2(4) or up to 6 bits")
    top = None if quantizer.max_value is None else float(quantizer.max_value)
    rounding = np.floor if quantizer.log2_rounding == "floor" else np.rint

    def apply(x: np.ndarray[Any, Any]) -> IntArray:
        size = np.maximum(np.abs(x), PO2_EPSILON)
        size = size if top is None else np.minimum(size, top)
        log2 = np.log(np.sqrt(size) if factor == 2 else size) / np.log(2.0)
        exponent = np.where(np.abs(x) < PO2_EPSILON, low, factor * np.clip(rounding(log2), low, high)).astype(np.int64)
        sign = np.where(x >= 0, 1, -1)
        return as_ints(
            np.array(
                [int(s) << int(e - factor * low) for s, e in zip(sign.flat, exponent.flat, strict=True)], dtype=object
            ).reshape(x.shape)
        )

    return WeightRule(text, -factor * low, apply)


def activation_rule(quantizer: Any, where: str) -> ActivationRule:
    """Return the rule of an activation quantizer.

    Raises
    ------
    ModelError
        If it is not exact, naming the nearest that is.
    """
    name, text = type(quantizer).__name__, quantizer_text(quantizer)
    maker = {
        "quantized_bits": _bits_activation,
        "quantized_relu": _relu_activation,
        "quantized_tanh": _tanh_activation,
        "quantized_sigmoid": _sigmoid_activation,
        "quantized_hswish": _hswish_activation,
        "binary": _binary_activation,
        "ternary": _ternary_activation,
    }
    if name not in maker:
        plain = getattr(quantizer, "__name__", name)
        nearest = next((n for n in ("relu", "tanh", "sigmoid") if n in plain or n[:4] in plain), None)
        expected = f"quantized_{nearest}(6)" if nearest else "quantized_bits(8,2,alpha=1) or quantized_relu(6)"
        raise _refuse(where, text, "not an activation quantizer hwgen knows", expected)
    _check_common(quantizer, where, text)
    return maker[name](quantizer, where, text)


def _shifted(fmt: FixedPoint, exponent: int) -> FixedPoint:
    """Return `fmt` with its binary point moved: every value times ``2**exponent``."""
    return FixedPoint(fmt.width, fmt.integer + exponent, fmt.signed, fmt.rounding, fmt.overflow)


def _bits_activation(quantizer: Any, where: str, text: str) -> ActivationRule:
    fmt, is_sign = _bits_format(quantizer, where, text)
    exponent = _alpha_exponent(quantizer, where, text, weight=False)
    if is_sign:
        return ActivationRule(text, FixedPoint(2, 2 + exponent), sign=(-1, 1))
    # alpha scales the result, not the grid that x is rounded on.
    scale = Fraction(2) ** exponent if exponent else None
    return ActivationRule(text, _shifted(fmt, exponent), scale=scale)


def _relu_activation(quantizer: Any, where: str, text: str) -> ActivationRule:
    bits, integer = (_as_int(getattr(quantizer, k), where, text, k) for k in ("bits", "integer"))
    slope = power_of_two(float(quantizer.negative_slope)) if quantizer.negative_slope else None
    value_bits = bits - (slope is not None)
    if value_bits < 1:
        raise _refuse(where, text, "no bits for the positive values", f"quantized_relu({bits + 1},{integer})")
    fraction, top = value_bits - integer, (1 << value_bits) - 1
    if quantizer.use_sigmoid:
        return _relu_of_sigmoid(text, where, value_bits, integer, slope)
    if slope is not None and slope + value_bits < 0:
        why = f"a slope of 2**{slope} is below the resolution of {value_bits} bits"
        raise _refuse(where, text, why, f"a negative_slope of at least 2**-{value_bits}")
    high = min(top, _relu_bound(quantizer, where, text, fraction))
    low = 0 if slope is None else -(1 << (value_bits + slope))
    signed = slope is not None
    width = max(high.bit_length(), (-low - 1).bit_length() if low else 0, 1) + signed
    width = max(width, bits) if slope is None else width
    fmt = FixedPoint(width, width - fraction, signed, Rounding.RND_CONV, Overflow.SAT)
    clamp = None if (fmt.int_min, fmt.int_max) == (low, high) else (low, high)
    return ActivationRule(text, fmt, clamp, negative_slope=None if slope is None else Fraction(2) ** slope)


def _relu_bound(quantizer: Any, where: str, text: str, fraction: int) -> int:
    """Return relu_upper_bound as an integer; QKeras heeds it only where is_quantized_clip is off."""
    bound = quantizer.relu_upper_bound
    if not bound or quantizer.is_quantized_clip:
        return 1 << 62
    scaled = Fraction(float(bound)) * Fraction(2) ** fraction
    if scaled.denominator != 1 or scaled < 0:
        step = 2.0**-fraction
        raise _refuse(where, text, f"relu_upper_bound={bound} is off the grid of {step:g}", f"a multiple of {step:g}")
    return int(scaled)


def _relu_of_sigmoid(text: str, where: str, bits: int, integer: int, slope: int | None) -> ActivationRule:
    """``2 * round(hard_sigmoid(x / 2**integer)) - 1``, as QKeras' use_sigmoid has it."""
    if slope is not None:
        raise _refuse(where, text, "use_sigmoid with a negative slope", "one of the two")
    _check_hard_sigmoid(where, text)
    top = 1 << bits
    last = ActivationRule(
        text,
        FixedPoint(bits, integer, False, Rounding.RND_CONV, Overflow.SAT),
        scale=Fraction(2) ** (integer + 1),
        offset=-(Fraction(2) ** integer),
    )
    half = Fraction(1, 2) / Fraction(2) ** integer
    fmt = FixedPoint(bits + 1, 1, False, Rounding.RND_CONV, Overflow.SAT)
    return ActivationRule(text, fmt, (0, top), scale=half, offset=Fraction(1, 2), then=last)


def _check_hard_sigmoid(where: str, text: str) -> None:
    from hwgen.lower.vendor import qkeras_sigmoid_name

    name = qkeras_sigmoid_name()
    if name != "hard_sigmoid":
        raise _refuse(where, text, f"qkeras is set to {name}", 'qkeras.set_internal_sigmoid("hard"), the default')


def _tanh_activation(quantizer: Any, where: str, text: str) -> ActivationRule:
    bits = _as_int(quantizer.bits, where, text, "bits")
    overflow = Overflow.SAT_SYM if quantizer.symmetric else Overflow.SAT
    fmt = FixedPoint(bits, 1, True, Rounding.RND_CONV, overflow)
    if quantizer.use_real_tanh:
        return ActivationRule(text, fmt, function="tanh")
    _check_hard_sigmoid(where, text)
    return ActivationRule(text, fmt)


def _sigmoid_activation(quantizer: Any, where: str, text: str) -> ActivationRule:
    bits = _as_int(quantizer.bits, where, text, "bits")
    fmt = FixedPoint(bits, 0, False, Rounding.RND_CONV, Overflow.SAT)
    clamp = (1, fmt.int_max) if quantizer.symmetric else None
    if quantizer.use_real_sigmoid:
        return ActivationRule(text, fmt, clamp, function="sigmoid")
    _check_hard_sigmoid(where, text)
    half = Fraction(1, 2)
    return ActivationRule(text, fmt, clamp, scale=half, offset=half)


def _hswish_activation(quantizer: Any, where: str, text: str) -> ActivationRule:
    if (quantizer.relu_shift, quantizer.relu_upper_bound) != (3, 6):
        raise _refuse(where, text, "not x * relu6(x + 3) / 6", "relu_shift=3, relu_upper_bound=6, the defaults")
    return replace(_bits_activation(quantizer, where, text), function="hard_silu")


def _binary_activation(quantizer: Any, where: str, text: str) -> ActivationRule:
    exponent = _alpha_exponent(quantizer, where, text, weight=False)
    levels = (0, 1) if quantizer.use_01 else (-1, 1)
    fmt = FixedPoint(1, 1 + exponent, False) if quantizer.use_01 else FixedPoint(2, 2 + exponent)
    return ActivationRule(text, fmt, sign=levels)


def _ternary_activation(quantizer: Any, where: str, text: str) -> ActivationRule:
    exponent = _alpha_exponent(quantizer, where, text, weight=False)
    threshold = Fraction(_threshold(quantizer, where, text))
    return ActivationRule(text, FixedPoint(2, 2 + exponent), threshold=threshold)


def on_grid(values: Any, fmt: FixedPoint, where: str) -> IntArray:
    """Return floats as integers of `fmt`; every one must be representable.

    Raises
    ------
    NumericsError
        Naming the value furthest off the grid.
    """
    array = np.asarray(values, dtype=np.float64)
    ints = FixedPoint(fmt.width, fmt.integer, fmt.signed, Rounding.RND_CONV, Overflow.SAT).quantize(array)
    error = np.abs(np.ldexp(ints.astype(np.float64), -fmt.fraction) - array)
    if error.size and float(error.max()) > 0:
        worst = np.unravel_index(int(error.argmax()), array.shape)
        place = "".join(f"[{int(i)}]" for i in worst)
        raise NumericsError(
            f"{int((error > 0).sum())} of {array.size} values are not on the grid of {fmt}",
            where=where,
            found=f"{place} = {float(array[worst])!r}",
            expected=f"multiples of {fmt.lsb:g} in {fmt.min:g}..{fmt.max:g}",
            hint="quantize the layer when training: QDense with kernel_quantizer and bias_quantizer",
        )
    return ints
