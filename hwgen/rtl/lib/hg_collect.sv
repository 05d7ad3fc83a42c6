// hg_collect: Beats narrow beats to one wide item.
//
//   out_data_o[Width*k +: Width] = beat k
//
// Firing rule: the beats before the last one are stored as they come; the last one passes through, together with the
// stored ones, in the cycle in which the wide item is taken. Latency 0 from the last beat, interval Beats.
module hg_collect #(
    parameter int unsigned Width = 8,  // bits of a beat, >= 1
    parameter int unsigned Beats = 2   // beats of an item, >= 1
) (
    // no clock is needed when Beats is 1
    // verilator lint_off UNUSEDSIGNAL
    input  logic                   clk_i,
    input  logic                   rst_i,        // synchronous, active high
    // verilator lint_on UNUSEDSIGNAL
    input  logic                   in_valid_i,
    output logic                   in_ready_o,
    input  logic [      Width-1:0] in_data_i,
    output logic                   out_valid_o,
    input  logic                   out_ready_i,
    output logic [Beats*Width-1:0] out_data_o
);

  if (Width < 1 || Beats < 1) begin : g_check
    $error("hg_collect: Width and Beats must be at least 1");
  end

  if (Beats == 1) begin : g_wire
    assign out_valid_o = in_valid_i;
    assign in_ready_o  = out_ready_i;
    assign out_data_o  = in_data_i;
  end else begin : g_store
    localparam int unsigned CountWidth = $clog2(Beats);

    logic [       CountWidth-1:0] beat_q;
    logic [(Beats-1)*Width-1:0] stored_q;

    wire last = beat_q == CountWidth'(Beats - 1);

    assign out_valid_o = last && in_valid_i;
    assign in_ready_o  = !last || out_ready_i;
    assign out_data_o  = {in_data_i, stored_q};

    for (genvar k = 0; k < Beats - 1; k++) begin : g_beat
      always_ff @(posedge clk_i) begin
        if (in_valid_i && beat_q == CountWidth'(k)) stored_q[k*Width+:Width] <= in_data_i;
      end
    end

    always_ff @(posedge clk_i) begin
      if (rst_i) beat_q <= '0;
      else if (in_valid_i && in_ready_o) beat_q <= last ? '0 : beat_q + 1'b1;
    end
  end

endmodule
