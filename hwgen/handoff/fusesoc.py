"""`hwgen handoff --target fusesoc`: the design as a FuseSoC core, CAPI2, with lint, sim and synth targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hwgen.files import FileSet
from hwgen.handoff.bench import bench_of
from hwgen.handoff.boundary import boundary
from hwgen.handoff.common import common_files, readme
from hwgen.handoff.render import banner
from hwgen.handoff.source import Source, read_source

STATUS = "lint and sim pass with FuseSoC 2.4 and Verilator; synth is generated, not run"
VERSION = "1.0.0"
ARCHITECTURES = {"lfe5": "ecp5", "ice40": "ice40", "xc": "xilinx"}
"""yosys' name of the family of parts that start so; any other part is synthesized as xilinx."""

RUN = """
## Use

From this folder, or with it among the libraries of a project (`fusesoc library add`):

1. `fusesoc --cores-root . run --target sim {name}`: Verilator (5.036 or newer, on PATH) builds and runs the
   self-checking bench; it ends with a line PASS, or with an error.
2. `fusesoc --cores-root . run --target lint {name}`: Verilator's lint.
3. `fusesoc --cores-root . run --target synth {name}`: {synth}.

As a dependency: `depend: ["{name}"]`; the default target is the SystemVerilog alone.
"""


def fusesoc(folder: Path) -> FileSet:
    """Return the hand-off of a build folder as a FuseSoC core.

    Raises
    ------
    HwgenError
        If the folder holds no verified design.
    """
    source = read_source(folder)
    made = boundary(source)
    bench = bench_of(source)
    files = common_files(source)
    files.merge(source.rtl())
    files.merge(bench)
    files.add(f"{source.top}.core", core_text(source, made.module, list(bench)))
    name = core_name(source)
    amd = source.part.lower().startswith("xc")
    synth = "Vivado, for " + source.part if amd else "yosys, as far as a netlist"
    files.add(
        "README.md",
        readme(
            source,
            made,
            title="FuseSoC",
            what="The design as a FuseSoC core, with a self-checking bench.",
            status=STATUS,
            run=RUN.format(name=name, synth=synth),
            files=[
                (f"{source.top}.core", "the core description, CAPI2"),
                (f"rtl/{source.top}.f", "the SystemVerilog, in compile order"),
                (f"tb/{made.module}_tb.sv", "the self-checking bench, with its golden words beside it"),
            ],
            part=source.part,
        ),
    )
    return files


def core_name(source: Source) -> str:
    """Return vendor, library, name and version of the core."""
    return f"hwgen:nn:{source.top}:{VERSION}"


def core_text(source: Source, module: str, bench: list[str]) -> str:
    """Return ``<top>.core``.

    Parameters
    ----------
    module : what is on top: the AXI4-Stream wrapper, or the core
    bench : the files of the bench
    """
    rtl = [f"rtl/{name}" for name in source.sources]
    memories = [{name: {"file_type": "user", "copyto": name}} for name in bench if name.endswith(".mem")]
    interval = source.prediction["interval_cycles"]
    document: dict[str, Any] = {
        "name": core_name(source),
        "description": f"{source.top}: a quantized neural network, one inference in {interval} cycles",
        "filesets": {
            "rtl": {"files": rtl, "file_type": "systemVerilogSource"},
            "tb": {
                "files": [*({n: {"file_type": "systemVerilogSource"}} for n in bench if n.endswith(".sv")), *memories]
            },
        },
        "targets": {
            "default": {"filesets": ["rtl"], "toplevel": module},
            "lint": {
                "filesets": ["rtl"],
                "toplevel": module,
                "flow": "lint",
                "flow_options": {"tool": "verilator", "verilator_options": ["-Wall"]},
            },
            "sim": {
                "filesets": ["rtl", "tb"],
                "toplevel": f"{module}_tb",
                "flow": "sim",
                "flow_options": {"tool": "verilator", "mode": "binary", "verilator_options": ["--timing"]},
            },
            "synth": {"filesets": ["rtl"], "toplevel": module, **_synth(source.part)},
        },
    }
    text = yaml.safe_dump(document, sort_keys=False, width=110)
    return f"CAPI=2:\n# {banner(source)}\n{text}"


def _synth(part: str) -> dict[str, Any]:
    """Return flow and options of synthesis."""
    if part.lower().startswith("xc"):
        return {"flow": "vivado", "flow_options": {"part": part, "pnr": "none"}}
    family = next((name for start, name in ARCHITECTURES.items() if part.lower().startswith(start)), "xilinx")
    options = {"tool": "yosys", "arch": family, "output_format": "json"}
    return {"flow": "generic", "flow_options": options}
