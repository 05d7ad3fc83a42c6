"""Workers on a Ray cluster: Ray places the trials, and gives those of a node that died to another one."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwgen import interrupts
from hwgen.errors import HwgenError, ToolMissing
from hwgen.explore.trial import Result, run_trial, trial_folder
from hwgen.explore.workers import Finished, Told, died

RETRIES = 3
"""How often a trial is given out again when its node or process dies."""

ATTEMPTS = "attempts.txt"
"""A line for each time a trial began: the node that it began on."""


class RayPool:
    """Trials as Ray tasks of one core each.

    The search's folder and that of the model.yaml have to be at the same path on every node, and hwgen installed there.

    Parameters
    ----------
    out : the search's folder
    address : of the cluster, as ``auto`` or ``host:6379``
    measured_on : see `run_trial`

    Raises
    ------
    ToolMissing, HwgenError
        If Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, out: Path, address: str, measured_on: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise ToolMissing("Ray is not installed", where="--ray", hint="pip install 'hwgen[ray]'") from error
        self.out, self.measured_on = out.absolute(), measured_on
        self._ray: Any = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                _knock(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (OSError, ValueError, RuntimeError) as error:
                reason = str(error).strip().partition("\n")[0]
                raise HwgenError(
                    f"no Ray cluster answers: {reason}",
                    where="--ray",
                    found=address,
                    expected="the address of a Ray cluster, or auto",
                    hint="start one with `ray start --head`",
                ) from error
        self._task = ray.remote(max_retries=RETRIES, num_cpus=1)(run_on_node)
        self._pending: dict[Any, int] = {}

    def run(self, numbers: Sequence[int], finished: Finished, told: Told) -> None:
        """Run trials, in any order; return when all are finished."""
        self._pending = {self._task.remote(str(self.out), number, self.measured_on): number for number in numbers}
        for number in numbers:
            told(number, "given to Ray", None)
        while self._pending:
            ready, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=0.5)
            for reference in ready:
                number = self._pending.pop(reference)
                finished(number, self._result(reference))
            interrupts.check()

    def close(self) -> None:
        """Take back what runs, and leave the cluster."""
        for reference in self._pending:
            self._ray.cancel(reference, force=True)
        self._pending = {}
        if self._ours:
            self._ray.shutdown()

    def _result(self, reference: Any) -> Result:
        try:
            return dict(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            first = str(error).strip().partition("\n")[0]
            return died(f"Ray gave the trial up after {RETRIES} retries: {type(error).__name__}: {first}")


def _knock(address: str) -> None:
    """Raise OSError if nobody listens at ``host:port``: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def run_on_node(out: str, number: int, measured_on: str) -> Result:
    """Run one trial on the node where Ray put it, and note that it began there."""
    import ray

    folder = trial_folder(Path(out), number)
    if folder.is_dir():
        with (folder / ATTEMPTS).open("a") as stream:
            stream.write(f"{ray.get_runtime_context().get_node_id()}\n")
    return run_trial(Path(out), number, measured_on, lambda _message, _fraction: None)


def attempts(out: Path, number: int) -> int:
    """Return how often a trial began on a Ray cluster; 0 if it never did."""
    file = trial_folder(out, number) / ATTEMPTS
    return len(file.read_text().splitlines()) if file.is_file() else 0
