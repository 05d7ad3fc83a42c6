// hg_split: one wide item to Beats narrow beats.
//
//   beat k = in_data_i[Width*k +: Width]
//
// Firing rule: beat k is a slice of the waiting item, which is taken with its last beat. Latency 0, interval Beats.
module hg_split #(
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
    input  logic [Beats*Width-1:0] in_data_i,
    output logic                   out_valid_o,
    input  logic                   out_ready_i,
    output logic [      Width-1:0] out_data_o
);

  if (Width < 1 || Beats < 1) begin : g_check
    $error("hg_split: Width and Beats must be at least 1");
  end

  assign out_valid_o = in_valid_i;

  if (Beats == 1) begin : g_wire
    assign in_ready_o = out_ready_i;
    assign out_data_o = in_data_i;
  end else begin : g_slice
    localparam int unsigned CountWidth = $clog2(Beats);

    logic [CountWidth-1:0] beat_q;

    wire last = beat_q == CountWidth'(Beats - 1);

    assign in_ready_o = last && out_ready_i;
    assign out_data_o = in_data_i[int'(beat_q)*Width+:Width];

    always_ff @(posedge clk_i) begin
      if (rst_i) beat_q <= '0;
      else if (in_valid_i && out_ready_i) beat_q <= last ? '0 : beat_q + 1'b1;
    end
  end

endmodule
