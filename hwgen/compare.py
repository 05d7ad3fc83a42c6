"""`hwgen compare`: several builds side by side, each figure with its ratio to the first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.errors import HwgenError, OutputError
from hwgen.report.figures import PERCENT, metric_change, metric_text, metric_word

if TYPE_CHECKING:
    from hwgen.report.collect import Report
    from hwgen.report.progress import Screen, Silent

ROWS: tuple[tuple[str, str, str], ...] = (
    ("accuracy", "", ""),
    ("latency_cycles", "latency", "clk"),
    ("latency_us", "latency", "µs"),
    ("interval_cycles", "interval", "clk"),
    ("interval_us", "interval", "µs"),
    ("multipliers", "multipliers", ""),
    ("multiplications", "multiplications", "non-zero, an inference"),
    ("weight_bits", "weights, dense", "bits"),
    ("memory_bits", "weight memory", "bits"),
    ("activation_bits", "activation memory", "bits"),
    ("LUT", "LUT", "predicted"),
    ("FF", "FF", "predicted"),
    ("DSP", "DSP", "predicted"),
    ("BRAM_18K", "BRAM 18K", "predicted"),
    ("robustness", "robustness", "mean over all disturbances"),
    ("mismatches", "mismatches", "all pairs"),
)
"""Every figure: key, title, unit. Cycles are measured in simulation, or predicted where `Column.simulated` is False."""

PLAIN = ("accuracy", "robustness", "mismatches")
"""Figures whose ratio to the first says nothing."""


@dataclass(frozen=True)
class Column:
    """One build.

    Parameters
    ----------
    figures : by the keys of `ROWS`; None: not known
    simulated : whether the cycles were measured in simulation
    """

    name: str
    folder: str
    status: str
    exit_status: int
    reason: str | None
    metric: str | None
    clock_period_ns: float
    simulated: bool
    figures: dict[str, float | None]
    others: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    """Outputs with a metric of their own: the metric and its value."""


@dataclass(frozen=True)
class Comparison:
    """Builds side by side; the first is what the others are measured against."""

    columns: tuple[Column, ...]

    @property
    def exit_status(self) -> int:
        """The first of the builds' exit statuses in the order mismatch, bad input, unmet, not run; 0 if all passed."""
        found = {column.exit_status for column in self.columns}
        return next((status for status in (1, 2, 3, 4) if status in found), 0)

    def ratios(self, column: Column) -> dict[str, float | None]:
        """Return each figure of a column divided by the first's; None where there is no sense in it."""
        first, result = self.columns[0].figures, {}
        for key, _, _ in ROWS:
            own, base = column.figures[key], first[key]
            known = key not in PLAIN and own is not None and base not in (None, 0)
            result[key] = own / base if known and own is not None and base else None
        return result

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        columns = [
            {
                "name": c.name,
                "folder": c.folder,
                "status": c.status,
                "reason": c.reason,
                "metric": c.metric,
                "clock_period_ns": c.clock_period_ns,
                "simulated": c.simulated,
                "figures": c.figures,
                "others": {name: {"metric": metric, "value": value} for name, (metric, value) in c.others.items()},
                "ratios": self.ratios(c),
            }
            for c in self.columns
        ]
        return {"version": 1, "exit_status": self.exit_status, "builds": columns}

    def text(self) -> str:
        """Return the table: a row a figure, a column a build, the ratio to the first beside it."""
        width = max(24, *(len(c.name) + 4 for c in self.columns))
        lines = [" " * 44 + "".join(f"{c.name:>{width}}" for c in self.columns)]
        for key, title, unit in ROWS:
            if all(c.figures[key] is None for c in self.columns):
                continue
            title = title or metric_word(self.columns[0].metric)
            cells = [self._cell(c, key) for c in self.columns]
            lines.append(f" {title:<20}{unit:<23}" + "".join(f"{cell:>{width}}" for cell in cells))
            if key == "accuracy":
                lines += self._others(width)
        lines.append(f" {'verdict':<43}" + "".join(f"{c.status:>{width}}" for c in self.columns))
        lines += [f" {c.name}: {c.reason}" for c in self.columns if c.reason]
        lines += [f" {c.name}: cycles are predicted, not simulated" for c in self.columns if not c.simulated]
        if len({c.metric for c in self.columns}) > 1:
            metrics = ", ".join(f"{c.name} {c.metric}" for c in self.columns)
            lines.append(f" The metrics are not the same: {metrics}")
        return "\n".join(lines)

    def _others(self, width: int) -> list[str]:
        """Return a line for each output that has a metric of its own."""
        lines, first = [], self.columns[0].others
        for name, metric in dict.fromkeys((n, m) for c in self.columns for n, (m, _) in c.others.items()):
            cells = []
            for column in self.columns:
                value = column.others[name][1] if column.others.get(name, ("",))[0] == metric else None
                base = first[name][1] if first.get(name, ("",))[0] == metric else None
                text = metric_text(value, metric)
                if column is not self.columns[0] and value is not None and base is not None:
                    text += f"  {metric_change(value, base, metric)}"
                cells.append(text)
            lines.append(
                f" {metric_word(metric):<20}{'of ' + name:<23}" + "".join(f"{cell:>{width}}" for cell in cells)
            )
        return lines

    def _cell(self, column: Column, key: str) -> str:
        value, ratio = column.figures[key], self.ratios(column)[key]
        if value is None:
            return "–"
        if key in ("accuracy", "robustness"):
            percent = column.metric in (*PERCENT, "auc")
            text = f"{100 * value:.2f} %" if percent else f"{value:.4g}"
            base = self.columns[0].figures[key]
            if column is self.columns[0] or base is None:
                return text
            return f"{text}  {100 * (value - base):+.2f}" if percent else f"{text}  {value - base:+.3g}"
        text = f"{value:,.2f}" if key.endswith("_us") else f"{value:,.0f}"
        return text if ratio is None or column is self.columns[0] else f"{text}  ×{ratio:.3f}"


def compare(targets: Sequence[str | Path], screen: Screen | Silent | None = None) -> Comparison:
    """Build what is not built, and put the builds side by side.

    Parameters
    ----------
    targets : model.yaml files (built if they are not up to date) or build folders (read as they are)
    screen : told of progress; default: silent

    Raises
    ------
    HwgenError
        If there are fewer than two, or one is neither a file nor a build folder, or cannot be built at all.
    """
    if len(targets) < 2:
        found = f"{len(targets)} of them"
        raise HwgenError("nothing to compare with", where="hwgen compare", found=found, expected="two or more builds")
    paths = [Path(target) for target in targets]
    for path in paths:
        if not path.exists():
            raise OutputError("does not exist", where=str(path), expected="a model.yaml or a build folder")
    return Comparison(tuple(_column(path, screen) for path in paths))


def _column(path: Path, screen: Screen | Silent | None) -> Column:
    from hwgen.api import build, show

    result = show(path) if path.is_dir() else build(path, screen=screen)
    report, folder = result.report, result.folder
    prediction = _read(folder / "reports" / "prediction.json")
    if "estimate" not in prediction:
        hint = f"hwgen build {folder / 'resolved.yaml'}"
        raise OutputError("the build is of an older hwgen, or has no RTL yet", where=str(folder), hint=hint)
    return Column(
        name=report.name,
        folder=str(folder),
        status=result.status,
        exit_status=result.exit_status,
        reason=report.reason,
        metric=report.metric,
        clock_period_ns=report.clock_period_ns,
        simulated=report.latency.measured is not None,
        others={
            other["output"]: (other["metric"], other["integer"] if other["rtl"] is None else other["rtl"])
            for other in report.others
        },
        figures=_figures(report, prediction["estimate"], _read(folder / "reports" / "robustness.json")),
    )


def _figures(report: Report, estimate: dict[str, Any], robustness: dict[str, Any]) -> dict[str, float | None]:
    latency = estimate["latency_cycles"] if report.latency.measured is None else report.latency.measured
    interval = estimate["interval_cycles"] if report.interval.measured is None else report.interval.measured
    keys = ("multipliers", "multiplications", "weight_bits", "memory_bits", "activation_bits")
    disturbed = [row.get("after", row.get("before")) for row in robustness.get("rows", [])]
    checked = [pair.mismatches for pair in report.pairs if pair.mismatches is not None]
    return {
        "accuracy": report.accuracy["rtl"] if report.accuracy["rtl"] is not None else report.accuracy["integer"],
        "latency_cycles": latency,
        "latency_us": latency * report.clock_period_ns / 1000,
        "interval_cycles": interval,
        "interval_us": interval * report.clock_period_ns / 1000,
        **{key: estimate[key] for key in keys},
        **{key: estimate[key.lower()] for key in ("LUT", "FF", "DSP", "BRAM_18K")},
        "robustness": sum(disturbed) / len(disturbed) if disturbed and None not in disturbed else None,
        "mismatches": sum(checked) if checked else None,
    }


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
