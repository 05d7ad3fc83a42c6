"""`Column`: one build in a comparison, with every figure that its folder knows; or why there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.errors import ErrorList, HwgenError, OutputError
from hwgen.report.figures import PERCENT
from hwgen.report.robustness import read_robustness

if TYPE_CHECKING:
    from hwgen.api import BuildResult
    from hwgen.report.collect import Report

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
    ("robustness", "robustness", "mean of disturbances"),
    ("mismatches", "mismatches", "all pairs"),
)
"""Every figure: key, title, unit. Cycles are measured in simulation, or predicted where `Column.simulated` is False."""

FAILED = {1: "FAIL", 2: "ERROR", 3: "UNMET", 4: "NOT RUN"}
"""What a build that could not be made is called, by the exit status it would have ended with."""


@dataclass(frozen=True)
class Column:
    """One build.

    Parameters
    ----------
    folder : the build folder; None for a build that could not be made
    status : of the build; ``ERROR``: it could not be made
    reason : why it is not PASS, in a line
    error : the whole message, if it could not be made
    clock_period_ns : the requested clock
    simulated : whether the cycles were measured in simulation
    figures : by the keys of `ROWS`; None: not known
    disturbed : the metric under each disturbance, ``{"name", "severity", "value"}``; the first row is ``clean``
    cost : totals of the cost tables that are DONE, predicted ones left out: ``{"kind", "source", "device", "total"}``
    """

    name: str
    folder: str | None
    status: str
    exit_status: int
    reason: str | None
    metric: str | None
    clock_period_ns: float | None
    simulated: bool
    figures: dict[str, float | None]
    disturbed: tuple[dict[str, Any], ...] = ()
    cost: tuple[dict[str, Any], ...] = ()
    error: str | None = field(default=None, compare=False)
    others: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    """Outputs with a metric of their own: the metric and its value."""

    @property
    def known(self) -> bool:
        """Whether it has figures: the build was made as far as its RTL."""
        return any(value is not None for value in self.figures.values())

    @property
    def percent(self) -> bool:
        """Whether the metric reads in per cent."""
        return self.metric in (*PERCENT, "auc")


def column_of(result: BuildResult) -> Column:
    """Return the column of a build.

    Raises
    ------
    OutputError
        If the build has no RTL, or is of a hwgen that did not estimate it.
    """
    report, folder = result.report, result.folder
    estimate = _read(folder / "reports" / "prediction.json").get("estimate")
    if estimate is None:
        hint = f"hwgen build {folder / 'resolved.yaml'}"
        raise OutputError("the build is of an older hwgen, or has no RTL yet", where=str(folder), hint=hint)
    disturbed = _disturbed(folder)
    return Column(
        name=report.name,
        folder=str(folder),
        status=result.status,
        exit_status=result.exit_status,
        reason=report.reason,
        metric=report.metric,
        clock_period_ns=report.clock_period_ns,
        simulated=report.latency.measured is not None,
        figures=_figures(report, estimate, disturbed),
        disturbed=disturbed,
        cost=tuple(
            {"kind": t.kind, "source": t.source, "device": t.device, "total": dict(t.total)}
            for t in report.cost
            if t.status == "DONE" and t.kind != "predicted"
        ),
        others={
            other["output"]: (other["metric"], other["integer"] if other["rtl"] is None else other["rtl"])
            for other in report.others
        },
    )


def failed_column(name: str, error: HwgenError) -> Column:
    """Return the column of a build that could not be made: it says why, and knows nothing."""
    first = error.errors[0] if isinstance(error, ErrorList) and error.errors else error
    return Column(
        name=name,
        folder=None,
        status=FAILED.get(error.exit_status, "ERROR"),
        exit_status=error.exit_status,
        reason=first.render().splitlines()[0],
        metric=None,
        clock_period_ns=None,
        simulated=False,
        figures={key: None for key, _, _ in ROWS},
        error=error.render(),
    )


def _figures(
    report: Report, estimate: dict[str, Any], disturbed: tuple[dict[str, Any], ...]
) -> dict[str, float | None]:
    latency = estimate["latency_cycles"] if report.latency.measured is None else report.latency.measured
    interval = estimate["interval_cycles"] if report.interval.measured is None else report.interval.measured
    keys = ("multipliers", "multiplications", "weight_bits", "memory_bits", "activation_bits")
    values = [row["value"] for row in disturbed if row["name"] != "clean"]
    checked = [pair.mismatches for pair in report.pairs if pair.mismatches is not None]
    return {
        "accuracy": report.accuracy["rtl"] if report.accuracy["rtl"] is not None else report.accuracy["integer"],
        "latency_cycles": latency,
        "latency_us": latency * report.clock_period_ns / 1000,
        "interval_cycles": interval,
        "interval_us": interval * report.clock_period_ns / 1000,
        **{key: estimate[key] for key in keys},
        **{key: estimate[key.lower()] for key in ("LUT", "FF", "DSP", "BRAM_18K")},
        "robustness": sum(values) / len(values) if values and None not in values else None,
        "mismatches": sum(checked) if checked else None,
    }


def _disturbed(folder: Path) -> tuple[dict[str, Any], ...]:
    """Return the metric under every disturbance: after compression where there is some."""
    found = read_robustness(folder)
    if found is None:
        return ()
    rows = [{"name": "clean", "severity": None, **found["clean"]}, *found["rows"]]
    return tuple(
        {"name": row["name"], "severity": row["severity"], "value": row.get("after", row["before"])} for row in rows
    )


def _read(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text()) if path.is_file() else {}
    return value if isinstance(value, dict) else {}
