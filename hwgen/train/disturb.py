"""Disturbed samples: noise, lost values, coarse sensors, and what happens to pictures. NumPy and SciPy alone.

Every function takes samples (n, ...) as the network sees them, before they are rounded to the input grid, and the
`Reference` that the training part gave; it returns float64 samples of the same shape. Severities are those of
`hwgen.spec_robustness`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from hwgen.train.data.types import Array

Rng = np.random.Generator


@dataclass(frozen=True)
class Reference:
    """What the training part says of one input.

    Parameters
    ----------
    low, high : Array
        The ends of the range: of a picture's or a sequence's values over all places (by channel), of each feature.
    mean : Array
        The mean sample.
    lost : Array
        What stands in a lost value's place; broadcasts against a sample.
    """

    low: Array
    high: Array
    mean: Array
    lost: Array

    @classmethod
    def of(cls, x: Array, missing_value: str = "mean") -> Reference:
        """Measure samples (n, ..., channels or features)."""
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axis=0, dtype=np.float64)
        low, high = (np.asarray(f(x, axis=axes), np.float64) for f in (np.min, np.max))
        return cls(low, high, mean, mean if missing_value == "mean" else np.zeros(1))

    @property
    def span(self) -> Array:
        """The width of the range; 0 for a value that never changes."""
        return self.high - self.low


def is_picture(shape: tuple[int, ...]) -> bool:
    """Return whether a sample of this shape is a picture: rows, columns, channels, more than one row and column."""
    return len(shape) == 3 and min(shape[:2]) > 1


def noise(x: Array, ref: Reference, sigma: float, rng: Rng) -> Array:
    """Add Gaussian noise of deviation `sigma` x range, and clip to the range."""
    return _clipped(x + sigma * ref.span * rng.standard_normal(x.shape), ref)


def missing(x: Array, ref: Reference, share: float, rng: Rng) -> Array:
    """Replace a `share` of the values, chosen anew in every sample; of a picture whole pixels."""
    where = rng.random((*x.shape[:-1], 1) if is_picture(x.shape[1:]) else x.shape) < share
    return np.where(where, ref.lost, x)


def sensor_bits(x: Array, ref: Reference, bits: float, rng: Rng) -> Array:
    """Round to ``2 ** bits`` levels over the range."""
    steps = 2 ** int(bits) - 1
    span = np.where(ref.span == 0, 1, ref.span)
    return np.where(ref.span == 0, x, ref.low + np.rint((x - ref.low) / span * steps) / steps * span)


def brightness(x: Array, ref: Reference, shift: float, rng: Rng) -> Array:
    """Add `shift` x range, and clip to the range."""
    return _clipped(x + shift * ref.span, ref)


def contrast(x: Array, ref: Reference, factor: float, rng: Rng) -> Array:
    """Scale the distance of every pixel from its picture's mean, and clip to the range."""
    mean = x.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    return _clipped(mean + factor * (x - mean), ref)


def blur(x: Array, ref: Reference, sigma: float, rng: Rng) -> Array:
    """Smooth rows and columns with a Gaussian of deviation `sigma` pixels; the border is repeated."""
    return np.asarray(gaussian_filter(x.astype(np.float64), (0, sigma, sigma, 0), mode="nearest"))


def occlusion(x: Array, ref: Reference, share: float, rng: Rng) -> Array:
    """Hide a rectangle of the picture's proportions and a `share` of its area, at another place in every picture."""
    rows, columns = (max(1, round(float(np.sqrt(share)) * n)) for n in x.shape[1:3])
    top = rng.integers(0, x.shape[1] - rows + 1, len(x))[:, None]
    left = rng.integers(0, x.shape[2] - columns + 1, len(x))[:, None]
    row, column = np.arange(x.shape[1]), np.arange(x.shape[2])
    hidden = ((row >= top) & (row < top + rows))[:, :, None] & ((column >= left) & (column < left + columns))[:, None]
    return np.where(hidden[..., None], (ref.low + ref.high) / 2, x)


def dead_pixels(x: Array, ref: Reference, share: float, rng: Rng) -> Array:
    """Let a `share` of the pixels (at least one) be stuck, the same ones in all pictures: half dark, half bright."""
    places = x.shape[1] * x.shape[2]
    dead = rng.permutation(places)[: max(1, round(share * places))]
    y = x.astype(np.float64).reshape(len(x), places, -1)
    y[:, dead[::2]], y[:, dead[1::2]] = ref.low, ref.high
    return y.reshape(x.shape)


def _clipped(x: Array, ref: Reference) -> Array:
    return np.clip(x, ref.low, ref.high)


DISTURB: Mapping[str, Callable[[Array, Reference, float, Rng], Array]] = {
    "noise": noise,
    "missing": missing,
    "sensor_bits": sensor_bits,
    "brightness": brightness,
    "contrast": contrast,
    "blur": blur,
    "occlusion": occlusion,
    "dead_pixels": dead_pixels,
}
"""What does each disturbance; `shifted` is data of its own."""


def disturb(name: str, x: Array, ref: Reference, severity: float, seed: int) -> Array:
    """Return `x` disturbed, in its own type; the same for the same seed, whatever else is asked for."""
    rng = np.random.default_rng([seed, list(DISTURB).index(name), round(severity * 1e6) % 2**32])
    result: Any = DISTURB[name](x, ref, severity, rng)
    return np.asarray(result).astype(x.dtype)
