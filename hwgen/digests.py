"""What a stage depends on, as digests: keys of model.yaml, files, Python functions, hwgen's own code, packages."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import hwgen
from hwgen.files import file_digest
from hwgen.spec import ModelSpec
from hwgen.spec_checks import find_module
from hwgen.spec_robustness import is_reference

PACKAGE = Path(hwgen.__file__).parent
BUILT = {".so", ".o", ".d", ".pyc"}
"""Suffixes of compiled files: they follow from others and are not digested."""


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a plain value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def spec_slice(spec: ModelSpec, key: str) -> Any:
    """Return the plain value of a dotted key (None where a section is absent).

    The line of a layer is left out: moving a line changes nothing. ``train`` and ``compress`` come without the path of
    their weights, whose content counts instead.
    """
    value: Any = spec
    for part in key.split("."):
        value = getattr(value, part) if value is not None else None
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    if isinstance(plain, list):
        plain = [v.model_dump(mode="json", exclude={"line"}) if isinstance(v, BaseModel) else v for v in plain]
    if key in ("train", "compress") and isinstance(plain, dict):
        plain = {k: v for k, v in plain.items() if k != "weights"}
    if key == "train" and isinstance(plain, dict):
        plain["metric"] = _in_order(plain["metric"])
    return _in_order(plain) if key == "train.metric" else plain


def _in_order(metric: Any) -> Any:
    """Return metrics by output as pairs: their order says which one judges."""
    return list(metric.items()) if isinstance(metric, dict) else metric


def input_digest(spec: ModelSpec, key: str) -> str | None:
    """Return the digest of the file, folder of IDX files or function that a key names; None if the key says nothing.

    For ``data.set`` it is that of the files which the set reads outside of packages; None if it reads none.
    """
    name = spec_slice(spec, key)
    if name is None:
        return None
    if key in ("model.builder", "data.loader") or (key == "verify.robustness.shifted" and is_reference(str(name))):
        return _module_digest(str(name).partition(":")[0], spec.base_dir)
    if key == "data.set":
        from hwgen.train.data.places import files_of  # NumPy, which --help does without

        files = files_of(str(name))
        return digest_of([_file_or_absent(path) for path in files]) if files else None
    path = spec.base_dir / str(name)
    if path.is_dir():
        return digest_of({file.name: file_digest(file) for file in sorted(path.glob("*idx*")) if file.is_file()})
    return _file_or_absent(path)


def _file_or_absent(path: Path) -> str:
    return file_digest(path) if path.is_file() else "absent"


def _module_digest(name: str, base: Path) -> str:
    """Return a digest over a module's source and every module it imports that lies in its own folder tree.

    A module of hwgen's counts with its whole sub-package.
    """
    package, _, rest = name.partition(".")
    if package == PACKAGE.name and rest:
        return code_digest(rest.partition(".")[0])
    found: dict[Path, str] = {}
    waiting = [find_module(name, base)]
    while waiting:
        path = waiting.pop()
        if path is None or path in found:
            continue
        found[path] = file_digest(path)
        waiting += [find_module(n, base) for n in _imports(path) if _is_local(n, base)]
    return digest_of(sorted(found.values()))


def _is_local(name: str, base: Path) -> bool:
    path = find_module(name, base)
    return path is not None and base in path.parents


def _imports(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@cache
def code_digest(part: str) -> str:
    """Return a digest over a module or sub-package of hwgen, data files included."""
    root = PACKAGE / part
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file() and p.suffix not in BUILT)
    return digest_of({p.relative_to(PACKAGE).as_posix(): file_digest(p) for p in files})


def package_versions(names: Iterable[str]) -> dict[str, str | None]:
    """Return the version of each distribution, None if it is not installed."""
    return {name: _version(name) for name in names}


@cache
def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def folder_digests(folder: Path, patterns: Iterable[str]) -> dict[str, str]:
    """Return the digest of every file below `folder` that a pattern matches, by relative path."""
    files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    kept = [path for path in files if path.suffix not in BUILT and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in sorted(kept)}
