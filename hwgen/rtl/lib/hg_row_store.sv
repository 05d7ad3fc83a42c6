// hg_row_store: pixels of a picture in, windows out; padding costs no cycle.
//
//   element (ky, kx, c) of window (oy, ox) = pixel (oy*SH - PT + ky, ox*SW - PL + kx), channel c; PadValue outside
//   it stands in out_data_o[((ky*KW + kx)*Channels + c)*ElementWidth +: ElementWidth]
//
// A circular buffer of KH + SH row slots, each a memory of its own, read together. The counters of the writer and of
// the reader run on across frames: no flush, no waiting for the next frame.
//
// Firing rule. Writer: a pixel enters from the cycle after the release of the row KH + SH rows before its own.
// Reader: an output row has max(W, last column of its last window + 1) column steps. A step is issued (the memories
// are read) when the last row of the windows has its column since a cycle before (steps behind the picture wait for
// nothing) and the step before is shifting or has shifted. It is shifted into the windows' columns from the next
// cycle on, once the window offered is taken (the same cycle is enough); its own window is offered one cycle later.
// With the last step of an output row the rows that no later window needs are released.
// Latency 3 from the last pixel of a window, interval 1 a step.
module hg_row_store #(
    parameter int unsigned ElementWidth = 8,  // bits of an element, >= 1
    parameter int unsigned Channels = 1,      // elements of a pixel, >= 1
    parameter int unsigned H = 4,             // rows of a frame, >= 1
    parameter int unsigned W = 4,             // columns of a frame, >= 1
    parameter int unsigned KH = 3,            // rows of a window, >= 1
    parameter int unsigned KW = 3,            // columns of a window, >= 1
    parameter int unsigned SH = 1,            // rows from window to window, >= 1
    parameter int unsigned SW = 1,            // columns from window to window, >= 1
    parameter int unsigned PT = 0,            // rows of padding above, < KH
    parameter int unsigned PL = 0,            // columns of padding on the left, < KW
    parameter int unsigned Ho = 2,            // rows of windows, >= 1
    parameter int unsigned Wo = 2,            // windows a row, >= 1
    parameter int PadValue = 0                // an element outside the picture, modulo 2^ElementWidth
) (
    input  logic                                   clk_i,
    input  logic                                   rst_i,        // synchronous, active high
    input  logic                                   in_valid_i,
    output logic                                   in_ready_o,
    input  logic [      Channels*ElementWidth-1:0] in_data_i,
    output logic                                   out_valid_o,
    input  logic                                   out_ready_i,
    output logic [KH*KW*Channels*ElementWidth-1:0] out_data_o
);

  localparam int Slots = int'(KH + SH);
  localparam int Pixel = int'(Channels * ElementWidth);
  localparam int Across = int'(KW) * Pixel;                   // one row of a window
  localparam int LastTop = int'((Ho - 1) * SH) - int'(PT);    // first row of the last windows
  localparam int FirstEmit = int'(KW) - 1 - int'(PL);         // last column of the first window
  localparam int LastEmit = FirstEmit + int'((Wo - 1) * SW);  // last column of the last window
  localparam int Steps = LastEmit >= int'(W) ? LastEmit + 1 : int'(W);
  localparam int SlotWidth = $clog2(Slots);
  localparam int ColumnWidth = W > 1 ? $clog2(W) : 1;
  localparam int StepWidth = $clog2(Steps + int'(SW) + 1);
  localparam int RowWidth = $clog2(2 * H + (Ho + 1) * SH + 2 * KH + 2) + 1;  // rows and differences of rows, signed

  if (ElementWidth < 1 || Channels < 1 || H < 1 || W < 1 || Ho < 1 || Wo < 1) begin : g_check_sizes
    $error("hg_row_store: ElementWidth, Channels, H, W, Ho and Wo must be at least 1");
  end
  if (KH < 1 || KW < 1 || SH < 1 || SW < 1 || PT >= KH || PL >= KW) begin : g_check_window
    $error("hg_row_store: KH, KW, SH and SW must be at least 1, PT below KH, PL below KW");
  end

  // ---- rows of the picture, from the first row of an output row's windows ----
  typedef logic signed [RowWidth-1:0] row_t;
  localparam row_t Top = -row_t'(PT);
  localparam row_t Last = row_t'(LastTop);
  localparam row_t Rows = row_t'(H);
  localparam row_t Stride = row_t'(SH);
  localparam row_t Reach = row_t'(KH - 1);

  // rows no window from here on needs
  function automatic row_t passed(input row_t top);
    passed = (top < 0) ? row_t'(0) : (top > Rows) ? Rows : top;
  endfunction

  // the last row that is waited for
  function automatic row_t needed(input row_t top);
    needed = (top + Reach >= Rows) ? Rows - row_t'(1) : top + Reach;
  endfunction

  // how far both move on with the end of an output row, from what the functions say of it and of the next one
  function automatic row_t moved(input logic last, input row_t from, input row_t to, input row_t around);
    moved = (last ? Rows + around : to) - from;
  endfunction

  // the first row of the next output row's windows
  function automatic row_t following(input row_t top);
    following = (top == Last) ? Top : top + Stride;
  endfunction

  // ---- writer ----
  logic [  SlotWidth-1:0] write_slot_q;
  logic [ColumnWidth-1:0] write_column_q;
  row_t                   room_q;   // rows the writer may begin or go on with
  row_t                   ahead_q;  // the writer's row less the row the reader waits for

  wire take = in_valid_i && in_ready_o;
  wire row_written = take && write_column_q == ColumnWidth'(W - 1);

  assign in_ready_o = room_q != '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      write_slot_q   <= '0;
      write_column_q <= '0;
    end else begin
      if (take) write_column_q <= row_written ? '0 : write_column_q + 1'b1;
      if (row_written) write_slot_q <= (write_slot_q == SlotWidth'(Slots - 1)) ? '0 : write_slot_q + 1'b1;
    end
  end

  // ---- reader: issue ----
  localparam logic [StepWidth-1:0] LastStep = StepWidth'(Steps - 1);
  // Slots from an output row's first row to the next one's; rows above the picture count as if they were stored.
  localparam int unsigned Turn = (H + (Ho - 1) * SH * (KH + SH - 1)) % (KH + SH);  // from the last to the next frame's
  localparam logic [SlotWidth-1:0] FirstSlot = SlotWidth'((Slots - int'(PT)) % Slots);

  function automatic logic [SlotWidth-1:0] further(input logic [SlotWidth-1:0] slot, input int rows);
    further = (int'(slot) + rows >= Slots) ? SlotWidth'(int'(slot) + rows - Slots) : SlotWidth'(int'(slot) + rows);
  endfunction

  logic [StepWidth-1:0] step_q;
  logic [StepWidth-1:0] emit_q;           // the step that completes the next window
  logic [SlotWidth-1:0] slot_q;           // of the windows' first row
  row_t                 top_q;
  row_t                 release_after_q;  // rows that are free with the end of this output row
  row_t                 need_after_q;     // how much further the next output row reaches
  logic                 issued_q;         // a column stands in the read registers

  wire shift = issued_q && (!out_valid_o || out_ready_i);
  wire fetches = step_q < StepWidth'(W);
  wire written = ahead_q > 0 || (ahead_q == 0 && StepWidth'(write_column_q) > step_q);
  wire issue = (written || !fetches) && (!issued_q || shift);
  wire row_read = issue && step_q == LastStep;
  wire emits = step_q == emit_q && step_q <= StepWidth'(LastEmit);

  // Of the output rows behind this one, all with short paths: first rows of their windows, what the functions say.
  localparam row_t Top1 = following(Top);
  localparam row_t Top2 = following(Top1);
  localparam row_t Top3 = following(Top2);
  row_t top1_q, top2_q, top3_q, passed1_q, passed2_q, needed1_q, needed2_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      step_q          <= '0;
      emit_q          <= StepWidth'(FirstEmit);
      slot_q          <= FirstSlot;
      top_q           <= Top;
      top1_q          <= Top1;
      top2_q          <= Top2;
      top3_q          <= Top3;
      passed1_q       <= passed(Top1);
      passed2_q       <= passed(Top2);
      needed1_q       <= needed(Top1);
      needed2_q       <= needed(Top2);
      release_after_q <= moved(Top == Last, passed(Top), passed(Top1), '0);
      need_after_q    <= moved(Top == Last, needed(Top), needed(Top1), needed(Top));
      issued_q        <= 1'b0;
      room_q          <= row_t'(Slots);
      ahead_q         <= -needed(Top);
    end else begin
      issued_q <= issue || (issued_q && !shift);
      if (issue) step_q <= row_read ? '0 : step_q + 1'b1;
      if (row_read) begin
        emit_q          <= StepWidth'(FirstEmit);
        slot_q          <= further(slot_q, (top_q == Last) ? int'(Turn) : int'(SH));
        top_q           <= top1_q;
        top1_q          <= top2_q;
        top2_q          <= top3_q;
        top3_q          <= following(top3_q);
        passed1_q       <= passed2_q;
        passed2_q       <= passed(top3_q);
        needed1_q       <= needed2_q;
        needed2_q       <= needed(top3_q);
        release_after_q <= moved(top1_q == Last, passed1_q, passed2_q, '0);
        need_after_q    <= moved(top1_q == Last, needed1_q, needed2_q, needed(Top));
      end else if (issue && emits) begin
        emit_q <= emit_q + StepWidth'(SW);
      end
      room_q  <= room_q - row_t'(row_written) + (row_read ? release_after_q : '0);
      ahead_q <= ahead_q + row_t'(row_written) - (row_read ? need_after_q : '0);
    end
  end

  // ---- row slots ----
  logic [Slots*Pixel-1:0] read_q;

  for (genvar s = 0; s < Slots; s++) begin : g_slot
    logic [Pixel-1:0] pixels_q[W];
    always_ff @(posedge clk_i) begin
      if (take && write_slot_q == SlotWidth'(s)) pixels_q[write_column_q] <= in_data_i;
      if (issue && fetches) read_q[s*Pixel+:Pixel] <= pixels_q[step_q[ColumnWidth-1:0]];
    end
  end

  // ---- shift: the column enters on the right; left of column 0 there is padding ----
  localparam logic [Pixel-1:0] Pad = {Channels{ElementWidth'(PadValue)}};

  logic completes_q;  // the issued step completes a window
  logic fetched_q;    // it is within the picture
  // only with padding on the left
  // verilator lint_off UNUSEDSIGNAL
  logic first_q;      // it is column 0
  // verilator lint_on UNUSEDSIGNAL

  always_ff @(posedge clk_i) begin
    if (issue) begin
      completes_q <= emits;
      first_q     <= step_q == '0;
      fetched_q   <= fetches;
    end
    if (rst_i) out_valid_o <= 1'b0;
    else if (shift) out_valid_o <= completes_q;
    else if (out_ready_i) out_valid_o <= 1'b0;
  end

  for (genvar ky = 0; ky < int'(KH); ky++) begin : g_row
    logic [SlotWidth-1:0] pick_q;    // the slot of this row
    logic                 masked_q;  // this row is above or below the picture
    always_ff @(posedge clk_i) begin
      if (issue) begin
        pick_q   <= further(slot_q, ky);
        masked_q <= top_q + row_t'(ky) < 0 || top_q + row_t'(ky) >= Rows;
      end
    end
    wire [Pixel-1:0] pixel = (masked_q || !fetched_q) ? Pad : read_q[int'(pick_q)*Pixel+:Pixel];
    if (KW == 1) begin : g_one
      always_ff @(posedge clk_i) if (shift) out_data_o[ky*Across+:Across] <= pixel;
    end else begin : g_many
      wire [Across-Pixel-1:0] older = (PL > 0 && first_q) ? {(KW - 1) {Pad}} : out_data_o[ky*Across+Pixel+:Across-Pixel];
      always_ff @(posedge clk_i) if (shift) out_data_o[ky*Across+:Across] <= {pixel, older};
    end
  end

`ifndef SYNTHESIS
  // Once valid, data holds until ready.
  assert property (@(posedge clk_i) disable iff (rst_i)
      out_valid_o && !out_ready_i |=> out_valid_o && $stable(out_data_o));
`endif

endmodule
