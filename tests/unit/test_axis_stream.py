"""The AXI4-Stream wrapper of streaming designs, around cores small enough to write by hand."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from rtl_readers import slang_says, verilator_says, yosys_reads

import hwgen.rtl
from hwgen.rtl.axis_stream import LIBRARY, AxisPort, axis_stream_text
from hwgen.sim.cocotb_run import PROGRAM, build_bench, run_cocotb

PIXELS, ELEMENTS = 9, 3
BYTES = 4


def core_text(count: int) -> str:
    """Return a core of `count` streams that pass through a queue each; the first element of every pixel is inverted."""
    ports, body = ["input logic clk_i", "input logic rst_i"], []
    for k in range(count):
        i, o = (f"_x{k}", f"_y{k}") if count > 1 else ("", "")
        ports += [f"input logic in{i}_valid_i", f"output logic in{i}_ready_o"]
        ports += [f"input logic [{7 * ELEMENTS - 1}:0] in{i}_data_i", f"output logic out{o}_valid_o"]
        ports += [f"input logic out{o}_ready_i", f"output logic [{7 * ELEMENTS - 1}:0] out{o}_data_o"]
        body.append(f"""  wire [{7 * ELEMENTS - 1}:0] x{k} = {{in{i}_data_i[{7 * ELEMENTS - 1}:7], ~in{i}_data_i[6:0]}};
  hg_fifo #(.Width({7 * ELEMENTS}), .Depth({2 + k})) u_{k} (
`ifdef HWGEN_TAPS
      .high_o(tap{k}_o),
`endif
      .clk_i(clk_i), .rst_i(rst_i), .in_valid_i(in{i}_valid_i), .in_ready_o(in{i}_ready_o), .in_data_i(x{k}),
      .out_valid_o(out{o}_valid_o), .out_ready_i(out{o}_ready_i), .out_data_o(out{o}_data_o));""")
    taps = "".join(f"    output logic [1:0] tap{k}_o,\n" for k in range(count))
    head = f"module core (\n`ifdef HWGEN_TAPS\n{taps}`endif\n    " + ",\n    ".join(ports) + "\n);"
    return "\n".join([head, *body, "endmodule", ""])


def ports_of(count: int) -> tuple[list[AxisPort], list[AxisPort]]:
    def one(way: str, letter: str, k: int, queue: int) -> AxisPort:
        infix = f"_{letter}{k}" if count > 1 else ""
        forth, back = ("i", "o") if way == "in" else ("o", "i")
        names = (f"{way}{infix}_valid_{forth}", f"{way}{infix}_ready_{back}", f"{way}{infix}_data_{forth}")
        return AxisPort(f"{letter}{k}", infix, *names, PIXELS, ELEMENTS, 7, way == "out", queue)

    return [one("in", "x", k, 0) for k in range(count)], [one("out", "y", k, PIXELS + k) for k in range(count)]


def write(folder: Path, count: int) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    library = Path(hwgen.rtl.__file__).parent / "lib"
    for name in LIBRARY:
        shutil.copy(library / f"{name}.sv", folder)
    inputs, outputs = ports_of(count)
    taps = [f"tap{k}_o" for k in range(count)]
    text = axis_stream_text("core", inputs, outputs, banner="// a test", bytes_a_beat=BYTES, tags=3, open_ports=taps)
    (folder / "core.sv").write_text(core_text(count))
    (folder / "core_axis.sv").write_text(text)
    design: dict[str, Any] = {
        "top": "core",
        "files": [*(f"{name}.sv" for name in LIBRARY), "core.sv", "core_axis.sv"],
        "axis": {"top": "core_axis", "bytes": BYTES},
        "inputs": [{"name": p.name, "width": p.width} for p in inputs],
        "outputs": [{"name": p.name, "width": p.width} for p in outputs],
    }
    (folder / "design.json").write_text(json.dumps(design))
    return design


@pytest.mark.verilator
@pytest.mark.yosys
@pytest.mark.parametrize("count", [1, 2])
def test_three_readers_have_nothing_to_say(tmp_path: Path, count: int) -> None:
    write(tmp_path, count)
    files = [tmp_path / name for name in json.loads((tmp_path / "design.json").read_text())["files"]]
    assert all(path.is_file() for path in files)
    design = json.loads((tmp_path / "design.json").read_text())
    (tmp_path / "design.json").write_text(json.dumps(design | {"top": "core_axis", "axis": None}))
    for taps in (False, True):
        said = verilator_says(tmp_path, taps) + slang_says(tmp_path, taps)
        assert not said, said
    yosys_reads(tmp_path)


@pytest.mark.verilator
@pytest.mark.parametrize("count", [1, 2])
def test_frames_under_stalls_of_a_wrong_length_and_resets(tmp_path: Path, count: int) -> None:
    design = write(tmp_path / "rtl", count)
    files = [tmp_path / "rtl" / name for name in design["files"]]
    program = build_bench("core_axis", files, tmp_path / "build")
    draw = random.Random(3)
    frames: dict[str, list[dict[str, list[int]]]] = {"inputs": [], "outputs": []}
    for _ in range(16):
        x = {f"x{k}": [draw.randrange(-64, 64) for _ in range(PIXELS * ELEMENTS)] for k in range(count)}
        y = {f"y{k}": [~v if e % ELEMENTS == 0 else v for e, v in enumerate(x[f"x{k}"])] for k in range(count)}
        frames["inputs"].append(x)
        frames["outputs"].append(y)
    result = run_cocotb(
        program,
        "hwgen.sim.bench_axis",
        {"design": design, "seed": 5, "program": PROGRAM, **frames},
        tmp_path,
        top="core_axis",
        seed=5,
    )
    assert len(result.tests) == 3 and all(message is None for _, message, _ in result.tests), result.tests
