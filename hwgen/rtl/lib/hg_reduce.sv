// hg_reduce: the sum or the maximum of all pixels of a frame, every channel of its own.
//
//   y[c] = sum or max over the Beats pixels of x[c]
//   x[c] = in_data_i[ElementWidth*c +: ElementWidth], y[c] = out_data_o[OutWidth*c +: OutWidth]; both signed or both not
//
// Firing rule: a pixel before the last one is taken as it comes; the last one is taken in the cycle in which the result
// is, combined with it on the way. Latency 0 from the last pixel, interval Beats. A sum is modulo 2^OutWidth.
module hg_reduce #(
    parameter int unsigned ElementWidth = 8,  // bits of an element, >= 1
    parameter int unsigned Channels = 1,      // elements of a pixel, >= 1
    parameter int unsigned Beats = 4,         // pixels of a frame, >= 1
    parameter int unsigned OutWidth = 10,     // bits of a result, >= ElementWidth
    parameter bit Op = 1'b0,                  // 0 sum, 1 maximum
    parameter bit InSigned = 1'b1             // whether elements are signed
) (
    // no clock is needed when Beats is 1
    // verilator lint_off UNUSEDSIGNAL
    input  logic                             clk_i,
    input  logic                             rst_i,        // synchronous, active high
    // verilator lint_on UNUSEDSIGNAL
    input  logic                             in_valid_i,
    output logic                             in_ready_o,
    input  logic [Channels*ElementWidth-1:0] in_data_i,
    output logic                             out_valid_o,
    input  logic                             out_ready_i,
    output logic [    Channels*OutWidth-1:0] out_data_o
);

  if (ElementWidth < 1 || Channels < 1 || Beats < 1 || OutWidth < ElementWidth) begin : g_check
    $error("hg_reduce: ElementWidth, Channels and Beats must be at least 1, OutWidth at least ElementWidth");
  end

  // ---- elements, as wide as results ----
  wire [Channels*OutWidth-1:0] x;

  for (genvar c = 0; c < int'(Channels); c++) begin : g_extend
    wire [ElementWidth-1:0] element = in_data_i[c*int'(ElementWidth)+:ElementWidth];
    if (InSigned) begin : g_signed
      assign x[c*int'(OutWidth)+:OutWidth] = OutWidth'($signed(element));
    end else begin : g_unsigned
      assign x[c*int'(OutWidth)+:OutWidth] = OutWidth'(element);
    end
  end

  if (Beats == 1) begin : g_wire
    assign out_valid_o = in_valid_i;
    assign in_ready_o  = out_ready_i;
    assign out_data_o  = x;
  end else begin : g_accumulate
    localparam int unsigned CountWidth = $clog2(Beats);

    logic [       CountWidth-1:0] beat_q;
    logic [Channels*OutWidth-1:0] total_q;  // of the pixels taken

    wire last = beat_q == CountWidth'(Beats - 1);
    wire take = in_valid_i && in_ready_o;

    assign out_valid_o = last && in_valid_i;
    assign in_ready_o  = !last || out_ready_i;

    for (genvar c = 0; c < int'(Channels); c++) begin : g_channel
      wire [OutWidth-1:0] total = total_q[c*int'(OutWidth)+:OutWidth];
      wire [OutWidth-1:0] element = x[c*int'(OutWidth)+:OutWidth];
      if (!Op) begin : g_sum
        assign out_data_o[c*int'(OutWidth)+:OutWidth] = total + element;
      end else if (InSigned) begin : g_max_signed
        assign out_data_o[c*int'(OutWidth)+:OutWidth] = $signed(element) > $signed(total) ? element : total;
      end else begin : g_max_unsigned
        assign out_data_o[c*int'(OutWidth)+:OutWidth] = element > total ? element : total;
      end
    end

    always_ff @(posedge clk_i) begin
      if (take) total_q <= (beat_q == '0) ? x : out_data_o;
    end

    always_ff @(posedge clk_i) begin
      if (rst_i) beat_q <= '0;
      else if (take) beat_q <= last ? '0 : beat_q + 1'b1;
    end
  end

endmodule
