"""From the arguments of `hwgen compare` to a `Comparison`: build what is not built, read what is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hwgen.compare.column import Column, column_of, failed_column
from hwgen.compare.comparison import Comparison
from hwgen.errors import HwgenError, OutputError

if TYPE_CHECKING:
    from hwgen.report.progress import Screen, Silent


def compare(targets: Sequence[str | Path], screen: Screen | Silent | None = None, *, cpu: bool = False) -> Comparison:
    """Build what is not built, and put the builds side by side.

    A build that cannot be made keeps its column, which says why; the others are not lost.

    Parameters
    ----------
    targets : model.yaml files (built if they are not up to date) or build folders (read as they are)
    screen : told of progress; default: silent
    cpu : whether to measure the same networks on this machine too: seconds each, and other figures every time

    Raises
    ------
    HwgenError
        Before anything is built: if there are fewer than two targets, if one is neither a file nor a build folder, or
        if two files build into one folder.
    """
    if len(targets) < 2:
        found = f"{len(targets)} of them"
        raise HwgenError("nothing to compare with", where="hwgen compare", found=found, expected="two or more builds")
    paths = [Path(target) for target in targets]
    names = _check(paths)
    visible = _visible_gpus() if cpu else ""
    comparison = Comparison(tuple(_column(p, n, screen) for p, n in zip(paths, names, strict=True)))
    if not cpu:
        return comparison
    from hwgen.compare.cpu import measure_here

    return replace(comparison, here=measure_here(comparison.columns, visible, screen))


def _check(paths: Sequence[Path]) -> list[str]:
    """Refuse what cannot be compared, before anything is built; return what to call a target that fails."""
    from hwgen.api import output_folder, show
    from hwgen.spec import load_spec

    for path in paths:
        if not path.exists():
            raise OutputError("does not exist", where=str(path), expected="a model.yaml or a build folder")
    names: list[str] = []
    folders: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            names.append(show(path).report.name)
            continue
        try:
            spec = load_spec(path)
        except HwgenError:  # its column will say so
            names.append("/".join(path.parts[-2:]))
            continue
        names.append(spec.model.name)
        other = folders.setdefault(output_folder(spec).resolve(), path)
        if other.resolve() != path.resolve():
            raise HwgenError(
                "two files build into one folder, so that only one can be there",
                where="hwgen compare",
                found=f"{other} and {path}, both into {output_folder(spec)}",
                expected="another model.name or outputs.dir in one of them",
            )
    return names


def _column(path: Path, name: str, screen: Screen | Silent | None) -> Column:
    from hwgen.api import build, show

    try:
        return column_of(show(path) if path.is_dir() else build(path, screen=screen))
    except HwgenError as error:
        return failed_column(name, error)


def _visible_gpus() -> str:
    """Return what CUDA may see while measuring; asked before a build hides all GPUs from TensorFlow."""
    import os

    return os.environ.get("CUDA_VISIBLE_DEVICES", "0")
