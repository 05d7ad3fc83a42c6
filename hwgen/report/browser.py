"""Open the report in the user's browser, where there is one to see."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path


def has_display() -> bool:
    """Whether a browser's window could appear: on Linux, that of a graphical session."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_page(page: Path) -> str:
    """Open a page, and return what to tell the user: its path, and whether no browser shows it."""
    if has_display() and webbrowser.open(page.resolve().as_uri()):
        return str(page)
    return f"{page}   (no browser here: open it in yours)"
