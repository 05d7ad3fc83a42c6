"""What the details of a cost table say that no reader should miss, for the screen and for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.cost.table import CostTable


def remarks(table: CostTable) -> list[tuple[str, str]]:
    """Return titles and texts: what does not fit and what would, memories, the clock's estimate, limiting layers."""
    details, lines = table.details, []
    fit, clock, path = (_mapping(details.get(key)) for key in ("fit", "clock_estimate", "critical_path"))
    lines += [("Too small", str(text)) for text in fit.get("short") or ()]
    lines += [("Would fit", str(fit["advice"]))] if fit.get("advice") else []
    lines += [("Note", str(text)) for text in details.get("misplaced") or ()]
    if clock.get("ns") is not None:
        text = f"about {clock['ns']:g} ns, an estimate from depth ({clock.get('formula')}); not measured"
        lines.append(("Clock", text))
    if path.get("layers"):
        layers = " -> ".join(path["layers"])
        text = f"{path.get('ns', 0):g} ns in {layers}, {path.get('logic_levels', 0)} levels"
        lines.append(("Critical path", text))
    return lines


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
