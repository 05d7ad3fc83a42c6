"""Pictures of a front: a scatter plot for each pair of objectives, as SVG with its own text and style."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from hwgen.explore.space import label

if TYPE_CHECKING:
    from hwgen.explore.results import Exploration, Trial

WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 74, 18, 14, 46
LOG_FROM = 20
"""From this ratio of the largest to the smallest value on, an axis is logarithmic."""

STYLE = """
text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #5c6370; }
.title { fill: #1a1c1f; } .grid { stroke: #d9dce1; } .dot { fill: #8a93a3; opacity: .55; }
.front { fill: #2f6db3; stroke: #fff; } .stairs { fill: none; stroke: #2f6db3; stroke-dasharray: 4 3; opacity: .7; }
.number { fill: #1a1c1f; font-size: 10px; }
@media (prefers-color-scheme: dark) {
  text { fill: #a0a7b3; } .title, .number { fill: #e7e9ec; } .grid { stroke: #363b43; } .dot { fill: #a0a7b3; }
  .front { fill: #6ea8e8; stroke: #16181c; } .stairs { stroke: #6ea8e8; }
}
"""


class Scale:
    """From values to places on an axis.

    Parameters
    ----------
    start, end : places of the smallest and the largest value, in the picture's units
    """

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        self.log = low > 0 and high / low > LOG_FROM
        if low == high:
            low, high = (low - 1, high + 1) if low == 0 else (low - abs(low) / 2, high + abs(high) / 2)
        a, b = (math.log10(low), math.log10(high)) if self.log else (low, high)
        margin = 0.06 * (b - a)
        self.low, self.high, self.start, self.end = a - margin, b + margin, start, end

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        at = math.log10(value) if self.log else value
        return self.start + (at - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values on the axis."""
        if self.log:
            decades = range(math.floor(self.low), math.ceil(self.high) + 1)
            for mantissas in ((1, 2, 5), (1, 3), (1,)):
                found = [
                    m * 10.0**d for d in decades for m in mantissas if self.low <= math.log10(m * 10.0**d) <= self.high
                ]
                if len(found) <= most:
                    return found
            return found[:: math.ceil(len(found) / most)]
        size = (self.high - self.low) / most
        step = 10.0 ** math.floor(math.log10(size))
        step *= next(m for m in (1, 2, 2.5, 5, 10) if m * step >= size * (1 - 1e-9))
        return [k * step for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def scatter(found: Exploration, x: str, y: str, at: tuple[float, float] = (0, 0)) -> Markup:
    """Return one plot as an SVG group: every trial, the front numbered, and the stairs of the best `y` for each `x`.

    Parameters
    ----------
    x, y : figures
    at : place of the upper left corner
    """
    done = [trial for trial in found.trials if trial.figures and None not in (trial.figures[x], trial.figures[y])]
    points = {trial.number: (_value(trial, x), _value(trial, y)) for trial in done}
    across = Scale([p[0] for p in points.values()], LEFT, WIDTH - RIGHT)
    up = Scale([p[1] for p in points.values()], HEIGHT - BOTTOM, TOP)
    body = _frame(found, x, y, across, up)
    stairs = _stairs(list(points.values()), found.objectives[x] == "min", found.objectives[y] == "min")
    path = "".join(
        f"{'M' if k == 0 else f'H{across(px):.1f} V'}{f'{across(px):.1f} ' if k == 0 else ''}{up(py):.1f}"
        for k, (px, py) in enumerate(stairs)
    )
    body += Markup('<path class="stairs" d="{}"/>').format(path)
    for trial in sorted(done, key=lambda t: t.number in found.front):
        front, (px, py) = trial.number in found.front, points[trial.number]
        body += Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>').format(
            "front" if front else "dot", across(px), up(py), 5 if front else 4, _said(found, trial)
        )
        if front:
            body += Markup('<text class="number" x="{:.1f}" y="{:.1f}">{}</text>').format(
                across(px) + 7, up(py) - 5, trial.number
            )
    return Markup('<g transform="translate({:.0f} {:.0f})">{}</g>').format(*at, body)


def pairs(found: Exploration) -> list[tuple[str, str]]:
    """Return the pairs of objectives to plot, cost to the right, the first objective upwards."""
    names = list(found.objectives)
    return [(x, y) for y, x in itertools.combinations(names, 2)] or [(names[0], names[0])]


def svg(found: Exploration, chosen: Sequence[tuple[str, str]]) -> Markup:
    """Return plots side by side as one SVG element."""
    width = WIDTH * len(chosen)
    text = f"{len(found.trials)} trials of {found.name}; the front is numbered"
    body = Markup("").join(scatter(found, x, y, (WIDTH * k, 0)) for k, (x, y) in enumerate(chosen))
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        "<style>{}</style>{}</svg>"
    ).format(width, HEIGHT, text, Markup(STYLE), body)


def picture(found: Exploration) -> str:
    """Return explore.svg: every pair of objectives."""
    return f"{svg(found, pairs(found))}\n"


def _frame(found: Exploration, x: str, y: str, across: Scale, up: Scale) -> Markup:
    body = Markup("")
    for value in across.ticks():
        at = across(value)
        body += Markup('<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(
            at, TOP, HEIGHT - BOTTOM
        )
        body += Markup('<text text-anchor="middle" x="{:.1f}" y="{}">{}</text>').format(
            at, HEIGHT - BOTTOM + 17, _tick(found, x, value)
        )
    for value in up.ticks():
        at = up(value)
        body += Markup('<line class="grid" y1="{0:.1f}" y2="{0:.1f}" x1="{1}" x2="{2}"/>').format(
            at, LEFT, WIDTH - RIGHT
        )
        body += Markup('<text text-anchor="end" x="{}" y="{:.1f}">{}</text>').format(
            LEFT - 6, at + 4, _tick(found, y, value)
        )
    centre, middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    names = [
        f"{found.title(name)} ({'less' if found.objectives[name] == 'min' else 'more'} is better)" for name in (x, y)
    ]
    body += Markup('<text class="title" text-anchor="middle" x="{:.0f}" y="{}">{}</text>').format(
        centre, HEIGHT - 8, names[0]
    )
    body += Markup(
        '<text class="title" text-anchor="middle" transform="translate(14 {:.0f}) rotate(-90)">{}</text>'
    ).format(middle, names[1])
    return body


def _tick(found: Exploration, name: str, value: float) -> str:
    if name == "accuracy":
        return f"{100 * value:.4g} %" if found.metric == "accuracy" else f"{value:.4g}"
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:.6g}"


def _stairs(points: list[tuple[float, float]], less_x: bool, less_y: bool) -> list[tuple[float, float]]:
    """Return the points that no other beats in this pair, along x."""
    kept: list[tuple[float, float]] = []
    for px, py in sorted(points, key=lambda p: (p[0] if less_x else -p[0], p[1] if less_y else -p[1])):
        if not kept or (py < kept[-1][1] if less_y else py > kept[-1][1]):
            kept.append((px, py))
    return kept


def _said(found: Exploration, trial: Trial) -> Markup:
    figures = [f"{found.title(n)} {found.shown(n, (trial.figures or {})[n])}" for n in found.objectives]
    values = [f"{name}: {label(value)}" for name, value in trial.values.items()]
    return escape("\n".join([f"trial {trial.number}", *figures, *values]))


def _value(trial: Trial, name: str) -> float:
    value = (trial.figures or {})[name]
    assert value is not None
    return float(value)
