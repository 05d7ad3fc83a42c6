"""Counting: what a part of a design needs, as exact counts and as features whose LUTs are calibrated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Counts:
    """What a module needs.

    Parameters
    ----------
    features : what becomes LUTs, by kind (the keys of `calibration.LUTS`), in its natural unit
    lut : LUTs known exactly (shift registers, LUT RAM)
    """

    features: Counter[str] = field(default_factory=Counter)
    lut: float = 0
    ff: float = 0
    dsp: int = 0
    bram_18k: int = 0

    def add(self, **features: float) -> None:
        """Count features."""
        for key, value in features.items():
            self.features[key] += value  # type: ignore[assignment]

    def merge(self, other: Counts, times: int = 1) -> None:
        """Add `times` copies of other counts."""
        for key, value in other.features.items():
            self.features[key] += times * value
        self.lut += times * other.lut
        self.ff += times * other.ff
        self.dsp += times * other.dsp
        self.bram_18k += times * other.bram_18k

    def luts(self, coefficients: Mapping[str, float]) -> float:
        """Return the LUTs, by what each feature takes."""
        return self.lut + sum(coefficients[key] * value for key, value in self.features.items())
