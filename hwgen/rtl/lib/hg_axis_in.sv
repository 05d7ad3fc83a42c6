// hg_axis_in: AXI4-Stream beats to whole frames.
//
//   frame[8*Bytes*b +: 8*Bytes] = tdata of beat b
//
// A frame is held until it is taken, while the next one is collected: latency 1 from the last beat, interval Beats.
// TLAST before the last beat: the frame is dropped. Beats after the last one: dropped until TLAST. Both pulse
// frame_error_o for one cycle. A reset drops what was collected; the source restarts at a frame's first beat.
module hg_axis_in #(
    parameter int unsigned Bytes = 8,  // bytes a beat, >= 1
    parameter int unsigned Beats = 1   // beats a frame, >= 1
) (
    input  logic                     clk_i,
    input  logic                     rst_i,          // synchronous, active high
    input  logic [      8*Bytes-1:0] tdata_i,
    input  logic                     tvalid_i,
    output logic                     tready_o,
    input  logic                     tlast_i,
    output logic                     frame_error_o,
    output logic                     frame_valid_o,
    input  logic                     frame_ready_i,
    output logic [8*Bytes*Beats-1:0] frame_o
);

  localparam int unsigned CountWidth = $clog2(Beats + 1);
  localparam logic [CountWidth-1:0] LastBeat = CountWidth'(Beats - 1);

  if (Bytes < 1 || Beats < 1) begin : g_check
    $error("hg_axis_in: Bytes and Beats must be at least 1");
  end

  logic [CountWidth-1:0] beat_q;   // beats of the frame collected so far
  logic                  skip_q;   // the frame was too long: discard until TLAST

  wire at_last = beat_q == LastBeat;
  wire take = tvalid_i && tready_o;
  // Only the beat that completes a frame needs the holding register free.
  assign tready_o = !rst_i && (skip_q || !at_last || !frame_valid_o || frame_ready_i);

  if (Beats == 1) begin : g_one
    always_ff @(posedge clk_i) if (take && !skip_q) frame_o <= tdata_i;
  end else begin : g_many
    logic [8*Bytes*(Beats-1)-1:0] collected_q;
    always_ff @(posedge clk_i) begin
      if (take && !skip_q) begin
        if (at_last) frame_o <= {tdata_i, collected_q};
        else collected_q[8*Bytes*beat_q+:8*Bytes] <= tdata_i;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      beat_q        <= '0;
      skip_q        <= 1'b0;
      frame_valid_o <= 1'b0;
      frame_error_o <= 1'b0;
    end else begin
      frame_error_o <= 1'b0;
      if (frame_ready_i) frame_valid_o <= 1'b0;
      if (take) begin
        if (skip_q) begin
          skip_q <= !tlast_i;
        end else if (at_last) begin
          frame_valid_o <= 1'b1;
          beat_q        <= '0;
          skip_q        <= !tlast_i;
          frame_error_o <= !tlast_i;
        end else begin
          beat_q        <= tlast_i ? '0 : beat_q + 1'b1;
          frame_error_o <= tlast_i;
        end
      end
    end
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (rst_i)
      frame_valid_o && !frame_ready_i |=> frame_valid_o && $stable(frame_o));
`endif

endmodule
