"""`Evidence`: what was proved, how, and what was not; `verification.json` and JUnit XML."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import hwgen
from hwgen.errors import ToolMissing
from hwgen.files import json_bytes, write_if_changed
from hwgen.tools import gxx, verilator

VERSION = 1
PASS, FAIL, NOT_RUN = "PASS", "FAIL", "NOT RUN"
NOT_CHECKED = ("timing closure", "device cost", "vendor simulators and tools")


@dataclass(frozen=True)
class Check:
    """One thing that was checked: its name, PASS, FAIL or NOT RUN, and the reason if it did not pass."""

    name: str
    status: str
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """The content of `verification.json`.

    Parameters
    ----------
    status : {"PASS", "FAIL", "NOT RUN"}
        PASS only if every check ran, none failed, and each counted more than zero.
    document : dict
        The JSON, whole.
    checks : the single checks
    replay : whether only one vector was run (`--only`): a replay proves nothing about the rest
    """

    status: str
    document: dict[str, Any]
    checks: tuple[Check, ...] = ()
    replay: bool = False

    @property
    def exit_status(self) -> int:
        """What the command line returns: 0 PASS, 1 FAIL, 4 NOT RUN; a replay without a mismatch is 0."""
        if self.replay and self.status == NOT_RUN:
            return 0
        return {PASS: 0, FAIL: 1, NOT_RUN: 4}[self.status]

    @property
    def mismatch(self) -> dict[str, Any] | None:
        """The first divergence of graph and rtl, if they differ."""
        return self.document.get("mismatch")


@dataclass
class Ledger:
    """Collects checks and JSON while a verification runs."""

    document: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    def add(self, name: str, good: bool, message: str = "", seconds: float = 0.0) -> bool:
        """Record a check that ran; return whether it passed."""
        self.checks.append(Check(name, PASS if good else FAIL, "" if good else message, seconds))
        return good

    def missing(self, name: str, why: str) -> None:
        """Record a check that could not run."""
        self.checks.append(Check(name, NOT_RUN, why))

    def status(self, required: Sequence[str]) -> str:
        """Return the verdict: every name of `required` must have a check (or checks below ``name:``)."""
        names = {check.name for check in self.checks}
        for want in required:
            if not any(name == want or name.startswith(f"{want}: ") for name in names):
                self.missing(want, "this check did not run")
        statuses = {check.status for check in self.checks}
        if FAIL in statuses:
            return FAIL
        return PASS if statuses == {PASS} else NOT_RUN


def tool_versions() -> dict[str, str | None]:
    """Return the version of everything the proof rests on; None for what is not there."""
    versions: dict[str, str | None] = {"hwgen": hwgen.__version__, "python": platform.python_version()}
    for package in ("numpy", "cocotb", "cocotbext-axi"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    for name, found in (("verilator", verilator.find), ("g++", gxx.find)):
        try:
            versions[name] = found().version  # type: ignore[operator]
        except ToolMissing:
            versions[name] = None
    return versions


def write_evidence(folder: Path, evidence: Evidence) -> None:
    """Write ``verification.json`` and ``reports/verification.junit.xml``; a replay goes to ``reports/replay.json``."""
    content = json_bytes(evidence.document)
    if evidence.replay:
        write_if_changed(folder / "reports" / "replay.json", content)
        return
    write_if_changed(folder / "reports" / "verification.junit.xml", junit(evidence).encode())
    write_if_changed(folder / "verification.json", content)


def junit(evidence: Evidence) -> str:
    """Return the checks as JUnit XML; what did not run is an error, so that no reader counts it as passed."""
    name = f"hwgen verify {evidence.document.get('model', '')}".strip()
    suite = ElementTree.Element("testsuite", name=name, tests=str(len(evidence.checks)))
    for status, attribute in ((FAIL, "failures"), (NOT_RUN, "errors")):
        suite.set(attribute, str(sum(check.status == status for check in evidence.checks)))
    for check in evidence.checks:
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=check.name, time=f"{check.seconds:.3f}")
        if check.status != PASS:
            tag = "failure" if check.status == FAIL else "error"
            ElementTree.SubElement(case, tag, message=check.message).text = check.message
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
