// hg_add_const: a constant (a bias and the rounding constant, together) added to a sum. Combinational.
//
//   y = x + Const, or Const - x with Negate, modulo 2^Width
//
// A module of its own, so that yosys does not merge the constant into a compressor tree with the adders before it:
// that costs about one more LUT a bit than the adder and the constant apart.
module hg_add_const #(
    parameter int unsigned Width  = 8,     // bits of x and y, >= 1
    parameter bit          Negate = 1'b0,  // subtract x from the constant
    parameter longint      Const  = 0      // the constant, taken modulo 2^Width
) (
    input  logic [Width-1:0] x_i,
    output logic [Width-1:0] y_o
);

  if (Width < 1 || Width > 63) begin : g_check
    $error("hg_add_const: Width must be between 1 and 63");
  end

  localparam logic [Width-1:0] Sized = Width'(Const);

`ifdef YOSYS
  (* keep *)
`endif
  wire [Width-1:0] x = x_i;

  assign y_o = Negate ? Sized - x : x + Sized;

endmodule
