"""`hwgen handoff --target vitis`: hls4ml's project, and a bench for the Verilog that Vitis HLS makes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from hwgen.errors import OutputError
from hwgen.files import FileSet
from hwgen.fixed import IntArray
from hwgen.handoff.bench import memory_text
from hwgen.handoff.common import common_files, readme
from hwgen.handoff.render import banner, render
from hwgen.handoff.source import Source, read_source

GENERATED = "generated, not run (hwgen starts no vendor tool)"
STATUS = f"#\n# Status: {GENERATED}. Written for Vitis HLS 2020.2 to 2024.2."
LEFT_OUT = ("build", "hwgen_emulator.cpp", "hwgen_ports.json")
"""Parts of firmware/ that only hwgen uses."""


@dataclass(frozen=True)
class HlsPort:
    """A port of the function that Vitis HLS synthesizes.

    Parameters
    ----------
    id : what its names in the bench start with
    name : the argument, and what ports are named after
    way : ``in`` or ``out``
    elements, beats : elements of a beat, beats of a frame; with io_parallel a frame is one beat
    width : bits of an element
    file : its golden words
    """

    id: str
    name: str
    way: str
    elements: int
    beats: int
    width: int
    file: str

    @property
    def slot(self) -> int:
        """Bits from one element of a stream's beat to the next: whole bytes."""
        return -(-self.width // 8) * 8


def vitis(folder: Path) -> FileSet:
    """Return the hand-off of a build folder to Vitis HLS.

    Raises
    ------
    HwgenError
        If the folder holds no verified design, or no HLS project.
    """
    source = read_source(folder)
    project = folder / "firmware"
    header = project / "firmware" / f"{source.top}.h"
    if not header.is_file():
        raise OutputError(
            "no HLS project to hand over", where=str(folder), found="no firmware/", hint="hwgen build FILE"
        )
    files = common_files(source)
    for path in sorted(p for p in project.rglob("*") if p.is_file()):
        relative = path.relative_to(project)
        if relative.parts[0] not in LEFT_OUT and path.suffix not in (".o", ".so"):
            files.add(f"hls/{relative.as_posix()}", path.read_bytes())
    ports = hls_ports(source, header.read_text())
    files.merge(_vectors(source, ports))
    tb = f"{source.top}_hls_tb"
    files.add(f"tb/{tb}.sv", bench_text(source, ports, tb))
    values = {"banner": banner(source), "status": STATUS, "top": source.top, "tb": tb}
    files.add(f"{source.top}_hls_sim.tcl", render("vitis_sim.tcl.j2", **values))
    files.add("README.md", _readme(source, ports, tb))
    return files


def hls_ports(source: Source, header: str) -> list[HlsPort]:
    """Return the ports of the top function, from its prototype: inputs first, outputs after them.

    Raises
    ------
    OutputError
        If the prototype is not one of hls4ml's.
    """
    found = re.search(rf"void {re.escape(source.top)}\s*\((.*?)\);", header, re.DOTALL)
    names = re.findall(r"(\w+)\s*(?:\[[^\]]*\])?\s*(?:,|$)", found.group(1).strip()) if found else []
    wanted = [("in", row) for row in source.design["inputs"]] + [("out", row) for row in source.design["outputs"]]
    if len(names) != len(wanted):
        raise OutputError(
            "the HLS project's top function is not the design's",
            where=f"firmware/firmware/{source.top}.h",
            found=f"{len(names)} arguments",
            expected=str(len(wanted)),
        )
    ports = []
    for name, (way, row) in zip(names, wanted, strict=True):
        shape = [int(n) for n in row["shape"]]
        elements = shape[-1] if _stream(source) else prod(shape)
        ident = f"{'s' if way == 'in' else 'm'}_{name}"
        file = f"{source.top}_hls_{name}.mem"
        ports.append(HlsPort(ident, name, way, elements, prod(shape) // elements, int(row["width"]), file))
    return ports


def _stream(source: Source) -> bool:
    return bool(source.design.get("io_type") == "io_stream")


def bench_text(source: Source, ports: list[HlsPort], tb: str) -> str:
    """Return the bench's module."""
    stream = _stream(source)
    slow = int(source.prediction["latency_cycles"]) + 3 * int(source.prediction["interval_cycles"])
    return render(
        "vitis_bench.sv.j2",
        banner=banner(source),
        tb=tb,
        top=source.top,
        stream=stream,
        frames=source.golden.frames,
        patience=100_000 + 40 * slow,
        sources=[port for port in ports if port.way == "in"],
        sinks=[port for port in ports if port.way == "out"],
        wiring=_wiring(ports, stream),
    )


def _wiring(ports: list[HlsPort], stream: bool) -> list[tuple[str, str]]:
    """Return ports of the synthesized module and nets of the bench, as UG1399 names the ports."""
    rows = [("ap_clk", "clk"), ("ap_rst_n", "running") if stream else ("ap_rst", "!running")]
    rows += [(f"ap_{name}", f"ap_{name}") for name in ("start", "done", "idle", "ready")]
    for port in ports:
        if stream:
            rows += [(f"{port.name}_T{key.upper()}", f"{port.id}_{key}") for key in ("data", "valid", "ready")]
        elif port.way == "in":
            rows += [(port.name, f"{port.id}_data"), (f"{port.name}_ap_vld", "ap_start")]
        else:
            for k in range(port.elements):
                rows.append((f"{port.name}_{k}", f"{port.id}_data[{k * port.width}+:{port.width}]"))
                rows.append((f"{port.name}_{k}_ap_vld", f"{port.id}_valid[{k}]"))
    return rows


def _vectors(source: Source, ports: list[HlsPort]) -> FileSet:
    """Return the golden words of the bench, and the same frames as numbers for hls4ml's own C simulation."""
    files = FileSet()
    golden = source.golden
    tables: dict[str, list[str]] = {"in": [], "out": []}
    names = {"in": source.design["inputs"], "out": source.design["outputs"]}
    for way, values in (("in", golden.inputs), ("out", golden.outputs)):
        columns = []
        for port, row in zip([p for p in ports if p.way == way], names[way], strict=True):
            array = values[row["name"]]
            words = _words(array.reshape(len(array) * port.beats, port.elements), port.width)
            files.add(f"tb/{port.file}", memory_text(words, port.elements * port.width, port.beats, golden.names))
            columns.append([[f"{int(n) * 2.0 ** -row['fraction']:.17g}" for n in frame] for frame in array.tolist()])
        tables[way] = [" ".join(text for part in parts for text in part) for parts in zip(*columns, strict=True)]
    files.add("hls/tb_data/tb_input_features.dat", "\n".join(tables["in"]) + "\n")
    files.add("hls/tb_data/tb_output_predictions.dat", "\n".join(tables["out"]) + "\n")
    return files


def _words(beats: IntArray, width: int) -> list[int]:
    mask = (1 << width) - 1
    rows: list[list[Any]] = beats.tolist()
    return [sum((int(v) & mask) << (k * width) for k, v in enumerate(row)) for row in rows]


RUN = """
## Use

1. `cd hls && vitis_hls -f build_prj.tcl` (2024.2 and later: `vitis-run --mode hls --tcl build_prj.tcl`): C simulation
   on the golden frames in `tb_data/`, synthesis, and what `build_opt.tcl` switches on.
2. `vivado -mode batch -source {top}_hls_sim.tcl`: the same frames on the Verilog that came out, bit for bit. Without
   Vivado, from this folder, with the `.dat` files of V = `hls/{top}_prj/solution1/syn/verilog` copied into it:
   `verilator --binary --timing -Wno-lint --top-module {tb} tb/{tb}.sv V/*.v && ./obj_dir/V{tb}`.

The bench expects the ports that UG1399 describes for hls4ml's interface directives: {ports}. Where a version names or
packs them otherwise, `tb/{tb}.sv` is the place to change.
"""


def _readme(source: Source, ports: list[HlsPort], tb: str) -> str:
    if _stream(source):
        what = "ap_ctrl_hs, ap_rst_n, and AXI4-Streams " + ", ".join(f"`{p.name}_T*`" for p in ports)
        what += ", every element of a beat at a multiple of 8 bits (`+define+HWGEN_SLOT=BITS` says otherwise)"
    else:
        what = "ap_ctrl_hs, ap_rst, " + ", ".join(
            f"`{p.name}`, `{p.name}_ap_vld`" if p.way == "in" else f"`{p.name}_0`, `{p.name}_0_ap_vld`, ..."
            for p in ports
        )
    return readme(
        source,
        None,
        title="Vitis HLS",
        what=f"hls4ml's C++ of `{source.top}`, which gives the same bits as the SystemVerilog, for the HLS route.",
        status=f"project and scripts {GENERATED}. hwgen's own tests run the bench on stand-ins with these ports.",
        run=RUN.format(top=source.top, tb=tb, ports=what),
        files=[
            ("hls/", "hls4ml's project (Apache-2.0, as `firmware/nnet_utils` and `firmware/ap_types` say themselves)"),
            ("hls/tb_data/", "the golden frames as numbers, for the C simulation"),
            (f"tb/, {top_script(source)}", "the bench for the Verilog that Vitis HLS writes, and its golden words"),
            ("evidence/", "what was proved, and the settings the design was made with"),
        ],
        part=source.part,
    )


def top_script(source: Source) -> str:
    """Return the name of the simulation script."""
    return f"{source.top}_hls_sim.tcl"
