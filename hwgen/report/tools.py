"""The screen of `hwgen doctor`."""

from __future__ import annotations

from collections.abc import Sequence

from hwgen.tools.doctor import Tool


def tool_table(tools: Sequence[Tool]) -> str:
    """Return one line a tool; a missing one says what it disables and how to get it."""
    lines = [f"{'tool':<14}{'version':<12}what needs it"]
    for tool in tools:
        lines.append(f"{tool.name:<14}{tool.version or 'MISSING':<12}{tool.disables}")
        if tool.version is None:
            lines.append(f"{'':<26}get it: {tool.get}{'' if tool.needed else '  (optional)'}")
    missing = [tool.name for tool in tools if tool.needed and tool.version is None]
    lines.append("")
    lines.append(f"missing: {', '.join(missing)}   exit 4" if missing else "everything `hwgen build` needs is there")
    return "\n".join(lines)
