"""The targets of `hwgen handoff`, and writing them below a build folder."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.files import FileSet
from hwgen.folder import disk_errors
from hwgen.handoff.asic import asic
from hwgen.handoff.fusesoc import fusesoc
from hwgen.handoff.pynq import pynq
from hwgen.handoff.vitis import vitis
from hwgen.handoff.vivado import vivado

TARGETS: dict[str, Callable[[Path], FileSet]] = {
    "vivado": vivado,
    "vitis": vitis,
    "pynq": pynq,
    "asic": asic,
    "fusesoc": fusesoc,
}
"""Every target by name: from a build folder to the files of ``handoff/<target>/``."""


@dataclass(frozen=True)
class Handoff:
    """A folder that was handed over: its target, where it is, its files and their size in bytes."""

    target: str
    folder: Path
    files: int
    size: int


def check_targets(names: Sequence[str]) -> None:
    """Refuse targets that do not exist.

    Raises
    ------
    HwgenError
        With the nearest one that does.
    """
    for name in names:
        if name not in TARGETS:
            close = difflib.get_close_matches(name, TARGETS, 1)
            expected = f"{close[0]}?" if close else f"one of {', '.join(TARGETS)}"
            raise HwgenError("there is no such hand-off target", where="--target", found=name, expected=expected)


def hand_over(folder: str | Path, targets: Sequence[str] = ("vivado",)) -> list[Handoff]:
    """Write ``handoff/<target>/`` of a build folder, one self-contained folder a target.

    What an earlier hand-off left in a target's folder is removed; targets that are not named stay as they are.

    Parameters
    ----------
    folder : a build folder whose verification is PASS
    targets : keys of `TARGETS`

    Raises
    ------
    HwgenError
        For an unknown target, a folder that holds no verified design, or a design that does not fit a target.
    """
    check_targets(targets)
    folder = Path(folder)
    made = {name: TARGETS[name](folder) for name in dict.fromkeys(targets)}
    rows = []
    for name, files in made.items():
        place = folder / "handoff" / name
        with disk_errors(folder):
            replace_folder(files, place)
        rows.append(Handoff(name, place, len(files), sum(len(content) for content in files.values())))
    return rows


def replace_folder(files: FileSet, folder: Path) -> None:
    """Make `folder` hold exactly `files`."""
    files.write(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                shutil.rmtree(path)
        elif path.relative_to(folder).as_posix() not in files:
            path.unlink()
