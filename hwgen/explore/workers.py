"""Workers as processes of this machine, one TensorFlow each. One that dies costs its trial; another takes its place."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from hwgen import interrupts
from hwgen.explore.trial import Result, run_trial

Finished = Callable[[int, Result], None]
"""Told of each result as it comes: the trial's number, its result."""

Told = Callable[[int, str, float | None], None]
"""Told what a trial is at: its number, a message, the share done."""


class Pool(Protocol):
    """What runs trials."""

    def run(self, numbers: Sequence[int], finished: Finished, told: Told) -> None:
        """Run trials, in any order; return when all are finished."""

    def close(self) -> None:
        """End every worker, whatever it is at."""


def died(reason: str) -> Result:
    """Return the result of a trial whose worker is gone."""
    return {"status": "failed", "died": True, "error": reason}


@dataclass
class Worker:
    """A process, this end of its pipe, and the trial it is at."""

    process: Any
    connection: Connection
    number: int | None = None


class LocalPool:
    """Processes started afresh (spawned), so that none inherits a TensorFlow.

    Parameters
    ----------
    out : the search's folder
    workers : how many processes at most
    measured_on : see `run_trial`
    """

    def __init__(self, out: Path, workers: int, measured_on: str) -> None:
        self.out, self.count, self.measured_on = out, workers, measured_on
        self.workers: list[Worker] = []
        self._context = multiprocessing.get_context("spawn")

    def run(self, numbers: Sequence[int], finished: Finished, told: Told) -> None:
        """Run trials, in any order; return when all are finished."""
        waiting = deque(numbers)
        while waiting or any(worker.number is not None for worker in self.workers):
            self._hand_out(waiting)
            busy = {worker.connection: worker for worker in self.workers if worker.number is not None}
            for connection in wait(list(busy), timeout=0.5):
                assert isinstance(connection, Connection)
                self._hear(busy[connection], finished, told)
            interrupts.check()

    def close(self) -> None:
        """End every worker, whatever it is at."""
        for worker in self.workers:
            worker.process.kill()
            worker.connection.close()
        for worker in self.workers:
            worker.process.join()
        self.workers.clear()

    def _hand_out(self, waiting: deque[int]) -> None:
        while waiting:
            worker = next((w for w in self.workers if w.number is None), None)
            if worker is None and len(self.workers) < self.count:
                worker = self._start()
            if worker is None:
                return
            worker.number = waiting.popleft()
            with contextlib.suppress(OSError):  # it died while idle: `_hear` meets the end of its pipe
                worker.connection.send(worker.number)

    def _start(self) -> Worker:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, str(self.out), self.measured_on)
        process = self._context.Process(target=serve, args=arguments, daemon=True, name="hwgen-trial")
        process.start()
        theirs.close()
        worker = Worker(process, ours)
        self.workers.append(worker)
        return worker

    def _hear(self, worker: Worker, finished: Finished, told: Told) -> None:
        number = worker.number
        assert number is not None
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            worker.connection.close()
            self.workers.remove(worker)
            finished(number, died(_reason(worker.process.exitcode)))
            return
        if kind == "progress":
            told(number, *content)
        else:
            worker.number = None
            finished(number, content)


def _reason(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        hint = " (out of memory? fewer --workers)" if name == "SIGKILL" else ""
        return f"the worker process was killed by {name}{hint}"
    return f"the worker process ended with exit status {exit_code}"


def serve(connection: Connection, out: str, measured_on: str) -> None:
    """Run the trials whose numbers come down the pipe; the body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the search ends its workers
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            number = connection.recv()

            def progress(message: str, fraction: float | None) -> None:
                connection.send(("progress", (message, fraction)))

            connection.send(("result", run_trial(Path(out), number, measured_on, progress)))
