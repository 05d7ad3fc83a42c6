"""The build folder: its lock, its manifest (which stage is complete, from what, with what outputs), its disk errors."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import hwgen
from hwgen.digests import folder_digests
from hwgen.errors import OutputError
from hwgen.files import json_bytes, write_if_changed

EVIDENCE, HIDDEN_EVIDENCE = "verification.json", ".verification.json"
AFTER_EVIDENCE = ("cost", "handoff")
"""Stages that only read the evidence: it stands while they run."""
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


class BuildFolder:
    """A build folder held by this process; a context manager.

    A stage counts as complete only by its entry in manifest.json, which is written after its outputs and taken out
    before it starts again: whatever interrupts a build, the folder stays consistent.

    Raises
    ------
    OutputError
        On entry, if the folder cannot be made or written, is not one of hwgen's, or another build is at work in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: list[Path] = []
        self._lock: Any = None
        self._stages: dict[str, Any] = {}

    def __enter__(self) -> BuildFolder:
        where, hint = str(self.path), "choose another folder with --out"
        if self.path.exists() and not self.path.is_dir():
            raise OutputError("the output folder is a file", where=where, hint=hint)
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / "manifest.json").is_file():
            raise OutputError("the output folder is not empty, and hwgen did not make it", where=where, hint=hint)
        self.made = [p for p in (self.path, self.path.parent) if not p.is_dir()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(f"cannot write the output folder: {reason}", where=where, hint=hint) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise OutputError("another build is at work in this folder", where=where, hint="wait, or --out") from error
        self._stages = read_manifest(self.path)
        self._save()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.close()

    def why_stale(self, stage: str, key: dict[str, str], writes: Sequence[str]) -> str | None:
        """Return why a stage must run, or None: it is complete for `key` and its outputs are as it left them."""
        entry = self._stages.get(stage)
        if entry is None:
            return "not done yet"
        changed = [part for part, digest in key.items() if entry["key"].get(part) != digest]
        if changed:
            return f"{' and '.join(changed)} changed"
        hidden = self.path / HIDDEN_EVIDENCE
        if EVIDENCE in writes and hidden.is_file() and not (self.path / EVIDENCE).exists():
            hidden.replace(self.path / EVIDENCE)
        return None if folder_digests(self.path, writes) == entry["outputs"] else "its outputs were changed"

    def begin(self, stage: str) -> None:
        """Note that a stage starts: it is complete no more, and no evidence stands until `verify` has been reached."""
        self._stages.pop(stage, None)
        self._save()
        with disk_errors(self.path):
            if (self.path / EVIDENCE).is_file() and stage not in AFTER_EVIDENCE:
                (self.path / EVIDENCE).replace(self.path / HIDDEN_EVIDENCE)
            if stage == "verify":
                (self.path / HIDDEN_EVIDENCE).unlink(missing_ok=True)

    def finish(self, stage: str, key: dict[str, str], writes: Sequence[str], seconds: float) -> None:
        """Note that a stage is complete."""
        outputs = folder_digests(self.path, writes)
        self._stages[stage] = {"key": key, "seconds": round(seconds, 2), "outputs": outputs}
        self._save()

    def replaced(self, stage: str, writes: Sequence[str], *, complete: bool) -> None:
        """Note that the outputs of a stage were made again from the same inputs, outside a build."""
        entry = self._stages.pop(stage, None)
        if entry is not None and complete:
            self._stages[stage] = entry | {"outputs": folder_digests(self.path, writes)}
        self._save()

    def forget(self) -> None:
        """Remove the folder if this build made it and no stage but `spec` wrote into it."""
        if self.path in self.made and set(self._stages) <= {"spec"}:
            shutil.rmtree(self.path, ignore_errors=True)
            if self.path.parent in self.made:
                with contextlib.suppress(OSError):
                    self.path.parent.rmdir()

    def _save(self) -> None:
        document = {"version": 1, "hwgen": hwgen.__version__, "stages": self._stages}
        write_if_changed(self.path / "manifest.json", json_bytes(document))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the stages of ``manifest.json``; empty if there is none, or none that can be read."""
    try:
        document = json.loads((folder / "manifest.json").read_text())
        stages = document["stages"]
        whole = document["version"] == 1 and all(isinstance(e["key"], dict) and "outputs" in e for e in stages.values())
        return dict(stages) if whole else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full or read-only disk, met anywhere below, into an `OutputError`."""
    try:
        yield
    except OSError as error:
        reason = _disk_reason(error)
        if reason is None:
            raise
        raise OutputError(
            f"cannot write: {reason}",
            where=str(error.filename or folder),
            hint="free some space or choose another folder with --out; the same command resumes",
        ) from error


def _disk_reason(error: OSError) -> str | None:
    """Return what is wrong with the disk; h5py and shutil hide the number in their texts."""
    if error.errno in DISK_ERRORS or isinstance(error, FileExistsError | NotADirectoryError):
        return error.strerror or str(error)
    return next((os.strerror(number) for number in DISK_ERRORS if os.strerror(number) in str(error)), None)
