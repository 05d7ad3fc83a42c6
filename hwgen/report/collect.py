"""What a build folder says, read from its files: the one `Report` that the table, JSON and JUnit show."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hwgen
from hwgen.cost.parts import find_part
from hwgen.cost.table import KINDS, CostTable
from hwgen.report.robustness import read_robustness
from hwgen.spec import ModelSpec

PAIRS = (("qkeras", "graph"), ("graph", "hls_cpp"), ("graph", "rtl"), ("graph", "netlist"), ("graph", "emulator"))
OPTIONAL = ("netlist", "emulator")
"""Representations that a build compares only if it is asked to."""
SETS = ("test", "random", "corners")
EXIT = {"PASS": 0, "FAIL": 1, "UNMET": 3, "NOT RUN": 4, "PARTIAL": 0}
"""Exit status by the report's status; PARTIAL: the build was asked to stop earlier (``--to``)."""


@dataclass(frozen=True)
class Pair:
    """Two representations compared; counts are None where the comparison did not run, or was not `requested`."""

    a: str
    b: str
    vectors: int | None
    mismatches: int | None
    sets: dict[str, int]
    reason: str | None = None
    first: dict[str, Any] | None = None
    requested: bool = True


@dataclass(frozen=True)
class Timing:
    """Cycles, predicted before the RTL existed and measured in it."""

    predicted: int | None
    measured: int | None
    frames: int | None = None


@dataclass(frozen=True)
class Requirement:
    """One `verify.require` or `hardware.target`; `met` is None where the figure is not known."""

    key: str
    wanted: float
    found: float | None
    met: bool | None


@dataclass(frozen=True)
class Report:
    """The result of a build. Unknown is None, never 0.

    `latency` is of one frame in an empty design, first beat in to last beat out; `first_out` to the first beat out;
    `steady` the same as `latency` with the sources paced at the interval. The last two, and `folding` (how each layer
    shares its multipliers), are of streaming designs alone.
    """

    name: str
    status: str
    reason: str | None
    io_type: str
    strategy: str
    clock_period_ns: float
    metric: str | None
    test_frames: int | None
    accuracy: dict[str, float | None]
    pairs: tuple[Pair, ...]
    latency: Timing
    interval: Timing
    first_out: Timing | None
    steady: Timing | None
    fifos: tuple[dict[str, Any], ...]
    folding: tuple[dict[str, Any], ...]
    weights: int | None
    nonzero: int | None
    overflow: str | None
    protocol: dict[str, int]
    mismatch: dict[str, Any] | None
    failed: tuple[str, ...]
    requirements: tuple[Requirement, ...]
    not_checked: tuple[str, ...]
    notes: tuple[str, ...]
    stages: dict[str, float | None]
    cost: tuple[CostTable, ...] = ()
    robustness: dict[str, Any] | None = None
    others: tuple[dict[str, Any], ...] = ()
    """Outputs with a metric of their own beside the one that judges: ``output``, ``metric``, and as `accuracy`."""

    @property
    def exit_status(self) -> int:
        """What the command line returns."""
        return EXIT[self.status]

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {"version": 1, "hwgen": hwgen.__version__, "exit_status": self.exit_status, **asdict(self)}


def collect(
    spec: ModelSpec,
    folder: Path,
    stages: Mapping[str, float | None],
    missing: str | None = None,
    last: str | None = None,
) -> Report:
    """Read a build folder.

    Parameters
    ----------
    stages : seconds of each stage that is complete; None: it was up to date
    missing : the tool that was not there, if a stage could not run
    last : the stage the build was asked to stop after
    """
    evidence = _read(folder / "verification.json") if "verify" in stages or missing else None
    trained, compressed, lowered = (_read(folder / "reports" / f"{n}.json") for n in ("train", "compress", "lower"))
    prediction = _read(folder / "reports" / "prediction.json")
    rows = (evidence or {}).get("pairs") or _read(folder / "reports" / "pairs.json").get("pairs", [])
    pairs = tuple(_pair(a, b, rows, missing, evidence or {}) for a, b in PAIRS)
    latency = _timing((evidence or {}).get("latency"), prediction.get("latency_cycles"))
    interval = _timing((evidence or {}).get("interval"), prediction.get("interval_cycles"))
    first_out, steady = _stream_timing((evidence or {}).get("latency") or {}, prediction)
    data = trained.get("data") or {}
    accuracy = {
        "float": trained.get("float"),
        "quantized": trained.get("quantized"),
        "compressed": compressed.get("compressed"),
        "integer": lowered.get("integer"),
    }
    in_rtl = _whole_test(next(p for p in pairs if p.b == "rtl"), data.get("test"))
    accuracy["rtl"] = accuracy["integer"] if in_rtl else None
    requirements = tuple(_requirements(spec, accuracy, latency, interval))
    cost = _cost(folder, prediction, "cost" in stages or bool(missing))
    status, reason = _status(evidence, missing, requirements, last, _asked(spec, cost), compressed.get("unmet"))
    weights = lowered.get("weights") or {}
    return Report(
        name=spec.model.name,
        status=status,
        reason=reason,
        io_type=spec.hardware.io_type,
        strategy=spec.hardware.strategy,
        clock_period_ns=spec.hardware.clock_period_ns,
        metric=trained.get("metric"),
        test_frames=data.get("test"),
        accuracy=accuracy,
        pairs=pairs,
        latency=latency,
        interval=interval,
        first_out=first_out,
        steady=steady,
        fifos=tuple((evidence or {}).get("fifos") or ()),
        folding=tuple((_read(folder / "rtl" / "design.json").get("statistics") or {}).get("layers") or ()),
        weights=weights.get("weights"),
        nonzero=weights.get("nonzero"),
        overflow=None if not lowered else "allowed to wrap" if spec.precision.allow_wrap else "proved absent",
        protocol=_protocol(evidence or {}),
        mismatch=(evidence or {}).get("mismatch"),
        failed=tuple((evidence or {}).get("failed_checks") or ()),
        requirements=requirements,
        not_checked=_not_checked(evidence, cost),
        notes=(*(compressed.get("remarks") or ()), *(lowered.get("notes") or ())),
        stages=dict(stages),
        cost=cost,
        robustness=read_robustness(folder) if spec.verify.robustness is not None else None,
        others=_others(spec, trained, compressed, lowered, in_rtl),
    )


def _others(
    spec: ModelSpec, trained: dict[str, Any], compressed: dict[str, Any], lowered: dict[str, Any], in_rtl: bool
) -> tuple[dict[str, Any], ...]:
    """Return the metrics of the outputs that `train.metric` names after the first."""
    said = spec.train.metric
    rows = []
    for name, metric in list(said.items())[1:] if isinstance(said, dict) and trained.get("metric") else []:
        known = trained.get("others") or {}
        integer = (lowered.get("others") or {}).get(name)
        rows.append(
            {
                "output": name,
                "metric": metric,
                "float": (known.get("float") or {}).get(name),
                "quantized": (known.get("quantized") or {}).get(name),
                "compressed": (compressed.get("others") or {}).get(name),
                "integer": integer,
                "rtl": integer if in_rtl else None,
            }
        )
    return tuple(rows)


def _cost(folder: Path, prediction: Mapping[str, Any], ran: bool) -> tuple[CostTable, ...]:
    """Return the tables of the cost stage; before it ran, the one that the rtl stage predicted."""
    rows = (_read(folder / "reports" / "cost.json").get("tables") if ran else None) or [prediction.get("cost")]
    tables = []
    for row in rows:
        if isinstance(row, dict) and row.get("kind") in KINDS:
            with contextlib.suppress(TypeError, ValueError):  # the report says that it cannot be read
                tables.append(CostTable.from_json(row))
    return tuple(tables)


def _asked(spec: ModelSpec, cost: tuple[CostTable, ...]) -> list[CostTable]:
    """Return the tables of the build's own part; ``hwgen cost --part`` may have added those of others."""
    part = find_part(spec.part_path)
    return [table for table in cost if table.device in (part.name, part.device)]


def _not_checked(evidence: dict[str, Any] | None, cost: tuple[CostTable, ...]) -> tuple[str, ...]:
    """Return what was not checked: device cost is, once a synthesis is there; timing closure, once it is placed."""
    found = tuple((evidence or {}).get("not_checked") or ("the RTL",))
    done = {table.kind for table in cost if table.status == "DONE"}
    known = {"device cost": {"synthesized", "asic"}, "timing closure": {"placed", "imported"}}
    found = tuple(text for text in found if not done & known.get(text, set()))
    failed = [t for t in cost if t.status == "FAILED"]
    return found + tuple(f"{table.kind} cost ({table.reason})" for table in failed)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
        return value if isinstance(value, dict) else {}
    except (OSError, ValueError):
        return {}


def _pair(a: str, b: str, rows: list[dict[str, Any]], missing: str | None, evidence: Mapping[str, Any]) -> Pair:
    for row in rows:
        if (row.get("a"), row.get("b")) == (a, b):
            sets = {name: _count(part) for name, part in (row.get("sets") or {}).items()}
            return Pair(a, b, row.get("vectors"), row.get("mismatches"), sets, row.get("reason"), row.get("first"))
    if b in OPTIONAL and (reason := (evidence.get("not_run") or {}).get(b)) is None:
        return Pair(a, b, None, None, {}, (evidence.get("not_requested") or {}).get(b), requested=False)
    return Pair(a, b, None, None, {}, reason if b in OPTIONAL else missing)


def _count(part: Any) -> int:
    return int(part["vectors"] if isinstance(part, dict) else part)


def _timing(row: dict[str, Any] | None, predicted: int | None) -> Timing:
    row = row or {}
    return Timing(row.get("predicted_cycles", predicted), row.get("measured_cycles"), row.get("frames"))


def _stream_timing(row: dict[str, Any], prediction: dict[str, Any]) -> tuple[Timing | None, Timing | None]:
    """Return what only a design that takes its frames in beats has: first output, and latency in steady state."""
    if "first_out_cycles" not in prediction and "first_out_predicted_cycles" not in row:
        return None, None

    def one(what: str, key: str) -> Timing:
        return Timing(row.get(f"{what}_predicted_cycles", prediction.get(key)), row.get(f"{what}_measured_cycles"))

    return one("first_out", "first_out_cycles"), one("steady", "steady_latency_cycles")


def _whole_test(pair: Pair, frames: int | None) -> bool:
    """Whether the RTL gave the graph's integers on every test frame, so that it has the graph's accuracy."""
    return pair.mismatches == 0 and frames is not None and pair.sets.get("test") == frames


def _protocol(evidence: dict[str, Any]) -> dict[str, int]:
    """Count stall patterns, resets, and what was lost or repeated under them."""
    rows = evidence.get("stalls") or []
    resets = (evidence.get("resets") or {}).get("count")
    counts = {"stall patterns": len(rows)} if rows else {}
    counts |= {"resets": resets} if resets is not None else {}
    return counts | ({key: sum(row.get(key, 0) for row in rows) for key in ("lost", "repeated")} if rows else {})


def _requirements(
    spec: ModelSpec, accuracy: dict[str, float | None], latency: Timing, interval: Timing
) -> list[Requirement]:
    clock = spec.hardware.clock_period_ns
    cycles, beat = latency.measured, interval.measured
    nanoseconds = None if cycles is None else cycles * clock
    figures: list[tuple[str, float | None, float | None, bool]] = [
        ("verify.require.accuracy", spec.verify.require.accuracy, accuracy["rtl"] or accuracy["integer"], True),
        ("verify.require.latency_cycles", spec.verify.require.latency_cycles, cycles, False),
        ("verify.require.latency_ns", spec.verify.require.latency_ns, nanoseconds, False),
        ("verify.require.interval_cycles", spec.verify.require.interval_cycles, beat, False),
        ("hardware.target.interval_cycles", spec.hardware.target.interval_cycles, beat, False),
        (
            "hardware.target.latency_us",
            spec.hardware.target.latency_us,
            None if nanoseconds is None else nanoseconds / 1000,
            False,
        ),
        (
            "hardware.target.throughput_hz",
            spec.hardware.target.throughput_hz,
            None if beat is None else 1e9 / (beat * clock),
            True,
        ),
    ]
    result = []
    for key, wanted, found, more_is_better in figures:
        if wanted is not None:
            met = None if found is None else (found >= wanted if more_is_better else found <= wanted + 1e-9)
            result.append(Requirement(key, wanted, found, met))
    return result


def _status(
    evidence: dict[str, Any] | None,
    missing: str | None,
    requirements: tuple[Requirement, ...],
    last: str | None,
    cost: Sequence[CostTable],
    unreached: str | None,
) -> tuple[str, str | None]:
    """Return the status and, if it is not PASS, why."""
    if evidence is not None and evidence.get("status") == "FAIL":
        return "FAIL", str(evidence.get("reason") or "")
    if missing is not None:
        return "NOT RUN", missing
    if evidence is None:
        return "PARTIAL", f"stopped after {last}, as asked" if last else None
    if evidence.get("status") not in ("PASS", "FAIL"):
        return "NOT RUN", str(evidence.get("reason") or "the RTL was not simulated")
    unmet = [unreached] if unreached is not None else []
    unmet += [f"{r.key}: {_figure(r.found)}, required {_figure(r.wanted)}" for r in requirements if not r.met]
    if unmet:
        return "UNMET", ", ".join(unmet)
    short = [f"{table.device} is too small: {', '.join(lines)}" for table in cost if (lines := _short(table))]
    if short:
        return "UNMET", short[0]
    failed = [f"{table.kind}: {table.reason}" for table in cost if table.status == "FAILED"]
    if failed:
        why = "; ".join(failed)
        return "NOT RUN", f"verified, but the cost stage did not finish ({why}); all other results are kept"
    return "PASS", None


def _short(table: CostTable) -> list[str]:
    """Return what a part has too little of."""
    return list((table.details.get("fit") or {}).get("short") or ())


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:.6g}"
