"""Run an external program: own process group, log file, timeouts, clear failures."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import HwgenError, OutputError, ProofError, ToolMissing

TAIL_LINES = 20
"""Lines of a log shown in an error."""
FULL_BELOW = 256 << 10
"""Bytes free below which a disk counts as full: a linker that finds no room leaves none, but says nothing of it."""


@dataclass(frozen=True)
class Completed:
    """How a program ended.

    Parameters
    ----------
    returncode : int
        Negative: killed by that signal.
    output : str
        Standard output and error, together.
    seconds : float
    """

    returncode: int
    output: str
    seconds: float


def run(
    cmd: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    timeout_s: float | None = None,
    stall_timeout_s: float | None = None,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    error: type[HwgenError] = ProofError,
    on_output: Callable[[str], None] | None = None,
) -> Completed:
    """Run `cmd` to its end; nothing it started outlives this call.

    Parameters
    ----------
    timeout_s : float, optional
        Total time allowed.
    stall_timeout_s : float, optional
        Time allowed without any output: for programs that report progress.
    log : Path, optional
        Where output goes (replaced); a temporary file otherwise.
    env : mapping, optional
        Variables set on top of the current environment.
    check : bool
        Raise on a non-zero status.
    error : type of HwgenError
        What is raised for a failure, a crash or a timeout.
    on_output : callable, optional
        Called with each new piece of output.

    Raises
    ------
    ToolMissing
        If the program is not there.
    HwgenError
        Of type `error`: non-zero status, killed by a signal, out of time; with the end of the log.
    """
    args = [str(part) for part in cmd]
    name = Path(args[0]).name
    with tempfile.TemporaryDirectory(prefix="hwgen-") as scratch:
        path = log or Path(scratch) / "log"
        done, reason = _run_logged(args, path, cwd, env, timeout_s, stall_timeout_s, on_output)
    if reason is None and done.returncode < 0:
        reason = f"{name} crashed: {_signal_name(-done.returncode)}"
    elif reason is None and done.returncode and check:
        reason = f"{name} failed with exit status {done.returncode}"
    if reason is not None and (check or done.returncode <= 0):
        if (full := _full_disk(done.output, [cwd or Path.cwd(), path.parent if log else None])) is not None:
            raise OutputError(
                f"cannot write: No space left on device ({reason})",
                where=str(full),
                hint="free some space or choose another folder with --out; the same command resumes",
            )
        raise error(reason, where=str(log) if log else None, found=tail(done.output) or "no output")
    return done


def _full_disk(output: str, folders: Sequence[Path | None]) -> Path | None:
    """Return the folder whose disk has no room left, which explains a program that failed; None if there is room."""
    known = [folder for folder in (*folders, Path(tempfile.gettempdir())) if folder is not None and folder.is_dir()]
    full = next((folder for folder in known if shutil.disk_usage(folder).free < FULL_BELOW), None)
    return full or (known[0] if os.strerror(errno.ENOSPC) in output else None)


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last `lines` lines of `text`, indented to stand in an error message."""
    return "\n            ".join(text.rstrip().splitlines()[-lines:])


def _run_logged(
    args: list[str],
    path: Path,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    timeout_s: float | None,
    stall_timeout_s: float | None,
    on_output: Callable[[str], None] | None,
) -> tuple[Completed, str | None]:
    """Run with output to the file `path`; return how it ended and, if we ended it, why."""
    start = time.monotonic()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("wb")
    except OSError as failure:
        raise OutputError(f"cannot write {path.name}: {failure.strerror}", where=str(path.parent)) from failure
    with stream:
        try:
            process = subprocess.Popen(
                args,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (FileNotFoundError, PermissionError) as failure:
            raise ToolMissing(
                f"cannot start {Path(args[0]).name}: {failure.strerror}",
                found=args[0],
                hint="`hwgen doctor` lists what is missing and how to get it",
            ) from failure
        try:
            reason = _watch(process, path, start, timeout_s, stall_timeout_s, on_output)
        finally:
            _kill_group(process)
    seconds = time.monotonic() - start
    output = path.read_text(errors="replace")
    return Completed(process.returncode, output, seconds), reason


def _watch(
    process: subprocess.Popen[bytes],
    path: Path,
    start: float,
    timeout_s: float | None,
    stall_timeout_s: float | None,
    on_output: Callable[[str], None] | None,
) -> str | None:
    """Wait for the process; return why it was killed, None if it ended by itself."""
    name = Path(process.args[0]).name  # type: ignore[index, arg-type]
    pause, seen, last = 0.002, 0, start
    reason = None
    with path.open("r", errors="replace") as reader:
        while True:
            ended = process.poll() is not None
            size = path.stat().st_size
            now = time.monotonic()
            if size != seen:
                seen, last = size, now
                if on_output is not None and (text := reader.read()):
                    on_output(text)
            if ended:
                return reason
            if reason is None:
                if timeout_s is not None and now - start > timeout_s:
                    reason = f"{name} did not end within {timeout_s:g} s and was stopped"
                elif stall_timeout_s is not None and now - last > stall_timeout_s:
                    reason = f"{name} made no progress for {stall_timeout_s:g} s and was stopped"
                if reason is not None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the process and its children."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
