"""`hwgen handoff --target vivado`: sources, scripts, an IP-XACT component and a bench for AMD's Vivado."""

from __future__ import annotations

import re
from pathlib import Path

from hwgen.errors import SpecError
from hwgen.files import FileSet
from hwgen.handoff.bench import bench_of
from hwgen.handoff.boundary import Boundary, boundary, shell_text
from hwgen.handoff.common import common_files, readme
from hwgen.handoff.component_xml import FAMILIES, LIBRARY, VENDOR, VERSION, component_xml
from hwgen.handoff.render import banner, render
from hwgen.handoff.source import Source, read_source

GENERATED = "generated, not run (hwgen starts no vendor tool)"
AMD_PART = re.compile(r"xc\w+(-[\w-]+)?", re.IGNORECASE)
"""How parts are named that Vivado knows."""
STATUS = f"#\n# Status: {GENERATED}. Written for Vivado 2019.2 to 2024.2."

RUN = """
## Use

From this folder; paths in the scripts are relative to them, so that it may stand anywhere.

1. `vivado -mode batch -source {top}_sim.tcl`: the self-checking bench in Vivado's simulator. Without Vivado:
   `verilator --binary --timing --top-module {module}_tb -f {top}_sim.f && ./obj_dir/V{module}_tb`.
2. `vivado -mode batch -source synth_ooc.tcl`: synthesis, placement, routing and reports. Another device:
   `-tclargs PART` behind it.
3. In a design of your own: add this folder to the project's IP repositories (`set_property ip_repo_paths`), or read
   the files of `rtl/{top}.f` and instantiate `{module}`; `{top}_ip` is the same in plain Verilog.
4. Where hwgen and the build folder are: `hwgen cost BUILD_FOLDER --import reports/` puts the reports' figures beside
   the others.
"""


def vivado(folder: Path) -> FileSet:
    """Return the hand-off of a build folder to Vivado.

    Raises
    ------
    HwgenError
        If the folder holds no verified design, or one that is not for a device of AMD's.
    """
    source = read_source(folder)
    check_part(source)
    made = boundary(source)
    files = common_files(source)
    files.merge(source.rtl())
    files.add(f"rtl/{source.top}_ip.v", shell_text(source, made, banner(source)))
    files.merge(bench_of(source))
    names = [f"rtl/{name}" for name in source.sources]
    files.add(f"{source.top}_sim.f", "".join(f"{name}\n" for name in [*names, f"tb/{made.module}_tb.sv"]))
    files.merge(scripts(source, made, names))
    description = f"{source.top}: a quantized neural network, interval {source.prediction['interval_cycles']} cycles"
    component = component_xml(
        made, source.top, [*names, f"rtl/{source.top}_ip.v"], f"{source.top}_ooc.xdc", description
    )
    files.add("component.xml", component)
    files.add("README.md", _readme(source, made))
    return files


def check_part(source: Source) -> None:
    """Refuse a design that is for another vendor's device or a cell library."""
    if not AMD_PART.fullmatch(source.part):
        raise SpecError(
            "this design is not for a device that Vivado knows",
            where="hardware.part",
            found=source.part,
            expected="an AMD part, as xck26-sfvc784-2LV-c",
            hint="hwgen build FILE --set hardware.part=PART",
        )


def scripts(source: Source, made: Boundary, names: list[str]) -> FileSet:
    """Return the Tcl scripts and the constraints."""
    top = source.top
    values = {
        "banner": banner(source),
        "status": STATUS,
        "top": top,
        "module": made.module,
        "ip": f"{top}_ip",
        "part": source.part,
        "period": f"{source.period_ns:.3f}",
        "clock": made.clock,
        "inputs": [_brackets(p.name, p.width) for p in made.ports if p.way == "in" and p.name != made.clock],
        "outputs": [_brackets(p.name, p.width) for p in made.ports if p.way == "out"],
        "streams": list(made.streams),
        "vendor": VENDOR,
        "library": LIBRARY,
        "version": VERSION,
        "families": [word for family in FAMILIES for word in (family, "Production")],
        "description": f"{top}: a quantized neural network",
    }
    files = FileSet()
    files.add("synth_ooc.tcl", render("synth_ooc.tcl.j2", sources=names, **values))
    files.add("package_ip.tcl", render("package_ip.tcl.j2", sources=[*names, f"rtl/{top}_ip.v"], **values))
    files.add(f"{top}_sim.tcl", render("sim.tcl.j2", sources=names, **values))
    files.add(f"{top}_ooc.xdc", render("ooc.xdc.j2", **values))
    return files


def _brackets(name: str, width: int) -> str:
    return f"{name}[*]" if width else name


def _readme(source: Source, made: Boundary) -> str:
    top = source.top
    listed = [
        (f"rtl/, rtl/{top}.f", "the SystemVerilog and its compile order"),
        (f"rtl/{top}_ip.v", f"`{made.module}` behind plain Verilog ports, for block designs"),
        ("component.xml", "IP-XACT 1685-2009, valid by the schema; made without Vivado"),
        ("synth_ooc.tcl, package_ip.tcl", "scripts for Vivado"),
        (f"{top}_ooc.xdc", "the clock, for synthesis out of context"),
        (f"{top}_sim.tcl, {top}_sim.f, tb/", "the self-checking bench and its golden vectors"),
        ("evidence/", "what was proved, and the settings the design was made with"),
    ]
    return readme(
        source,
        made,
        title="Vivado",
        what=f"The verified hardware of `{top}` with scripts for AMD's Vivado. Nothing outside this folder is needed.",
        status=f"scripts {GENERATED}. The bench runs in Verilator 5 as well.",
        run=RUN.format(top=top, module=made.module),
        files=listed,
        part=source.part,
    )
