// hg_sum: a sum of many, four at a time a clock cycle.
//
//   y = sum over i of x[i], exact modulo 2^Width
//
// Element i at [i*Width +: Width]. Latency max(1, ceil(log4(Inputs))), interval 1. No reset: data only.
module hg_sum #(
    parameter int unsigned Width  = 8,  // bits of an element and of the sum, >= 1
    parameter int unsigned Inputs = 4   // elements, >= 1
) (
    input  logic                    clk_i,
    input  logic [Inputs*Width-1:0] x_i,
    output logic [       Width-1:0] y_o
);

  localparam int unsigned Levels = Inputs > 4 ? ($clog2(Inputs) + 1) / 2 : 1;

  if (Width < 1 || Inputs < 1) begin : g_check
    $error("hg_sum: Width and Inputs must be at least 1");
  end

  // level d holds sums of 4^(d + 1) elements
  for (genvar d = 0; d < Levels; d++) begin : g_level
    localparam int unsigned Below = (Inputs + (1 << (2 * d)) - 1) >> (2 * d);
    localparam int unsigned Nodes = (Below + 3) / 4;
    wire [Nodes*4*Width-1:0] x;
    logic [Nodes*Width-1:0] y_q;

    if (d == 0) begin : g_first
      assign x[Below*Width-1:0] = x_i;
    end else begin : g_later
      assign x[Below*Width-1:0] = g_level[d-1].y_q;
    end
    if (Nodes * 4 > Below) begin : g_zeros
      assign x[Nodes*4*Width-1:Below*Width] = '0;
    end

    for (genvar j = 0; j < Nodes; j++) begin : g_node
      always_ff @(posedge clk_i) begin
        y_q[j*Width+:Width] <= (x[4*j*Width+:Width] + x[(4*j+1)*Width+:Width])
            + (x[(4*j+2)*Width+:Width] + x[(4*j+3)*Width+:Width]);
      end
    end
  end

  assign y_o = g_level[Levels-1].y_q;

endmodule
