"""Checks on a data set. Every message names the file (or set), the key and what would do."""

from __future__ import annotations

import numpy as np

from hwgen.errors import DataError, ErrorList, HwgenError
from hwgen.train.data.types import Array, Arrays, Raw, as_tuple


def check_raw(raw: Raw, where: str) -> None:
    """Refuse a set that is empty, not numeric, not finite, or whose parts do not fit each other.

    Raises
    ------
    ErrorList
        Of one DataError per fault.
    """
    errors: list[HwgenError] = []
    parts = [("train", raw.x_train, raw.y_train)]
    if raw.x_test is not None:
        parts.append(("test", raw.x_test, raw.y_test))
    for part, xs, ys in parts:
        if ys is None:
            errors.append(DataError(f"{raw.name} has no labels y_{part}", where=where, expected=f"y_{part}"))
        xs_, ys_ = as_tuple(xs), as_tuple(ys) if ys is not None else ()
        count = len(xs_[0]) if xs_[0].ndim else 0
        for key, array in _named(f"x_{part}", xs_) + _named(f"y_{part}", ys_):
            error = _array_error(raw.name, key, array, count, where)
            if error:
                errors.append(error)
    if not errors and raw.x_test is not None:
        errors += _split_errors(raw, where)
    if errors:
        raise ErrorList(errors)


def check_labels(parts: dict[str, Array], outputs: int, where: str, layer: str = "the model") -> None:
    """Refuse integer labels that a model with `outputs` outputs cannot give.

    Parameters
    ----------
    parts : dict
        Label arrays by key (``y_train``, ``y_test``); float targets are not looked at.
    outputs : int
        Size of the last axis of the model's output; 1 means a yes/no detector.
    """
    errors: list[HwgenError] = []
    classes = max(outputs, 2)
    for key, labels in parts.items():
        if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
            continue
        lo, hi = int(labels.min()), int(labels.max())
        if lo < 0 or hi >= classes:
            hint = "labels start at 0" if lo >= 1 and hi == classes else None
            errors.append(
                DataError(
                    f"labels {key} do not match the output",
                    where=where,
                    found=f"labels {lo}..{hi}",
                    expected=f"0..{classes - 1}: {layer} has {outputs} output{'s' if outputs != 1 else ''}",
                    hint=hint,
                )
            )
    if errors:
        raise ErrorList(errors)


def clean_labels(y: Arrays, classes: tuple[str, ...]) -> tuple[Arrays, tuple[str, ...], str | None]:
    """Bring labels into one form: class numbers as int64 of shape (n,), or float targets.

    Columns of one are flattened, words are numbered in order, one-hot rows become class numbers.

    Returns
    -------
    labels, class names, note or None
    """
    if isinstance(y, tuple):
        return tuple(np.asarray(clean_labels(part, ())[0]) for part in y), classes, None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind in "US":
        words = sorted({str(value) for value in y.ravel().tolist()} if not classes else set(classes))
        order = list(classes) if classes else words
        lookup = {word: index for index, word in enumerate(order)}
        text = [value.decode() if isinstance(value, bytes) else str(value) for value in y.ravel().tolist()]
        unknown = sorted({word for word in text if word not in lookup})
        if unknown:
            raise DataError(
                "labels that are not among the classes", found=", ".join(unknown[:5]), expected=", ".join(order)
            )
        return np.array([lookup[word] for word in text], dtype=np.int64), tuple(order), None
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    if y.ndim == 2 and y.shape[1] > 1 and _one_hot(y):
        return y.argmax(axis=1).astype(np.int64), classes, "one-hot labels were turned into class numbers"
    if np.issubdtype(y.dtype, np.integer):
        return y.astype(np.int64), classes, None
    return y.astype(np.float32), classes, None


def _named(key: str, arrays: tuple[Array, ...]) -> list[tuple[str, Array]]:
    return [(key if len(arrays) == 1 else f"{key}[{i}]", array) for i, array in enumerate(arrays)]


def _array_error(name: str, key: str, array: Array, count: int, where: str) -> DataError | None:
    is_label = key.startswith("y_")
    if array.dtype.kind not in ("biufUS" if is_label else "biuf"):
        return DataError(
            f"{key} of {name} is not numeric", where=where, found=f"type {array.dtype}", expected="numbers"
        )
    if array.ndim == 0 or array.size == 0:
        return DataError(f"{key} of {name} is empty", where=where, found=f"shape {array.shape}", expected="samples")
    if array.ndim == 1 and not is_label:
        found, expected = f"shape {array.shape}", "(samples, features...)"
        return DataError(f"{key} of {name} has no feature axis", where=where, found=found, expected=expected)
    if len(array) != count:
        expected = f"{count}, as many as x_{key.split('_')[1].split('[')[0]}"
        return DataError(
            f"{key} of {name} has {len(array)} samples", where=where, found=str(len(array)), expected=expected
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        first = "[" + ", ".join(str(int(i)) for i in bad[0]) + "]"
        kind = "NaN" if np.isnan(array[tuple(bad[0])]) else "infinity"
        found = f"{kind} at {key}{first}, {len(bad)} such values"
        return DataError(f"{key} of {name} is not finite", where=where, found=found, expected="finite numbers")
    return None


def _split_errors(raw: Raw, where: str) -> list[HwgenError]:
    train, test = as_tuple(raw.x_train), as_tuple(raw.x_test)  # type: ignore[arg-type]
    if len(train) != len(test):
        found = f"{len(train)} inputs in train, {len(test)} in test"
        return [DataError(f"the parts of {raw.name} differ", where=where, found=found, expected="the same inputs")]
    return [
        DataError(
            f"train and test samples of {raw.name} differ in shape",
            where=where,
            found=f"x_train {a.shape[1:]}, x_test {b.shape[1:]}",
            expected="one shape",
        )
        for a, b in zip(train, test, strict=True)
        if a.shape[1:] != b.shape[1:]
    ]


def _one_hot(y: Array) -> bool:
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())
