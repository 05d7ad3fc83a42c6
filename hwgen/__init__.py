"""hwgen: neural networks into hardware that can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["BuildResult", "__version__", "build", "hand_over", "show"]

if TYPE_CHECKING:
    from hwgen.api import BuildResult, build, hand_over, show


def __getattr__(name: str) -> Any:
    """Import these names when they are first asked for: `import hwgen` stays cheap."""
    if name in ("build", "show", "hand_over", "BuildResult"):
        from hwgen import api

        return getattr(api, name)
    raise AttributeError(f"module 'hwgen' has no attribute {name!r}")
