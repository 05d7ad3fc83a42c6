"""Keeping the screen clean: what libraries print, from Python or from C++, goes to a log file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

NOISE = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
}
"""What TensorFlow reads before it is imported."""


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send standard output and error, Python's and the process', to `log` while the body runs."""
    for name, value in NOISE.items():
        os.environ.setdefault(name, value)
    log.parent.mkdir(parents=True, exist_ok=True)
    saved = [os.dup(1), os.dup(2)]
    try:
        with log.open("wb") as stream:
            _flush()
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            with (
                os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace") as text,
                contextlib.redirect_stdout(text),
                contextlib.redirect_stderr(text),
            ):
                yield
    finally:
        _flush()
        for number, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):
            stream.flush()
