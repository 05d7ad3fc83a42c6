// hg_mac: a matrix times a vector on few multipliers, in a fixed number of cycles.
//
//   y[g, l] = bias[g, l] * 2^BiasShift + 2^ProductShift * sum over s, p of x[s, p] * w[g*Steps + s, l, p]
//
// Shared: all lanes see the same operands, element (s, p) of the vector at [(s*Products + p)*InWidth +: InWidth].
// Not Shared (depthwise): each lane has its own, x[g, s, l, p] at [(((g*Steps + s)*Lanes + l)*Products + p)*InWidth +:
// InWidth]. Weights of a step: lane l, product p at [(l*Products + p)*WeightWidth +: WeightWidth]. All sums are exact
// modulo 2^AccWidth; lane l of a result at [l*AccWidth +: AccWidth].
//
// Firing rule: with an item and credit_i (its results have room), when idle or in the last of the T = Steps*Groups
// steps. Fired in cycle f, step s runs in cycle f + 1 + s, and the result of group g stands on out_data_o with
// out_valid_o, for one cycle, in cycle f + (g + 1)*Steps + L with L = 2 + ceil(log4(Products)) and one more if T > 1,
// for a register between the operands and the multipliers. Nothing stops it.
// The memories answer two cycles after their address: step s to rom_addr_o = s, group g to bias_addr_o = g.
module hg_mac #(
    parameter int unsigned InWidth      = 8,     // bits of an operand, >= 1
    parameter bit          InSigned     = 1'b1,  // whether operands are signed
    parameter int unsigned Steps        = 1,     // steps a group, >= 1
    parameter int unsigned Groups       = 1,     // groups of results, one after the other, >= 1
    parameter int unsigned Products     = 1,     // multipliers a lane, >= 1
    parameter int unsigned Lanes        = 1,     // results a group, >= 1
    parameter bit          Shared       = 1'b1,  // whether lanes share their operands
    parameter int unsigned WeightWidth  = 8,     // bits of a weight, signed, >= 1
    parameter int unsigned ProductShift = 0,     // zeros below a product
    parameter int unsigned BiasWidth    = 8,     // bits of a bias, signed, >= 1
    parameter int unsigned BiasShift    = 0,     // zeros below a bias
    parameter int unsigned AccWidth     = 24,    // bits of a result, signed, >= 1
    localparam int unsigned Slice = Products * (Shared ? 1 : Lanes),      // operands of a step
    localparam int unsigned Slices = Shared ? Steps : Steps * Groups,
    localparam int unsigned T = Steps * Groups,
    localparam int unsigned AddrWidth = T > 1 ? $clog2(T) : 1,
    localparam int unsigned GroupWidth = Groups > 1 ? $clog2(Groups) : 1
) (
    input  logic                                  clk_i,
    input  logic                                  rst_i,        // synchronous, active high
    input  logic                                  in_valid_i,
    output logic                                  in_ready_o,
    input  logic [      Slices*Slice*InWidth-1:0] in_data_i,
    input  logic                                  credit_i,
    output logic                                  fire_o,
    output logic [                 AddrWidth-1:0] rom_addr_o,
    input  logic [Lanes*Products*WeightWidth-1:0] weight_i,
    output logic [                GroupWidth-1:0] bias_addr_o,
    input  logic [           Lanes*BiasWidth-1:0] bias_i,
    output logic                                  out_valid_o,
    output logic [            Lanes*AccWidth-1:0] out_data_o
);

  localparam int unsigned Levels = ($clog2(Products) + 1) / 2;
  localparam int unsigned Ahead = Levels + (T > 1 ? 1 : 0);  // registers beside valid_q[0]: operands, sums
  localparam int unsigned StepBits = Slice * InWidth;
  localparam int unsigned SubWidth = Steps > 1 ? $clog2(Steps) : 1;

  if (InWidth < 1 || Steps < 1 || Groups < 1 || Products < 1 || Lanes < 1) begin : g_check_sizes
    $error("hg_mac: InWidth, Steps, Groups, Products and Lanes must be at least 1");
  end
  if (WeightWidth < 1 || BiasWidth < 1 || AccWidth < 1) begin : g_check_widths
    $error("hg_mac: WeightWidth, BiasWidth and AccWidth must be at least 1");
  end

  // ---- control: which step runs in this cycle ----
  logic                  busy_q;
  logic                  idle_q;   // nothing runs, or the last step
  logic [SubWidth-1:0]   sub_q;    // step within its group
  logic [GroupWidth-1:0] group_q;

  wire last_sub = sub_q == SubWidth'(Steps - 1);
  wire [GroupWidth-1:0] next_group = (rst_i || idle_q) ? '0 : last_sub ? group_q + 1'b1 : group_q;

  assign in_ready_o = credit_i && idle_q && !rst_i;
  assign fire_o     = in_valid_i && in_ready_o;

  always_ff @(posedge clk_i) begin
    group_q <= next_group;
    if (rst_i) begin
      busy_q <= 1'b0;
      sub_q  <= '0;
    end else if (idle_q) begin
      busy_q <= fire_o;
      sub_q  <= '0;
    end else begin
      sub_q <= last_sub ? '0 : sub_q + 1'b1;
    end
  end

  // ---- weights: asked for in the cycle before their step, and multiplied in the cycle after it ----
  if (T == 1) begin : g_one_word
    assign rom_addr_o = '0;
    assign idle_q = 1'b1;
  end else begin : g_words
    logic [AddrWidth-1:0] next_q;  // 0 while nothing runs, and in the last step

    always_ff @(posedge clk_i) begin
      if (rst_i) next_q <= '0;
      else if (fire_o) next_q <= AddrWidth'(1);
      else if (next_q != '0) next_q <= next_q == AddrWidth'(T - 1) ? '0 : next_q + 1'b1;
      if (rst_i) idle_q <= 1'b1;
      else if (fire_o) idle_q <= 1'b0;
      else if (next_q == AddrWidth'(T - 1)) idle_q <= 1'b1;
    end
    assign rom_addr_o = next_q;
  end

  // ---- operands: the lowest slice belongs to the step; the register turns by one slice a step ----
  // While idle it follows the input whether that is taken or not: a register of so many bits does not wait for fire_o.
  logic [Slices*StepBits-1:0] hold_q;

  if (Slices == 1) begin : g_one_slice
    always_ff @(posedge clk_i) if (T == 1 ? fire_o : idle_q) hold_q <= in_data_i;
  end else begin : g_rotate
    always_ff @(posedge clk_i) begin
      if (idle_q) hold_q <= in_data_i;
      else hold_q <= {hold_q[StepBits-1:0], hold_q[Slices*StepBits-1:StepBits]};
    end
  end

  wire [StepBits-1:0] x;

  if (T == 1) begin : g_at_once
    assign x = hold_q;
  end else begin : g_operand
    logic [StepBits-1:0] x_q;
    always_ff @(posedge clk_i) x_q <= hold_q[StepBits-1:0];
    assign x = x_q;
  end

  // ---- what travels beside the products: a step ran, it was its group's first, its last ----
  logic [Ahead:0] valid_q;
  logic [Ahead:0] first_q;
  logic [Ahead:0] final_q;

  always_ff @(posedge clk_i) begin
    valid_q[0] <= busy_q && !rst_i;
    first_q[0] <= sub_q == '0;
    final_q[0] <= last_sub;
    for (int unsigned k = 1; k <= Ahead; k++) begin
      valid_q[k] <= valid_q[k-1] && !rst_i;
      first_q[k] <= first_q[k-1];
      final_q[k] <= final_q[k-1];
    end
    out_valid_o <= valid_q[Ahead] && final_q[Ahead] && !rst_i;
  end

  if (Ahead == 0) begin : g_bias_now
    assign bias_addr_o = next_group;
  end else begin : g_bias_later
    hg_delay #(
        .Width (GroupWidth),
        .Cycles(Ahead - 1)
    ) u_group (
        .clk_i(clk_i),
        .x_i  (group_q),
        .y_o  (bias_addr_o)
    );
  end

  // ---- lanes ----
  for (genvar l = 0; l < Lanes; l++) begin : g_lane
    localparam int unsigned From = Shared ? 0 : l * Products * InWidth;
    wire signed [AccWidth-1:0] dot;
    wire signed [AccWidth-1:0] bias = AccWidth'($signed(bias_i[l*BiasWidth+:BiasWidth])) <<< BiasShift;
    logic signed [AccWidth-1:0] acc_q;

    hg_dot #(
        .InWidth    (InWidth),
        .InSigned   (InSigned),
        .WeightWidth(WeightWidth),
        .Products   (Products),
        .OutWidth   (AccWidth)
    ) u_dot (
        .clk_i(clk_i),
        .x_i  (x[From+:Products*InWidth]),
        .w_i  (weight_i[l*Products*WeightWidth+:Products*WeightWidth]),
        .y_o  (dot)
    );

    always_ff @(posedge clk_i) begin
      if (valid_q[Ahead]) acc_q <= (first_q[Ahead] ? bias : acc_q) + (dot <<< ProductShift);
    end
    assign out_data_o[l*AccWidth+:AccWidth] = acc_q;
  end

endmodule
