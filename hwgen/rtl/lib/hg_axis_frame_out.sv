// hg_axis_frame_out: the pixels of a stream to AXI4-Stream beats; frames whose tag says bad are dropped.
//
// A frame is Pixels pixels of Elements elements of ElementBytes bytes, each sign- or zero-extended, the first one at the
// least significant byte, and zeros to whole beats; TLAST marks its last beat.
//
// Firing rule: every pixel waits for the tag of its frame, which is taken with the frame's last pixel. Pixels of a bad
// frame are taken as they come and go nowhere; those of a good one follow the rule of hg_repack from pixels to beats.
// Latency 1 from the last byte of a beat; a pixel in or a beat out every cycle.
//
// A tag comes with the end of its frame at the input. Where the first pixel of a result can be there before that, as
// many slots as the result has pixels must lie in front of this module, or that end could never come.
module hg_axis_frame_out #(
    parameter int unsigned Bytes = 8,         // bytes of a beat, >= 1
    parameter int unsigned Pixels = 4,        // pixels of a frame, >= 1
    parameter int unsigned Elements = 1,      // elements of a pixel, >= 1
    parameter int unsigned ElementBytes = 1,  // bytes of an element, >= 1
    parameter int unsigned ElementWidth = 8,  // bits of an element, 1..8*ElementBytes
    parameter bit Signed = 1'b1               // whether elements are signed
) (
    input  logic                             clk_i,
    input  logic                             rst_i,        // synchronous, active high
    input  logic                             tag_valid_i,
    output logic                             tag_ready_o,
    input  logic                             tag_bad_i,
    input  logic                             in_valid_i,
    output logic                             in_ready_o,
    input  logic [Elements*ElementWidth-1:0] in_data_i,
    output logic [              8*Bytes-1:0] tdata_o,
    output logic                             tvalid_o,
    input  logic                             tready_i,
    output logic                             tlast_o
);

  localparam int unsigned PixelBytes = Elements * ElementBytes;
  localparam int unsigned Beats = (Pixels * PixelBytes + Bytes - 1) / Bytes;
  localparam int unsigned LastBytes = Beats * Bytes - (Pixels - 1) * PixelBytes;  // the last pixel and the padding
  localparam int unsigned PackedBytes = Pixels == 1 ? LastBytes : PixelBytes;  // one pixel: whole beats
  localparam int unsigned PixelWidth = $clog2(Pixels + 1);
  localparam int unsigned BeatWidth = $clog2(Beats + 1);

  // bytes that always travel together
  function automatic int unsigned common(input int unsigned a, input int unsigned b);
    common = 1;
    for (int unsigned k = 2; k <= a; k++) if (a % k == 0 && b % k == 0) common = k;
  endfunction

  localparam int unsigned Unit = common(Bytes, PackedBytes);

  if (Bytes < 1 || Pixels < 1 || Elements < 1 || ElementBytes < 1) begin : g_check
    $error("hg_axis_frame_out: Bytes, Pixels, Elements and ElementBytes must be at least 1");
  end
  if (ElementWidth < 1 || ElementWidth > 8 * ElementBytes) begin : g_check_width
    $error("hg_axis_frame_out: ElementWidth must be 1 to 8 * ElementBytes");
  end

  logic [PixelWidth-1:0] pixel_q;  // pixels of the frame so far
  logic [ BeatWidth-1:0] beat_q;   // beats of the frame so far

  wire room;
  wire at_last = pixel_q == PixelWidth'(Pixels - 1);
  wire take = in_valid_i && in_ready_o;

  assign in_ready_o  = tag_valid_i && (tag_bad_i || room);
  assign tag_ready_o = in_valid_i && at_last && (tag_bad_i || room);
  assign tlast_o     = beat_q == BeatWidth'(Beats - 1);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      pixel_q <= '0;
      beat_q  <= '0;
    end else begin
      if (take) pixel_q <= at_last ? '0 : pixel_q + 1'b1;
      if (tvalid_o && tready_i) beat_q <= tlast_o ? '0 : beat_q + 1'b1;
    end
  end

  // ---- elements to bytes; the last pixel has the padding above it ----
  wire [8*LastBytes-1:0] pixel;

  for (genvar e = 0; e < int'(Elements); e++) begin : g_element
    wire [ElementWidth-1:0] element = in_data_i[e*int'(ElementWidth)+:ElementWidth];
    if (Signed) begin : g_signed
      assign pixel[8*e*int'(ElementBytes)+:8*ElementBytes] = (8 * ElementBytes)'($signed(element));
    end else begin : g_unsigned
      assign pixel[8*e*int'(ElementBytes)+:8*ElementBytes] = (8 * ElementBytes)'(element);
    end
  end
  if (LastBytes > PixelBytes) begin : g_padding
    assign pixel[8*LastBytes-1:8*PixelBytes] = '0;
  end

  hg_repack #(
      .UnitWidth(8 * Unit),
      .InUnits  (PackedBytes / Unit),
      .LastUnits(LastBytes / Unit),
      .OutUnits (Bytes / Unit)
  ) u_repack (
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .in_valid_i (take && !tag_bad_i),
      .in_ready_o (room),
      .in_last_i  (at_last),
      .in_data_i  (pixel),
      .out_valid_o(tvalid_o),
      .out_ready_i(tready_i),
      .out_data_o (tdata_o)
  );

endmodule
