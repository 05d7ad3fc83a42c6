"""Division by a constant as a multiplication, proved exact for every value of the dividend's range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count

from hwgen.fixed import Rounding


@dataclass(frozen=True)
class Reciprocal:
    """``x / divisor`` in units of a result's LSB, rounded, is ``round((x * multiplier >>> shift) / 2**guard)``.

    ``>>>`` rounds RND (adds half, floors): for every x of the range it gives a multiple of ``2**-guard`` that lies on
    the same side of every rounding boundary as the exact quotient, and on the boundary exactly if the quotient does.
    The second rounding may therefore be any mode.
    """

    multiplier: int
    shift: int
    guard: int


def reciprocal(divisor: int, up: int, lo: int, hi: int) -> Reciprocal:
    """Return the smallest reciprocal that is exact for all x in ``lo..hi``.

    Parameters
    ----------
    divisor : int
        Positive.
    up : int
        Fractional bits of the result, less those of x: the quotient wanted is ``x * 2**up / divisor``.

    Notes
    -----
    With q = x * n / d in lowest terms of n / d, rounding boundaries are multiples of 1/2, so that q is either on one or
    at least 1/(2 d) away. The multiplication errs by at most e, the largest magnitude of x times the error of
    multiplier / 2**(shift + guard). Rounding to multiples of ``2**-guard`` keeps a boundary if e < 2**-(guard + 1), and
    keeps the side if also 2**-(guard + 1) + e < 1/(2 d): the second follows from the first, as 2**-guard <= 1/(2 d).
    """
    exact = Fraction(2) ** up / divisor
    if exact.denominator & (exact.denominator - 1) == 0:
        return Reciprocal(exact.numerator, 0, exact.denominator.bit_length() - 1)
    guard = exact.denominator.bit_length() + 1
    most = max(abs(lo), abs(hi))
    shift = next(s for s in count(1) if _is_exact(exact, most, s, guard))
    return Reciprocal(_multiplier(exact, shift, guard), shift, guard)


def reciprocals(divisors: Sequence[int], up: int, lo: int, hi: int) -> tuple[list[int], int, int]:
    """Return multipliers for several divisors, with one shift and one guard for all (see `Reciprocal`)."""
    quotients = [Fraction(2) ** up / divisor for divisor in divisors]
    guard = max(q.denominator.bit_length() + 1 for q in quotients)
    most = max(abs(lo), abs(hi))
    shift = next(s for s in count(1) if all(_is_exact(q, most, s, guard) for q in quotients))
    return [_multiplier(q, shift, guard) for q in quotients], shift, guard


def _multiplier(exact: Fraction, shift: int, guard: int) -> int:
    return round(exact * (1 << (shift + guard)))


def _is_exact(exact: Fraction, most: int, shift: int, guard: int) -> bool:
    error = most * abs(Fraction(_multiplier(exact, shift, guard), 1 << (shift + guard)) - exact)
    return error < Fraction(1, 1 << (guard + 1))


FIRST_ROUNDING = Rounding.RND
"""How the product is rounded to the guard bits."""
