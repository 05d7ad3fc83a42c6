"""The screen of a build whose proof failed: the first pair that disagrees, the layer, the index, both integers."""

from __future__ import annotations

from typing import Any

from hwgen.report.collect import Pair, Report


def failure(report: Report, folder: str) -> str:
    """Return the screen; it ends in the exit status' cause, the way to see it again, and what is unaffected."""
    pair = next((p for p in report.pairs if p.mismatches), None)
    if pair is None:
        lines = [f"FAIL  {report.reason or 'a check failed'}   exit 1"]
        lines += [f"  {text}" for text in report.failed if text != report.reason]
        return "\n".join([*lines, _row("evidence", f"{folder}/verification.json")])
    lines = [f"FAIL  {pair.a} and {pair.b} disagree: {pair.mismatches:,} of {pair.vectors:,} vectors   exit 1"]
    if pair.b == "rtl" and report.mismatch:
        lines += _in_rtl(report.mismatch, folder)
    elif pair.first:
        lines += _in_pair(pair, pair.first)
    good = [f"{p.a} = {p.b}" for p in report.pairs if p.mismatches == 0]
    if good:
        lines.append(_row("unaffected", f"{', '.join(good)}: 0 mismatches"))
    others = [text for text in report.failed if not text.startswith(tuple(f"{p.a} = {p.b}" for p in report.pairs))]
    lines += [_row("also", text) for text in others]
    return "\n".join(lines)


def _row(label: str, text: str) -> str:
    return f"  {label:<14} {text}"


def _in_rtl(found: dict[str, Any], folder: str) -> list[str]:
    lines = [_row("first vector", f"{found['set']} #{found['index']} (seed {found['seed']})")]
    if found.get("layer"):
        element = _place(found)
        agree = f"   ({', '.join(found['agree'])} agree)" if found.get("agree") else ""
        lines.append(_row("first layer", f"{found['layer']}{element}{agree}"))
    if "graph_integer" in found:
        lines.append(_row("graph", f"{found['graph_integer']}   ({found['graph_value']:g} as {found['type']})"))
        lines.append(_row("rtl", f"{found['rtl_integer']}   ({found['rtl_value']:g})"))
    if "cycle" in found:
        bits = "[{}:{}]".format(*found["bits"]) if "bits" in found else ""
        text = f"{found['cycle']} of {found['of_cycles']}, signal {found['signal']}{bits}"
        lines.append(_row("cycle", text))
    lines += [_row("waiting", text) for text in found.get("waiting", [])]
    if found.get("note"):
        lines.append(_row("note", found["note"]))
    if found.get("waveform"):
        lines.append(_row("waveform", f"{folder}/{found['waveform']}"))
    if found.get("replay"):
        lines.append(_row("replay", found["replay"]))
    return lines


def _place(found: dict[str, Any]) -> str:
    """Return where in a tensor: an element, or the beat, pixel and channel of one that travels in beats."""
    if "beat" in found:
        y, x = found["pixel"]
        channel = f" channel {found['channel']}" if "channel" in found else ""
        return f", pixel ({y}, {x}){channel}, beat {found['beat']} of {found['beats']}"
    return f", element [{found['element']}]" if "element" in found else ""


def _in_pair(pair: Pair, first: dict[str, Any]) -> list[str]:
    return [
        _row("first vector", f"{first['set']} #{first['index']}"),
        _row("output", f"{first['output']}, element [{first['element']}]"),
        _row(pair.a, f"{first['a_integer']}   ({first['a_value']:g} as {first['type']})"),
        _row(pair.b, f"{first['b_integer']}   ({first['b_value']:g})"),
    ]
