// hg_fifo: a queue between two streams.
//
// Firing rule: pop(n) >= push(n) + 1, push(n) >= pop(n - Depth) + 1. Ready never depends on the sink's ready in the
// same cycle. Latency 1, interval 1. The slots are registers or LUT-RAM (combinational read).
// HWGEN_TAPS: high_o is the highest fill since reset; what is pushed in a cycle counts from the next cycle on.
module hg_fifo #(
    parameter int unsigned Width = 8,  // bits of an item, >= 1
    parameter int unsigned Depth = 2   // slots, >= 2
) (
`ifdef HWGEN_TAPS
    output logic [$clog2(Depth+1)-1:0] high_o,
`endif
    input  logic                       clk_i,
    input  logic                       rst_i,        // synchronous, active high
    input  logic                       in_valid_i,
    output logic                       in_ready_o,
    input  logic [          Width-1:0] in_data_i,
    output logic                       out_valid_o,
    input  logic                       out_ready_i,
    output logic [          Width-1:0] out_data_o
);

  localparam int unsigned IndexWidth = $clog2(Depth);
  localparam int unsigned CountWidth = $clog2(Depth + 1);
  localparam logic [IndexWidth-1:0] LastIndex = IndexWidth'(Depth - 1);

  if (Width < 1 || Depth < 2) begin : g_check
    $error("hg_fifo: Width must be at least 1 and Depth at least 2");
  end

  logic [     Width-1:0] slots_q  [Depth];
  logic [IndexWidth-1:0] write_q;
  logic [IndexWidth-1:0] read_q;
  logic [CountWidth-1:0] filled_q;

  wire push = in_valid_i && in_ready_o;
  wire pop = out_valid_o && out_ready_i;

  assign in_ready_o  = filled_q != CountWidth'(Depth);
  assign out_valid_o = filled_q != '0;
  assign out_data_o  = slots_q[read_q];

  always_ff @(posedge clk_i) begin
    if (push) slots_q[write_q] <= in_data_i;
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      write_q  <= '0;
      read_q   <= '0;
      filled_q <= '0;
    end else begin
      if (push) write_q <= (write_q == LastIndex) ? '0 : write_q + 1'b1;
      if (pop) read_q <= (read_q == LastIndex) ? '0 : read_q + 1'b1;
      filled_q <= filled_q + CountWidth'(push) - CountWidth'(pop);
    end
  end

`ifdef HWGEN_TAPS
  logic [CountWidth-1:0] high_q;

  assign high_o = (filled_q > high_q) ? filled_q : high_q;

  always_ff @(posedge clk_i) high_q <= rst_i ? '0 : high_o;
`endif

`ifndef SYNTHESIS
  // Once valid, data holds until ready.
  assert property (@(posedge clk_i) disable iff (rst_i)
      out_valid_o && !out_ready_i |=> out_valid_o && $stable(out_data_o));
`endif

endmodule
