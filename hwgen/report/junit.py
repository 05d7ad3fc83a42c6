"""JUnit XML of a whole build: one test case a claim."""

from __future__ import annotations

from xml.etree import ElementTree

from hwgen.report.collect import Report, Timing


def junit(report: Report) -> bytes:
    """Return the report as JUnit XML; what did not run is an error, never a pass."""
    suite = ElementTree.Element("testsuite", name=f"hwgen build {report.name}")
    for pair in report.pairs:
        if not pair.requested:
            continue
        name = f"{pair.a} = {pair.b}"
        if pair.vectors is None or pair.mismatches is None:
            _case(suite, "agreement", name, error=pair.reason or "not run")
        else:
            bad = f"{pair.mismatches} of {pair.vectors} vectors differ" if pair.mismatches else None
            _case(suite, "agreement", name, failure=bad, error=None if pair.vectors else "no vectors")
    timings = {"latency": report.latency, "interval": report.interval}
    timings |= {"first output": report.first_out} if report.first_out is not None else {}
    timings |= {"steady latency": report.steady} if report.steady is not None else {}
    for name, timing in timings.items():
        _timing_case(suite, name, timing)
    for requirement in report.requirements:
        text = f"found {requirement.found}, required {requirement.wanted}"
        _case(
            suite,
            "require",
            requirement.key,
            failure=text if requirement.met is False else None,
            error="not known" if requirement.met is None else None,
        )
    _case(
        suite,
        "build",
        "status",
        failure=report.reason or report.status if report.status in ("FAIL", "UNMET") else None,
        error=report.reason or "verify has not run" if report.status in ("NOT RUN", "PARTIAL") else None,
    )
    cases = list(suite)
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("errors", str(sum(case.find("error") is not None for case in cases)))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _timing_case(suite: ElementTree.Element, name: str, timing: Timing) -> None:
    known = timing.predicted is not None and timing.measured is not None
    differs = known and timing.predicted != timing.measured
    text = f"predicted {timing.predicted} cycles, measured {timing.measured}" if differs else None
    _case(suite, "timing", name, failure=text, error=None if known else "not measured")


def _case(
    suite: ElementTree.Element, group: str, name: str, *, failure: str | None = None, error: str | None = None
) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=group, name=name)
    if error is not None:
        ElementTree.SubElement(case, "error", message=error)
    elif failure is not None:
        ElementTree.SubElement(case, "failure", message=failure)
