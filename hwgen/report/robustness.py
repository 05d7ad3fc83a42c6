"""Robustness as shown: a block of the table on the screen, a section of the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwgen.report.figures import PERCENT, metric_word

COLUMNS = ("before", "after")


def read_robustness(folder: Path) -> dict[str, Any] | None:
    """Return reports/robustness.json of a build folder; None if it is not there, or not what hwgen writes."""
    try:
        found = json.loads((folder / "reports" / "robustness.json").read_text())
        rows = [found["clean"], *found["rows"]]
        whole = all(isinstance(row["before"], int | float) for row in rows)
        named = all(isinstance(row["name"], str) and "severity" in row for row in found["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if whole and named else None


def robustness_block(found: Mapping[str, Any] | None) -> list[str]:
    """Return the lines of the table: a line a disturbance, its severities side by side."""
    if found is None:
        return []
    columns = [c for c in COLUMNS if c in found["clean"]]
    title = f"Robustness ({metric_word(found['metric'])})"
    heads = (
        {"before": "before compression", "after": "after"}
        if len(columns) > 1
        else {"before": metric_word(found["metric"])}
    )
    cells = [(title, "severity", *(heads[c] for c in columns))]
    for name, rows in [("clean", [found["clean"]]), *grouped(found["rows"])]:
        severities = " / ".join(severity_text(row["severity"]) for row in rows if "severity" in row)
        cells.append((name, severities, *(_scores(found["metric"], [row.get(c) for row in rows]) for c in columns)))
    widths = [max(len(row[k]) + 2 for row in cells) for k in range(len(cells[0]))]
    return [(" " + "".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True))).rstrip() for row in cells]


def robustness_data(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the report's section: rows with the change against the clean samples, or the reason why there are none."""
    if found is None:
        reason = "not measured: verify.robustness does not ask for it, or the build has not come so far"
        return {"metric": None, "frames": None, "seed": None, "columns": [], "rows": [], "reason": reason}
    columns = [c for c in COLUMNS if c in found["clean"]]
    rows = [{"name": "clean", "severity": None, **found["clean"]}, *found["rows"]]
    return {
        "metric": found["metric"],
        "frames": found.get("frames"),
        "seed": found.get("seed"),
        "columns": columns,
        "rows": [{key: row.get(key) for key in ("name", "severity", *columns)} for row in rows],
        "reason": None,
    }


def grouped(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the rows by disturbance, in their order."""
    names = dict.fromkeys(row["name"] for row in rows)
    return [(name, [row for row in rows if row["name"] == name]) for name in names]


def severity_text(severity: Any) -> str:
    """Return a severity as it is read."""
    return f"{severity:g}" if isinstance(severity, int | float) else str(severity)


def _scores(metric: str, values: Sequence[float | None]) -> str:
    known = ["–" if v is None else f"{100 * v:.1f}" if metric in PERCENT else f"{v:.4g}" for v in values]
    return " / ".join(known) + (" %" if metric in PERCENT else "")
