"""The bench for Vitis HLS's Verilog, on stand-ins with the same ports around hardware of ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from handoff_folder import build_folder, compile_bench, run_bench
from test_golden import residual, two_inputs, two_layers

from hwgen.errors import OutputError
from hwgen.handoff.source import read_source
from hwgen.handoff.vitis import hls_ports, vitis


def inner(build: Path, folder: Path) -> list[str]:
    """Write the core under another name, which leaves its own to the stand-in; return its files."""
    source = read_source(build)
    names = []
    for name in source.sources:
        if not name.endswith("_axis.sv") and not name.startswith("hg_axis"):
            text = (build / "rtl" / name).read_text()
            names.append(f"standin/{name.replace(source.top, 'inner')}")
            (folder / "standin").mkdir(exist_ok=True)
            (folder / names[-1]).write_text(re.sub(rf"\b{source.top}(?=\b|_)", "inner", text))
    return names


PARALLEL = """
module two_layers (
  input wire ap_clk, input wire ap_rst, input wire ap_start,
  output wire ap_done, output wire ap_idle, output wire ap_ready,
  input wire [{inputs}-1:0] x, input wire x_ap_vld,
  output wire [{width}-1:0] logits_0, output wire logits_0_ap_vld,
  output wire [{width}-1:0] logits_1, output reg logits_1_ap_vld
);
  // Takes a frame every second cycle; the second element comes a cycle after the first.
  reg turn;
  wire valid;
  wire [2*{width}-1:0] data;
  reg [{width}-1:0] late;
  assign ap_ready = ap_start && x_ap_vld && turn;
  assign ap_done = logits_1_ap_vld;
  assign ap_idle = !ap_start;
  assign logits_0 = data[{width}-1:0];
  assign logits_0_ap_vld = valid;
  assign logits_1 = late;
  always @(posedge ap_clk) begin
    turn <= ap_rst ? 1'b0 : !turn;
    late <= data[2*{width}-1:{width}];
    logits_1_ap_vld <= !ap_rst && valid;
  end
  inner core (
    .clk_i(ap_clk), .rst_i(ap_rst), .in_valid_i(ap_ready), .in_data_i(x), .out_valid_o(valid), .out_data_o(data)
  );
endmodule
"""
STREAM = """
module residual (
  input wire ap_clk, input wire ap_rst_n, input wire ap_start,
  output wire ap_done, output wire ap_idle, output wire ap_ready,
  input wire [15:0] x_TDATA, input wire x_TVALID, output wire x_TREADY,
  output wire [3*{slot}-1:0] fc_TDATA, output wire fc_TVALID, input wire fc_TREADY
);
  wire [3*{width}-1:0] data;
  assign ap_done = 1'b0;
  assign ap_idle = !ap_start;
  assign ap_ready = 1'b0;
  genvar k;
  generate
    for (k = 0; k < 3; k = k + 1) begin : g
      assign fc_TDATA[k*{slot}+:{slot}] = {{{{{slot}-{width}{{1'b1}}}}, data[k*{width}+:{width}]}};
    end
  endgenerate
  wire ready;
  assign x_TREADY = ready && ap_start;
  inner core (
    .clk_i(ap_clk), .rst_i(!ap_rst_n), .in_valid_i(x_TVALID && ap_start), .in_ready_o(ready),
    .in_data_i({{x_TDATA[11:8], x_TDATA[3:0]}}),
    .out_valid_o(fc_TVALID), .out_ready_i(fc_TREADY), .out_data_o(data)
  );
endmodule
"""


@pytest.mark.verilator
@pytest.mark.parametrize("name", ["two_layers", "residual"])
def test_the_bench_passes_a_stand_in_and_fails_a_wrong_one(name: str, tmp_path: Path) -> None:
    stream = name == "residual"
    graph = residual() if stream else two_layers()
    build = build_folder(tmp_path / "build", graph, stream=stream, **({} if stream else {"handshake": "none"}))
    folder = tmp_path / "vitis"
    vitis(build).write(folder)
    files = inner(build, folder)
    design = read_source(build).design
    (port,), (given,) = design["outputs"], design["inputs"]
    width = port["width"]
    values = {"width": width, "slot": -(-width // 8) * 8, "inputs": given["elements"] * given["width"]}
    assert width % 8, "the slot should be wider than the element"
    text = (STREAM if stream else PARALLEL).format(**values)
    (folder / "standin" / "top.v").write_text(text)
    listed = [*files, "standin/top.v", f"tb/{name}_hls_tb.sv"]
    (folder / "all.f").write_text("-Wno-lint\n" + "\n".join(listed) + "\n")
    program = compile_bench(folder, f"{name}_hls_tb", "all.f")
    status, said = run_bench(program, folder)
    assert status == 0 and re.search(rf"^PASS: {name}: \d+ frames in each of 2 passes", said, re.M), said
    (word,) = [p for p in (folder / "tb").glob("*.mem") if not p.stem.endswith("_x")]
    lines = word.read_text().splitlines()
    at = max(i for i, line in enumerate(lines) if not line.startswith("//"))
    lines[at] = lines[at][:-1] + ("0" if lines[at][-1] != "0" else "1")
    word.write_text("\n".join(lines) + "\n")
    status, said = run_bench(program, folder)
    assert status != 0 and f"FAIL: {name}: 2 errors" in said, said


def test_the_project_travels_without_what_was_built_of_it(tmp_path: Path) -> None:
    build = build_folder(tmp_path, two_inputs())
    files = vitis(build)
    assert "hls/build_prj.tcl" in files and "hls/firmware/two_inputs.h" in files
    assert not any("emulator" in path for path in files)
    source = read_source(build)
    ports = hls_ports(source, files["hls/firmware/two_inputs.h"].decode())
    assert [(p.name, p.way) for p in ports] == [
        ("a", "in"),
        ("b", "in"),
        ("total", "out"),
        ("curve", "out"),
        ("best", "out"),
    ]
    rows = files["hls/tb_data/tb_input_features.dat"].decode().splitlines()
    assert len(rows) == source.golden.frames and len(rows[0].split()) == 4
    first = [float(text) for text in rows[0].split()]
    assert first[:2] == [int(n) / 4 for n in source.golden.inputs["a"][0]]


def test_no_project_and_another_prototype_are_refused(tmp_path: Path) -> None:
    build = build_folder(tmp_path, two_layers())
    header = build / "firmware" / "firmware" / "two_layers.h"
    header.write_text("void two_layers(input_t x[4]);\n")
    with pytest.raises(OutputError, match="top function is not the design's"):
        vitis(build)
    header.unlink()
    with pytest.raises(OutputError, match="no HLS project"):
        vitis(build)
