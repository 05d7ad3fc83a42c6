// hg_credit_fifo: back-pressure for a pipeline that cannot stop.
//
// The pipeline runs freely. An item may enter only with credits for all results it will give (Batch), and there are as
// many credits as slots here, so that a result always finds room and no stall wire crosses the design. A credit returns
// when its result leaves.
//
// Latency 1 (push to pop), interval 1 if Batch is 1 and Depth >= pipeline latency + 2.
module hg_credit_fifo #(
    parameter int unsigned Width = 8,  // bits of a result, >= 1
    parameter int unsigned Depth = 4,  // slots and credits, >= 2
    parameter int unsigned Batch = 1   // results of one entry, 1..Depth
) (
    input  logic             clk_i,
    input  logic             rst_i,        // synchronous, active high
    // entry of the pipeline: credits are taken when both are high
    input  logic             in_valid_i,
    output logic             in_ready_o,
    // end of the pipeline: never refused
    input  logic             push_i,
    input  logic [Width-1:0] push_data_i,
    // results
    output logic             out_valid_o,
    input  logic             out_ready_i,
    output logic [Width-1:0] out_data_o
);

  localparam int unsigned IndexWidth = $clog2(Depth);
  localparam int unsigned CountWidth = $clog2(Depth + 1);
  localparam logic [IndexWidth-1:0] LastIndex = IndexWidth'(Depth - 1);

  if (Width < 1 || Depth < 2 || Batch < 1 || Batch > Depth) begin : g_check
    $error("hg_credit_fifo: Width must be at least 1, Depth at least 2 and Batch between 1 and Depth");
  end

  logic [     Width-1:0] slots_q                                [Depth];
  logic [IndexWidth-1:0] write_q;
  logic [IndexWidth-1:0] read_q;
  logic [CountWidth-1:0] filled_q;
  logic [CountWidth-1:0] credits_q;

  wire take = in_valid_i && in_ready_o;
  wire pop = out_valid_o && out_ready_i;

  assign in_ready_o  = (credits_q >= CountWidth'(Batch)) && !rst_i;
  assign out_valid_o = filled_q != '0;
  assign out_data_o  = slots_q[read_q];

  always_ff @(posedge clk_i) begin
    if (push_i) slots_q[write_q] <= push_data_i;
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      write_q   <= '0;
      read_q    <= '0;
      filled_q  <= '0;
      credits_q <= CountWidth'(Depth);
    end else begin
      if (push_i) write_q <= (write_q == LastIndex) ? '0 : write_q + 1'b1;
      if (pop) read_q <= (read_q == LastIndex) ? '0 : read_q + 1'b1;
      filled_q  <= filled_q + CountWidth'(push_i) - CountWidth'(pop);
      credits_q <= credits_q + CountWidth'(pop) - (take ? CountWidth'(Batch) : '0);
    end
  end

`ifndef SYNTHESIS
  // Once valid, data holds until ready.
  assert property (@(posedge clk_i) disable iff (rst_i)
      out_valid_o && !out_ready_i |=> out_valid_o && $stable(out_data_o));
  // A result always finds a slot.
  assert property (@(posedge clk_i) disable iff (rst_i) push_i |-> filled_q != CountWidth'(Depth));
`endif

endmodule
