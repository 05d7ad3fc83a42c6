"""A user's files: `.npz` under several customary key names, folders of IDX files, and ARFF tables."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from hwgen.errors import DataError
from hwgen.train.data.idx import find_parts, is_idx, read_folder
from hwgen.train.data.sets import are_jets
from hwgen.train.data.types import Array, Arrays, Raw

# Key names, lower case. MedMNIST's names are in the second column.
X_TRAIN, Y_TRAIN = ("x_train", "train_images"), ("y_train", "train_labels")
X_TEST, Y_TEST = ("x_test", "test_images"), ("y_test", "test_labels")
X_VAL, Y_VAL = ("x_val", "val_images"), ("y_val", "val_labels")
X_ALL, Y_ALL = ("x", "data", "images"), ("y", "target", "labels")
EXPECTED = "x_train, y_train, x_test, y_test; or train_images, train_labels, test_images, test_labels; or x, y"


def read_file(path: Path, where: str) -> Raw:
    """Read `path`: `.npz` or ARFF by its content, a folder of IDX files.

    Parameters
    ----------
    path : Path
    where : str
        The line and key that named the file, for messages.

    Raises
    ------
    DataError
        If the file is missing, a folder without IDX files, of another kind, corrupt, or lacks its keys.
    """
    if path.is_dir() and find_parts(path):
        return read_folder(path, where)
    if path.is_dir():
        expected = "an .npz file, or a folder with the four IDX files of a set"
        raise DataError("this is a folder, not a data file", where=where, found=str(path), expected=expected)
    if not path.is_file():
        raise DataError("the data file does not exist", where=where, found=str(path), expected="an .npz or .arff file")
    try:
        if zipfile.is_zipfile(path):
            with np.load(path, allow_pickle=False) as file:
                return _from_arrays(path, {key: file[key] for key in file.files}, where)
        if path.suffix.lower() == ".arff" or _first_word(path).startswith("@relation"):
            return _read_arff(path, where)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        hint = (
            "save plain arrays (np.savez_compressed); pickled objects are not loaded"
            if "pickle" in str(error)
            else None
        )
        raise DataError(
            f"cannot read {path.name}: {error}", where=where, expected="a sound .npz file", hint=hint
        ) from error
    if is_idx(path):
        hint = "data.npz: the folder that holds the four IDX files of a set"
        expected = "an .npz or .arff file, or a folder"
        raise DataError(
            f"{path.name} is one array of a set", where=where, found="an IDX file", expected=expected, hint=hint
        )
    kind = "an .npz is a zip archive; this file is none" if path.stat().st_size else "an empty file"
    raise DataError(f"{path.name} is not a data file", where=where, found=kind, expected="an .npz or .arff file")


def from_mapping(name: str, arrays: dict[str, Array], where: str) -> Raw:
    """Make a raw set of named arrays; keys as in a user's `.npz` (also a loader's dictionary)."""
    return _from_arrays(Path(name), arrays, where)


def _from_arrays(path: Path, arrays: dict[str, Array], where: str) -> Raw:
    keys = {key.lower(): np.asarray(value) for key, value in arrays.items()}
    features, classes = (
        _texts(keys, "features", "feature_names"),
        _texts(keys, "classes", "class_names", "target_names"),
    )
    x_train, inputs = _pick(keys, X_TRAIN)
    if x_train is None:
        x_train, inputs = _pick(keys, X_ALL)
        y_train, x_test, y_test = _pick(keys, Y_ALL)[0], None, None
    else:
        y_train, x_test, y_test = _pick(keys, Y_TRAIN)[0], _pick(keys, X_TEST)[0], _pick(keys, Y_TEST)[0]
    if x_train is None:
        found = ", ".join(sorted(arrays)) or "no arrays"
        raise DataError(f"{path.name} holds no training samples", where=where, found=found, expected=EXPECTED)
    notes: list[str] = []
    if x_test is not None:
        x_train, y_train = _with_validation(keys, x_train, y_train, notes)
    raw = Raw(path.stem, x_train, y_train, x_test, y_test, inputs, classes, features, tuple(notes))
    raw.standardize = are_jets(features)
    return raw


def _pick(keys: dict[str, Array], names: tuple[str, ...]) -> tuple[Arrays | None, tuple[str, ...]]:
    """Return the array under one of `names`, or a tuple of all ``<name>_<input>`` with the inputs' names."""
    for name in names:
        if name in keys:
            return keys[name], ()
    for name in names[:1]:
        if len(name) > 1:
            parts = {key.removeprefix(name + "_"): value for key, value in keys.items() if key.startswith(name + "_")}
            if parts:
                return tuple(parts.values()), tuple(parts)
    return None, ()


def _with_validation(
    keys: dict[str, Array], x_train: Arrays, y_train: Arrays | None, notes: list[str]
) -> tuple[Arrays, Arrays | None]:
    """Append a file's own validation part to the training part: hwgen takes its own validation slice from that."""
    x_val, y_val = _pick(keys, X_VAL)[0], _pick(keys, Y_VAL)[0]
    plain = isinstance(x_train, np.ndarray) and isinstance(y_train, np.ndarray)
    if not (plain and isinstance(x_val, np.ndarray) and isinstance(y_val, np.ndarray)):
        return x_train, y_train
    notes.append("the file's validation part was added to the training part")
    return np.concatenate([x_train, x_val]), np.concatenate([y_train, y_val])


def _texts(keys: dict[str, Array], *names: str) -> tuple[str, ...]:
    for name in names:
        if name in keys and keys[name].ndim == 1:
            return tuple(str(value) for value in keys[name])
    return ()


def _first_word(path: Path) -> str:
    with path.open("rb") as stream:
        for line in stream:
            text = line.strip().lower()
            if text and not text.startswith(b"%"):
                return text.split()[0].decode("latin-1")
    return ""


def _check_rows(path: Path, where: str) -> None:
    """Refuse rows that are too long or too short: SciPy drops what is too much, silently."""
    columns, in_data = 0, False
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            text = line.strip()
            if not text or text.startswith("%"):
                continue
            if in_data and not any(mark in text for mark in "'\"{") and text.count(",") + 1 != columns:
                raise DataError(
                    f"{path.name}:{number}: the row does not fit the columns",
                    where=where,
                    found=f"{text.count(',') + 1} values",
                    expected=f"{columns}, one for each @attribute",
                )
            columns += text.lower().startswith("@attribute")
            in_data = in_data or text.lower().startswith("@data")


def _read_arff(path: Path, where: str) -> Raw:
    """Read a table of numbers whose last column, or the one named ``class``, is the label."""
    from scipy.io import arff

    _check_rows(path, where)
    try:
        table, meta = arff.loadarff(path)
    except (arff.ParseArffError, NotImplementedError, StopIteration, ValueError, IndexError) as error:
        raise DataError(f"cannot read {path.name} as ARFF: {error}", where=where) from error
    names, types = list(meta.names()), list(meta.types())
    target = next((name for name in names if name.lower() in ("class", "label", "target")), names[-1])
    features = [name for name in names if name != target]
    words = [name for name, kind in zip(names, types, strict=True) if kind != "numeric" and name != target]
    if words:
        raise DataError(
            f"{path.name} has columns that are not numbers", where=where, found=", ".join(words), expected="numbers"
        )
    x = np.stack([table[name].astype(np.float64) for name in features], axis=1) if features else np.zeros((0, 0))
    y, classes = np.asarray(table[target]), ()
    if y.dtype.kind == "S":
        domain = [str(value) for value in meta[target][1]]
        lookup = {value.encode(): index for index, value in enumerate(domain)}
        unknown = sorted({bytes(value) for value in y} - set(lookup))
        if unknown:
            found = ", ".join(value.decode("latin-1") for value in unknown[:5])
            raise DataError(
                f"{path.name} has labels outside its classes", where=where, found=found, expected=", ".join(domain)
            )
        y, classes = np.array([lookup[bytes(value)] for value in y], dtype=np.int64), tuple(domain)  # type: ignore[assignment]
    raw = Raw(path.stem, x, y, classes=classes, features=tuple(features))
    raw.standardize = are_jets(raw.features)
    return raw
