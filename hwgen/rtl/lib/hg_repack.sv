// hg_repack: a stream of units cut anew, items of InUnits to items of OutUnits.
//
// Units keep their order, the first one at the least significant end. An item with in_last_i holds LastUnits units: fewer
// (what is above them is dropped) or more (in_data_i is as wide as the larger of the two).
//
// Firing rule: an item leaves from the cycle after the entry of its last unit; an item enters while at most
// OutUnits + min(InUnits, OutUnits) - 1 units are held (those that leave in the same cycle count). Latency 1, an item in
// or an item out every cycle. Ready depends on registers only.
module hg_repack #(
    parameter int unsigned UnitWidth = 8,        // bits of a unit, >= 1
    parameter int unsigned InUnits = 2,          // units of an item in, >= 1
    parameter int unsigned LastUnits = InUnits,  // units of an item with in_last_i, >= 1
    parameter int unsigned OutUnits = 3,         // units of an item out, >= 1
    localparam int unsigned PortUnits = InUnits > LastUnits ? InUnits : LastUnits
) (
    input  logic                           clk_i,
    input  logic                           rst_i,        // synchronous, active high
    input  logic                           in_valid_i,
    output logic                           in_ready_o,
    input  logic                           in_last_i,
    input  logic [PortUnits*UnitWidth-1:0] in_data_i,
    output logic                           out_valid_o,
    input  logic                           out_ready_i,
    output logic [ OutUnits*UnitWidth-1:0] out_data_o
);

  localparam int unsigned Limit = OutUnits + (InUnits < OutUnits ? InUnits : OutUnits) - 1;
  localparam int unsigned Slots = Limit + PortUnits;
  localparam int unsigned CountWidth = $clog2(Slots + 1);

  if (UnitWidth < 1 || InUnits < 1 || LastUnits < 1 || OutUnits < 1) begin : g_check
    $error("hg_repack: every parameter must be at least 1");
  end

  logic [Slots*UnitWidth-1:0] held_q;
  logic [     CountWidth-1:0] count_q;  // units held, from the least significant end

  wire push = in_valid_i && in_ready_o;
  wire pop = out_valid_o && out_ready_i;

  assign in_ready_o  = count_q <= CountWidth'(Limit);
  assign out_valid_o = count_q >= CountWidth'(OutUnits);
  assign out_data_o  = held_q[OutUnits*UnitWidth-1:0];

  // What is held, and above it what enters; then what leaves is shifted out.
  wire [Slots*UnitWidth-1:0] entering = (Slots * UnitWidth)'(in_data_i) << (count_q * UnitWidth);
  wire [Slots*UnitWidth-1:0] joined;

  for (genvar u = 0; u < int'(Slots); u++) begin : g_unit
    localparam int At = u * int'(UnitWidth);
    assign joined[At+:UnitWidth] = (count_q > CountWidth'(u)) ? held_q[At+:UnitWidth] : entering[At+:UnitWidth];
  end

  always_ff @(posedge clk_i) held_q <= pop ? joined >> (OutUnits * UnitWidth) : joined;

  always_ff @(posedge clk_i) begin
    if (rst_i) count_q <= '0;
    else begin
      count_q <= count_q + (push ? (in_last_i ? CountWidth'(LastUnits) : CountWidth'(InUnits)) : '0)
          - (pop ? CountWidth'(OutUnits) : '0);
    end
  end

`ifndef SYNTHESIS
  // Once valid, data holds until ready.
  assert property (@(posedge clk_i) disable iff (rst_i)
      out_valid_o && !out_ready_i |=> out_valid_o && $stable(out_data_o));
`endif

endmodule
