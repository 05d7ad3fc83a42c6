"""`FixedPoint`: the only definition of numerics in hwgen. Integers are the truth.

A value is an integer ``n`` standing for ``n * 2**-fraction``. Rounding and overflow modes are those of
the ap_fixed types of HLS C++ (AMD UG1399, "Arbitrary Precision Fixed-Point Data Types"); `docs/numerics.md`
is the normative text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from hwgen.errors import NumericsError

IntArray = np.ndarray[Any, np.dtype[Any]]
"""Integers: int64 where that is provably enough, else Python ints in an object array."""

SAFE_BITS = 62
"""Magnitudes below 2**SAFE_BITS are computed in int64; larger ones in Python ints."""


class Rounding(StrEnum):
    """What happens to bits below the LSB (names of ap_fixed without ``AP_``)."""

    TRN = "TRN"
    TRN_ZERO = "TRN_ZERO"
    RND = "RND"
    RND_ZERO = "RND_ZERO"
    RND_INF = "RND_INF"
    RND_MIN_INF = "RND_MIN_INF"
    RND_CONV = "RND_CONV"


class Overflow(StrEnum):
    """What happens to values outside the range (names of ap_fixed without ``AP_``)."""

    WRAP = "WRAP"
    SAT = "SAT"
    SAT_ZERO = "SAT_ZERO"
    SAT_SYM = "SAT_SYM"


def as_ints(values: Any, magnitude: int | None = None) -> IntArray:
    """Return integers as int64 if `magnitude` (or the data) provably fits, else as Python ints.

    Parameters
    ----------
    values : array of integers, any integer dtype or object
    magnitude : int, optional
        A bound on every absolute value met in the computation to come.
    """
    array = np.asarray(values)
    if magnitude is None:
        magnitude = max_abs(array)
    return array.astype(np.int64 if magnitude < (1 << SAFE_BITS) else object, copy=False)


def max_abs(values: IntArray) -> int:
    """Return the largest absolute value as a Python int (0 if empty)."""
    if values.size == 0:
        return 0
    return max(abs(int(values.min())), abs(int(values.max())))


def bits_for(lo: int, hi: int) -> tuple[bool, int]:
    """Return (signed, width) of the narrowest two's-complement type that holds ``lo..hi``; width >= 1."""
    if lo > hi:
        raise ValueError(f"empty range {lo}..{hi}")
    signed = lo < 0
    width = max((-lo - 1).bit_length() if lo < 0 else 0, hi.bit_length() if hi > 0 else 0) + signed
    return signed, max(width, 1)


def shift_round(values: IntArray, shift: int, rounding: Rounding) -> IntArray:
    """Divide integers by ``2**shift`` and round; a negative `shift` multiplies (exact).

    Parameters
    ----------
    values : IntArray
    shift : int
        Number of low bits to drop.
    rounding : Rounding
    """
    if shift <= 0:
        return as_ints(values, max_abs(values) << -shift) << -shift
    values = as_ints(values, max_abs(values) + (1 << shift))
    half = 1 << (shift - 1)
    floor = values >> shift
    rest = values - (floor << shift)
    match rounding:
        case Rounding.TRN:
            up = np.zeros(values.shape, dtype=bool)
        case Rounding.TRN_ZERO:
            up = (values < 0) & (rest > 0)
        case Rounding.RND:
            up = rest >= half
        case Rounding.RND_MIN_INF:
            up = rest > half
        case Rounding.RND_ZERO:
            up = (rest > half) | ((rest == half) & (values < 0))
        case Rounding.RND_INF:
            up = (rest > half) | ((rest == half) & (values >= 0))
        case Rounding.RND_CONV:
            up = (rest > half) | ((rest == half) & ((floor & 1) == 1))
    return floor + np.asarray(up, dtype=bool).astype(values.dtype)


def divide_round(numerator: IntArray, denominator: IntArray, rounding: Rounding) -> IntArray:
    """Divide integers exactly and round once.

    Parameters
    ----------
    numerator, denominator : IntArray
        Broadcast to one shape; the denominators are positive. Python ints where twice a denominator passes 62 bits.
    rounding : Rounding
    """
    floor = numerator // denominator
    rest = numerator - floor * denominator
    twice, negative = 2 * rest, numerator < 0
    tie = twice == denominator
    match rounding:
        case Rounding.TRN:
            up = np.zeros(floor.shape, dtype=bool)
        case Rounding.TRN_ZERO:
            up = negative & (rest > 0)
        case Rounding.RND:
            up = twice >= denominator
        case Rounding.RND_MIN_INF:
            up = twice > denominator
        case Rounding.RND_ZERO:
            up = (twice > denominator) | (tie & negative)
        case Rounding.RND_INF:
            up = (twice > denominator) | (tie & ~negative.astype(bool))
        case Rounding.RND_CONV:
            up = (twice > denominator) | (tie & ((floor & 1) == 1))
    return floor + np.asarray(up, dtype=bool).astype(floor.dtype)


@dataclass(frozen=True)
class FixedPoint:
    """A number format: ``width`` bits, the binary point ``integer`` bits from the top.

    ``integer`` includes the sign bit, as in ``ap_fixed<W, I>``. It may be negative or exceed the width.
    """

    width: int
    integer: int
    signed: bool = True
    rounding: Rounding = Rounding.TRN
    overflow: Overflow = Overflow.WRAP

    def __post_init__(self) -> None:
        if self.width < 1:
            raise NumericsError("a number format needs at least one bit", found=f"width {self.width}")

    @property
    def fraction(self) -> int:
        """Number of bits below the binary point; the LSB weighs ``2**-fraction``."""
        return self.width - self.integer

    @property
    def lsb(self) -> float:
        """Weight of the least significant bit."""
        return 2.0**-self.fraction

    @property
    def int_min(self) -> int:
        """Smallest integer the format takes (SAT_SYM excludes the most negative one)."""
        if not self.signed:
            return 0
        return -(1 << (self.width - 1)) + (self.overflow is Overflow.SAT_SYM)

    @property
    def int_max(self) -> int:
        """Largest integer the format takes."""
        return (1 << (self.width - self.signed)) - 1

    @property
    def min(self) -> float:
        """Smallest value as a float."""
        return self.int_min * self.lsb

    @property
    def max(self) -> float:
        """Largest value as a float."""
        return self.int_max * self.lsb

    @classmethod
    def for_range(cls, lo: int, hi: int, fraction: int) -> FixedPoint:
        """Return the narrowest format with `fraction` bits that holds the integers ``lo..hi``."""
        signed, width = bits_for(lo, hi)
        return cls(width, width - fraction, signed)

    def requantize(self, values: IntArray, fraction: int) -> IntArray:
        """Bring integers with `fraction` fractional bits into this format: round, then handle overflow."""
        return self.wrap_or_saturate(shift_round(np.asarray(values), fraction - self.fraction, self.rounding))

    def wrap_or_saturate(self, values: IntArray) -> IntArray:
        """Apply the overflow mode to integers on this format's grid."""
        lo, hi = self.int_min, self.int_max
        match self.overflow:
            case Overflow.WRAP:
                span = 1 << self.width
                base = -(span >> 1) if self.signed else 0
                wide = as_ints(values, max_abs(values) + span)
                return as_ints(((wide - base) & (span - 1)) + base)
            case Overflow.SAT | Overflow.SAT_SYM:
                return as_ints(np.clip(as_ints(values, max(max_abs(values), hi, -lo)), lo, hi))
            case Overflow.SAT_ZERO:
                return as_ints(np.where((values < lo) | (values > hi), 0, values))

    def quantize(self, x: Any) -> IntArray:
        """Quantize floats to integers of this format.

        Floats are dyadic, so the result is exact: rounding sees the value itself, never a rounded product.

        Raises
        ------
        NumericsError
            If a value is not finite.
        """
        array = np.asarray(x, dtype=np.float64)
        if not np.isfinite(array).all():
            raise NumericsError("cannot quantize values that are not finite", found="NaN or infinity")
        scaled = np.ldexp(array, self.fraction)
        # Past one more bit than the format has, a saturating mode only needs the sign; a wrapping one needs all bits.
        if self.overflow is not Overflow.WRAP:
            bound = 2.0 ** min(self.width + 1, 1000)
            scaled = np.clip(scaled, -bound, bound)
        guard = 2  # half, and a sticky bit for everything below
        if scaled.size and float(np.abs(scaled).max()) < 2.0 ** (SAFE_BITS - guard - 2):
            floor = np.floor(scaled)
            rest = scaled - floor
            sticky = np.where(rest == 0, 0, np.where(rest < 0.5, 1, np.where(rest == 0.5, 2, 3)))
            wide = floor.astype(np.int64) * 4 + sticky
        else:
            wide = np.array([_exact_quarter(v) for v in scaled.ravel()], dtype=object).reshape(scaled.shape)
        return self.wrap_or_saturate(shift_round(wide, guard, self.rounding))

    def to_float(self, values: IntArray) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return integers of this format as float64 (exact below 2**53)."""
        return np.ldexp(np.asarray(values).astype(np.float64), -self.fraction)

    def holds(self, lo: int, hi: int) -> bool:
        """Return whether every integer of ``lo..hi`` (on this grid) is representable."""
        return self.int_min <= lo and hi <= self.int_max

    @classmethod
    def parse(cls, text: str) -> FixedPoint:
        """Read ``fixed<W,I[,ROUNDING[,OVERFLOW]]>``; also ``ufixed``, ``ap_fixed``, ``ap_ufixed``, ``int<W>``.

        Raises
        ------
        NumericsError
            If the text is not such a type.
        """
        expected = "fixed<W,I> or ufixed<W,I>, optionally with a rounding and an overflow mode: fixed<8,3,RND_CONV,SAT>"
        match = re.fullmatch(r"\s*(?:ap_)?(u?)(fixed|int)\s*<([^<>]*)>\s*", text)
        parts = [part.strip() for part in match.group(3).split(",")] if match else []
        try:
            if match is None or not 1 <= len(parts) <= 4:
                raise ValueError
            width = int(parts[0])
            is_int = match.group(2) == "int"
            if (len(parts) != 1) if is_int else (len(parts) < 2):
                raise ValueError
            integer = width if is_int else int(parts[1])
            modes = [part.removeprefix("AP_") for part in parts[2:]]
            rounding = Rounding(modes[0]) if modes else Rounding.TRN
            overflow = Overflow(modes[1]) if len(modes) > 1 else Overflow.WRAP
            return cls(width, integer, not match.group(1), rounding, overflow)
        except ValueError as error:
            raise NumericsError("not a fixed-point type", found=text, expected=expected) from error

    def __str__(self) -> str:
        modes = ""
        if self.overflow is not Overflow.WRAP:
            modes = f",{self.rounding},{self.overflow}"
        elif self.rounding is not Rounding.TRN:
            modes = f",{self.rounding}"
        return f"{'' if self.signed else 'u'}fixed<{self.width},{self.integer}{modes}>"


def _exact_quarter(scaled: float) -> int:
    """Return ``floor(4 * scaled)`` as a Python int, its last bit set also for anything below it (sticky)."""
    numerator, denominator = float(scaled).as_integer_ratio()
    quotient, rest = divmod(4 * numerator, denominator)
    return int(quotient | (rest != 0))
