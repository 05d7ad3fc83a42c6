// hg_valid_pipe: the valid bits that travel beside a free-running data pipeline.
//
//   valid_o[t] = valid_i[t - Stages], false for every frame that a reset met on its way
//
// Latency Stages, interval 1.
module hg_valid_pipe #(
    parameter int unsigned Stages = 1  // register ranks of the data pipeline, >= 1
) (
    input  logic clk_i,
    input  logic rst_i,    // synchronous, active high
    input  logic valid_i,
    output logic valid_o
);

  if (Stages < 1) begin : g_check_stages
    $error("hg_valid_pipe: Stages must be at least 1");
  end

  logic [Stages-1:0] valid_q;

  if (Stages == 1) begin : g_one
    always_ff @(posedge clk_i) valid_q <= rst_i ? 1'b0 : valid_i;
  end else begin : g_many
    always_ff @(posedge clk_i) valid_q <= rst_i ? '0 : {valid_q[Stages-2:0], valid_i};
  end

  assign valid_o = valid_q[Stages-1];

endmodule
