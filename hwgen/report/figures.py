"""How a metric is written: its name, and its values in per cent or as they are."""

from __future__ import annotations

PERCENT = ("accuracy", "map")
"""Metrics that are shares, shown in per cent; a change of one in points."""


def metric_word(metric: str | None) -> str:
    """Return a metric's name as it stands in a text."""
    return "mAP" if metric == "map" else metric or "accuracy"


def metric_title(metric: str | None) -> str:
    """Return a metric's name as it begins a line."""
    word = metric_word(metric)
    return word if word == "mAP" else word.capitalize()


def metric_text(value: float | None, metric: str | None, *, digits: int = 2, figures: int = 5) -> str:
    """Return a metric: a share in per cent with `digits` after the point, others with so many significant `figures`."""
    if value is None:
        return "–"
    return f"{100 * value:.{digits}f} %" if metric in PERCENT else f"{value:.{figures}g}"


def metric_change(value: float, before: float, metric: str | None, figures: int = 4) -> str:
    """Return how a metric moved: a share in points of a per cent."""
    return f"{100 * (value - before):+.2f}" if metric in PERCENT else f"{value - before:+.{figures}g}"
