"""The pictures of the comparison: inline SVGs in the page's colours, a shape beside each colour, a text alternative."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

COLOURS = 8
"""Colours of the style sheet; more builds begin again with the first."""
SHAPES = 5
CHAR = 7.4
"""Width of a character of a label, about, in units of the picture."""


@dataclass(frozen=True)
class Point:
    """One build in a scatter: its number, what it is called, where it stands, its figures in words."""

    number: int
    title: str
    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis: `low` and `high` are its ends, `ticks` its marks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Return where a value stands, from 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def scatter(
    points: Sequence[Point], names: tuple[str, str], text: Callable[[float], str], cap: float | None = None
) -> Markup:
    """Return points over two axes, each labelled.

    Parameters
    ----------
    names : of the axes
    text : how a mark of an axis is written
    cap : what the vertical axis does not go beyond
    """
    wide, high, left, top, right, below = 680, 400, 78, 16, 26, 54
    x_axis, y_axis = time_axis([p.x for p in points]), value_axis([p.y for p in points], cap=cap)
    width, height = wide - left - right, high - top - below
    body = _frame(left, top, width, height)
    for tick in y_axis.ticks:
        y = top + height * (1 - y_axis.at(tick))
        body += _line(left, y, left + width, y, "grid") + _text(left - 8, y + 4, text(tick), "end")
    for tick in x_axis.ticks:
        x = left + width * x_axis.at(tick)
        body += _line(x, top, x, top + height, "grid") + _text(x, top + height + 19, text(tick), "middle")
    body += _text(left + width / 2, high - 8, names[0], "middle", "name")
    body += Markup('<g transform="translate(16 {:.5g}) rotate(-90)">{}</g>').format(
        top + height / 2, _text(0, 0, names[1], "middle", "name")
    )
    places = [(left + width * x_axis.at(p.x), top + height * (1 - y_axis.at(p.y))) for p in points]
    labels = label_places(places, [p.title for p in points], (left, top, left + width, top + height))
    for (x, y), (lx, ly, _) in zip(places, labels, strict=True):
        if math.hypot(lx - x, ly - y) > 22:
            body += _line(x, y, lx, ly - 4, "lead")
    for point, (x, y) in zip(points, places, strict=True):
        body += marker(point.number, x, y, 7, f"{point.title}: {point.text}")
    for point, (lx, ly, anchor) in zip(points, labels, strict=True):
        body += _text(lx, ly, short(point.title), anchor, "label")
    return _picture(wide, high, body, "; ".join(f"{p.title}: {p.text}" for p in points), "plot scatter")


Box = tuple[float, float, float, float]


def label_places(
    points: Sequence[tuple[float, float]], titles: Sequence[str], area: Box
) -> list[tuple[float, float, str]]:
    """Return where each label stands (x, baseline, anchor) so that none covers a point, another label or the rim."""
    taken: list[Box] = [(x - 8, y - 8, x + 8, y + 8) for x, y in points]
    found = []
    for (x, y), title in zip(points, titles, strict=True):
        wide = CHAR * len(short(title))
        tries = []
        for far in (0, 18, 36, 54, 72, 90):
            tries += [(x + 13, y + 4 - far, "start"), (x - 13, y + 4 - far, "end"), (x, y - 13 - far, "middle")]
            tries += [(x + 13, y + 4 + far, "start"), (x - 13, y + 4 + far, "end"), (x, y + 22 + far, "middle")]
        boxes = [_label_box(place, wide) for place in tries]
        fits = [k for k, box in enumerate(boxes) if _inside(box, area) and not any(_meet(box, b) for b in taken)]
        chosen = fits[0] if fits else 0
        taken.append(boxes[chosen])
        found.append(tries[chosen])
    return found


def _label_box(place: tuple[float, float, str], wide: float) -> Box:
    x, y, anchor = place
    left = x - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
    return left, y - 12, left + wide, y + 4


def _inside(box: Box, area: Box) -> bool:
    return box[0] >= area[0] and box[1] >= area[1] and box[2] <= area[2] and box[3] <= area[3]


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def lines(series: Sequence[tuple[int, Sequence[float | None]]], marks: Sequence[str], axis: Axis, label: str,
          text: Callable[[float], str]) -> Markup:  # fmt: skip
    """Return one line a build over the severities of a disturbance.

    Parameters
    ----------
    series : (number of the build, its values at `marks`; None: not known)
    marks : what stands below each place
    axis : of the values, the same in all pictures
    """
    wide, high, left, top, right, below = 330, 190, 52, 10, 14, 26
    width, height = wide - left - right, high - top - below
    step = width / max(1, len(marks) - 1)
    body = _frame(left, top, width, height)
    for tick in axis.ticks:
        y = top + height * (1 - axis.at(tick))
        body += _line(left, y, left + width, y, "grid") + _text(left - 6, y + 4, text(tick), "end")
    for k, mark in enumerate(marks):
        anchor = "start" if k == 0 else "end" if k == len(marks) - 1 else "middle"
        body += _text(left + k * step, high - 8, mark, anchor)
    for number, values in series:
        known = [(left + k * step, top + height * (1 - axis.at(v))) for k, v in enumerate(values) if v is not None]
        path = " ".join(f"{x:.5g},{y:.5g}" for x, y in known)
        body += Markup('<polyline class="line s{}" points="{}"/>').format(number % COLOURS, path)
        for x, y in known:
            body += marker(number, x, y, 4)
    return _picture(wide, high, body, label, "plot lines")


def marker(number: int, x: float, y: float, size: float, title: str = "") -> Markup:
    """Return the mark of a build: its colour and its shape."""
    s, d = size, 1.3 * size
    paths = (
        f"M{x - s:.5g} {y:.5g}a{s} {s} 0 1 0 {2 * s} 0a{s} {s} 0 1 0 {-2 * s} 0z",
        f"M{x - s:.5g} {y - s:.5g}h{2 * s}v{2 * s}h{-2 * s}z",
        f"M{x:.5g} {y - d:.5g}l{d:.5g} {d:.5g}l{-d:.5g} {d:.5g}l{-d:.5g} {-d:.5g}z",
        f"M{x:.5g} {y - 1.2 * s:.5g}l{1.2 * s:.5g} {2.1 * s:.5g}h{-2.4 * s:.5g}z",
        f"M{x:.5g} {y + 1.2 * s:.5g}l{1.2 * s:.5g} {-2.1 * s:.5g}h{-2.4 * s:.5g}z",
    )
    inner = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup('<path class="point c{}" d="{}">{}</path>').format(number % COLOURS, paths[number % SHAPES], inner)


def key(number: int) -> Markup:
    """Return the mark of a build for a line of text."""
    return Markup('<svg class="shape" viewBox="0 0 16 16" aria-hidden="true">{}</svg>').format(marker(number, 8, 8, 5))


def value_axis(values: Sequence[float], most: int = 5, cap: float | None = None) -> Axis:
    """Return a linear axis of about `most` steps around values, with room at its ends, not beyond `cap`."""
    low, high = min(values), max(values)
    room = 0.15 * (high - low) or 0.02 * abs(high) or 1.0
    step = _step((high - low + 2 * room) / most)
    first, last = math.floor((low - room) / step), math.ceil((high + room) / step)
    ticks = tuple(float(f"{k * step:.10g}") for k in range(first, last + 1))
    if cap is not None and high <= cap:
        ticks = tuple(t for t in ticks if t <= cap) or ticks
    return Axis(ticks[0], ticks[-1], ticks)


def time_axis(values: Sequence[float]) -> Axis:
    """Return an axis from 0, or logarithmic where values lie more than twelve times apart."""
    low, high = min(values), max(values)
    if low <= 0 or high <= 12 * low:
        step = _step((high or 1.0) * 1.05 / 6)
        ticks = tuple(float(f"{k * step:.10g}") for k in range(math.ceil((high or 1.0) * 1.05 / step) + 1))
        return Axis(0.0, ticks[-1], ticks)
    low, high = low / 1.5, high * 1.5
    ticks = tuple(
        float(f"{m * 10.0**k:.10g}")
        for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for m in ((1, 2, 5) if high < 1000 * low else (1,))
        if low <= m * 10.0**k <= high
    )
    return Axis(low, high, ticks, log=True)


def _step(width: float) -> float:
    """Return the least of 1, 2, 5 times a power of ten that is no less than `width`."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= width * (1 - 1e-9))


def short(title: str, most: int = 28) -> str:
    """Return a title as it fits beside a point."""
    return title if len(title) <= most else f"{title[: most - 1]}…"


def _picture(wide: int, high: int, body: Markup, label: str, kind: str) -> Markup:
    return Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>').format(
        kind, wide, high, label, label, body
    )


def _frame(x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect class="frame" x="{:.5g}" y="{:.5g}" width="{:.5g}" height="{:.5g}"/>').format(
        x, y, width, height
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{:.5g}" y1="{:.5g}" x2="{:.5g}" y2="{:.5g}"/>').format(kind, x1, y1, x2, y2)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{:.5g}" y="{:.5g}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)
