"""Live progress of a build on the screen: a spinner and times on a terminal, a line a stage elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwgen.flow import StageRun


class Silent:
    """Says nothing."""

    def start(self, stage: str, why: str = "") -> None:
        """Say nothing."""

    def update(self, message: str, fraction: float | None = None) -> None:
        """Say nothing."""

    def done(self, run: StageRun) -> None:
        """Say nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Screen(Silent):
    """Writes to a copy of standard error, so that it still shows what libraries' output is hidden from."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(2), "w", encoding=sys.stderr.encoding or "utf-8", errors="replace")
        self._live: Any = None
        self._stage, self._message, self._start = "", "", 0.0
        self._why = ""
        self._fraction: float | None = None
        self._terminal = self._stream.isatty()

    def __enter__(self) -> Screen:
        if self._terminal:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream, highlight=False)
            self._live = Live(console=console, get_renderable=self._line, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        self._stream.close()

    def start(self, stage: str, why: str = "") -> None:
        """Show that a stage runs."""
        self._why = why
        self._stage, self._message, self._fraction, self._start = stage, "", None, time.monotonic()

    def update(self, message: str, fraction: float | None = None) -> None:
        """Show what the stage is at."""
        self._message, self._fraction = message, fraction

    def done(self, run: StageRun) -> None:
        """Leave a line for the stage."""
        self._stage = ""
        why = "" if self._why in ("", "not done yet") else f"   ({self._why})"
        text = "        –" if run.seconds is None else f"{run.seconds:8.1f}s{why}"
        line = f" {run.name:<10}{text}"
        if self._live is not None:
            self._live.console.print(line, style="dim" if run.seconds is None else None)
        elif run.seconds is not None:
            print(line, file=self._stream, flush=True)

    def _line(self) -> Any:
        from rich.text import Text

        if not self._stage:
            return Text("")
        seconds = time.monotonic() - self._start
        share = "" if self._fraction is None else f" {100 * self._fraction:3.0f} %"
        spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(seconds * 8) % 10]
        return Text.assemble((f" {self._stage:<10}", "bold"), f"{seconds:8.1f}s {spinner} {self._message}{share}")
