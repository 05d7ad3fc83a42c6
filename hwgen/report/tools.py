"""The screen of `hwgen doctor`."""

from __future__ import annotations

from collections.abc import Sequence

from hwgen.tools.doctor import Tool


def tool_table(tools: Sequence[Tool]) -> str:
    """Return one line a tool; a missing one says what it disables and how to get it."""
    name = max(len(tool.name) for tool in tools) + 2
    version = max(len(tool.version or "MISSING") for tool in tools) + 2
    lines = [f"{'tool':<{name}}{'version':<{version}}what needs it"]
    for tool in tools:
        lines.append(f"{tool.name:<{name}}{tool.version or 'MISSING':<{version}}{tool.disables}")
        if tool.version is None:
            lines.append(f"{'':<{name + version}}get it: {tool.get}{'' if tool.needed else '  (optional)'}")
    missing = [tool.name for tool in tools if tool.needed and tool.version is None]
    lines.append("")
    lines.append(f"missing: {', '.join(missing)}   exit 4" if missing else "everything `hwgen build` needs is there")
    return "\n".join(lines)
