"""`Comparison`: builds side by side, the first of which is what the others are measured against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hwgen.compare.column import ROWS, Column
from hwgen.cost.table import METRICS

PLAIN = ("accuracy", "robustness", "mismatches")
"""Figures whose ratio to the first says nothing."""

BEYOND = {
    "synthesized": ("LUT", "FF", "DSP", "BRAM_18K", "depth"),
    "placed": ("LUT", "FF", "DSP", "BRAM_18K", "fmax_mhz"),
    "imported": ("LUT", "FF", "DSP", "BRAM_18K", "fmax_mhz", "worst_slack_ns", "power_mw"),
    "asic": ("area_um2", "worst_slack_ns", "power_mw"),
    "energy": ("power_mw", "energy_nj"),
}
"""What is shown of each kind of cost table."""


@dataclass(frozen=True)
class Block:
    """Cost tables of one kind, source and device, one a build: rows of (metric, value of each column)."""

    title: str
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


@dataclass(frozen=True)
class Comparison:
    """Builds side by side.

    Parameters
    ----------
    columns : the builds; the first is what the others are measured against
    here : what `hwgen.compare.cpu.measure_here` measured on this machine, if it was asked to
    """

    columns: tuple[Column, ...]
    here: Mapping[str, Any] | None = None

    @property
    def exit_status(self) -> int:
        """The first of the builds' exit statuses in the order mismatch, bad input, unmet, not run; 0 if all passed."""
        found = {column.exit_status for column in self.columns}
        return next((status for status in (1, 2, 3, 4) if status in found), 0)

    @property
    def first(self) -> Column:
        """The build that the others are measured against."""
        return self.columns[0]

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """What the builds are called; those of one name are numbered."""
        often = Counter(c.name for c in self.columns)
        return tuple(c.name if often[c.name] == 1 else f"{c.name} [{k + 1}]" for k, c in enumerate(self.columns))

    @property
    def memory(self) -> tuple[str, str]:
        """The figure that stands for memory, and its name: what every build has."""
        known = [c for c in self.columns if c.known]
        stored = all(c.figures["memory_bits"] is not None for c in known)
        return ("memory_bits", "weight memory") if stored else ("weight_bits", "weights, dense")

    def ratios(self, column: Column) -> dict[str, float | None]:
        """Return each figure of a column divided by the first's; None where there is no sense in it."""
        base = self.first.figures
        return {key: None if key in PLAIN else _divided(column.figures[key], base[key]) for key, _, _ in ROWS}

    def changes(self, column: Column) -> dict[str, float | None]:
        """Return accuracy and robustness less the first's; None where metrics or disturbances are not the same."""
        result: dict[str, float | None] = {}
        for key in ("accuracy", "robustness"):
            own, base = column.figures[key], self.first.figures[key]
            same = column.metric == self.first.metric and (key == "accuracy" or _asked(column) == _asked(self.first))
            result[key] = own - base if same and own is not None and base is not None else None
        return result

    def improvement(self, column: Column) -> dict[str, float | None]:
        """Return the columns of the survey's table: relative changes of time and memory, and that of the metric.

        The metric's is a difference where it reads in per cent, else relative, too.
        """
        ratios, moved = self.ratios(column), self.changes(column)["accuracy"]
        base = self.first.figures["accuracy"]
        if moved is not None and not self.first.percent:
            moved = moved / base if base else None
        time, memory = ratios["latency_us"], ratios[self.memory[0]]
        return {
            "time": None if time is None else time - 1,
            "accuracy": moved,
            "memory": None if memory is None else memory - 1,
        }

    def blocks(self) -> list[Block]:
        """Return what synthesis, placement and energy tables say, of kinds that every build with figures has."""
        known, found = [c for c in self.columns if c.known], []
        for kind, source, device in dict.fromkeys(key for c in known for key in _tables(c)):
            tables = [_tables(c).get((kind, source, device)) for c in self.columns]
            if any(t is None for t, c in zip(tables, self.columns, strict=True) if c.known):
                continue
            values = {m: tuple(None if t is None else t.get(m) for t in tables) for m in BEYOND[kind]}
            rows = tuple((metric, row) for metric, row in values.items() if any(value is not None for value in row))
            how = "estimated" if (kind, source) == ("energy", "estimate") else source
            found.append(Block(f"{kind}: {how}, {device}", rows))
        return [block for block in found if block.rows]

    def notes(self) -> list[str]:
        """Return what a reader must know beside the figures."""
        pairs = list(zip(self.titles, self.columns, strict=True))
        lines = [f"{title}: {c.status}: {c.reason}" for title, c in pairs if c.reason]
        if not self.first.known:
            lines.append(
                f"{self.titles[0]}, which the others are measured against, has no figures: there are no ratios"
            )
        lines += [f"{title}: cycles are predicted, not simulated" for title, c in pairs if c.known and not c.simulated]
        if len({c.metric for _, c in pairs if c.known}) > 1:
            metrics = ", ".join(f"{title} {c.metric}" for title, c in pairs if c.known)
            lines.append(f"The metrics are not the same: {metrics}")
        if len({_asked(c) for _, c in pairs if c.disturbed}) > 1:
            lines.append("The disturbances are not the same: each mean is of the build's own, and is not compared")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain values; what was measured on this machine is apart, ``measured_here``."""
        columns = [
            {
                "name": c.name,
                "folder": c.folder,
                "status": c.status,
                "exit_status": c.exit_status,
                "reason": c.reason,
                "metric": c.metric,
                "clock_period_ns": c.clock_period_ns,
                "simulated": c.simulated,
                "figures": c.figures,
                "ratios": self.ratios(c),
                "changes": self.changes(c),
                "improvement": self.improvement(c),
                "disturbed": list(c.disturbed),
                "cost": list(c.cost),
                "others": {name: {"metric": metric, "value": value} for name, (metric, value) in c.others.items()},
            }
            for c in self.columns
        ]
        document = {"version": 1, "exit_status": self.exit_status, "memory": self.memory[0], "builds": columns}
        return document | {"notes": self.notes()} | ({} if self.here is None else {"measured_here": self.here})

    def text(self) -> str:
        """Return the tables for the screen."""
        from hwgen.compare.table import table

        return table(self)


def metric_title(key: str) -> str:
    """Return a metric of a cost table with its unit."""
    title, unit = METRICS[key]
    return f"{title}, {unit}" if unit else title


def _divided(own: float | None, base: float | None) -> float | None:
    return None if own is None or base in (None, 0) else own / base


def _asked(column: Column) -> tuple[tuple[str, Any], ...]:
    return tuple((row["name"], row["severity"]) for row in column.disturbed)


def _tables(column: Column) -> dict[tuple[str, str, str | None], dict[str, float | None]]:
    return {(t["kind"], t["source"], t["device"]): t["total"] for t in column.cost if t["kind"] in BEYOND}
