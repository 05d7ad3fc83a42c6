// hg_axis_frame_in: AXI4-Stream beats to the pixels of a stream.
//
// A frame is Pixels pixels of Elements elements of ElementBytes bytes, the first one at the least significant byte, and
// padding to whole beats; TLAST marks its last beat. out_data_o[ElementWidth*e +: ElementWidth] = low bits of element e.
//
// Every frame that begins leaves as a whole frame, with one tag for hg_axis_frame_out. TLAST before the last beat: the
// missing beats are made up of zeros (the source waits), and the tag says bad. No TLAST on the last beat: the frame is
// good, and beats are discarded until TLAST. Both pulse frame_error_o for one cycle. The tag is pushed with the beat
// that decides: TLAST or the last beat. Nothing in flight is disturbed.
//
// Firing rule: that of hg_repack from beats to pixels; and a beat enters only while tag_ready_i is high (discarded beats
// need nothing). A missing beat is one beat of zeros, from the cycle after the decision on. Latency 1 from the
// last byte of a pixel; a beat in or a pixel out every cycle. After a reset the source begins with a frame's first beat.
module hg_axis_frame_in #(
    parameter int unsigned Bytes = 8,         // bytes of a beat, >= 1
    parameter int unsigned Pixels = 4,        // pixels of a frame, >= 1
    parameter int unsigned Elements = 1,      // elements of a pixel, >= 1
    parameter int unsigned ElementBytes = 1,  // bytes of an element, >= 1
    parameter int unsigned ElementWidth = 8   // bits of an element that count, 1..8*ElementBytes
) (
    input  logic                             clk_i,
    input  logic                             rst_i,          // synchronous, active high
    input  logic [              8*Bytes-1:0] tdata_i,
    input  logic                             tvalid_i,
    output logic                             tready_o,
    input  logic                             tlast_i,
    output logic                             frame_error_o,
    // one item a frame, pushed with the beat that decides
    output logic                             tag_valid_o,
    input  logic                             tag_ready_i,
    output logic                             tag_bad_o,
    output logic                             out_valid_o,
    input  logic                             out_ready_i,
    output logic [Elements*ElementWidth-1:0] out_data_o
);

  localparam int unsigned PixelBytes = Elements * ElementBytes;
  localparam int unsigned Beats = (Pixels * PixelBytes + Bytes - 1) / Bytes;
  localparam int unsigned PackedBytes = Pixels == 1 ? Beats * Bytes : PixelBytes;  // one pixel: whole beats, as they come
  localparam int unsigned LastBytes = Pixels * PackedBytes - (Beats - 1) * Bytes;
  localparam int unsigned CountWidth = $clog2(Beats + 1);

  // bytes that always travel together
  function automatic int unsigned common(input int unsigned a, input int unsigned b);
    common = 1;
    for (int unsigned k = 2; k <= a; k++) if (a % k == 0 && b % k == 0) common = k;
  endfunction

  localparam int unsigned Unit = common(Bytes, PackedBytes);

  if (Bytes < 1 || Pixels < 1 || Elements < 1 || ElementBytes < 1) begin : g_check
    $error("hg_axis_frame_in: Bytes, Pixels, Elements and ElementBytes must be at least 1");
  end
  if (ElementWidth < 1 || ElementWidth > 8 * ElementBytes) begin : g_check_width
    $error("hg_axis_frame_in: ElementWidth must be 1 to 8 * ElementBytes");
  end

  logic [CountWidth-1:0] beat_q;      // beats of the frame so far
  logic                  complete_q;  // the frame ended early: complete it with zeros
  logic                  skip_q;      // the frame was too long: discard until TLAST

  wire room;
  wire at_last = beat_q == CountWidth'(Beats - 1);
  wire collects = !complete_q && !skip_q;
  wire take = tvalid_i && tready_o && collects;
  wire push = complete_q ? room : take;

  assign tready_o    = !rst_i && !complete_q && (skip_q || (room && tag_ready_i));
  assign tag_valid_o = tvalid_i && room && collects && (tlast_i || at_last);
  assign tag_bad_o   = !at_last;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      beat_q        <= '0;
      complete_q    <= 1'b0;
      skip_q        <= 1'b0;
      frame_error_o <= 1'b0;
    end else begin
      if (push) beat_q <= at_last ? '0 : beat_q + 1'b1;
      if (push && at_last) complete_q <= 1'b0;
      else if (take && tlast_i) complete_q <= 1'b1;
      if (take && at_last) skip_q <= !tlast_i;
      else if (tvalid_i && tlast_i) skip_q <= 1'b0;
      frame_error_o <= take && tlast_i != at_last;
    end
  end

  // bits above an element's width, and padding
  // verilator lint_off UNUSEDSIGNAL
  wire [8*PackedBytes-1:0] pixel;
  // verilator lint_on UNUSEDSIGNAL

  hg_repack #(
      .UnitWidth(8 * Unit),
      .InUnits  (Bytes / Unit),
      .LastUnits(LastBytes / Unit),
      .OutUnits (PackedBytes / Unit)
  ) u_repack (
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .in_valid_i (push),
      .in_ready_o (room),
      .in_last_i  (at_last),
      .in_data_i  (complete_q ? '0 : tdata_i),
      .out_valid_o(out_valid_o),
      .out_ready_i(out_ready_i),
      .out_data_o (pixel)
  );

  for (genvar e = 0; e < int'(Elements); e++) begin : g_element
    assign out_data_o[e*int'(ElementWidth)+:ElementWidth] = pixel[8*e*int'(ElementBytes)+:ElementWidth];
  end

endmodule
