"""Progress of a search: bars on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any


class Silent:
    """Says nothing."""

    def begin(self, total: int, done: int) -> None:
        """Say nothing."""

    def update(self, number: int, message: str, fraction: float | None = None) -> None:
        """Say nothing."""

    def finished(self, number: int, result: dict[str, Any], front: int) -> None:
        """Say nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class SearchScreen(Silent):
    """Writes to standard error."""

    def __init__(self) -> None:
        self._live: Any = None
        self._total = self._done = self._here = self._failed = self._front = 0
        self._running: dict[int, tuple[str, float | None]] = {}
        self._start = time.monotonic()

    def __enter__(self) -> SearchScreen:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(file=sys.stderr, highlight=False)
            self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, total: int, done: int) -> None:
        """Say how many trials there will be, and how many an earlier run has done."""
        self._total, self._done, self._start = total, done, time.monotonic()
        if done:
            self._say(f" {done} of {total} trials are there from an earlier run")

    def update(self, number: int, message: str, fraction: float | None = None) -> None:
        """Show what a trial is at."""
        self._running[number] = (message, fraction)

    def finished(self, number: int, result: dict[str, Any], front: int) -> None:
        """Leave a line for a trial."""
        self._running.pop(number, None)
        self._done, self._here, self._front = self._done + 1, self._here + 1, front
        self._failed += result["status"] != "done"
        if result["status"] == "done":
            figures = result["figures"]
            lut = "" if figures["lut"] is None else f"{figures['lut']:,} LUT"
            metric = "" if figures["accuracy"] is None else f"{result['metric']} {figures['accuracy']:.4f}"
            self._say(f" trial {number:<4}{metric:<18}{figures['latency_us']:10.3f} µs  {lut:>12}")
        else:
            self._say(f" trial {number:<4}failed: {result['error'].partition(chr(10))[0]}"[:160])

    def _say(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, markup=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def _picture(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        seconds = time.monotonic() - self._start
        left = (self._total - self._done) * seconds / self._here if self._here else None
        eta = (
            "" if left is None else f", about {left / 60:.0f} min left" if left >= 90 else f", about {left:.0f} s left"
        )
        head = Table.grid(padding=(0, 1))
        text = f"{self._done}/{self._total} trials, {self._failed} failed, front {self._front}, {seconds:.0f} s{eta}"
        head.add_row("", ProgressBar(max(1, self._total), self._done, width=30), text)
        rows = [
            Text(f"   trial {number:<4}{message}" + ("" if share is None else f" {100 * share:3.0f} %"), style="dim")
            for number, (message, share) in sorted(self._running.items())
        ]
        return Group(head, *rows)
