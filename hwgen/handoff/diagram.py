"""The timing diagram of a hand-off's README, in characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CELL = 5
Cells = Sequence[str]
"""One entry a cycle: ``0``, ``1``, a word's name, or ``~`` for cycles left out."""


def diagram(rows: Mapping[str, Cells]) -> str:
    """Return rows of signals: ``_`` low, ``=`` high, ``|b0  `` a word, ``~`` cycles left out."""
    width = max(len(name) for name in rows)
    lines = []
    for name, cells in rows.items():
        text = "".join(_cell(cell) for cell in cells)
        lines.append(f"{name:<{width}}  {text}")
    return "\n".join(lines)


def _cell(cell: str) -> str:
    match cell:
        case "0":
            return "_" * CELL
        case "1":
            return "=" * CELL
        case "~":
            return "  ~  "
        case "-":
            return " " * CELL
        case "clk":
            return "/--\\_"
        case _:
            return f"|{cell}".ljust(CELL)


def transfer(prefix: str, beats: int, *, before: int, after: int, last: bool) -> dict[str, list[str]]:
    """Return the rows of a stream with one frame: `before` and `after` are idle cycles; long frames are shortened.

    Parameters
    ----------
    prefix : ``s_axis_t`` gives ``s_axis_tvalid``, ...
    last : whether there is a TLAST
    """
    names = [f"b{k}" for k in range(beats)] if beats <= 4 else ["b0", "b1", "~", f"b{beats - 1}"]
    valid = ["~" if name == "~" else "1" for name in names]
    ends = ["~" if name == "~" else "0" for name in names[:-1]] + ["1"]
    quiet, rest = ["0"] * before, ["0"] * after
    rows = {f"{prefix}valid": [*quiet, *valid, *rest], f"{prefix}data": ["-"] * before + names + ["-"] * after}
    return rows | ({f"{prefix}last": [*quiet, *ends, *rest]} if last else {})


def frame_diagram(clock: str, ins: dict[str, int], outs: dict[str, int], *, last: bool, lead: str = "") -> str:
    """Return one frame in and its result out, with what is between left out.

    Parameters
    ----------
    ins, outs : beats by the prefix of the ports' names, as ``s_axis_t``
    """
    shown = [min(b, 4) for b in ins.values()]
    wait, rows = max(shown), {}
    results = [min(b, 4) for b in outs.values()]
    length = 1 + wait + 1 + 1 + max(results) + 1
    rows[clock] = ["clk"] * (1 + wait) + ["~"] + ["clk"] * (length - wait - 2)
    for prefix, beats in ins.items():
        for name, cells in transfer(prefix, beats, before=1, after=0, last=last).items():
            idle = "-" if name.endswith("data") else "0"
            rows[name] = [*cells, *[idle] * (1 + wait - len(cells)), "~", *[idle] * (length - wait - 2)]
    for prefix, beats in outs.items():
        for name, cells in transfer(prefix, beats, before=1, after=0, last=last).items():
            idle = "-" if name.endswith("data") else "0"
            full = [*[idle] * (1 + wait), "~", *cells]
            rows[name] = [*full, *[idle] * (length - len(full))]
    return lead + diagram(rows)
