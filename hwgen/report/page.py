"""`report.html` and `report.json`: one page that opens anywhere, without network, and its content as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from hwgen.files import FileSet, json_bytes
from hwgen.report import svg
from hwgen.report.collect import Report
from hwgen.report.figures import metric_change, metric_text, metric_title, metric_word
from hwgen.report.page_data import page_data
from hwgen.report.template import environment

PAGE, DATA = "report.html", "report.json"
STATUS = {
    "PASS": ("good", "every comparison that was asked for ran, and agreed"),
    "FAIL": ("bad", "a comparison or a check failed"),
    "UNMET": ("bad", "proved, but a requirement of the model.yaml is not met"),
    "NOT RUN": ("open", "a tool is missing or did not finish: what needs it is not known"),
    "PARTIAL": ("open", "not verified: the build was stopped before the proof"),
}
"""Status: how the page colours it, and what it means."""

NAMES = {
    "qkeras": "QKeras",
    "graph": "integer graph",
    "hls_cpp": "HLS C++",
    "rtl": "SystemVerilog",
    "netlist": "netlist",
    "emulator": "C++ emulator",
}
WITH = {
    "qkeras": "QKeras in float64 on its own grid",
    "hls_cpp": "hls4ml's project, compiled by g++",
    "rtl": "Verilator, native bench and cocotb",
    "netlist": "yosys' netlist and cell models in Verilator",
    "emulator": "the hand-off's C++, compiled by g++",
}
"""What each representation of the network is called, and what ran it."""

KINDS = {
    "predicted": "Predicted",
    "synthesized": "Synthesized",
    "placed": "Placed and routed",
    "asic": "ASIC",
    "energy": "Energy",
    "imported": "Imported",
}
SOURCES = {
    "estimate": "estimate",
    "yosys": "yosys",
    "nextpnr": "nextpnr",
    "opensta": "OpenSTA",
    "vivado": "Vivado's report",
}


def write_page(report: Report, folder: Path) -> list[str]:
    """Write report.html and report.json into a build folder; return which of them changed.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    data = page_data(report, folder)
    return FileSet({DATA: json_bytes(data), PAGE: page_html(data)}).write(folder)


def page_html(data: Mapping[str, Any]) -> str:
    """Return the page that shows `page_data`; whatever comes from the user is escaped."""
    status = STATUS.get(data["status"], ("open", ""))
    return _template().render(data, d=data, status_kind=status[0], status_means=status[1])


@cache
def _template() -> jinja2.Template:
    loaded = environment()
    loaded.filters |= FILTERS
    loaded.globals |= {
        "bar": svg.bar,
        "span": svg.span,
        "tick": svg.tick,
        "histogram": svg.histogram,
        "grid": grid,
        "NAMES": NAMES,
        "WITH": WITH,
        "KINDS": KINDS,
        "SOURCES": SOURCES,
    }
    return loaded.get_template("report.html.j2")


def number(value: Any, digits: int = 4) -> str:
    """Return a figure as it is read: thousands apart, few digits; a dash where it is not known."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def share(value: float | None, digits: int = 1) -> str:
    """Return a share in per cent; one that is not zero never reads as zero."""
    if value is None:
        return "–"
    if value in (0, 1):
        return f"{100 * value:g} %"
    least = 10.0**-digits
    return f"< {least:g} %" if 0 < 100 * value < least / 2 else f"{100 * value:.{digits}f} %"


def score(value: float | None, metric: str | None) -> str:
    """Return a metric: an accuracy or mAP in per cent, everything else as it is."""
    return metric_text(value, metric)


def change(value: float, before: float, metric: str | None) -> str:
    """Return how a metric moved: an accuracy or mAP in points of a per cent."""
    if value == before:
        return "0"
    return metric_change(value, before, metric)


def time_of(cycles: float | None, clock_period_ns: float) -> str:
    """Return the time that cycles take at the requested clock."""
    if cycles is None:
        return "–"
    ns = cycles * clock_period_ns
    for limit, unit, factor in ((1e3, "ns", 1), (1e6, "µs", 1e3), (1e9, "ms", 1e6)):
        if ns < limit:
            return f"{ns / factor:.4g} {unit}"
    return f"{ns / 1e9:.4g} s"


def rate(cycles: float, clock_period_ns: float) -> str:
    """Return how many frames a second an interval is."""
    per_s = 1e9 / (cycles * clock_period_ns)
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if per_s >= limit:
            return f"{per_s / limit:.4g} {unit} inferences/s"
    return f"{per_s:.4g} inferences/s"


def short(digest: Any, length: int = 12) -> str:
    """Return the beginning of a digest."""
    return str(digest)[:length]


def breakable(name: Any) -> Markup:
    """Return a name that may break after its underscores."""
    return escape(name).replace("_", Markup("_<wbr>"))


def pretty(value: Any) -> str:
    """Return plain data as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def grid(end: float, most: int = 6) -> list[float]:
    """Return round positions from 0 to `end` for the lines of a time axis."""
    if not end or end <= 0:
        return []
    step = 1.0
    while end / step > most:
        step *= 2.5 if str(f"{step:.0e}")[0] == "2" else 2
    return [k * step for k in range(int(end / step) + 1)]


FILTERS = {
    "n": number,
    "share": share,
    "score": score,
    "title_of": metric_title,
    "word": metric_word,
    "change": change,
    "time": time_of,
    "rate": rate,
    "short": short,
    "name": breakable,
    "pretty": pretty,
    "zip": zip,
}
"""How the template writes values."""
