"""Quantizers of other widths: the same QKeras class, with the binary point where it loses least."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.errors import ModelError

Array = np.ndarray[Any, np.dtype[Any]]

POINTED = ("quantized_bits", "quantized_relu")
"""Quantizers with a binary point of their own."""
FITTED = (*POINTED, "quantized_tanh", "quantized_sigmoid")
"""Quantizers that can be given other bits; of the others (binary, ternary, powers of two) bits say something else."""
SAMPLES = 1 << 16
"""How many values decide at most; they are taken evenly from all."""
DOWN = 7
"""How many binary points below the one that holds the largest value are tried."""


def is_fitted(quantizer: Any) -> bool:
    """Return whether `fitted` knows how to make this quantizer narrower or wider."""
    return type(quantizer).__name__ in FITTED


def fitted(quantizer: Any, values: Array, bits: int) -> Any:
    """Return a quantizer of the same class with `bits`, whose binary point loses least on `values`.

    Least is the smallest mean squared quantization error; where two lose the same, the point stays as it is, else the
    higher one is taken. Everything else of the quantizer is kept.

    Parameters
    ----------
    quantizer : object of QKeras
        One of `FITTED`; it is left alone.
    values : Array
        What it is to quantize, of any shape: weights, or activations before the quantizer. None at all: the binary
        point stays.
    bits : int
        At least 2.

    Raises
    ------
    ModelError
        For a class whose bits cannot be changed.
    """
    name = type(quantizer).__name__
    if name not in FITTED or bits < 2:
        expected = "bits ≥ 2" if name in FITTED else f"one of {', '.join(FITTED)}"
        raise ModelError(f"{name} cannot be given {bits} bits", found=str(quantizer), expected=expected)
    flat = np.ravel(np.asarray(values, dtype=np.float32))
    flat = flat[:: max(1, -(-flat.size // SAMPLES))]
    if name not in POINTED or getattr(quantizer, "use_sigmoid", False) or not flat.any():
        return _remade(quantizer, {"bits": bits})
    own = int(np.asarray(quantizer.integer))
    points = sorted(_points(name, flat), key=lambda point: (point != own, -point))
    made = [_remade(quantizer, {"bits": bits, "integer": point}) for point in points]
    return min(made, key=lambda new: _error(new, flat))


def _points(name: str, values: Array) -> range:
    """Return the integer bits that are tried. QKeras has no quantized_relu below 1: there 0 is the least."""
    largest = float(np.abs(values).max() if name == "quantized_bits" else values.max())
    top = int(np.ceil(np.log2(largest))) if largest > 0 else 0
    least = top - DOWN
    return range(max(0, least), max(0, top) + 1) if name == "quantized_relu" else range(least, top + 1)


def _error(quantizer: Any, values: Array) -> float:
    """Return the mean squared difference to what a quantizer of endless bits would give."""
    name, alpha = type(quantizer).__name__, getattr(quantizer, "alpha", None)
    ideal = values * (float(np.asarray(alpha)) if isinstance(alpha, int | float) else 1.0)
    if name == "quantized_relu":
        ideal = np.where(values > 0, values, values * float(quantizer.negative_slope))
    elif not quantizer.keep_negative:
        ideal = np.maximum(ideal, 0)
    return float(np.mean(np.square(np.asarray(quantizer(values)) - ideal, dtype=np.float64)))


def _remade(quantizer: Any, changes: dict[str, int]) -> Any:
    return type(quantizer).from_config(dict(quantizer.get_config()) | changes)
