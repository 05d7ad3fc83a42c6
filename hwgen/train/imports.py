"""Objects named in model.yaml as ``package.module:function``; the module may lie beside the YAML."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError


def import_reference(reference: str, folder: Path, where: str, error: type[HwgenError]) -> Callable[..., Any]:
    """Return the function a reference names.

    Parameters
    ----------
    reference : str
        ``package.module:function``.
    folder : Path
        Searched before the Python path: the folder of the YAML.
    where : str
        For messages.
    error : type
        The kind of error to raise.
    """
    expected = "package.module:function"
    name, colon, attribute = reference.partition(":")
    if not colon or not attribute.isidentifier() or not all(part.isidentifier() for part in name.split(".")):
        raise error("not a reference to a function", where=where, found=reference, expected=expected)
    module = _import(name, folder, where, error)
    function = getattr(module, attribute, None)
    if function is None:
        names = ", ".join(n for n in vars(module) if callable(getattr(module, n)) and not n.startswith("_"))
        raise error(f"{name} has no {attribute}", where=where, found=names or "no functions", expected=attribute)
    if not callable(function):
        raise error(f"{reference} cannot be called", where=where, found=type(function).__name__, expected="a function")
    return function


def _import(name: str, folder: Path, where: str, error: type[HwgenError]) -> Any:
    """Import a module, from `folder` first; a module of that name from another folder is not mistaken for it."""
    top = name.split(".")[0]
    local = [path for path in (folder / f"{top}.py", folder / top / "__init__.py") if path.is_file()]
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if local and loaded and Path(loaded).resolve() != local[0].resolve():
        for known in [n for n in sys.modules if n == top or n.startswith(top + ".")]:
            del sys.modules[known]
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    except ModuleNotFoundError as failure:
        if failure.name and not name.startswith(failure.name):
            raise error(f"{name} needs a Python package that is not there: {failure.name}", where=where) from failure
        raise error(
            f"no Python module {name}", where=where, found=f"nothing of that name in {folder.name}/ or installed"
        ) from failure
    except HwgenError:
        raise
    except Exception as failure:
        raise error(f"{name} fails on import: {type(failure).__name__}: {failure}", where=where) from failure
    finally:
        sys.path.remove(str(folder))
