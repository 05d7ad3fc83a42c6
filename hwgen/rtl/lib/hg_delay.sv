// hg_delay: a vector, Cycles clock cycles later.
//
//   y[t] = x[t - Cycles]
//
// Latency Cycles, interval 1. No reset: data registers carry no control.
module hg_delay #(
    parameter int unsigned Width  = 1,  // bits of the vector, >= 1
    parameter int unsigned Cycles = 1   // registers in the path; 0 is a wire
) (
    // no clock is needed when Cycles is 0
    // verilator lint_off UNUSEDSIGNAL
    input  logic             clk_i,
    // verilator lint_on UNUSEDSIGNAL
    input  logic [Width-1:0] x_i,
    output logic [Width-1:0] y_o
);

  if (Width < 1) begin : g_check_width
    $error("hg_delay: Width must be at least 1");
  end

  if (Cycles == 0) begin : g_wire
    assign y_o = x_i;
  end else begin : g_registers
    logic [Cycles*Width-1:0] line_q;

    if (Cycles == 1) begin : g_one
      always_ff @(posedge clk_i) line_q <= x_i;
    end else begin : g_many
      always_ff @(posedge clk_i) line_q <= {line_q[(Cycles-1)*Width-1:0], x_i};
    end

    assign y_o = line_q[Cycles*Width-1-:Width];
  end

endmodule
