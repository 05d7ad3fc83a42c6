"""The Python modules of the case studies, for their tests."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path
from types import ModuleType

STUDIES = Path(__file__).parents[2] / "models" / "studies"


def module(path: str) -> ModuleType:
    """Import a study's module, as ``smart_city/traffic``, under a name of its own."""
    name = "study_" + path.replace("/", "_")
    spec = util.spec_from_file_location(name, STUDIES / f"{path}.py")
    assert spec is not None and spec.loader is not None
    found = util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found
