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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under `make test` everything is installed, so a skip is a test that did not run: a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if skipped and os.environ.get("HWGEN_NO_SKIPS"):
        reporter.write_line(f"\n{len(skipped)} skipped, and HWGEN_NO_SKIPS is set: that is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT
