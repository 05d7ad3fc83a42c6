"""The coefficients of a float batch norm, rounded to a stated grid: that rounding is part of the model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.errors import NumericsError
from hwgen.fixed import FixedPoint, IntArray, Overflow, Rounding

COEFFICIENT_BITS = 16
"""Width of a coefficient's type where the user gives none."""


@dataclass(frozen=True)
class Rounded:
    """Coefficients on the grid of `fmt`: as integers and as floats."""

    ints: IntArray
    values: np.ndarray[Any, Any]
    fmt: FixedPoint


def round_coefficients(values: np.ndarray[Any, Any], fmt: FixedPoint | None, where: str) -> Rounded:
    """Round coefficients (half to even) to `fmt`, or to the 16-bit type whose range just holds them.

    Raises
    ------
    NumericsError
        If they are not finite, or `fmt` cannot hold them.
    """
    if not np.isfinite(values).all():
        raise NumericsError("coefficients are not finite", where=where, found="NaN or infinity")
    top = float(np.abs(values).max()) if values.size else 0.0
    if fmt is None:
        integer = 1 + (math.frexp(top)[1] if top else 0)
        fmt = FixedPoint(COEFFICIENT_BITS, integer)
    used = FixedPoint(fmt.width, fmt.integer, fmt.signed, Rounding.RND_CONV, Overflow.SAT)
    ints = used.quantize(values)
    floats = used.to_float(ints)
    if float(np.abs(floats - values).max()) > used.lsb:
        raise NumericsError(
            f"{fmt} cannot hold the coefficients",
            where=where,
            found=f"{float(values.min()):g} to {float(values.max()):g}",
            expected=f"a type that reaches from {float(values.min()):g} to {float(values.max()):g}",
        )
    return Rounded(ints, floats, used)
