// hg_pad: zeros around a picture.
//
//   out (y, x) = in (y - Top, x - Left), or zero outside; (Top + H + Bottom) x (Left + W + Right) pixels
//
// Firing rule: a pixel inside is taken in the cycle in which the sink takes it. The zeros before a frame's first pixel are
// offered while that pixel is; later ones need no input. No register: latency 0, interval 1.
module hg_pad #(
    parameter int unsigned Width = 8,   // bits of a pixel, >= 1
    parameter int unsigned H = 4,       // rows of a frame, >= 1
    parameter int unsigned W = 4,       // columns of a frame, >= 1
    parameter int unsigned Top = 1,     // rows of zeros above
    parameter int unsigned Bottom = 1,  // rows of zeros below
    parameter int unsigned Left = 1,    // columns of zeros on the left
    parameter int unsigned Right = 1    // columns of zeros on the right
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

  if (Width < 1 || H < 1 || W < 1) begin : g_check
    $error("hg_pad: Width, H and W must be at least 1");
  end

  localparam int unsigned Columns = Left + W + Right;
  localparam int unsigned Rows = Top + H + Bottom;
  localparam int unsigned ColumnWidth = $clog2(Columns + 1);
  localparam int unsigned RowWidth = $clog2(Rows + 1);

  logic [ColumnWidth-1:0] column_q;
  logic [   RowWidth-1:0] row_q;
  logic                   column_in_q;  // the column is one of the picture's
  logic                   row_in_q;
  logic                   begun_q;      // a pixel of this frame has been taken

  wire inner = row_in_q && column_in_q;
  wire step = out_valid_o && out_ready_i;
  wire last = column_q == ColumnWidth'(Columns - 1) && row_q == RowWidth'(Rows - 1);

  assign out_valid_o = in_valid_i || (!inner && begun_q);
  assign in_ready_o  = out_ready_i && inner;
  assign out_data_o  = inner ? in_data_i : '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      column_q    <= '0;
      row_q       <= '0;
      column_in_q <= Left == 0;
      row_in_q    <= Top == 0;
      begun_q     <= 1'b0;
    end else if (step) begin
      begun_q <= (begun_q || inner) && !last;
      if (column_q != ColumnWidth'(Columns - 1)) begin
        column_q <= column_q + 1'b1;
        if (column_q == ColumnWidth'(Left + W - 1)) column_in_q <= 1'b0;
        else if (column_q + 1'b1 == ColumnWidth'(Left)) column_in_q <= 1'b1;
      end else begin
        column_q    <= '0;
        column_in_q <= Left == 0;
        if (row_q != RowWidth'(Rows - 1)) begin
          row_q <= row_q + 1'b1;
          if (row_q == RowWidth'(Top + H - 1)) row_in_q <= 1'b0;
          else if (row_q + 1'b1 == RowWidth'(Top)) row_in_q <= 1'b1;
        end else begin
          row_q    <= '0;
          row_in_q <= Top == 0;
        end
      end
    end
  end

endmodule
