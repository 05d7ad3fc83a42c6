"""IDX files, the format of MNIST and its relatives: one array a file, often gzipped; four files a set."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from hwgen.errors import DataError
from hwgen.train.data.types import Array, Raw

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The third byte of a file: the type of its elements, big endian."""

PARTS = {
    "x_train": ("train-images", "idx3-ubyte"),
    "y_train": ("train-labels", "idx1-ubyte"),
    "x_test": ("t10k-images", "idx3-ubyte"),
    "y_test": ("t10k-labels", "idx1-ubyte"),
}
"""The four files of a set, as MNIST names them."""


def find_parts(folder: Path) -> dict[str, Path]:
    """Return which of the four files of a set lie in `folder`, by what they hold (``x_train`` ...).

    Names may have something before (``emnist-letters-``), a dot for the last dash, ``test`` for ``t10k``, and ``.gz``.
    """
    found: dict[str, Path] = {}
    for key, (stem, ending) in PARTS.items():
        names = [f"*{s}[-.]{ending}{gz}" for s in (stem, stem.replace("t10k", "test")) for gz in ("", ".gz")]
        files = sorted(path for name in names for path in folder.glob(name) if path.is_file())
        if files:
            found[key] = files[0]
    return found


def read_folder(folder: Path, where: str) -> Raw:
    """Read the four files of a set.

    Parameters
    ----------
    folder : Path
    where : str
        The line and key that named the folder, for messages.

    Raises
    ------
    DataError
        If one of the four is missing, or is no sound IDX file.
    """
    found = find_parts(folder)
    missing = ["-".join(names) for key, names in PARTS.items() if key not in found]
    if missing:
        raise DataError(
            "the folder does not hold the four IDX files of a set",
            where=where,
            found=f"{folder} without {', '.join(missing)}",
            expected=", ".join("-".join(names) for names in PARTS.values()) + " (each may end in .gz)",
        )
    arrays = {key: read_idx(path, where, 1 if key.startswith("y") else None) for key, path in found.items()}
    images = {key: a[..., np.newaxis] if a.ndim == 3 else a for key, a in arrays.items()}
    return Raw(folder.name, images["x_train"], images["y_train"], images["x_test"], images["y_test"])


def is_idx(path: Path) -> bool:
    """Return whether a file looks like an IDX file, by its first bytes, or by its name if it is gzipped."""
    with path.open("rb") as stream:
        head = stream.read(4)
    if head[:2] == b"\x1f\x8b":
        return "idx" in path.name
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in TYPES


def read_idx(path: Path, where: str, axes: int | None = None) -> Array:
    """Read one IDX file, gzipped or not, told apart by content.

    Parameters
    ----------
    path : Path
    where : str
        For messages.
    axes : int, optional
        How many axes the array must have.

    Raises
    ------
    DataError
        If the file cannot be read, is truncated or too long, or is of another format.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        text = f"cannot read {path.name}: {error}"
        raise DataError(
            text, where=where, found=str(path), expected="a sound IDX file", hint="fetch it again"
        ) from error
    kind, count = (content[2], content[3]) if len(content) >= 4 else (0, 0)
    if content[:2] != b"\0\0" or kind not in TYPES or not count:
        found = f"first bytes {content[:4].hex(' ') or 'none'}"
        expected = "00 00 08 03 (images) or 00 00 08 01 (labels)"
        raise DataError(f"{path.name} is not an IDX file", where=where, found=found, expected=expected)
    if axes is not None and count != axes:
        raise DataError(
            f"{path.name} has another number of axes", where=where, found=str(count), expected=f"{axes}: labels"
        )
    start, element = 4 + 4 * count, np.dtype(TYPES[kind])
    shape = struct.unpack(f">{count}I", content[4:start]) if len(content) >= start else (0,)
    size = start + math.prod(shape) * element.itemsize
    if len(content) != size or not math.prod(shape):
        found = f"{len(content):,} bytes"
        expected = f"{size:,} for the shape {'×'.join(map(str, shape))} in its head"
        raise DataError(f"{path.name} is incomplete or damaged", where=where, found=found, expected=expected)
    array = np.frombuffer(content, element, offset=start).reshape(shape)
    return array.astype(element.newbyteorder("="))
