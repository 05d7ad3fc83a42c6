"""What every test shares: the Verilator cache below the checkout, and no skips where everything is installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew; review the diff")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("HWGEN_CACHE", str(ROOT / "build" / "cache"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """In CI everything is installed, so a skip is a test that did not run: a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("HWGEN_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and HWGEN_NO_SKIPS is set: {report.longrepr}"
    return report


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT
