"""The shapes a model wants its samples in, found without importing TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwgen.errors import DataError
from hwgen.train.data.types import Array, Arrays, as_tuple

if TYPE_CHECKING:
    from hwgen.spec import ModelSpec

Shape = tuple[int, ...]

_NO_PARAMETERS = {"Activation", "QActivation", "Softmax", "ReLU", "Dropout", "Flatten", "InputLayer"}


def input_shapes(spec: ModelSpec, found: list[Shape]) -> list[Shape]:
    """Return the shape of one sample for each input of the model.

    In this order: `model.input_shape`; the shapes in the brought file; for layers in the YAML, flat if the first
    layer that looks at axes is dense, with a channel axis added if it is a 2-D one; else as found.
    """
    wanted = spec.model.input_shape
    if wanted:
        # One shape, or one per input by name or in order.
        if isinstance(wanted, dict):
            return [tuple(shape) for shape in wanted.values()]
        return [tuple(s) for s in wanted] if isinstance(wanted[0], list | tuple) else [tuple(wanted)]
    if spec.model.file:
        from hwgen.train.inspect import named_in, peek_input_shapes

        path = spec.base_dir / spec.model.file
        with named_in(f"{spec.line_of('model.file')}: model.file", path):
            return peek_input_shapes(path) or found
    if spec.model.layers and len(found) == 1:
        return [_for_layers([layer.kind for layer in spec.model.layers], found[0])]
    return found


def _for_layers(kinds: list[str], found: Shape) -> Shape:
    first = next((kind for kind in kinds if kind not in _NO_PARAMETERS - {"Flatten"}), "")
    if "2D" in first and len(found) == 2:
        return (*found, 1)
    if "Dense" in first and len(found) > 1:
        return (int(np.prod(found)),)
    return found


def output_size(spec: ModelSpec) -> int | None:
    """Return how many values a model of layers in the YAML gives; None if that needs the model itself."""
    for layer in reversed(spec.model.layers or []):
        if layer.kind in _NO_PARAMETERS - {"Flatten", "InputLayer"} or layer.kind.endswith("BatchNormalization"):
            continue
        units = layer.args.get("units")
        return units if isinstance(units, int) and units > 0 and "Dense" in layer.kind else None
    return None


def shape_samples(xs: Arrays, shapes: list[Shape], where: str) -> Arrays:
    """Return samples in the model's shapes; only the grouping of elements changes, never their order.

    Raises
    ------
    DataError
        If the number of inputs or of elements differs.
    """
    arrays = as_tuple(xs)
    if len(arrays) != len(shapes):
        found, expected = f"{len(arrays)} in the data", f"{len(shapes)} in the model"
        raise DataError("the number of inputs differs", where=where, found=found, expected=expected)
    result: list[Array] = []
    for array, shape in zip(arrays, shapes, strict=True):
        if int(np.prod(array.shape[1:])) != int(np.prod(shape)):
            found, expected = f"samples of shape {_text(array.shape[1:])}", f"{_text(shape)}, as the model takes"
            raise DataError(
                "the data does not fit the model's input_shape", where=where, found=found, expected=expected
            )
        result.append(array.reshape(len(array), *shape))
    return tuple(result) if isinstance(xs, tuple) else result[0]


def _text(shape: Shape) -> str:
    return "×".join(str(int(n)) for n in shape)
