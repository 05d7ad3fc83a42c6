// hg_mac_sparse: a constant sparse matrix times a vector, the non-zero weights alone, by a schedule in a memory.
//
//   y[j, r] = bias[j, r] * 2^BiasShift + 2^ProductShift * sum of x[way, bank, address] * w of all that is said for (j, r)
//
// The vector lies in Ways parts of Banks banks: element (way, b, a) at [((way*Banks + b)*BankDepth + a)*InWidth +:
// InWidth]. A way has Results lanes. In a step every bank shows one element; every lane multiplies one of those that the
// banks of its way show by its weight and adds the product to one of its Accs accumulators. When the results leave, those
// of all ways are summed. A step's word, from the least significant end: the address in each bank, then for each lane
// (way*Results + r) its weight (0: nothing to do), its bank, its accumulator and, with Spill, one bit: the product is for
// result r - 1 (of r = 0: the last one) instead of r. A choice of one has no bits.
// All sums are exact modulo 2^AccWidth; result r of a beat at [r*AccWidth +: AccWidth].
//
// Firing rule: with an item and credit_i (its results have room), when idle or in the last of the T = Cycles steps.
// Fired in cycle f, step s runs in cycle f + 1 + s. The results leave as Accs beats: beat j (accumulator j of all
// results) stands on out_data_o with out_valid_o, for one cycle, in cycle f + T + L + j with
// L = 2 + max(1, ceil(log16(BankDepth))) + max(1, ceil(log16(Banks))) + max(1, ceil(log4(Ways*(1 + Spill) + 1))).
// Nothing stops it.
// The memories answer two cycles after their address: step s to rom_addr_o = s, beat j to bias_addr_o = j.
module hg_mac_sparse #(
    parameter int unsigned InWidth      = 8,     // bits of an operand, >= 1
    parameter bit          InSigned     = 1'b1,  // whether operands are signed
    parameter int unsigned Ways         = 1,     // parts of the vector, each with lanes of its own, >= 1
    parameter int unsigned Banks        = 1,     // elements of a part shown in a step, >= 1
    parameter int unsigned BankDepth    = 1,     // elements of a bank, >= 1
    parameter int unsigned Results      = 1,     // results of a beat: multipliers a way, >= 1
    parameter int unsigned Accs         = 1,     // accumulators a lane, >= 1
    parameter bit          Spill        = 1'b0,  // whether lanes also work for the result before theirs
    parameter int unsigned Cycles       = 1,     // steps, >= Accs
    parameter int unsigned WeightWidth  = 8,     // bits of a weight, signed, >= 1
    parameter int unsigned ProductShift = 0,     // zeros below a product
    parameter int unsigned BiasWidth    = 8,     // bits of a bias, signed, >= 1
    parameter int unsigned BiasShift    = 0,     // zeros below a bias
    parameter int unsigned AccWidth     = 24,    // bits of a result, signed, >= 1
    // for each lane, for results r and then, with Spill, r - 1, for each accumulator: whether any step adds to it
    parameter bit [Ways*Results*(Spill ? 2 : 1)*Accs-1:0] Filled = '1,
    localparam int unsigned AddrWidth = Cycles > 1 ? $clog2(Cycles) : 1,
    localparam int unsigned BeatWidth = Accs > 1 ? $clog2(Accs) : 1,
    localparam int unsigned PlaceBits = $clog2(BankDepth),                 // of a bank's address
    localparam int unsigned BankBits = $clog2(Banks),
    localparam int unsigned AccBits = $clog2(Accs),
    localparam int unsigned LaneBits = WeightWidth + BankBits + AccBits + (Spill ? 1 : 0),
    localparam int unsigned Lanes = Ways * Results,
    localparam int unsigned WordWidth = Ways * Banks * PlaceBits + Lanes * LaneBits
) (
    input  logic                                    clk_i,
    input  logic                                    rst_i,        // synchronous, active high
    input  logic                                    in_valid_i,
    output logic                                    in_ready_o,
    input  logic [Ways*Banks*BankDepth*InWidth-1:0] in_data_i,
    input  logic                                    credit_i,
    output logic                                    fire_o,
    output logic [                   AddrWidth-1:0] rom_addr_o,
    input  logic [                   WordWidth-1:0] weight_i,
    output logic [                   BeatWidth-1:0] bias_addr_o,
    input  logic [           Results*BiasWidth-1:0] bias_i,
    output logic                                    out_valid_o,
    output logic [            Results*AccWidth-1:0] out_data_o
);

  localparam int unsigned BankLevels = BankDepth > 16 ? (PlaceBits + 3) / 4 : 1;
  localparam int unsigned LaneLevels = Banks > 16 ? (BankBits + 3) / 4 : 1;
  localparam int unsigned Ahead = BankLevels + LaneLevels + 1;  // cycles from a step to its accumulation
  localparam int unsigned Sets = Spill ? 2 : 1;                 // of accumulators a lane
  localparam int unsigned Terms = Ways * Sets + 1;              // of a result, with its bias
  localparam int unsigned SumLevels = Terms > 4 ? ($clog2(Terms) + 1) / 2 : 1;

  if (InWidth < 1 || Ways < 1 || Banks < 1 || BankDepth < 1 || Results < 1 || Accs < 1) begin : g_check_sizes
    $error("hg_mac_sparse: InWidth, Ways, Banks, BankDepth, Results and Accs must be at least 1");
  end
  if (Cycles < Accs || WeightWidth < 1 || BiasWidth < 1 || AccWidth < 1) begin : g_check_widths
    $error("hg_mac_sparse: WeightWidth, BiasWidth and AccWidth must be at least 1, Cycles at least Accs");
  end

  // ---- control: which step runs in this cycle ----
  logic                 busy_q;
  logic                 idle_q;  // nothing runs, or the last step
  logic                 side_q;  // firings take turns: one fills its accumulators while those of the other leave
  logic [AddrWidth-1:0] step_q;

  if (Cycles == 1) begin : g_always_idle
    assign idle_q = 1'b1;
  end else begin : g_idle
    always_ff @(posedge clk_i) begin
      if (rst_i) idle_q <= 1'b1;
      else if (fire_o) idle_q <= 1'b0;
      else if (busy_q && step_q == AddrWidth'(Cycles - 2)) idle_q <= 1'b1;
    end
  end

  assign in_ready_o = credit_i && idle_q && !rst_i;
  assign fire_o     = in_valid_i && in_ready_o;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      busy_q <= 1'b0;
      step_q <= '0;
      side_q <= 1'b0;
    end else if (idle_q) begin
      busy_q <= fire_o;
      step_q <= '0;
      side_q <= side_q ^ fire_o;
    end else begin
      step_q <= step_q + 1'b1;
    end
  end

  // ---- schedule: asked for two steps ahead; step 0 also while nothing runs, so that only bit 0 depends on the fire ----
  logic [AddrWidth-1:0] ahead_q;

  assign rom_addr_o = rst_i ? '0 : ahead_q | AddrWidth'(fire_o && Cycles > 1);

  always_ff @(posedge clk_i) begin
    if (rst_i) ahead_q <= '0;
    else if (fire_o) ahead_q <= AddrWidth'(Cycles > 2 ? 2 : 0);
    else if (ahead_q != '0) ahead_q <= ahead_q == AddrWidth'(Cycles - 1) ? '0 : ahead_q + 1'b1;
  end

  // While idle it follows the input whether that is taken or not: a register of so many bits does not wait for fire_o.
  logic [Ways*Banks*BankDepth*InWidth-1:0] hold_q;
  always_ff @(posedge clk_i) if (idle_q) hold_q <= in_data_i;

  // ---- what travels beside the products: a step ran, it was its firing's first, its last, on which side ----
  wire soon_valid, soon_final, soon_side;  // a cycle before
  logic valid, final_step, side;
  wire first;

  hg_valid_pipe #(
      .Stages(Ahead - 1)
  ) u_valid (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .valid_i(busy_q),
      .valid_o(soon_valid)
  );

  hg_delay #(
      .Width (1),
      .Cycles(Ahead - 1)
  ) u_final (
      .clk_i(clk_i),
      .x_i  (idle_q),
      .y_o  (soon_final)
  );

  hg_delay #(
      .Width (1),
      .Cycles(Ahead - 1)
  ) u_side (
      .clk_i(clk_i),
      .x_i  (side_q),
      .y_o  (soon_side)
  );

  hg_delay #(
      .Width (1),
      .Cycles(Ahead)
  ) u_first (
      .clk_i(clk_i),
      .x_i  (step_q == '0),
      .y_o  (first)
  );

  // The side changes with a step alone. Without that condition synthesis may take the register of the accumulators'
  // address into their memory, which then has no address in common for reading and writing: twice the LUT RAM.
  always_ff @(posedge clk_i) begin
    valid      <= soon_valid && !rst_i;
    final_step <= soon_final;
    if (soon_valid) side <= soon_side;
  end

  // ---- the shown elements ----
  wire [Ways*Banks*InWidth-1:0] shown;

  for (genvar b = 0; b < Ways * Banks; b++) begin : g_bank
    wire [(PlaceBits > 0 ? PlaceBits : 1)-1:0] place;
    if (PlaceBits > 0) begin : g_place
      assign place = weight_i[b*PlaceBits+:PlaceBits];
    end else begin : g_only
      assign place = '0;
    end
    hg_mux #(
        .Width (InWidth),
        .Inputs(BankDepth)
    ) u_show (
        .clk_i   (clk_i),
        .x_i     (hold_q[b*BankDepth*InWidth+:BankDepth*InWidth]),
        .select_i(place),
        .y_o     (shown[b*InWidth+:InWidth])
    );
  end

  // ---- results: beat j in the cycles after the last accumulation ----
  logic                 drain_q;
  logic                 drain_side_q;
  logic [BeatWidth-1:0] beat_q;
  logic [BeatWidth-1:0] bias_q;        // the beat after: its bias is asked for two cycles before

  wire                  start = valid && final_step;
  wire                  restart = (soon_valid && soon_final) || bias_q == BeatWidth'(Accs - 1);

  assign bias_addr_o = restart ? '0 : bias_q + 1'b1;

  always_ff @(posedge clk_i) begin
    bias_q <= bias_addr_o;
    beat_q <= bias_q;
    if (start) drain_side_q <= side;
    if (rst_i) drain_q <= 1'b0;
    else drain_q <= start || (drain_q && beat_q != BeatWidth'(Accs - 1));
  end

  hg_valid_pipe #(
      .Stages(SumLevels)
  ) u_out_valid (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .valid_i(drain_q),
      .valid_o(out_valid_o)
  );

  for (genvar r = 0; r < Results; r++) begin : g_result
    wire [Terms*AccWidth-1:0] terms;
    assign terms[Ways*Sets*AccWidth+:AccWidth] = AccWidth'($signed(bias_i[r*BiasWidth+:BiasWidth])) <<< BiasShift;
    hg_sum #(
        .Width (AccWidth),
        .Inputs(Terms)
    ) u_sum (
        .clk_i(clk_i),
        .x_i  (terms),
        .y_o  (out_data_o[r*AccWidth+:AccWidth])
    );
  end

  // ---- lanes ----
  for (genvar l = 0; l < Lanes; l++) begin : g_lane
    localparam int unsigned Way = l / Results;
    localparam int unsigned From = Ways * Banks * PlaceBits + l * LaneBits;
    localparam int unsigned XWidth = InWidth + (InSigned ? 0 : 1);
    localparam int unsigned ProductWidth = XWidth + WeightWidth < AccWidth ? XWidth + WeightWidth : AccWidth;
    wire [(BankBits > 0 ? BankBits : 1)-1:0] bank;
    wire [InWidth-1:0] operand;
    wire signed [WeightWidth-1:0] weight;
    wire [BeatWidth-1:0] acc;
    wire foreign;

    if (BankBits > 0) begin : g_select
      hg_delay #(
          .Width (BankBits),
          .Cycles(BankLevels)
      ) u_bank (
          .clk_i(clk_i),
          .x_i  (weight_i[From+WeightWidth+:BankBits]),
          .y_o  (bank)
      );
    end else begin : g_only
      assign bank = '0;
    end

    hg_mux #(
        .Width (InWidth),
        .Inputs(Banks)
    ) u_operand (
        .clk_i   (clk_i),
        .x_i     (shown[Way*Banks*InWidth+:Banks*InWidth]),
        .select_i(bank),
        .y_o     (operand)
    );

    hg_delay #(
        .Width (WeightWidth),
        .Cycles(Ahead - 1)
    ) u_weight (
        .clk_i(clk_i),
        .x_i  (weight_i[From+:WeightWidth]),
        .y_o  (weight)
    );

    if (AccBits > 0) begin : g_acc
      hg_delay #(
          .Width (AccBits),
          .Cycles(Ahead)
      ) u_acc (
          .clk_i(clk_i),
          .x_i  (weight_i[From+WeightWidth+BankBits+:AccBits]),
          .y_o  (acc)
      );
    end else begin : g_one_acc
      assign acc = '0;
    end

    if (Spill) begin : g_foreign
      hg_delay #(
          .Width (1),
          .Cycles(Ahead)
      ) u_foreign (
          .clk_i(clk_i),
          .x_i  (weight_i[From+LaneBits-1]),
          .y_o  (foreign)
      );
    end else begin : g_own
      assign foreign = 1'b0;
    end

    wire signed [XWidth-1:0] x;
    if (InSigned) begin : g_signed
      assign x = $signed(operand);
    end else begin : g_unsigned
      assign x = $signed({1'b0, operand});
    end

    logic signed [ProductWidth-1:0] product_q;
    always_ff @(posedge clk_i) product_q <= ProductWidth'(x * weight);
    wire signed [AccWidth-1:0] product = AccWidth'(product_q) <<< ProductShift;

    // accumulators of one kind: two sides of Accs entries, and which of them the firing that runs has added to
    for (genvar k = 0; k < Sets; k++) begin : g_set
      localparam int unsigned Result = (l + Results - k) % Results;
      localparam bit [Accs-1:0] Sums = Filled[(l*Sets+k)*Accs+:Accs];
      wire [AccWidth-1:0] term;
      assign g_result[Result].terms[(Way*Sets+k)*AccWidth+:AccWidth] = term;

      if (Sums == '0) begin : g_none
        assign term = '0;
      end else begin : g_sums
        logic signed [AccWidth-1:0] sum_q[2 << AccBits];
        logic [Accs-1:0] seen_q;

        wire hit = valid && foreign == (k == 1);
        wire [Accs-1:0] mark = hit ? Accs'(1) << acc : '0;
        wire [Accs-1:0] seen = first ? '0 : seen_q;
        wire [AccBits:0] write_at, read_at;
        if (AccBits > 0) begin : g_at
          assign write_at = {side, acc};
          assign read_at  = {drain_side_q, beat_q};
        end else begin : g_side
          assign write_at = side;
          assign read_at  = drain_side_q;
        end

        always_ff @(posedge clk_i) begin
          if (hit) sum_q[write_at] <= ((seen & mark) != '0 ? sum_q[write_at] : '0) + product;
          if (valid) seen_q <= seen | mark;
        end

        assign term = Sums == '1 || Sums[beat_q] ? sum_q[read_at] : '0;
      end
    end
  end

endmodule
