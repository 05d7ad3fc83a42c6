// hg_decimate: every SY-th row's every SX-th pixel.
//
//   out (oy, ox) = in (oy*SY, ox*SX) for oy < Ho, ox < Wo
//
// Firing rule: a pixel that stays is taken in the cycle in which the sink takes it; the others are taken and dropped at
// once, whatever the sink's ready. No register: latency 0, interval 1.
module hg_decimate #(
    parameter int unsigned Width = 8,                  // bits of a pixel, >= 1
    parameter int unsigned H = 4,                      // rows of a frame, >= 1
    parameter int unsigned W = 4,                      // columns of a frame, >= 1
    parameter int unsigned SY = 2,                     // rows from one that stays to the next, >= 1
    parameter int unsigned SX = 2,                     // columns from one that stays to the next, >= 1
    parameter int unsigned Ho = (H + SY - 1) / SY,     // rows that stay, >= 1, the last one within H
    parameter int unsigned Wo = (W + SX - 1) / SX      // columns that stay, >= 1, the last one within W
) (
    input  logic             clk_i,
    input  logic             rst_i,        // synchronous, active high
    input  logic             in_valid_i,
    output logic             in_ready_o,
    input  logic [Width-1:0] in_data_i,
    output logic             out_valid_o,
    input  logic             out_ready_i,
    output logic [Width-1:0] out_data_o
);

  if (Width < 1 || H < 1 || W < 1 || SY < 1 || SX < 1 || Ho < 1 || Wo < 1) begin : g_check
    $error("hg_decimate: every parameter must be at least 1");
  end
  if ((Ho - 1) * SY >= H || (Wo - 1) * SX >= W) begin : g_check_last
    $error("hg_decimate: the last row and column that stay must be within the frame");
  end

  localparam int unsigned ColumnWidth = $clog2(W + SX + 1);
  localparam int unsigned RowWidth = $clog2(H + SY + 1);

  logic [ColumnWidth-1:0] column_q;
  logic [ColumnWidth-1:0] stay_column_q;  // the next one that stays
  logic [   RowWidth-1:0] row_q;
  logic [   RowWidth-1:0] stay_row_q;

  wire column_stays = column_q == stay_column_q && column_q <= ColumnWidth'((Wo - 1) * SX);
  wire row_stays = row_q == stay_row_q && row_q <= RowWidth'((Ho - 1) * SY);
  wire stays = row_stays && column_stays;
  wire take = in_valid_i && in_ready_o;

  assign out_valid_o = in_valid_i && stays;
  assign in_ready_o  = out_ready_i || !stays;
  assign out_data_o  = in_data_i;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      column_q      <= '0;
      stay_column_q <= '0;
      row_q         <= '0;
      stay_row_q    <= '0;
    end else if (take) begin
      if (column_q != ColumnWidth'(W - 1)) begin
        column_q <= column_q + 1'b1;
        if (column_stays) stay_column_q <= stay_column_q + ColumnWidth'(SX);
      end else begin
        column_q      <= '0;
        stay_column_q <= '0;
        if (row_q != RowWidth'(H - 1)) begin
          row_q <= row_q + 1'b1;
          if (row_stays) stay_row_q <= stay_row_q + RowWidth'(SY);
        end else begin
          row_q      <= '0;
          stay_row_q <= '0;
        end
      end
    end
  end

endmodule
