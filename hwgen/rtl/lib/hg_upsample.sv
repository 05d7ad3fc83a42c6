// hg_upsample: every pixel FX times, every row FY times (nearest neighbour).
//
//   out (y, x) = in (y / FY, x / FX)
//
// Firing rule: in the first pass over a row its pixels pass by as they come, each taken with its last repetition and kept
// in a row buffer; the other passes read the buffer and need no input. No register on the way: latency 0, interval 1.
module hg_upsample #(
    parameter int unsigned Width = 8,  // bits of a pixel, >= 1
    parameter int unsigned H = 2,      // rows of a frame, >= 1
    parameter int unsigned W = 2,      // columns of a frame, >= 1
    parameter int unsigned FY = 2,     // repetitions of a row, >= 1
    parameter int unsigned FX = 2      // repetitions of a pixel, >= 1
) (
    // no clock is needed when FX and FY are 1
    // verilator lint_off UNUSEDSIGNAL
    input  logic             clk_i,
    input  logic             rst_i,        // synchronous, active high
    // verilator lint_on UNUSEDSIGNAL
    input  logic             in_valid_i,
    output logic             in_ready_o,
    input  logic [Width-1:0] in_data_i,
    output logic             out_valid_o,
    input  logic             out_ready_i,
    output logic [Width-1:0] out_data_o
);

  if (Width < 1 || H < 1 || W < 1 || FY < 1 || FX < 1) begin : g_check
    $error("hg_upsample: every parameter must be at least 1");
  end

  wire last_repetition;
  wire first_pass;

  assign in_ready_o = out_ready_i && first_pass && last_repetition;

  // ---- repetitions of a pixel ----
  if (FX == 1) begin : g_once
    assign last_repetition = 1'b1;
  end else begin : g_repeat
    localparam int unsigned CountWidth = $clog2(FX);
    logic [CountWidth-1:0] repetition_q;
    assign last_repetition = repetition_q == CountWidth'(FX - 1);
    always_ff @(posedge clk_i) begin
      if (rst_i) repetition_q <= '0;
      else if (out_valid_o && out_ready_i) repetition_q <= last_repetition ? '0 : repetition_q + 1'b1;
    end
  end

  // ---- passes over a row ----
  if (FY == 1) begin : g_one_pass
    assign first_pass  = 1'b1;
    assign out_valid_o = in_valid_i;
    assign out_data_o  = in_data_i;
  end else begin : g_passes
    localparam int unsigned PassWidth = $clog2(FY);
    localparam int unsigned ColumnWidth = W > 1 ? $clog2(W) : 1;

    logic [      Width-1:0] row_q    [W];
    logic [  PassWidth-1:0] pass_q;
    logic [ColumnWidth-1:0] column_q;

    wire last_column = column_q == ColumnWidth'(W - 1);

    assign first_pass  = pass_q == '0;
    assign out_valid_o = in_valid_i || !first_pass;
    assign out_data_o  = first_pass ? in_data_i : row_q[column_q];

    always_ff @(posedge clk_i) begin
      if (in_valid_i && in_ready_o) row_q[column_q] <= in_data_i;
    end

    always_ff @(posedge clk_i) begin
      if (rst_i) begin
        pass_q   <= '0;
        column_q <= '0;
      end else if (out_valid_o && out_ready_i && last_repetition) begin
        column_q <= last_column ? '0 : column_q + 1'b1;
        if (last_column) pass_q <= (pass_q == PassWidth'(FY - 1)) ? '0 : pass_q + 1'b1;
      end
    end
  end

endmodule
