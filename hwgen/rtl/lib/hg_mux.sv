// hg_mux: one of many elements, sixteen to one a clock cycle.
//
//   y = x[select]
//
// Element i at [i*Width +: Width]. Latency max(1, ceil(log16(Inputs))), interval 1. No reset: data only.
module hg_mux #(
    parameter int unsigned Width  = 8,   // bits of an element, >= 1
    parameter int unsigned Inputs = 16,  // elements, >= 1
    localparam int unsigned SelectWidth = Inputs > 1 ? $clog2(Inputs) : 1
) (
    input  logic                    clk_i,
    input  logic [Inputs*Width-1:0] x_i,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [ SelectWidth-1:0] select_i,  // below Inputs; of one element, nobody asks
    // verilator lint_on UNUSEDSIGNAL
    output logic [       Width-1:0] y_o
);

  localparam int unsigned Levels = Inputs > 16 ? (SelectWidth + 3) / 4 : 1;

  if (Width < 1 || Inputs < 1) begin : g_check
    $error("hg_mux: Width and Inputs must be at least 1");
  end

  // level d leaves one of every sixteen elements of level d - 1, by four more bits of the select
  for (genvar d = 0; d < Levels; d++) begin : g_level
    localparam int unsigned Below = (Inputs + (1 << (4 * d)) - 1) >> (4 * d);
    localparam int unsigned Nodes = (Below + 15) / 16;
    wire [Below*Width-1:0] x;
    logic [Nodes*Width-1:0] y_q;

    if (d == 0) begin : g_first
      assign x = x_i;
    end else begin : g_later
      assign x = g_level[d-1].y_q;
    end

    if (Below == 1) begin : g_wire
      always_ff @(posedge clk_i) y_q <= x;
    end else begin : g_nodes
      localparam int unsigned Bits = SelectWidth - 4 * d < 4 ? SelectWidth - 4 * d : 4;
      wire [Bits-1:0] select;

      hg_delay #(
          .Width (Bits),
          .Cycles(d)
      ) u_select (
          .clk_i(clk_i),
          .x_i  (select_i[4*d+:Bits]),
          .y_o  (select)
      );

      for (genvar j = 0; j < Nodes; j++) begin : g_node
        localparam int unsigned Count = Below - 16 * j < 16 ? Below - 16 * j : 16;
        wire [Count*Width-1:0] part = x[16*j*Width+:Count*Width];
        if (Count == 1) begin : g_one
          always_ff @(posedge clk_i) y_q[j*Width+:Width] <= part;
        end else begin : g_some
          localparam int unsigned Need = $clog2(Count);  // a last, short group is never asked beyond its end
          always_ff @(posedge clk_i) y_q[j*Width+:Width] <= part[32'(select[Need-1:0])*Width+:Width];
        end
      end
    end
  end

  assign y_o = g_level[Levels-1].y_q;

endmodule
