"""The types of a data set, before (`Raw`) and after (`DataSet`) scaling, splitting and checking."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
"""An array of samples, or of labels; the first axis counts samples."""

Arrays = Array | tuple[Array, ...]
"""One array, or one per input (per output) of a network with several."""


@dataclass(frozen=True)
class Standardization:
    """Per-feature standardisation taken from the training part: ``clip((x - mean) / std, -clip, clip)``.

    The constants are float32 values, so that what is recorded is exactly what was applied.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    clip: float

    @classmethod
    def of(cls, x: Array, clip: float = 4.0) -> Standardization:
        """Measure mean and standard deviation of each feature of `x`; a constant feature gets a deviation of 1.

        Features are the last axis; in a sequence, a feature has the same constants at every place.
        """
        x = x.reshape(-1, x.shape[-1])
        mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
        std = x.std(axis=0, dtype=np.float64).astype(np.float32)
        std[std == 0] = 1
        return cls(tuple(float(v) for v in mean), tuple(float(v) for v in std), clip)

    def apply(self, x: Array) -> Array:
        """Return `x` standardised, in float64."""
        return np.clip((x.astype(np.float64) - np.array(self.mean)) / np.array(self.std), -self.clip, self.clip)


@dataclass
class Raw:
    """A set as it was found: nothing scaled, perhaps not split (then the test part is None)."""

    name: str
    x_train: Arrays
    y_train: Arrays | None
    x_test: Arrays | None = None
    y_test: Arrays | None = None
    inputs: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    standardize: bool = False


@dataclass(frozen=True)
class DataSet:
    """A set ready for use. `x` is already ``x * scale + offset``; labels are integers or float targets.

    Attributes
    ----------
    x_train, y_train, x_test, y_test
        Arrays; tuples of arrays (in the order of `inputs`) for several inputs.
    inputs : tuple of str
        Names of the inputs, empty if the set has one and does not name it.
    classes : tuple of str
        Names of the classes by label, empty for float targets.
    digest : str
        SHA-256 over every array, as used.
    note : str
        One line for the report: what was done to the data.
    standardization : Standardization or None
        What the host must apply before `scale` and `offset` (jets and spoken digits).
    """

    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any
    inputs: tuple[str, ...]
    classes: tuple[str, ...]
    digest: str
    note: str
    name: str = ""
    features: tuple[str, ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    standardization: Standardization | None = None

    @property
    def xs_train(self) -> tuple[Array, ...]:
        """The training samples, always one array per input."""
        return as_tuple(self.x_train)

    @property
    def xs_test(self) -> tuple[Array, ...]:
        """The test samples, always one array per input."""
        return as_tuple(self.x_test)

    @property
    def integer_labels(self) -> bool:
        """Whether the targets are class labels (else float targets)."""
        return all(np.issubdtype(y.dtype, np.integer) for y in as_tuple(self.y_train))

    def describe(self) -> dict[str, Any]:
        """Return what the evidence and the hand-off record about the data, as plain JSON values."""
        constants = self.standardization
        return {
            "name": self.name,
            "train": len(self.xs_train[0]),
            "test": len(self.xs_test[0]),
            "shapes": [list(x.shape[1:]) for x in self.xs_train],
            "inputs": list(self.inputs),
            "features": list(self.features),
            "classes": list(self.classes),
            "standardization": None
            if constants is None
            else {"mean": list(constants.mean), "std": list(constants.std), "clip": constants.clip},
            "scale": self.scale,
            "offset": self.offset,
            "digest": self.digest,
            "note": self.note,
        }


def as_tuple(arrays: Arrays) -> tuple[Array, ...]:
    """Return one array as a tuple of one."""
    return arrays if isinstance(arrays, tuple) else (arrays,)


def map_arrays(function: Any, arrays: Any) -> Any:
    """Apply `function` to an array, or to each of a tuple."""
    return tuple(function(a) for a in arrays) if isinstance(arrays, tuple) else function(arrays)


def digest_of(arrays: Iterable[Array]) -> str:
    """Return a SHA-256 over dtype, shape and content of arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}\0".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
