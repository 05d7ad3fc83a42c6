"""The page of a comparison: one file that opens anywhere, without network; equal builds give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

import hwgen
from hwgen.compare import figures as pic
from hwgen.compare import table as words
from hwgen.compare.column import Column
from hwgen.compare.comparison import Comparison, metric_title
from hwgen.errors import OutputError
from hwgen.files import write_if_changed
from hwgen.report import svg
from hwgen.report.figures import PERCENT, metric_word
from hwgen.report.page import STATUS, breakable
from hwgen.report.robustness import severity_text
from hwgen.report.template import environment
from hwgen.train.metrics import HIGHER_IS_BETTER

BARS = ("latency_us", "memory", "multipliers", "LUT")
"""What stands as bars: `memory` is the comparison's figure of memory."""
KINDS = {name: kind for name, (kind, _) in STATUS.items()} | {"ERROR": "bad"}


def check_page(path: Path) -> None:
    """Refuse a page that cannot be written, before anything is built.

    Raises
    ------
    OutputError
    """
    above = next((p for p in path.absolute().parents if p.exists()), Path("/"))
    if path.is_dir() or not above.is_dir():
        found = "a folder" if path.is_dir() else f"{above} is a file"
        raise OutputError("not a file to write a page into", where=f"--html {path}", found=found, expected="FILE.html")


def write_page(found: Comparison, path: Path) -> None:
    """Write the page.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_if_changed(path, page_html(found).encode())


def page_html(found: Comparison) -> str:
    """Return the page; whatever comes from the user is escaped."""
    return _template().render(
        hwgen=hwgen.__version__,
        found=found,
        heads=[_head(found, k, c) for k, c in enumerate(found.columns)],
        metric=words.metric_names(found),
        memory=found.memory[1],
        bars=_bars(found),
        scatter=_scatter(found),
        robustness=_robustness(found),
        rows=_rows(found),
        blocks=[(block.title, [(metric_title(m), _beside(v, m)) for m, v in block.rows]) for block in found.blocks()],
        here=None if found.here is None else _here(found, found.here),
        notes=found.notes(),
    )


@cache
def _template() -> jinja2.Template:
    loaded = environment()
    loaded.filters["name"] = breakable
    loaded.globals["key"] = pic.key
    return loaded.get_template("compare.html.j2")


def _head(found: Comparison, number: int, column: Column) -> dict[str, Any]:
    """Return what the first table says of a build."""
    moved, read = found.improvement(column), words.improvement(found, column)
    up = HIGHER_IS_BETTER.get(found.first.metric or "", True)
    better = {key: None if not value else (value > 0) == (up and key == "accuracy") for key, value in moved.items()}
    return {
        "number": number,
        "title": found.titles[number],
        "status": column.status,
        "kind": KINDS.get(column.status, "open"),
        "cycles": words.figure(column, "latency_cycles"),
        "time": words.figure(column, "latency_us"),
        "score": words.figure(column, "accuracy"),
        "memory": words.figure(column, found.memory[0]),
        "improvement": [
            (read[key], "" if better[key] is None else "better" if better[key] else "worse") for key in read
        ],
        "is_first": number == 0,
    }


def _bars(found: Comparison) -> list[dict[str, Any]]:
    """Return groups of bars: a figure each, a bar a build, a line at the first."""
    groups = []
    titles = {key: (title, unit) for key, title, unit in words.shown_rows(found)}
    for name in BARS:
        key = found.memory[0] if name == "memory" else name
        values = [c.figures[key] for c in found.columns]
        most = max((v for v in values if v is not None), default=0)
        if key not in titles or not most:
            continue
        rows = []
        for k, (column, value) in enumerate(zip(found.columns, values, strict=True)):
            text = " ".join(filter(None, (words.figure(column, key), words.against(found, column, key))))
            label = f"{found.titles[k]}: {text}"
            bar = svg.bar(value, most, label, f"c{k % pic.COLOURS}", found.first.figures[key])
            rows.append((k, found.titles[k], words.figure(column, key), words.against(found, column, key), bar))
        title, unit = titles[key]
        groups.append({"title": f"{title}, {unit}" if unit else title, "rows": rows})
    return groups


def _scatter(found: Comparison) -> Any:
    """Return accuracy against latency, of the builds with the first known metric; None without two of them."""
    metric = next((c.metric for c in found.columns if c.metric), None)
    points, percent = [], metric in (*PERCENT, "auc")
    for k, column in enumerate(found.columns):
        time, value = column.figures["latency_us"], column.figures["accuracy"]
        if column.metric != metric or time is None or value is None:
            continue
        text = f"{words.figure(column, 'latency_us')} µs, {metric_word(metric)} {words.score(value, column)}"
        points.append(pic.Point(k, found.titles[k], time, 100 * value if percent else value, text))
    if len(points) < 2:
        return None
    unit = ", %" if percent else "" if HIGHER_IS_BETTER.get(metric or "", True) else " (less is better)"
    return pic.scatter(points, ("latency, µs", f"{metric_word(metric)}{unit}"), _plain, 100 if percent else None)


def _plain(value: float) -> str:
    return f"{value:,.6g}"


def _robustness(found: Comparison) -> dict[str, Any] | None:
    """Return a picture a disturbance, and the table behind them; None where no build has been disturbed."""
    metric = next((c.metric for c in found.columns if c.disturbed), None)
    shown = [(k, c) for k, c in enumerate(found.columns) if c.disturbed and c.metric == metric]
    if not shown:
        return None
    percent = shown[0][1].percent
    scale = 100 if percent else 1
    values = [{(r["name"], r["severity"]): r["value"] * scale for r in c.disturbed} for _, c in shown]
    rows = list(dict.fromkeys(place for table in values for place in table))
    axis = pic.value_axis([v for table in values for v in table.values()], 4, 100 if percent else None)
    pictures = []
    for name in dict.fromkeys(name for name, _ in rows if name != "clean"):
        places = _ordered([place for place in rows if place[0] == name])
        marks = ["clean" if severity is None else pic.short(severity_text(severity), 22) for _, severity in places]
        series = [(k, [table.get(place) for place in places]) for (k, _), table in zip(shown, values, strict=True)]
        label = "; ".join(
            f"{found.titles[k]} {', '.join('–' if v is None else _plain(v) for v in vs)}" for k, vs in series
        )
        title = name.replace("_", " ")
        pictures.append((title, pic.lines(series, marks, axis, f"{title}: {label}", _plain)))
    cells = [
        (
            name.replace("_", " "),
            "" if severity is None else severity_text(severity),
            [
                _moved(table.get((name, severity)), values[0].get((name, severity)), percent, k)
                for k, table in enumerate(values)
            ],
        )
        for name, severity in rows
    ]
    return {"metric": metric, "percent": percent, "shown": [k for k, _ in shown], "pictures": pictures, "rows": cells}


def _ordered(places: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the places of a disturbance as they stand in its picture: clean first, or between − and +."""
    below = sorted(p for p in places if isinstance(p[1], int | float) and p[1] < 0)
    return [*below, ("clean", None), *(p for p in places if p not in below)]


def _moved(value: float | None, base: float | None, percent: bool, k: int) -> tuple[str, str]:
    """Return a value under a disturbance, and its change against the first's."""
    if value is None:
        return "–", ""
    text = f"{value:.1f} %" if percent else f"{value:.4g}"
    if k == 0:
        return text, ""
    return text, "–" if base is None else words.signed(value - base, ".1f" if percent else ".3g")


def _rows(found: Comparison) -> list[tuple[str, str, list[tuple[str, str]]]]:
    rows = []
    for key, title, unit in words.shown_rows(found):
        cells = [(words.figure(c, key), words.against(found, c, key)) for c in found.columns]
        rows.append((words.row_title(found, key, title), unit, cells))
        rows += words.other_rows(found) if key == "accuracy" else []
    return rows


def _beside(values: tuple[float | None, ...], metric: str) -> list[tuple[str, str]]:
    cells = [words.value_against(values, k, metric).partition("  ") for k in range(len(values))]
    return [(value, ratio) for value, _, ratio in cells]


def _here(found: Comparison, here: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured on this machine: a group a build, a bar each for hardware, TFLite and GPU."""
    times = [row.get("median_us") for build in here["builds"] for row in (build[key] for key in words.MEASURED)]
    known = [t for t in (*times, *(c.figures["latency_us"] for c in found.columns)) if t is not None]
    most, groups = max(known, default=0), []
    for k, (column, build) in enumerate(zip(found.columns, here["builds"], strict=True)):
        if not column.known:
            groups.append((k, found.titles[k], [("", "–", column.status, "", "")]))
            continue
        time, simulated = column.figures["latency_us"], "simulated" if column.simulated else "predicted"
        bar = svg.bar(time, most, f"hardware: {words.figure(column, 'latency_us')} µs", f"c{k % pic.COLOURS}")
        rows: list[tuple[Any, ...]] = [
            (f"hardware, {simulated}", words.figure(column, "latency_us"), "", words.figure(column, "accuracy"), bar)
        ]
        for key, title in words.MEASURED.items():
            row = build[key]
            if "median_us" not in row:
                rows.append((title, "–", row["reason"], "", ""))
                continue
            bar = svg.bar(row["median_us"], most, f"{title}: {words.micros(row)} µs", "other")
            score = row.get("reason") or words.score(row.get("score"), column)
            rows.append((title, words.micros(row), words.extent(row), score, bar))
            if row.get("note"):
                rows.append(("", "", row["note"], "", ""))
        groups.append((k, found.titles[k], rows))
    return {"cpu": here["cpu"], "tensorflow": here["tensorflow"], "groups": groups}
