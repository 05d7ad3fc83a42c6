// hg_dot: a dot product, pipelined: products, then sums of four at a time.
//
//   y = sum over p of x[p] * w[p]          x unsigned or signed, w signed, y signed, exact modulo 2^OutWidth
//
// Element p at [p*InWidth +: InWidth] and [p*WeightWidth +: WeightWidth].
// Latency 1 + ceil(log4(Products)), interval 1. No reset: data only.
module hg_dot #(
    parameter int unsigned InWidth     = 8,    // bits of an x, >= 1
    parameter bit          InSigned    = 1'b1, // whether x is signed
    parameter int unsigned WeightWidth = 8,    // bits of a w, >= 1
    parameter int unsigned Products    = 4,    // elements, >= 1
    parameter int unsigned OutWidth    = 18    // bits of y, >= 1
) (
    input  logic                                   clk_i,
    input  logic        [    Products*InWidth-1:0] x_i,
    input  logic        [Products*WeightWidth-1:0] w_i,
    output logic signed [            OutWidth-1:0] y_o
);

  localparam int unsigned Levels = (($clog2(Products) + 1) / 2);      // ceil(log4(Products))
  localparam int unsigned XWidth = InWidth + (InSigned ? 0 : 1);      // a sign for x
  localparam int unsigned FullWidth = XWidth + WeightWidth;           // of a product

  if (InWidth < 1 || WeightWidth < 1 || Products < 1 || OutWidth < 1) begin : g_check
    $error("hg_dot: every parameter must be at least 1");
  end

  // level 0 holds the products, level d sums of 4^d of them, each as wide as it needs and no wider than y
  for (genvar d = 0; d <= Levels; d++) begin : g_level
    localparam int unsigned Nodes = (Products + (1 << (2 * d)) - 1) >> (2 * d);
    localparam int unsigned Width = FullWidth + 2 * d < OutWidth ? FullWidth + 2 * d : OutWidth;
    for (genvar j = 0; j < Nodes; j++) begin : g_node
      logic signed [Width-1:0] value_q;
      if (d == 0) begin : g_product
        wire signed [XWidth-1:0] x;
        if (InSigned) begin : g_signed
          assign x = $signed(x_i[j*InWidth+:InWidth]);
        end else begin : g_unsigned
          assign x = $signed({1'b0, x_i[j*InWidth+:InWidth]});
        end
        wire signed [WeightWidth-1:0] w = $signed(w_i[j*WeightWidth+:WeightWidth]);
        always_ff @(posedge clk_i) value_q <= Width'(x * w);
      end else begin : g_sum
        localparam int unsigned Below = (Products + (1 << (2 * d - 2)) - 1) >> (2 * d - 2);
        wire signed [Width-1:0] a = Width'(g_level[d-1].g_node[4*j].value_q);
        wire signed [Width-1:0] b, c, e;
        if (4 * j + 1 < Below) begin : g_b
          assign b = Width'(g_level[d-1].g_node[4*j+1].value_q);
        end else begin : g_no_b
          assign b = '0;
        end
        if (4 * j + 2 < Below) begin : g_c
          assign c = Width'(g_level[d-1].g_node[4*j+2].value_q);
        end else begin : g_no_c
          assign c = '0;
        end
        if (4 * j + 3 < Below) begin : g_e
          assign e = Width'(g_level[d-1].g_node[4*j+3].value_q);
        end else begin : g_no_e
          assign e = '0;
        end
        always_ff @(posedge clk_i) value_q <= (a + b) + (c + e);
      end
    end
  end

  assign y_o = OutWidth'(g_level[Levels].g_node[0].value_q);

endmodule
