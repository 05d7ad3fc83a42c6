"""A small hand-written streaming design: two inputs, two outputs, a fork, a join, and a build folder around it.

    aq = a as 3 bits          (H x W beats of C elements, forked)
    total = aq + b            (H x W beats: the join)
    dense = flat(aq) * w      (one beat: an engine of `step` cycles a beat)

Firing rules: a beat of aq goes into both FIFOs in its own time; the join fires when both are there; the engine takes a
beat every `step` cycles, offers its result `step` cycles after the last one, and takes the next frame one cycle later.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hwgen.files import FileSet, json_bytes
from hwgen.fixed import FixedPoint
from hwgen.ir import Graph, graph_files
from hwgen.ir import nodes as ir
from hwgen.ir.vectors import save_vectors

H, W, C, N = 4, 5, 2, 3
BEATS = H * W
A_FMT, B_FMT = FixedPoint(4, 2, signed=False), FixedPoint(4, 2, signed=True)
AQ_FMT = FixedPoint(3, 2, signed=False)
WEIGHTS = np.random.default_rng(3).integers(-8, 8, (BEATS * C, N))


def pair_graph() -> Graph:
    return Graph(
        "pair",
        (
            ir.Input(name="a", shape=(H, W, C), fmt=A_FMT),
            ir.Input(name="b", shape=(H, W, C), fmt=B_FMT),
            ir.Requantize(name="aq", inputs=("a",), fmt=AQ_FMT),
            ir.Add(name="total", inputs=("aq", "b")),
            ir.Reshape(name="flat", inputs=("aq",), shape=(BEATS * C,)),
            ir.Const(name="w", value=WEIGHTS, fraction=2),
            ir.Dense(name="dense", inputs=("flat", "w")),
            ir.Output(name="total_out", inputs=("total",)),
            ir.Output(name="dense_out", inputs=("dense",)),
        ),
    ).verify()


FIFO = """
module pair_fifo #(parameter int unsigned Width = 1, parameter int unsigned Depth = 2) (
  input logic clk_i, input logic rst_i,
  input logic in_valid_i, output logic in_ready_o, input logic [Width-1:0] in_data_i,
  output logic out_valid_o, input logic out_ready_i, output logic [Width-1:0] out_data_o,
  output logic [15:0] most_o
);
  logic [Width-1:0] mem [Depth];
  logic [7:0] rd_q, wr_q;
  logic [15:0] used_q;
  assign in_ready_o = used_q != 16'(Depth);
  assign out_valid_o = used_q != 0;
  assign out_data_o = mem[rd_q];
  wire push = in_valid_i && in_ready_o;
  wire pop = out_valid_o && out_ready_i;
  wire [15:0] next = used_q + 16'(push) - 16'(pop);
  always_ff @(posedge clk_i) begin
    if (push) mem[wr_q] <= in_data_i;
    if (rst_i) begin rd_q <= 0; wr_q <= 0; used_q <= 0; most_o <= 0; end
    else begin
      if (push) wr_q <= wr_q == 8'(Depth - 1) ? 0 : wr_q + 1;
      if (pop) rd_q <= rd_q == 8'(Depth - 1) ? 0 : rd_q + 1;
      used_q <= next;
      if (next > most_o) most_o <= next;
    end
  end
endmodule
"""


def pair_sv(step: int = 3) -> str:
    g = pair_graph()
    wt, wd = g.types["total"].fmt.width, g.types["dense"].fmt.width
    words = [int(w) & 0xFF for w in WEIGHTS.ravel()]
    rom = "".join(f"{w:02x}" for w in reversed(words))
    macs = [
        f"  wire signed [31:0] p{j} = $signed(rom[(beat_q * {C} * {N} + {j}) * 8 +: 8]) * $signed({{29'd0, x[2:0]}})"
        f" + $signed(rom[(beat_q * {C} * {N} + {N} + {j}) * 8 +: 8]) * $signed({{29'd0, x[5:3]}});"
        for j in range(N)
    ]
    adds = [
        f"  wire signed [31:0] t{c} = $signed({{28'd0, f1_data[{3 * c} +: 3], 1'b0}})"
        f" + 32'($signed(in_b_data_i[{4 * c} +: 4]));"
        for c in range(C)
    ]
    return f"""{FIFO}
module pair (
  input logic clk_i, input logic rst_i,
  input logic in_a_valid_i, output logic in_a_ready_o, input logic [{C * 4 - 1}:0] in_a_data_i,
  input logic in_b_valid_i, output logic in_b_ready_o, input logic [{C * 4 - 1}:0] in_b_data_i,
  output logic out_total_valid_o, input logic out_total_ready_i, output logic [{C * wt - 1}:0] out_total_data_o,
  output logic out_dense_valid_o, input logic out_dense_ready_i, output logic [{N * wd - 1}:0] out_dense_data_o
`ifdef HWGEN_TAPS
  , output logic tap_aq_valid_o, output logic [{C * 3 - 1}:0] tap_aq_o
  , output logic tap_total_valid_o, output logic [{C * wt - 1}:0] tap_total_o
  , output logic tap_dense_valid_o, output logic [{N * wd - 1}:0] tap_dense_o
  , output logic f1_valid_o, output logic f1_ready_o
  , output logic f2_valid_o, output logic f2_ready_o
  , output logic [15:0] mark_f1_o, output logic [15:0] mark_f2_o
  , output logic [15:0] mark_f3_o, output logic [15:0] mark_f4_o
`endif
);
  // aq, forked
  wire [{C * 3 - 1}:0] aq = {{in_a_data_i[7:5], in_a_data_i[3:1]}};
  logic done1_q, done2_q;
  wire f1_space, f2_space, f1_valid, f2_valid, f3_space, f4_space;
  wire [{C * 3 - 1}:0] f1_data, x;
  wire go1 = in_a_valid_i && !done1_q;
  wire go2 = in_a_valid_i && !done2_q;
  assign in_a_ready_o = (done1_q || f1_space) && (done2_q || f2_space);
  always_ff @(posedge clk_i)
    if (rst_i || (in_a_valid_i && in_a_ready_o)) begin done1_q <= 0; done2_q <= 0; end
    else begin done1_q <= done1_q || (go1 && f1_space); done2_q <= done2_q || (go2 && f2_space); end
  wire [15:0] most1, most2, most3, most4;
  wire take1, take2;
  pair_fifo #(.Width({C * 3}), .Depth(4)) u_f1 (.clk_i, .rst_i, .in_valid_i(go1), .in_ready_o(f1_space),
    .in_data_i(aq), .out_valid_o(f1_valid), .out_ready_i(take1), .out_data_o(f1_data), .most_o(most1));
  pair_fifo #(.Width({C * 3}), .Depth(2)) u_f2 (.clk_i, .rst_i, .in_valid_i(go2), .in_ready_o(f2_space),
    .in_data_i(aq), .out_valid_o(f2_valid), .out_ready_i(take2), .out_data_o(x), .most_o(most2));

  // total, the join
  wire can_join = f3_space;
  assign take1 = in_b_valid_i && can_join;
  assign in_b_ready_o = f1_valid && can_join;
  wire joined = f1_valid && in_b_valid_i && can_join;
  logic [7:0] place_q;
  always_ff @(posedge clk_i)
    if (rst_i) place_q <= 0; else if (joined) place_q <= place_q == {BEATS - 1} ? 0 : place_q + 1;
{chr(10).join(adds)}
  wire [{C * wt - 1}:0] total = {{t1[{wt - 1}:0], t0[{wt - 1}:0]}};
  wire send_total = joined;
  pair_fifo #(.Width({C * wt}), .Depth(2)) u_f3 (.clk_i, .rst_i, .in_valid_i(send_total), .in_ready_o(f3_space),
    .in_data_i(total), .out_valid_o(out_total_valid_o), .out_ready_i(out_total_ready_i),
    .out_data_o(out_total_data_o), .most_o(most3));

  // dense, the engine
  localparam logic [{8 * len(words) - 1}:0] rom = {8 * len(words)}'h{rom};
  logic [7:0] beat_q;
  logic [15:0] wait_q;
  logic full_q;
  logic signed [31:0] acc0_q, acc1_q, acc2_q;
{chr(10).join(macs)}
  assign take2 = wait_q == 0 && !full_q;
  wire fire = take2 && f2_valid;
  wire give = full_q && wait_q == 0;
  always_ff @(posedge clk_i) begin
    if (fire) begin
      acc0_q <= (beat_q == 0 ? 0 : acc0_q) + p0;
      acc1_q <= (beat_q == 0 ? 0 : acc1_q) + p1;
      acc2_q <= (beat_q == 0 ? 0 : acc2_q) + p2;
    end
    if (rst_i) begin full_q <= 0; beat_q <= 0; wait_q <= 0; end
    else begin
      wait_q <= fire ? {step} - 1 : wait_q == 0 ? 0 : wait_q - 1;
      if (fire) beat_q <= beat_q == {BEATS - 1} ? 0 : beat_q + 1;
      full_q <= fire && beat_q == {BEATS - 1} || full_q && !(give && f4_space);
    end
  end
  wire [{N * wd - 1}:0] dense = {{acc2_q[{wd - 1}:0], acc1_q[{wd - 1}:0], acc0_q[{wd - 1}:0]}};
  pair_fifo #(.Width({N * wd}), .Depth(2)) u_f4 (.clk_i, .rst_i, .in_valid_i(give), .in_ready_o(f4_space),
    .in_data_i(dense), .out_valid_o(out_dense_valid_o), .out_ready_i(out_dense_ready_i),
    .out_data_o(out_dense_data_o), .most_o(most4));

`ifdef HWGEN_TAPS
  assign tap_aq_valid_o = in_a_valid_i && in_a_ready_o;
  assign tap_aq_o = aq;
  assign tap_total_valid_o = send_total;
  assign tap_total_o = total;
  assign tap_dense_valid_o = give && f4_space;
  assign tap_dense_o = dense;
  assign f1_valid_o = f1_valid;
  assign f1_ready_o = take1;
  assign f2_valid_o = f2_valid;
  assign f2_ready_o = take2;
  assign {{mark_f1_o, mark_f2_o, mark_f3_o, mark_f4_o}} = {{most1, most2, most3, most4}};
`endif
endmodule
"""


def _port(graph: Graph, node: str, port: str, beats: int, **extra: object) -> dict:
    t = graph.types[node]
    row = {"name": node, "port": port, "shape": list(t.shape), "elements": t.size // beats, "beats": beats}
    return {**row, "width": t.fmt.width, "signed": t.fmt.signed, "fraction": t.fraction, **extra}


def pair_design() -> dict:
    g = pair_graph()
    taps = [
        {"node": n, **_port(g, n, f"tap_{n}_o", beats, valid=f"tap_{n}_valid_o", signal=f"pair.{signal}")}
        for n, beats, signal in (("aq", BEATS, "aq"), ("total", BEATS, "total"), ("dense", 1, "dense"))
    ]
    outs = (("total", BEATS), ("dense", 1))
    return {
        "version": 1,
        "top": "pair",
        "io_type": "io_stream",
        "handshake": "valid_ready",
        "clock": "clk_i",
        "reset": "rst_i",
        "inputs": [_port(g, n, f"in_{n}_data_i", BEATS) for n in ("a", "b")],
        "outputs": [_port(g, f"{n}_out", f"out_{n}_data_o", beats) for n, beats in outs],
        "in_streams": [
            {"valid": f"in_{n}_valid_i", "ready": f"in_{n}_ready_o", "beats": BEATS, "ports": [n]} for n in ("a", "b")
        ],
        "out_streams": [
            {"valid": f"out_{n}_valid_o", "ready": f"out_{n}_ready_i", "beats": beats, "ports": [f"{n}_out"]}
            for n, beats in outs
        ],
        "taps": taps,
        "links": [
            {"name": "aq_total", "valid": "f1_valid_o", "ready": "f1_ready_o", "from": "aq", "to": "total"},
            {"name": "aq_dense", "valid": "f2_valid_o", "ready": "f2_ready_o", "from": "aq", "to": "dense"},
        ],
        "fifos": [
            {"name": f"f{k}", "depth": depth, "port": f"mark_f{k}_o"} for k, depth in enumerate((4, 2, 2, 2), start=1)
        ],
        "axis": None,
    }


def pair_prediction(step: int = 3) -> dict:
    """From the firing rules in this module's description, for step >= 2."""
    latency = BEATS * step + 2  # the first beat waits a cycle in f2, the result a cycle in f4
    taps = [
        ("aq", 0, step * (BEATS - 3) + 2),
        ("total", 1, step * (BEATS - 4) + 4),
        ("dense", latency - 1, latency - 1),
    ]
    return {
        "version": 1,
        "latency_cycles": latency,
        "first_out_cycles": latency,
        "steady_latency_cycles": latency,
        "interval_cycles": BEATS * step + 1,
        "clock_period_ns": 5.0,
        "fifos": [
            {"name": name, "depth": depth, "high_water": most}
            for name, depth, most in (("f1", 4, 1), ("f2", 2, 2), ("f3", 2, 1), ("f4", 2, 1))
        ],
        "taps": [{"node": node, "first_cycle": first, "last_cycle": last} for node, first, last in taps],
    }


def pair_folder(folder: Path, *edits: tuple[str, str], step: int = 3, test: int = 80, random: int = 200) -> Path:
    """Write a build folder as far as the rtl stage; each edit replaces one text of the RTL by another, once."""
    sv = pair_sv(step)
    for old, new in edits:
        assert old in sv, old
        sv = sv.replace(old, new, 1)
    g = pair_graph()
    rng = np.random.default_rng(0)

    def frames(count: int) -> dict:
        return {n.name: rng.integers(n.fmt.int_min, n.fmt.int_max + 1, (count, *n.shape)) for n in g.inputs}

    corners = {n.name: np.stack([np.full(n.shape, v) for v in (n.fmt.int_min, n.fmt.int_max, 0)]) for n in g.inputs}
    rows = [{"a": a, "b": b, "vectors": 1000, "mismatches": 0} for a, b in (("qkeras", "graph"), ("graph", "hls_cpp"))]
    files = FileSet()
    files.merge(graph_files(g), under="graph")
    files.add("rtl/pair.sv", sv)
    files.add("rtl/pair.f", "pair.sv\n")
    files.add("rtl/design.json", json_bytes(pair_design()))
    files.add("reports/prediction.json", json_bytes(pair_prediction(step)))
    files.add("reports/pairs.json", json_bytes(rows))
    files.write(folder)
    save_vectors(folder / "tb" / "vectors.npz", {"test": frames(test), "random": frames(random), "corners": corners})
    return folder


def verification(folder: Path) -> dict:
    return json.loads((folder / "verification.json").read_text())
