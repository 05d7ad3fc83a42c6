// hg_place: where the pixels of a frame are: row and column of pixel after pixel, frame after frame.
//
//   item n of a frame = {column n % W, row n / W}, the row at the least significant end
//
// Firing rule: an item is always offered; the next one in the cycle after its transfer. A reset begins with (0, 0).
module hg_place #(
    parameter int unsigned H = 4,          // rows of a frame, >= 1
    parameter int unsigned W = 4,          // columns of a frame, >= 1
    parameter int unsigned FieldWidth = 2  // bits of a row and of a column, enough for both
) (
    input  logic                    clk_i,
    input  logic                    rst_i,        // synchronous, active high
    output logic                    out_valid_o,
    input  logic                    out_ready_i,
    output logic [2*FieldWidth-1:0] out_data_o
);

  if (H < 1 || W < 1 || FieldWidth < 1 || $clog2(H) > FieldWidth || $clog2(W) > FieldWidth) begin : g_check
    $error("hg_place: H and W must be at least 1, and FieldWidth must hold them less one");
  end

  logic [FieldWidth-1:0] row_q;
  logic [FieldWidth-1:0] column_q;

  wire last_column = column_q == FieldWidth'(W - 1);
  wire last_row = row_q == FieldWidth'(H - 1);

  assign out_valid_o = 1'b1;
  assign out_data_o  = {column_q, row_q};

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      row_q    <= '0;
      column_q <= '0;
    end else if (out_ready_i) begin
      column_q <= last_column ? '0 : column_q + 1'b1;
      if (last_column) row_q <= last_row ? '0 : row_q + 1'b1;
    end
  end

endmodule
