// hg_axis_out: whole frames to AXI4-Stream beats.
//
//   tdata of beat b = frame[8*Bytes*b +: 8*Bytes], TLAST on beat Beats - 1
//
// Latency 1 from the frame to its first beat, interval Beats: the next frame is taken with the last beat.
module hg_axis_out #(
    parameter int unsigned Bytes = 8,  // bytes a beat, >= 1
    parameter int unsigned Beats = 1   // beats a frame, >= 1
) (
    input  logic                     clk_i,
    input  logic                     rst_i,          // synchronous, active high
    input  logic                     frame_valid_i,
    output logic                     frame_ready_o,
    input  logic [8*Bytes*Beats-1:0] frame_i,
    output logic [      8*Bytes-1:0] tdata_o,
    output logic                     tvalid_o,
    input  logic                     tready_i,
    output logic                     tlast_o
);

  localparam int unsigned CountWidth = $clog2(Beats + 1);
  localparam logic [CountWidth-1:0] LastBeat = CountWidth'(Beats - 1);

  if (Bytes < 1 || Beats < 1) begin : g_check
    $error("hg_axis_out: Bytes and Beats must be at least 1");
  end

  logic [8*Bytes*Beats-1:0] frame_q;
  logic [   CountWidth-1:0] beat_q;

  assign tlast_o       = beat_q == LastBeat;
  assign tdata_o       = frame_q[8*Bytes-1:0];
  assign frame_ready_o = !rst_i && (!tvalid_o || (tready_i && tlast_o));

  wire load = frame_valid_i && frame_ready_o;
  wire step = tvalid_o && tready_i;

  if (Beats == 1) begin : g_one
    always_ff @(posedge clk_i) if (load) frame_q <= frame_i;
  end else begin : g_many
    always_ff @(posedge clk_i) begin
      if (load) frame_q <= frame_i;
      else if (step) frame_q <= frame_q >> (8 * Bytes);
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      tvalid_o <= 1'b0;
      beat_q   <= '0;
    end else begin
      if (load) tvalid_o <= 1'b1;
      else if (step && tlast_o) tvalid_o <= 1'b0;
      if (step) beat_q <= tlast_o ? '0 : beat_q + 1'b1;
    end
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (rst_i)
      tvalid_o && !tready_i |=> tvalid_o && $stable(tdata_o) && $stable(tlast_o));
`endif

endmodule
