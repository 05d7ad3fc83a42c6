"""The pictures of the report: small inline SVGs, coloured by the page's style sheet, with a text alternative each.

Labels stand in the page's own text, beside the picture, so that they stay readable at any width and on paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

WIDE = 1000
"""Units of a picture's width; pictures stretch to the column that they stand in."""


def _picture(height: int, body: Markup, label: str, kind: str) -> Markup:
    return Markup(
        '<svg class="{kind}" viewBox="0 0 {wide} {height}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        "<title>{label}</title>{body}</svg>"
    ).format(kind=kind, wide=WIDE, height=height, body=body, label=label)


def _rect(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    return Markup('<rect class="{}" x="{:.6g}" y="{:.6g}" width="{:.6g}" height="{:.6g}"/>').format(
        kind, x, y, width, height
    )


def _line(x: float, height: int, kind: str) -> Markup:
    return Markup('<line class="{0}" x1="{1:.6g}" x2="{1:.6g}" y1="0" y2="{2}"/>').format(kind, x, height)


def bar(value: float | None, most: float | None, label: str, kind: str = "value", mark: float | None = None) -> Markup:
    """Return a horizontal bar of `value` on a track of `most`; with `mark`, a line there."""
    body = _rect(0, 0, WIDE, 20, "track")
    if value and most:
        body += _rect(0, 0, max(4.0, min(WIDE, WIDE * value / most)), 20, kind)
    if mark is not None and most:
        body += _line(min(WIDE - 1, WIDE * mark / most), 20, "mark")
    return _picture(20, body, label, "bar")


def span(first: float, last: float, end: float, label: str, kind: str = "value", grid: Sequence[float] = ()) -> Markup:
    """Return one bar of a waterfall: from `first` to `last` on a track that ends at `end`."""
    scale = WIDE / end if end else 0
    body = _rect(0, 0, WIDE, 20, "track")
    for at in grid:
        body += _line(at * scale, 20, "grid")
    width = max(5.0, (last - first) * scale)
    body += _rect(min(first * scale, WIDE - width), 3, width, 14, kind)
    return _picture(20, body, label, "bar")


def histogram(row: Mapping[str, Any], label: str) -> Markup:
    """Return a histogram of what is not zero over the whole range of a format; the part in use is shaded.

    Heights are square roots of the counts, so that rare values stay visible.
    """
    bins, (low, high), used = row["bins"], row["range"], row["used"]
    most, width = max(bins, default=0) or 1, WIDE / max(1, len(bins))
    scale = WIDE / (len(bins) * row["step"]) if bins else 0
    body = Markup("")
    if used is not None:
        body += _rect((used[0] - low) * scale, 0, max(4.0, (used[1] + row["lsb"] - used[0]) * scale), 120, "used")
    path = "".join(
        f"M{(k + 1 / 16) * width:.5g} 120v-{max(2.0, 112 * (n / most) ** 0.5):.4g}h{width * 7 / 8:.5g}V120"
        for k, n in enumerate(bins)
        if n
    )
    body += Markup('<path class="value" d="{}"/>').format(path)
    if low < 0 < high:
        body += _line(-low * scale, 120, "axis")
    return _picture(120, body, label, "histogram")


def tick(value: float | None, low: float, high: float, label: str, kind: str = "value") -> Markup:
    """Return a mark at `value` on a track from `low` to `high`."""
    body = _rect(0, 8, WIDE, 4, "track")
    if value is not None:
        at = 0.5 if high <= low else (value - low) / (high - low)
        body += _rect(12 + (WIDE - 24) * at - 9, 0, 18, 20, kind)
    return _picture(20, body, label, "bar")
