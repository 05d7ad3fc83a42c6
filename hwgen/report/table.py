"""The one table at the end of a build, and the screen of a failed one, as plain text."""

from __future__ import annotations

import hwgen
from hwgen.report.collect import SETS, Pair, Report, Timing
from hwgen.report.cost_block import cost_block
from hwgen.report.failure import failure
from hwgen.report.figures import metric_text, metric_title
from hwgen.report.robustness import robustness_block


def table(report: Report, shown_folder: str) -> str:
    """Return the table; `shown_folder` is the build folder as the user would type it."""
    blocks = [
        _head(report),
        _accuracy(report),
        robustness_block(report.robustness),
        _agreement(report),
        _timing(report),
    ]
    blocks += [_folding(report), cost_block(report.cost), _rest(report)]
    blocks.append([verdict(report, shown_folder) + _next(report, shown_folder)])
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _head(report: Report) -> list[str]:
    clock = f"{report.clock_period_ns:g} ns"
    lines = [f"hwgen {hwgen.__version__}  {report.name}  {report.io_type}, {report.strategy}, {clock}"]
    if any(seconds is not None for seconds in report.stages.values()):
        lines.append(" " + "  ".join(f"{name} {_seconds(s)}" for name, s in report.stages.items()))
    else:
        lines.append(" every stage is up to date")
    return lines


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"


def _accuracy(report: Report) -> list[str]:
    if report.metric is None:
        return [" Accuracy            n/a: no data"]
    columns = [
        ("float", "float"),
        ("quantized", "quantized"),
        ("compressed", "compressed"),
        ("integer", "integer"),
        ("RTL", "rtl"),
    ]
    title = f" {metric_title(report.metric)} ({report.test_frames:,} test)"
    names = [f" {metric_title(other['metric'])} of {other['output']}" for other in report.others]
    width = max(22, *(len(name) + 2 for name in (title, *names)))
    head, row = f"{title:<{width}}", " " * width
    for label, key in columns:
        head += f"{label:<11}"
        row += f"{metric_text(report.accuracy[key], report.metric, digits=1, figures=4):<11}"
    lines = [head.rstrip(), row.rstrip()]
    for name, other in zip(names, report.others, strict=True):
        cells = [metric_text(other[key], other["metric"], digits=1, figures=4) for _, key in columns]
        lines.append(f"{name:<{width}}" + "".join(f"{cell:<11}" for cell in cells).rstrip())
    return lines


def _agreement(report: Report) -> list[str]:
    lines = [f" {'Agreement':<20}" + "".join(f"{name:>9}" for name in SETS) + f"{'mismatches':>12}"]
    for pair in report.pairs:
        name = f" {pair.a:<7} = {pair.b}"
        if not pair.requested:
            lines.append(f"{name:<21}     NOT REQUESTED" + (f": {pair.reason}" if pair.reason else ""))
        elif pair.vectors is None:
            lines.append(f"{name:<21}     NOT RUN" + (f": {pair.reason}" if pair.reason else ""))
        else:
            lines.append(f"{name:<21}" + "".join(f"{_set(pair, s):>9}" for s in SETS) + f"{pair.mismatches:>12,}")
    return lines


def _set(pair: Pair, name: str) -> str:
    return f"{pair.sets[name]:,}" if name in pair.sets else "–"


def _timing(report: Report) -> list[str]:
    clock, frames = report.clock_period_ns, report.interval.frames
    rows: list[tuple[str, Timing, float | None, str]] = [("latency", report.latency, clock, "first in -> last out")]
    if report.first_out is not None:
        rows.append(("first output", report.first_out, clock, "first in -> first out"))
    if report.steady is not None:
        rows.append(("steady latency", report.steady, clock, "sources paced at the interval"))
    streamed = report.first_out is not None
    note = f"{frames} back-to-back frames" if frames else ""
    rows.append(("interval", report.interval, clock if streamed else None, note))
    texts = [(n, _count(t.predicted, c, "–"), _count(t.measured, c, "NOT RUN"), note) for n, t, c, note in rows]
    width = max(17, *(len(cell) + 2 for _, a, b, _ in texts for cell in (a, b)))
    lines = [f" {'Timing':<20}{'predicted':<{width}}measured"]
    lines += [f" {name:<20}{a:<{width}}{b:<{width}}{note}".rstrip() for name, a, b, note in texts]
    placed = [t for t in report.cost if t.kind in ("placed", "imported") and t.total.get("fmax_mhz")]
    closure = "timing closure NOT CHECKED"
    if placed:
        reached = placed[-1].total["fmax_mhz"] or 0.0
        closure = f"{placed[-1].source} reaches {reached:.1f} MHz, {1000 / reached:.3g} ns"
    lines.append(f" (ns = cycles x requested clock; {closure})")
    return lines


def _count(cycles: int | None, clock: float | None, missing: str) -> str:
    """Return cycles and, with a clock, the time they take."""
    if cycles is None:
        return missing
    if not clock:
        return f"{cycles:,} clk"
    ns = cycles * clock
    return f"{cycles:,} clk / " + (f"{ns:g} ns" if ns < 1000 else f"{ns / 1000:,.6g} µs")


def _folding(report: Report) -> list[str]:
    """Return how each layer shares its multipliers, the slowest marked."""
    if not report.folding:
        return []
    width = max(12, *(len(row["layer"]) for row in report.folding))
    lines = [f" {'Folding':<{width}}  engine    items/frame  lanes x products  multipliers  cycles/frame  share"]
    for row in report.folding:
        shape = f"{row['lanes']} x {row['products']}" if row["multipliers"] else "–"
        mark = "  bottleneck" if row["bottleneck"] else ""
        lines.append(
            f" {row['layer']:<{width}}  {row['kind']:<8}  {row['firings']:>11,}  {shape:>16}"
            f"  {row['multipliers']:>11,}  {row['cycles']:>12,}  {100 * row['share']:>4.0f} %{mark}"
        )
    total = sum(row["multipliers"] for row in report.folding)
    lines.append(f" {'all':<{width}}  {'':<8}  {'':>11}  {'':>16}  {total:>11,}")
    return lines


def _rest(report: Report) -> list[str]:
    lines = []
    if report.weights:
        share = 100 * (report.nonzero or 0) / report.weights
        text = f" Weights {report.weights:,}, non-zero {report.nonzero:,} ({share:.1f} %)"
        lines.append(text + (f"  Overflow: {report.overflow}" if report.overflow else ""))
    if report.protocol:
        lines.append(" Protocol: " + ", ".join(f"{count} {what}" for what, count in report.protocol.items()))
    if report.fifos:
        slots = sum(row["depth"] for row in report.fifos)
        most = [row["measured"] for row in report.fifos]
        used = "–" if None in most else f"{sum(most):,}"
        lines.append(f" FIFOs {len(report.fifos)}: {slots:,} slots, high-water marks {used}")
    for note in report.notes:
        lines.append(f" Note: {note}")
    lines.append(f" Not checked: {', '.join(report.not_checked)}")
    return lines


def _next(report: Report, folder: str) -> str:
    """Return the next step after a PASS: the hand-off that fits the part."""
    if report.status != "PASS":
        return ""
    families = {family for t in report.cost if (family := str(t.details.get("family") or ""))}
    target = "asic" if "asic" in families else "vivado" if all(f.startswith("xc") for f in families) else "fusesoc"
    return f"   next: hwgen handoff {folder} --target {target}"


def verdict(report: Report, folder: str) -> str:
    """Return the last line of the table, or the screen of a failure."""
    match report.status:
        case "PASS":
            return f"PASS  {folder}"
        case "PARTIAL":
            return f"NOT VERIFIED  {folder}  ({report.reason or 'verify has not run'})   exit 0"
        case "FAIL":
            return failure(report, folder)
        case status:
            return f"{status}  {report.reason}   exit {report.exit_status}"
