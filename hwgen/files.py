"""Build products as plain data: a `FileSet` maps relative paths to bytes; one function writes it.

Generators return a `FileSet` and never touch the disk, so that equal inputs give equal bytes; `write`
touches only what changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from hwgen.errors import OutputError


class FileSet(Mapping[str, bytes]):
    """An ordered map of relative POSIX paths to file contents."""

    def __init__(self, files: Mapping[str, bytes | str] | None = None) -> None:
        self._files: dict[str, bytes] = {}
        for path, content in (files or {}).items():
            self.add(path, content)

    def add(self, path: str, content: bytes | str) -> None:
        """Add one file; a path that is absolute, climbs out or is taken is a programming error."""
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise ValueError(f"not a relative path: {path}")
        if path in self._files:
            raise ValueError(f"added twice: {path}")
        self._files[path] = content.encode() if isinstance(content, str) else content

    def merge(self, other: Mapping[str, bytes], under: str = "") -> None:
        """Add every file of `other`, below the folder `under`."""
        for path, content in other.items():
            self.add(f"{under}/{path}" if under else path, content)

    def digest(self) -> str:
        """Return a SHA-256 over paths and contents, in path order."""
        total = hashlib.sha256()
        for path in sorted(self._files):
            total.update(f"{path}\0{len(self._files[path])}\0".encode())
            total.update(self._files[path])
        return total.hexdigest()

    def write(self, folder: Path) -> list[str]:
        """Write the files below `folder`, each only if its content changed; return the changed paths.

        Raises
        ------
        OutputError
            If the folder cannot be written or the disk is full.
        """
        return [path for path, content in self._files.items() if write_if_changed(folder / path, content)]

    def __getitem__(self, path: str) -> bytes:
        return self._files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def write_if_changed(path: Path, content: bytes) -> bool:
    """Write `content` to `path` atomically unless it is there already; return whether it was written."""
    try:
        if path.is_file() and path.read_bytes() == content:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(
            f"cannot write {path.name}: {error.strerror or error}",
            where=str(path.parent),
            hint="free some space or choose another folder with --out; a build resumes where it stopped",
        ) from error
    return True


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_bytes(value: Any) -> bytes:
    """Return `value` as indented JSON with a final newline; NaN and unknown types are errors."""
    return (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
