"""Ctrl-C that does not get lost.

Raised inside a callback of another library, KeyboardInterrupt may be swallowed there or turned into another error
(importing TensorFlow does both). So it is also remembered, and whoever passes a `check` or sees an error asks.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

_seen = threading.Event()


def install() -> None:
    """Remember Ctrl-C from now on, beside raising KeyboardInterrupt; where it is ignored, it stays ignored."""
    _seen.clear()
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _handle)


def seen() -> bool:
    """Return whether Ctrl-C was pressed since `install`."""
    return _seen.is_set()


def check() -> None:
    """Raise KeyboardInterrupt if one was raised before and got lost."""
    if seen():
        raise KeyboardInterrupt


def _handle(number: int, frame: Any) -> None:
    _seen.set()
    raise KeyboardInterrupt
