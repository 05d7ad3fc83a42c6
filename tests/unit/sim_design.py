"""A small hand-written design with hwgen's interface, and a build folder around it, for the tests of the proof."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hwgen.files import FileSet, json_bytes
from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.ir import Graph, graph_files
from hwgen.ir import nodes as ir
from hwgen.ir.vectors import make_vectors, save_vectors

W1 = np.array([[3, -5, 7], [-8, 2, 1], [31, -32, 4], [30, 6, -9]])
B1 = np.array([5, -3, 17])
W2 = np.array([[5, -7], [-2, 11], [13, 3]])
IN_FMT = FixedPoint(5, 1, signed=False)
RELU = FixedPoint(6, 2, False, Rounding.RND_CONV, Overflow.SAT)


def tiny_graph() -> Graph:
    return Graph(
        "tiny",
        (
            ir.Input(name="x", shape=(4,), fmt=IN_FMT),
            ir.Const(name="fc1_w", value=W1, fraction=5),
            ir.Const(name="fc1_b", value=B1, fraction=5),
            ir.Dense(name="fc1", inputs=("x", "fc1_w", "fc1_b")),
            ir.Requantize(name="relu1", inputs=("fc1",), fmt=RELU),
            ir.Const(name="fc2_w", value=W2, fraction=5),
            ir.Dense(name="fc2", inputs=("relu1", "fc2_w")),
            ir.Output(name="fc2_out", inputs=("fc2",)),
        ),
    ).verify()


def _sum(weights: np.ndarray, column: int, bias: int, names: str) -> str:
    terms = [f"{int(w)} * {names}{i}" for i, w in enumerate(weights[:, column]) if w]
    return " + ".join([*terms, str(bias)]).replace("+ -", "- ")


def tiny_sv(handshake: str = "valid_ready") -> str:
    """Latency 3: fc1 and relu1 in one register, fc2 in one, the output FIFO (or a register) after them."""
    g = tiny_graph()
    w_fc1, w_fc2 = g.types["fc1"].fmt.width, g.types["fc2"].fmt.width
    shift = g.types["fc1"].fraction - RELU.fraction
    ready = handshake == "valid_ready"
    lines = ["module tiny (", "  input logic clk_i, input logic rst_i,", "  input logic in_valid_i,"]
    lines += ["  output logic in_ready_o,"] if ready else []
    lines += ["  input logic [19:0] in_data_i,", "  output logic out_valid_o,"]
    lines += ["  input logic out_ready_i,"] if ready else []
    lines += [
        f"  output logic [{2 * w_fc2 - 1}:0] out_data_o",
        "`ifdef HWGEN_TAPS",
        f"  , output logic [{3 * w_fc1 - 1}:0] tap_fc1_o, output logic [17:0] tap_relu1_o",
        f"  , output logic [{2 * w_fc2 - 1}:0] tap_fc2_o",
        "`endif",
        ");",
    ]
    lines += [f"  wire signed [31:0] x{i} = {{27'd0, in_data_i[{5 * i} +: 5]}};" for i in range(4)]
    lines += ["  logic [17:0] relu_q;", f"  logic [{2 * w_fc2 - 1}:0] fc2_q;", "  logic v1_q, v2_q;", "  wire take;"]
    for j in range(3):
        lines += [
            f"  wire signed [31:0] a{j} = {_sum(W1, j, int(B1[j]) << (9 - 5), 'x')};",
            f"  wire signed [31:0] r{j} = (a{j} + {(1 << (shift - 1)) - 1} + ((a{j} >>> {shift}) & 1)) >>> {shift};",
            f"  wire [5:0] s{j} = r{j} < 0 ? 6'd0 : r{j} > 63 ? 6'd63 : r{j}[5:0];",
            f"  wire signed [31:0] y{j} = {{26'd0, relu_q[{6 * j} +: 6]}};",
        ]
    lines += [f"  wire signed [31:0] z{j} = {_sum(W2, j, 0, 'y')};" for j in range(2)]
    lines += [
        "  always_ff @(posedge clk_i) begin",
        "    relu_q <= {s2, s1, s0};",
        f"    fc2_q <= {{z1[{w_fc2 - 1}:0], z0[{w_fc2 - 1}:0]}};",
        "    v1_q <= !rst_i && take;",
        "    v2_q <= !rst_i && v1_q;",
        "  end",
    ]
    if ready:
        lines += [
            f"  logic [{2 * w_fc2 - 1}:0] mem [8];",
            "  logic [2:0] rd_q, wr_q;",
            "  logic [3:0] used_q, credit_q;",
            "  assign in_ready_o = credit_q != 0;",
            "  assign take = in_valid_i && in_ready_o;",
            "  assign out_valid_o = used_q != 0;",
            "  assign out_data_o = mem[rd_q];",
            "  wire pop = out_valid_o && out_ready_i;",
            "  always_ff @(posedge clk_i) begin",
            "    if (v2_q) mem[wr_q] <= fc2_q;",
            "    if (rst_i) begin rd_q <= 0; wr_q <= 0; used_q <= 0; credit_q <= 8; end",
            "    else begin",
            "      wr_q <= wr_q + 3'(v2_q);",
            "      rd_q <= rd_q + 3'(pop);",
            "      used_q <= used_q + 4'(v2_q) - 4'(pop);",
            "      credit_q <= credit_q + 4'(pop) - 4'(take);",
            "    end",
            "  end",
        ]
    else:
        lines += [
            "  assign take = in_valid_i;",
            "  always_ff @(posedge clk_i) begin out_data_o <= fc2_q; out_valid_o <= !rst_i && v2_q; end",
        ]
    lines += [
        "`ifdef HWGEN_TAPS",
        f"  logic [{3 * w_fc1 - 1}:0] fc1_q;",
        f"  always_ff @(posedge clk_i) fc1_q <= {{{', '.join(f'a{j}[{w_fc1 - 1}:0]' for j in (2, 1, 0))}}};",
        "  assign tap_fc1_o = fc1_q;",
        "  assign tap_relu1_o = relu_q;",
        "  assign tap_fc2_o = fc2_q;",
        "`endif",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _port(graph: Graph, node: str, name: str, port: str, **extra: object) -> dict:
    t = graph.types[node]
    row = {"name": name, "port": port, "shape": list(t.shape), "elements": t.size, "width": t.fmt.width}
    return {**row, "beats": 1, "signed": t.fmt.signed, "fraction": t.fraction, **extra}


def tiny_design(handshake: str = "valid_ready") -> dict:
    g = tiny_graph()
    taps = []
    for node, cycle in (("fc1", 1), ("relu1", 1), ("fc2", 2)):
        row = _port(g, node, node, f"tap_{node}_o", cycle=cycle)
        taps.append({"node": row.pop("name"), **row})
    ready = ("in_ready_o", "out_ready_i") if handshake == "valid_ready" else (None, None)
    return {
        "version": 1,
        "top": "tiny",
        "io_type": "io_parallel",
        "handshake": handshake,
        "clock": "clk_i",
        "reset": "rst_i",
        "inputs": [_port(g, "x", "x", "in_data_i")],
        "outputs": [_port(g, "fc2", "fc2_out", "out_data_o")],
        "in_streams": [{"valid": "in_valid_i", "ready": ready[0], "beats": 1, "ports": ["x"]}],
        "out_streams": [{"valid": "out_valid_o", "ready": ready[1], "beats": 1, "ports": ["fc2_out"]}],
        "taps": taps,
        "links": [],
        "fifos": [],
    }


def tiny_folder(folder: Path, handshake: str = "valid_ready", *, edit: tuple[str, str] | None = None) -> Path:
    """Write a build folder as far as the rtl stage; `edit` replaces one text of the RTL by another, once."""
    sv = tiny_sv(handshake)
    if edit is not None:
        assert edit[0] in sv, edit[0]
        sv = sv.replace(*edit, 1)
    g = tiny_graph()
    rng = np.random.default_rng(0)
    test = {"x": rng.integers(0, 32, (100, 4))}
    rows = [{"a": a, "b": b, "vectors": 1000, "mismatches": 0} for a, b in (("qkeras", "graph"), ("graph", "hls_cpp"))]
    files = FileSet()
    files.merge(graph_files(g), under="graph")
    files.add("rtl/tiny.sv", sv)
    files.add("rtl/tiny.f", "tiny.sv\n")
    files.add("rtl/design.json", json_bytes(tiny_design(handshake)))
    prediction = {"latency_cycles": 3, "interval_cycles": 1, "clock_period_ns": 5.0}
    files.add("reports/prediction.json", json_bytes(prediction))
    files.add("reports/pairs.json", json_bytes(rows))
    files.write(folder)
    save_vectors(folder / "tb" / "vectors.npz", make_vectors(g, test, 2000, 0))
    return folder


def verification(folder: Path) -> dict:
    return json.loads((folder / "verification.json").read_text())
