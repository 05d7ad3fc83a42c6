"""From the `data` section of model.yaml to a `DataSet`: find, check, split, standardise, scale, shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import DataError
from hwgen.train.data.checks import check_labels, check_raw, clean_labels
from hwgen.train.data.files import from_mapping, read_file
from hwgen.train.data.sets import SETS
from hwgen.train.data.shapes import input_shapes, output_size, shape_samples
from hwgen.train.data.types import Array, Arrays, DataSet, Raw, Standardization, as_tuple, digest_of, map_arrays
from hwgen.train.imports import import_reference

if TYPE_CHECKING:
    from hwgen.spec import ModelSpec

FLOAT_METRICS = ("mse", "mae")
FLOAT_LOSSES = ("mse", "mae", "mean_squared_error", "mean_absolute_error", "huber", "log_cosh")
"""With one of these, whole numbers are values to reach, not classes."""

SPLIT_SEED = 20240229
"""Fixed, so that the test part is the same whatever `train.seed` is."""


def load_data(spec: ModelSpec) -> DataSet | None:
    """Load the set a model.yaml names; None if it names none.

    Raises
    ------
    DataError, ErrorList
        If the set is missing, empty, not finite, or does not fit the model.
    """
    if spec.data is None:
        return None
    key, raw = _find(spec)
    if raw is None:
        return None
    where = _where(spec, key)
    make_arrays(raw)
    check_raw(raw, where)
    notes = list(raw.notes)
    parts, classes = _labelled_parts(spec, raw, where, notes)
    x_train, y_train, x_test, y_test = parts
    standardization = None
    if raw.standardize:
        standardization = Standardization.of(as_tuple(x_train)[0])
        x_train, x_test = map_arrays(standardization.apply, x_train), map_arrays(standardization.apply, x_test)
        notes.append(f"standardised per feature (mean and deviation of train), clipped at ±{standardization.clip:g} σ")
    x_train, x_test = (_shaped(spec, x, where) for x in (x_train, x_test))
    scale, offset = spec.data.scale, spec.data.offset
    if (scale, offset) != (1, 0):
        notes.append(f"x = raw · {scale:g} + {offset:g}")
    data = DataSet(
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        inputs=raw.inputs,
        classes=classes,
        digest=digest_of([a for part in (x_train, y_train, x_test, y_test) for a in as_tuple(part)]),
        note="; ".join(notes),
        name=raw.name,
        features=raw.features,
        scale=scale,
        offset=offset,
        standardization=standardization,
    )
    outputs = output_size(spec)
    if outputs is not None:
        check_targets(data, outputs, where)
    return data


def check_targets(data: DataSet, outputs: int, where: str, layer: str = "the model") -> None:
    """Refuse targets that do not match a model with one output of `outputs` values."""
    if isinstance(data.y_train, tuple):
        return
    if data.integer_labels and data.y_train.ndim == 1:
        check_labels({"y_train": data.y_train, "y_test": data.y_test}, outputs, where, layer)
        return
    size = int(np.prod(data.y_train.shape[1:], dtype=int))
    if size != outputs:
        found, expected = f"{size} values a sample", f"{outputs}, as many as {layer} gives"
        raise DataError("targets y_train do not match the output", where=where, found=found, expected=expected)


def split_indices(labels: Array, fraction: float) -> tuple[Array, Array]:
    """Return (train, test) indices: shuffled, the same share of every class in both.

    The shares are apportioned by largest remainder, so that the test part has ``ceil(n * fraction)`` samples.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    order = rng.permutation(len(labels))
    total = min(math.ceil(len(labels) * fraction), len(labels))
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        return order[total:], order[:total]
    values, counts = np.unique(labels, return_counts=True)
    exact = counts * (total / len(labels))
    share = np.floor(exact).astype(int)
    share[np.argsort(share - exact, kind="stable")[: total - int(share.sum())]] += 1
    is_test = np.zeros(len(labels), dtype=bool)
    for value, number in zip(values, share, strict=True):
        is_test[order[labels[order] == value][:number]] = True
    return order[~is_test[order]], order[is_test[order]]


def _find(spec: ModelSpec) -> tuple[str, Raw | None]:
    """Return the key that names the set, and the set as it is; `set` beside `npz` says of which kind the file is."""
    data = spec.data
    assert data is not None
    if data.npz:
        raw = read_file(spec.base_dir / data.npz, _where(spec, "data.npz"))
        if data.set == "jets":
            raw.standardize = True
        return "data.npz", raw
    if data.loader:
        return "data.loader", run_loader(spec, str(data.loader))
    if not data.set:
        return "data", None
    if data.set not in SETS:
        where = _where(spec, "data.set")
        raise DataError("no such data set", where=where, found=str(data.set), expected=", ".join(SETS))
    try:
        return "data.set", SETS[data.set]()
    except DataError as error:
        where = _where(spec, "data.set")
        raise DataError(error.what, where=where, found=error.found, expected=error.expected, hint=error.hint) from error


def run_loader(spec: ModelSpec, reference: str, key: str = "data.loader") -> Raw:
    """Call a user's loader: it returns the four arrays, ``((x, y), (x, y))``, ``(x, y)``, or names with arrays."""
    where = _where(spec, key)
    function = import_reference(reference, spec.base_dir, where, DataError)
    try:
        result: Any = function()
    except DataError as error:
        raise DataError(error.what, where=where, found=error.found, expected=error.expected, hint=error.hint) from error
    except Exception as error:
        raise DataError(f"the loader {reference} failed: {type(error).__name__}: {error}", where=where) from error
    name = reference.split(":")[-1]
    if isinstance(result, dict):
        return from_mapping(name, result, where)
    parts = list(result) if isinstance(result, tuple | list) else []
    if len(parts) == 2 and all(isinstance(part, tuple | list) and len(part) == 2 for part in parts):
        parts = [array for part in parts for array in part]
    if len(parts) not in (2, 4):
        found, expected = type(result).__name__, "x_train, y_train, x_test, y_test; or x, y; or a dictionary of arrays"
        raise DataError(f"the loader {reference} returned something else", where=where, found=found, expected=expected)
    return Raw(name, *parts)


def make_arrays(raw: Raw) -> None:
    """Turn lists into arrays (a tuple stays one: several inputs)."""
    for field in ("x_train", "y_train", "x_test", "y_test"):
        value = getattr(raw, field)
        if value is not None:
            setattr(raw, field, map_arrays(np.asarray, value))


def _labels(y: Arrays | None, classes: tuple[str, ...], where: str) -> tuple[Arrays, tuple[str, ...], str | None]:
    assert y is not None
    try:
        return clean_labels(y, classes)
    except DataError as error:
        raise DataError(error.what, where=where, found=error.found, expected=error.expected) from error


def _floats(y: Any) -> Any:
    return None if y is None else map_arrays(lambda a: a.astype(np.float32), y)


def _labelled_parts(
    spec: ModelSpec, raw: Raw, where: str, notes: list[str]
) -> tuple[tuple[Arrays, Arrays, Arrays, Arrays], tuple[str, ...]]:
    """Return the four arrays, labels in one form, and the classes' names; splits the set if it is not split."""
    assert spec.data is not None
    y_train, classes, note = _labels(raw.y_train, raw.classes, where)
    y_test = _labels(raw.y_test, classes, where)[0] if raw.y_test is not None else None
    notes += [note] if note else []
    if spec.train.metric in FLOAT_METRICS or spec.train.loss in FLOAT_LOSSES:
        y_train, y_test = _floats(y_train), _floats(y_test)
    if raw.x_test is None or y_test is None:
        return _split(raw.x_train, y_train, float(spec.data.test_fraction), where), classes
    return (raw.x_train, y_train, raw.x_test, y_test), classes


def _shaped(spec: ModelSpec, x: Arrays, where: str) -> Arrays:
    """Return samples scaled, in the model's shape."""
    assert spec.data is not None
    values = scaled(x, spec.data.scale, spec.data.offset)
    return shape_samples(values, input_shapes(spec, [a.shape[1:] for a in as_tuple(x)]), where)


def _split(x: Arrays, y: Arrays, fraction: float, where: str) -> tuple[Arrays, Arrays, Arrays, Arrays]:
    train, test = split_indices(as_tuple(y)[0], fraction)
    if not len(train) or not len(test):
        found = f"{len(as_tuple(y)[0])} samples, test_fraction {fraction:g}"
        raise DataError("the set is too small to split", where=where, found=found, expected="samples in both parts")
    return (
        map_arrays(lambda a: a[train], x),
        map_arrays(lambda a: a[train], y),
        map_arrays(lambda a: a[test], x),
        map_arrays(lambda a: a[test], y),
    )


def scaled(x: Arrays, scale: float, offset: float) -> Arrays:
    """Return ``x * scale + offset`` in float32; in float64 where a grid of integers would not survive float32."""

    def one(array: Array) -> Array:
        exact = array.astype(np.float64) * scale + offset
        narrow = exact.astype(np.float32)
        if array.dtype.kind in "biu" and not np.array_equal(narrow.astype(np.float64), exact):
            return exact
        return narrow

    return map_arrays(one, x)


def _where(spec: ModelSpec, key: str) -> str:
    line = spec.line_of(key)
    return f"{line}: {key}" if line else key
