"""What a benchmark returns: rows with a figure, its bar and whether it is met, and everything measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Options:
    """What a benchmark is asked for.

    Parameters
    ----------
    quick : leave out what takes minutes; what is left out is a row that says so
    seed : of weights and vectors
    jobs : processes at a time, where a benchmark has independent parts
    """

    quick: bool = False
    seed: int = 0
    jobs: int = 2


@dataclass(frozen=True)
class Row:
    """One line of the summary.

    Parameters
    ----------
    key : a short name, the same in every run: what the history is kept under
    what : the figure in words
    value : None: not measured, and `reason` says why
    at_most, at_least : the bar, if there is one
    reason : why it was not measured, and how to get it measured
    """

    key: str
    what: str
    value: float | None
    at_most: float | None = None
    at_least: float | None = None
    reason: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None: there is no bar, or no value."""
        if self.value is None or (self.at_most is None and self.at_least is None):
            return None
        under = self.at_most is None or self.value <= self.at_most
        return under and (self.at_least is None or self.value >= self.at_least)

    @property
    def bar(self) -> str:
        """The bar as text."""
        parts = [f"≤ {self.at_most:g}"] if self.at_most is not None else []
        return ", ".join(parts + ([f"≥ {self.at_least:g}"] if self.at_least is not None else []))

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, ``NOT RUN`` or nothing."""
        if self.value is None:
            return "NOT RUN"
        return "" if self.met is None else "met" if self.met else "MISSED"

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return {**asdict(self), "met": self.met}


@dataclass(frozen=True)
class Result:
    """A benchmark's rows, and whatever else it measured, as plain values."""

    rows: Sequence[Row]
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {"version": 1, "rows": [row.to_json() for row in self.rows], "details": self.details}


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text."""
    width = max([len(row.what) for row in rows], default=0)
    lines = []
    for row in rows:
        value = "–" if row.value is None else figure(row.value)
        line = f"  {row.what:<{width}}  {value:>10}  {row.bar:<12} {row.verdict}"
        lines.append((line + (f"  {row.reason}" if row.reason else "")).rstrip())
    return "\n".join(lines)


def figure(value: float) -> str:
    """Return a figure in four digits."""
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
