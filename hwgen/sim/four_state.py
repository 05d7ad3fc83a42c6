"""The netlist in Icarus Verilog, which knows X: a register that reset does not reach, and that matters, shows.

Everything starts as X: registers at power-up, and the data ports while nothing is offered. After the reset no valid, no
ready, and no data under a valid may be X, and the frames must come out as the graph says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, ToolMissing
from hwgen.fixed import IntArray
from hwgen.sim.case import Case
from hwgen.sim.evidence import Ledger
from hwgen.sim.netlist import Netlist, cell_models
from hwgen.sim.streams import Stream, in_streams, out_streams
from hwgen.tools import icarus

Progress = Callable[[str, float | None], None]
CHECK = "netlist from power-up X"
FRAMES, LONG = 6, 1500
"""Frames, and the cycles of a frame from which one alone runs."""
RESET_CYCLES = 3
CELL_CYCLES = 30_000_000
"""Cells times cycles that are simulated at most: of a large netlist or a long frame the beginning."""
TIMEOUT_S = 600.0
TOP = "hwgen_four_state"


def four_state(case: Case, ledger: Ledger, netlist: Netlist, folder: Path, latency: int, say: Progress) -> None:
    """Simulate a few frames in four states; leave the check, or why it did not run.

    Parameters
    ----------
    latency : int
        Cycles of one frame.
    """
    say("four-state simulation of the netlist", None)
    count = 1 if latency > LONG else FRAMES
    _, inputs = case.inputs(count)
    frames = len(next(iter(inputs.values())))
    whole = 200 + 8 * latency * (frames + 1)
    limit = min(whole, max(CELL_CYCLES // netlist.total, 64))
    try:
        tool = icarus.find()
        work = folder / "icarus"
        work.mkdir(parents=True, exist_ok=True)
        files = {"cells.v": cell_models(netlist.family, list(netlist.cells), simple=False)}
        files |= {f"{TOP}.sv": bench(case.design, frames, limit)} | stimulus(case.design, inputs)
        for name, text in files.items():
            (work / name).write_text(text)
        said = tool.simulate([work / f"{TOP}.sv", work / "cells.v", netlist.files[1]], TOP, work, TIMEOUT_S)
    except HwgenError as error:
        kind = "Icarus Verilog is missing" if isinstance(error, ToolMissing) else error.what
        ledger.document["not_checked"].append(f"X after power-up in the netlist: {kind}")
        return
    cut = limit < whole and re.search(r"^stuck$", said, re.M) is not None
    bad = judge(said, case.design, case.evaluate(inputs), frames, cut)
    last = re.search(r"^end (\d+)$", said, re.M)
    row = {"tool": f"Icarus Verilog {tool.version}", "frames": frames, "cycles": int(last[1]) if last else None}
    ledger.document["four_state"] = {**row, "whole": not cut, "first": bad}
    if cut:
        ledger.document["not_checked"].append(
            f"X after power-up in the netlist beyond cycle {limit:,} ({netlist.total:,} cells in Icarus Verilog)"
        )
    ledger.add(CHECK, bad is None, bad or "")


def stimulus(design: Mapping[str, Any], inputs: Mapping[str, IntArray]) -> dict[str, str]:
    """Return one hexadecimal line a beat for every input port."""
    files = {}
    for stream in in_streams(design):
        for port in stream.ports:
            rows = np.asarray(inputs[port["name"]]).reshape(-1, port["elements"])
            files[f"{port['port']}.hex"] = "".join(f"{_joined(row, port['width']):x}\n" for row in rows)
    return files


def _joined(row: IntArray, width: int) -> int:
    """Return the elements of a beat as one number, element 0 at the least significant end."""
    return sum((int(v) & ((1 << width) - 1)) << (k * width) for k, v in enumerate(row))


def bench(design: Mapping[str, Any], frames: int, limit: int) -> str:
    """Return the bench: sources that offer X when they offer nothing, sinks that print what they take.

    Parameters
    ----------
    limit : cycles after which it gives up
    """
    sources, sinks = in_streams(design), out_streams(design)
    names = [design["clock"], design["reset"]]
    ports, lines = [f".{name}({name})" for name in names], [f"  reg {design['clock']} = 0, {design['reset']} = 1;"]
    for k, stream in enumerate(sources):
        lines += _source(stream, k, frames, design, ports)
    for k, stream in enumerate(sinks):
        lines += _sink(stream, k, design, ports)
    wanted = " && ".join(f"taken{k} == {stream.beats * frames}" for k, stream in enumerate(sinks))
    return "\n".join(
        [
            f"// {frames} frames through the netlist from power-up X, in four states.",
            "`timescale 1ns / 1ps",
            f"module {TOP};",
            "  integer cycle = 0;",
            *lines,
            f"  {design['top']} dut({', '.join(ports)});",
            f"  always #5 {design['clock']} = !{design['clock']};",
            f"  always @(negedge {design['clock']}) {design['reset']} <= cycle < {RESET_CYCLES};",
            f"  always @(posedge {design['clock']}) begin",
            "    cycle <= cycle + 1;",
            f'    if ({wanted}) begin $display("done\\nend %0d", cycle); $finish; end',
            f'    if (cycle == {limit}) begin $display("stuck\\nend %0d", cycle); $finish; end',
            "  end",
            "endmodule",
            "",
        ]
    )


def _known(signal: str, design: Mapping[str, Any], name: str) -> str:
    return f'if (!{design["reset"]} && cycle > {RESET_CYCLES} && ^{signal} === 1\'bx) $display("X {name} %0d", cycle);'


def _source(stream: Stream, k: int, frames: int, design: Mapping[str, Any], ports: list[str]) -> list[str]:
    """Return a source: valid and data change at the falling edge; it pauses for a cycle after every third beat."""
    total, clock = stream.beats * frames, design["clock"]
    ready = stream.ready or f"ready{k}"
    lines = [f"  reg {stream.valid} = 0;", f"  integer sent{k} = 0, pause{k} = 0;", f"  wire {ready};"]
    ports.append(f".{stream.valid}({stream.valid})")
    if stream.ready:
        ports.append(f".{ready}({ready})")
    else:
        lines.append(f"  assign {ready} = 1'b1;")
    go = f"!{design['reset']} && cycle > {RESET_CYCLES} && sent{k} < {total} && !pause{k}"
    drive = [f"    {stream.valid} <= {go};"]
    for port in stream.ports:
        name, bits = port["port"], port["elements"] * port["width"]
        ports.append(f".{name}({name})")
        lines += [f"  reg [{bits - 1}:0] {name}, {name}_beats [0:{total - 1}];"]
        lines += [f'  initial $readmemh("{name}.hex", {name}_beats);']
        drive.append(f"    {name} <= {go} ? {name}_beats[sent{k}] : {{{bits}{{1'bx}}}};")
    lines += [f"  always @(negedge {clock}) begin", *drive, "  end", f"  always @(posedge {clock}) begin"]
    lines += [f"    {_known(ready, design, ready)}", f"    pause{k} <= 0;"]
    lines += [f"    if ({stream.valid} && {ready} === 1'b1) begin sent{k} <= sent{k} + 1;"]
    return [*lines, f"      pause{k} <= sent{k} % 3 == 2; end", "  end"]


def _sink(stream: Stream, k: int, design: Mapping[str, Any], ports: list[str]) -> list[str]:
    lines = [f"  wire {stream.valid};", f"  integer taken{k} = 0;"]
    ports.append(f".{stream.valid}({stream.valid})")
    if stream.ready:
        ports.append(f".{stream.ready}(1'b1)")
    shown = []
    for port in stream.ports:
        name, bits = port["port"], port["elements"] * port["width"]
        ports.append(f".{name}({name})")
        lines.append(f"  wire [{bits - 1}:0] {name};")
        shown += [f"      {_known(name, design, name)}", f'      $display("beat {name} %h", {name});']
    lines += [
        f"  always @(posedge {design['clock']}) begin",
        f"    {_known(str(stream.valid), design, str(stream.valid))}",
    ]
    lines += [f"    if (!{design['reset']} && cycle > {RESET_CYCLES} && {stream.valid} === 1'b1) begin", *shown]
    return [*lines, f"      taken{k} <= taken{k} + 1;", "    end", "  end"]


def judge(
    said: str, design: Mapping[str, Any], expected: Mapping[str, IntArray], frames: int, cut: bool = False
) -> str | None:
    """Return what is wrong with a run, None if nothing is.

    Parameters
    ----------
    cut : bool
        The run was ended before the frames were through: what is missing is not wrong.
    """
    if found := re.search(r"^X (\S+) (\d+)$", said, re.M):
        return f"{found[1]} is X in cycle {found[2]} after power-up: a register that reset does not reach matters"
    for stream in out_streams(design):
        for port in stream.ports:
            beats = re.findall(rf"^beat {re.escape(port['port'])} ([0-9a-f]+)$", said, re.M)
            wanted = np.asarray(expected[port["name"]]).reshape(-1, port["elements"])
            numbers = [_joined(row, port["width"]) for row in wanted]
            for at, (got, want) in enumerate(zip(beats, numbers, strict=False)):
                if int(got, 16) != want:
                    return f"{port['port']}, beat {at}: graph {want:#x}, netlist in four states 0x{got}"
            if len(beats) != len(numbers) and not cut:
                return f"{port['port']}: {len(beats)} of {len(numbers)} beats of {frames} frames came out"
    return None if cut or re.search(r"^done$", said, re.M) else "the four-state simulation ended early"
