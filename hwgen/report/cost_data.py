"""The report's section on cost: every table, what is shown of it, and what a reader must know beside the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.cost.table import METRICS, CostTable
from hwgen.report.cost_remarks import remarks


def cost_data(document: Mapping[str, Any], prediction: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cost tables: the prediction's, unless the cost stage keeps one, and what the cost stage wrote.

    Parameters
    ----------
    document : reports/cost.json; empty, if it is not there
    prediction : reports/prediction.json
    """
    given = list(document.get("tables") or [])
    predicted = prediction.get("cost")
    if predicted and not any(isinstance(table, dict) and table.get("kind") == "predicted" for table in given):
        given.insert(0, predicted)
    tables: list[CostTable] = []
    unreadable = []
    for table in given:
        try:
            tables.append(CostTable.from_json(table))
        except (TypeError, ValueError) as error:
            unreadable.append(f"a table of reports/cost.json cannot be read: {error}")
    reason = None if tables or unreadable else "no cost is known: the cost stage has not run on this build"
    return {
        "part": document.get("part"),
        "metrics": METRICS,
        "shown": [key for key in METRICS if any(table.total.get(key) is not None for table in tables)],
        "by_layer": [[key for key in METRICS if any(row.get(key) for row in table.layers)] for table in tables],
        "tables": [table.to_json() for table in tables],
        "remarks": [text for table in tables for text in _lines(table)],
        "unreadable": unreadable,
        "reason": reason,
    }


def _lines(table: CostTable) -> list[str]:
    name = f"{table.kind.capitalize()}{', ' + table.device if table.device else ''}"
    lines = [table.reason] if table.reason else []
    return [f"{name}: {text}" for text in (*lines, *(f"{title.lower()}: {text}" for title, text in remarks(table)))]
