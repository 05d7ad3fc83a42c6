"""The comparison on the screen: the survey's columns, every figure, and what must be known beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwgen.compare.column import ROWS, Column
from hwgen.compare.comparison import PLAIN, Comparison, metric_title
from hwgen.report.figures import metric_change, metric_text, metric_word

LABEL = 44
"""Width of a row's name and unit."""
MEASURED = {"float32": "TFLite float32", "int8": "TFLite int8", "gpu": "GPU float32"}
"""What was measured on this machine."""


def table(found: Comparison) -> str:
    """Return the tables; the verdict and the notes stand last."""
    width = max(24, *(len(title) + 4 for title in found.titles))
    blocks = [_survey(found), _figures(found, width)]
    blocks += [_block(found, block.title, block.rows, width) for block in found.blocks()]
    if found.here is not None:
        blocks.append(_here(found, found.here, width))
    verdict = [f" {'verdict':<{LABEL - 1}}" + "".join(f"{c.status:>{width}}" for c in found.columns)]
    return "\n\n".join("\n".join(lines) for lines in [*blocks, verdict + [f" {note}" for note in found.notes()]])


def score(value: float | None, column: Column) -> str:
    """Return a metric: accuracy, mAP and AUC in per cent."""
    if value is None:
        return "–"
    return f"{100 * value:.2f} %" if column.percent else f"{value:.4g}"


def improvement(found: Comparison, column: Column) -> dict[str, str]:
    """Return how time, metric and memory changed against the first, as they are read."""
    moved = found.improvement(column)
    points = "pt" if found.first.percent else "%"
    return {
        key: "–" if value is None else f"{signed(100 * value, '.1f')} {points if key == 'accuracy' else '%'}"
        for key, value in moved.items()
    }


def figure(column: Column, key: str) -> str:
    """Return a figure as it is read, without its unit."""
    value = column.figures[key]
    if value is None:
        return "–"
    if key in ("accuracy", "robustness"):
        return score(value, column)
    return f"{value:,.2f}" if key.endswith("_us") else f"{value:,.0f}"


def against(found: Comparison, column: Column, key: str) -> str:
    """Return how a figure stands to the first's: a ratio, or a change of the metric; empty for the first itself."""
    if column is found.first or column.figures[key] is None or key == "mismatches":
        return ""
    if key in PLAIN:
        moved = found.changes(column)[key]
        if moved is None:
            return "–"
        return signed(100 * moved, ".2f") if column.percent else signed(moved, ".3g")
    ratio = found.ratios(column)[key]
    return "–" if ratio is None else f"×{ratio:.3f}"


def signed(value: float, form: str) -> str:
    """Return a change with its sign, none for zero."""
    text = f"{value:+{form}}"
    return text.replace("-", "−") if float(text) else text[1:]


def metric_names(found: Comparison) -> str:
    """Return the metric's name; all of them, if the builds have several."""
    return ", ".join(dict.fromkeys(metric_word(c.metric) for c in found.columns if c.metric)) or "accuracy"


def other_rows(found: Comparison) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return a row an output that has a metric of its own: metric, output, and the value and change of each build."""
    rows = []
    for name, metric in dict.fromkeys((name, metric) for c in found.columns for name, (metric, _) in c.others.items()):
        values = [v if m == metric else None for m, v in (c.others.get(name, (None, None)) for c in found.columns)]
        cells = []
        for column, value in zip(found.columns, values, strict=True):
            known = column is not found.first and value is not None and values[0] is not None
            change = metric_change(value or 0.0, values[0] or 0.0, metric) if known else ""
            cells.append((metric_text(value, metric, figures=4), change.replace("-", "−")))
        rows.append((metric_word(metric), f"of {name}", cells))
    return rows


def row_title(found: Comparison, key: str, title: str) -> str:
    """Return the name of a row of `ROWS`."""
    return title or metric_names(found)


def shown_rows(found: Comparison) -> list[tuple[str, str, str]]:
    """Return the rows of `ROWS` that some build knows."""
    return [row for row in ROWS if any(c.figures[row[0]] is not None for c in found.columns)]


def _survey(found: Comparison) -> list[str]:
    key, name = found.memory
    heads = ("", "inference time", metric_names(found), name, "time", "metric", "memory")
    rows = [
        (
            title,
            f"{figure(c, 'latency_us')} µs" if c.known else "–",
            figure(c, "accuracy"),
            f"{figure(c, key)} bits" if c.known else "–",
            *(improvement(found, c).values() if c is not found.first else ("", "", "")),
        )
        for title, c in zip(found.titles, found.columns, strict=True)
    ]
    widths = [max(len(row[k]) for row in (heads, *rows)) + 3 for k in range(len(heads))]
    over = " " * (sum(widths[:4]) + 4) + f"improvement over {found.titles[0]}"
    return [over, *(_aligned(row, widths) for row in (heads, *rows))]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = "".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
    return f" {row[0]:<{widths[0] - 1}}{cells}".rstrip()


def _head(found: Comparison, title: str, width: int) -> str:
    return f" {title:<{LABEL - 1}}" + "".join(f"{name:>{width}}" for name in found.titles)


def _figures(found: Comparison, width: int) -> list[str]:
    lines = [_head(found, "", width)]
    for key, title, unit in shown_rows(found):
        cells = ["  ".join(filter(None, (figure(c, key), against(found, c, key)))) for c in found.columns]
        lines.append(f" {row_title(found, key, title):<20}{unit:<23}" + "".join(f"{cell:>{width}}" for cell in cells))
        for metric, output, others in other_rows(found) if key == "accuracy" else ():
            cells = ["  ".join(filter(None, cell)) for cell in others]
            lines.append(f" {metric:<20}{output:<23}" + "".join(f"{cell:>{width}}" for cell in cells))
    return lines


def _block(found: Comparison, title: str, rows: Sequence[tuple[str, Sequence[float | None]]], width: int) -> list[str]:
    lines = [_head(found, title, width)]
    for metric, values in rows:
        cells = [value_against(values, k, metric) for k in range(len(values))]
        lines.append(f" {metric_title(metric):<{LABEL - 1}}" + "".join(f"{cell:>{width}}" for cell in cells))
    return lines


def value_against(values: Sequence[float | None], k: int, metric: str) -> str:
    """Return the k-th value, and its ratio to the first."""
    value, base = values[k], values[0]
    if value is None:
        return "–"
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
    if k == 0 or metric == "worst_slack_ns":
        return text
    return f"{text}  ×{value / base:.3f}" if base else f"{text}  –"


def _here(found: Comparison, here: Mapping[str, Any], width: int) -> list[str]:
    lines = [
        " Measured here: batch 1, one thread, other figures every time",
        f" {here['cpu']}, TensorFlow {here['tensorflow'] or '–'}",
        _head(found, "", width),
        f" {'hardware':<20}{'µs':<23}" + "".join(f"{figure(c, 'latency_us'):>{width}}" for c in found.columns),
    ]
    for key, title in MEASURED.items():
        rows = [build[key] for build in here["builds"]]
        if all("median_us" not in row for row in rows):
            continue
        lines.append(f" {title:<20}{'µs, median':<23}" + "".join(f"{micros(row):>{width}}" for row in rows))
        lines.append(f" {'':<20}{'µs, least–most':<23}" + "".join(f"{extent(row):>{width}}" for row in rows))
        if any(row.get("score") is not None for row in rows):
            cells = [score(row.get("score"), c) for row, c in zip(rows, found.columns, strict=True)]
            lines.append(f" {'':<20}{metric_names(found):<23}" + "".join(f"{cell:>{width}}" for cell in cells))
    return lines + [f" {text}" for text in not_measured(found, here)]


def not_measured(found: Comparison, here: Mapping[str, Any]) -> list[str]:
    """Return what was not measured on this machine, or in part, and why: a line a reason."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for name, build in zip(found.titles, here["builds"], strict=True):
        for key, title in MEASURED.items():
            if reason := build[key].get("reason") or build[key].get("note"):
                reasons.setdefault(reason, {}).setdefault(name, []).append(title)
    lines = []
    for reason, where in reasons.items():
        what = list(dict.fromkeys(title for titles in where.values() for title in titles))
        whose = "" if len(where) == len(found.columns) else f"{', '.join(where)}: "
        lines.append(f"{whose}{'' if len(what) == len(MEASURED) else ', '.join(what) + ': '}{reason}")
    return lines


def micros(row: Mapping[str, Any]) -> str:
    """Return the median of a measurement."""
    return "–" if row.get("median_us") is None else f"{row['median_us']:,.2f}"


def extent(row: Mapping[str, Any]) -> str:
    """Return the least and the most of a measurement."""
    return "–" if row.get("median_us") is None else f"{row['least_us']:,.2f}–{row['most_us']:,.2f}"
