"""What every hand-off holds: the evidence, the licence, and a README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hwgen.files import FileSet
from hwgen.fixed import FixedPoint
from hwgen.handoff.boundary import Boundary
from hwgen.handoff.diagram import frame_diagram
from hwgen.handoff.render import render
from hwgen.handoff.source import Source
from hwgen.sim.streams import in_streams, out_streams

EVIDENCE = {
    "verification.json": "evidence/verification.json",
    "resolved.yaml": "evidence/resolved.yaml",
    "rtl/PORTS.md": "evidence/PORTS.md",
    "rtl/design.json": "evidence/design.json",
    "reports/prediction.json": "evidence/prediction.json",
    "reports/cost.json": "evidence/cost.json",
}
"""Files of the build folder that travel along, if they are there."""

LICENSE = """\
Files that hwgen made for this network (all but hg_*.sv and what a README names as somebody else's) are dedicated to the
public domain under CC0 1.0 Universal (https://creativecommons.org/publicdomain/zero/1.0/): use them freely.

The files hg_*.sv are part of hwgen and licensed under the Apache License, Version 2.0:

"""

TEMPLATES = Path(__file__).parent / "templates"


def common_files(source: Source) -> FileSet:
    """Return the evidence and the licence."""
    files = FileSet({"LICENSE.txt": LICENSE + (TEMPLATES / "Apache-2.0.txt").read_text()})
    for origin, target in EVIDENCE.items():
        if (source.folder / origin).is_file():
            files.add(target, (source.folder / origin).read_bytes())
    return files


def readme(
    source: Source,
    made: Boundary | None,
    *,
    title: str,
    what: str,
    status: str,
    run: str,
    files: Sequence[tuple[str, str]],
    part: str = "",
) -> str:
    """Return README.md.

    Parameters
    ----------
    made : the boundary to describe; None: no ports (the design is somebody else's)
    title, what : what the folder is for, in words and in a sentence
    status : what was run of it and what not
    run : a section that says how to use it, as Markdown
    files : paths and what they are
    part : the device it is for
    """
    ports = made is not None
    axis = int(source.axis["bytes"]) if source.axis is not None and made is not None and made.streams else 0
    evidence = source.evidence
    tools = evidence.get("tools", {})
    return render(
        "README.md.j2",
        top=source.top,
        title=title,
        what=what,
        status=status,
        pairs=evidence["pairs"],
        latency=evidence["latency"],
        interval=evidence["interval"],
        period=f"{source.period_ns:g}",
        part=part,
        not_checked=_not_checked(evidence),
        tools=", ".join(f"{name} {version}" for name, version in tools.items() if version),
        run=run.strip(),
        ports=made.ports if made else (),
        module=made.module if made else "",
        axis=axis,
        packing=packing_rows(source, bool(axis)) if ports else [],
        scaling=scaling(source),
        timing_note=_timing_note(source, bool(axis)),
        diagram=_diagram(source, bool(axis)) if ports else "",
        files=files,
    )


def _not_checked(evidence: Mapping[str, Any]) -> list[str]:
    """Return what the evidence says was not checked, not asked for, or not run."""
    more = {**evidence.get("not_requested", {}), **evidence.get("not_run", {})}
    return [*evidence.get("not_checked", []), *(f"{name} ({why})" for name, why in more.items())]


def packing_rows(source: Source, axis: bool) -> list[dict[str, Any]]:
    """Return a row a tensor: where it travels, its elements, their format and value."""
    rows = []
    for way, streams in (("in", in_streams(source.design)), ("out", out_streams(source.design))):
        ports = source.design[f"{way}puts"]
        beats = {port["name"]: stream.beats for stream in streams for port in stream.ports}
        for port in ports:
            fmt = FixedPoint(port["width"], port["width"] - port["fraction"], port["signed"])
            bus = ("s_axis" if way == "in" else "m_axis") + (f"_{port['name']}" if len(ports) > 1 else "")
            each = port["elements"]
            rows.append(
                {
                    "stream": f"{bus}_tdata" if axis else port["port"],
                    "name": port["name"],
                    "shape": port["shape"],
                    "count": each * beats[port["name"]] if axis else each,
                    "format": str(fmt),
                    "bytes": -(-port["width"] // 8),
                    "value": f"n x 2^{-port['fraction']}, {fmt.min:g} to {fmt.max:g}",
                    "beats": source.axis[f"{way}put_beats"][port["name"]]
                    if axis and source.axis
                    else beats[port["name"]],
                }
            )
    return rows


def data_scaling(source: Source) -> tuple[float, float] | None:
    """Return scale and offset by which the data set was prepared; None without one."""
    path = source.folder / "resolved.yaml"
    data: Mapping[str, Any] | None = yaml.safe_load(path.read_text()).get("data") if path.is_file() else None
    return (float(data["scale"]), float(data["offset"])) if data else None


def scaling(source: Source) -> list[str]:
    """Return what the host does with raw data before it is sent."""
    known = data_scaling(source)
    lines = []
    if known is None:
        lines.append("The network was built without a data set: its inputs are taken as they are.")
    elif known == (1.0, 0.0):
        lines.append("Raw data is used as it is (data.scale 1, data.offset 0).")
    else:
        lines.append(f"x = raw * {known[0]:.17g} + {known[1]:.17g} (data.scale, data.offset)")
    for port in source.design["inputs"]:
        fmt = FixedPoint(port["width"], port["width"] - port["fraction"], port["signed"])
        lines.append(
            f"`{port['name']}`: n = x * 2^{port['fraction']}, rounded half to even, clipped to "
            f"{fmt.int_min}..{fmt.int_max} (`{fmt}`)"
        )
    for port in source.design["outputs"]:
        lines.append(f"`{port['name']}`: y = n * 2^{-port['fraction']}")
    return lines


def _timing_note(source: Source, axis: bool) -> str:
    cycles = source.evidence["latency"]["measured_cycles"]
    if axis:
        return (
            f"both sides may pause at any beat. The core takes {cycles} cycles; the wrapper adds those of packing and "
            "unpacking."
        )
    return f"from the first beat in to the last beat out {cycles} cycles, if nobody pauses."


def _diagram(source: Source, axis: bool) -> str:
    if axis:
        made: dict[str, dict[str, int]] = {"input": {}, "output": {}}
        for way, prefix in (("input", "s_axis"), ("output", "m_axis")):
            beats = (source.axis or {})[f"{way}_beats"]
            for name, count in beats.items():
                made[way][f"{prefix}_{name}_t" if len(beats) > 1 else f"{prefix}_t"] = int(count)
        return frame_diagram("aclk", made["input"], made["output"], last=True)
    ins = {f"in{k or ''}_": s.beats for k, s in enumerate(in_streams(source.design))}
    outs = {f"out{k or ''}_": s.beats for k, s in enumerate(out_streams(source.design))}
    return frame_diagram("clk_i", ins, outs, last=False)
