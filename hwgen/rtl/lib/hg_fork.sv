// hg_fork: one stream to several, each taking every item once, in its own time (eager).
//
// Latency 0, interval 1. The item leaves when every branch has taken it; valid never waits for ready.
module hg_fork #(
    parameter int unsigned Branches = 2  // output streams, >= 2
) (
    input  logic                clk_i,
    input  logic                rst_i,        // synchronous, active high
    input  logic                in_valid_i,
    output logic                in_ready_o,
    output logic [Branches-1:0] out_valid_o,
    input  logic [Branches-1:0] out_ready_i
);

  if (Branches < 2) begin : g_check
    $error("hg_fork: Branches must be at least 2");
  end

  logic [Branches-1:0] done_q;  // branches that have taken the present item

  wire [Branches-1:0] done = done_q | (out_valid_o & out_ready_i);

  assign out_valid_o = {Branches{in_valid_i}} & ~done_q;
  assign in_ready_o  = &(done_q | out_ready_i);

  always_ff @(posedge clk_i) begin
    if (rst_i || (in_valid_i && in_ready_o)) done_q <= '0;
    else done_q <= done;
  end

endmodule
