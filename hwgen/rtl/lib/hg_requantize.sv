// hg_requantize: drop low bits with rounding, then bring the value into its range. Combinational.
//
//   y = fit(round(x / 2^Shift))         x signed, InWidth bits; a negative Shift multiplies
//
// Rounding (as ap_fixed): 0 TRN floor, 1 TRN_ZERO toward zero, 2 RND half up, 3 RND_ZERO half toward zero,
//   4 RND_INF half away from zero, 5 RND_MIN_INF half down, 6 RND_CONV half to even.
//   HalfAdded: x already carries 2^(Shift-1), folded into a bias upstream (modes 2 and 6).
// Overflow: 0 clips to Lo..Hi; 1 keeps WrapWidth bits (two's complement if WrapSigned), then clips;
//   2 gives 0 outside Lo..Hi.
module hg_requantize #(
    parameter int unsigned InWidth = 8,      // bits of x, sign included, >= 2
    parameter int unsigned OutWidth = 8,     // bits of y, >= 1; y is signed if Lo < 0
    parameter int Shift = 0,                 // bits to drop; negative: zeros to append
    parameter int unsigned Rounding = 0,     // 0..6, see above
    parameter bit HalfAdded = 1'b0,          // the rounding constant is in x already
    parameter int unsigned Overflow = 0,     // 0 clip, 1 wrap, 2 zero
    parameter int unsigned WrapWidth = 8,    // bits kept when wrapping
    parameter bit WrapSigned = 1'b0,         // whether the wrapped value is signed
    parameter longint Lo = 0,                // lowest result
    parameter longint Hi = 255               // highest result
) (
    input  logic signed [ InWidth-1:0] x_i,
    output logic        [OutWidth-1:0] y_o
);

  localparam int unsigned Up = Shift < 0 ? -Shift : 0;
  localparam int unsigned Down = Shift > 0 ? Shift : 0;
  localparam int unsigned Wide = InWidth + Up + 1;  // one more bit for the rounding carry
  localparam int unsigned QWidth = Wide > Down + 1 ? Wide - Down : 2;
  localparam int unsigned Ext = QWidth + Down;
  localparam int unsigned CWidth = (QWidth > OutWidth + 1 ? QWidth : OutWidth + 1) + 1;

  if (InWidth < 2 || OutWidth < 1 || Rounding > 6 || Overflow > 2 || Lo > Hi) begin : g_check
    $error("hg_requantize: bad parameters");
  end
  if (HalfAdded && (Shift < 1 || (Rounding != 2 && Rounding != 6))) begin : g_check_half
    $error("hg_requantize: HalfAdded needs Shift >= 1 and rounding mode 2 or 6");
  end

  // ---- round ----
  wire signed [QWidth-1:0] q;

  if (Down == 0) begin : g_exact
    assign q = QWidth'(x_i) <<< Up;
  end else begin : g_round
    wire signed [Ext-1:0] x = Ext'(x_i);
    if (Rounding == 0) begin : g_trn
      assign q = x[Ext-1:Down];
    end else if (Rounding == 1) begin : g_trn_zero
      wire up = x[Ext-1] && (x[Down-1:0] != '0);
      assign q = $signed(x[Ext-1:Down]) + $signed({{(QWidth - 1) {1'b0}}, up});
    end else begin : g_nearest
      localparam logic signed [Ext-1:0] Half = HalfAdded ? '0 : Ext'(1) <<< (Down - 1);
      // rounding half up does not look at the low bits
      // verilator lint_off UNUSEDSIGNAL
      wire signed [Ext-1:0] sum = x + Half;
      // verilator lint_on UNUSEDSIGNAL
      wire signed [QWidth-1:0] up = sum[Ext-1:Down];
      // On a tie (no low bits left) `up` is the upper neighbour: each mode says when to take the lower one.
      if (Rounding == 2) begin : g_half_up
        assign q = up;
      end else if (Rounding == 6) begin : g_half_even
        wire tie = sum[Down-1:0] == '0;
        assign q = {up[QWidth-1:1], up[0] && !tie};
      end else begin : g_signed_half
        wire tie = sum[Down-1:0] == '0;
        wire down = tie && (Rounding == 5 || (Rounding == 3 ? !x[Ext-1] : x[Ext-1]));
        assign q = up - $signed({{(QWidth - 1) {1'b0}}, down});
      end
    end
  end

  // ---- fit ----
  // A power-of-two range needs only the top bits looked at.
  localparam longint unsigned Span = Hi - Lo + 1;
  localparam bit FromZero = (Lo == 0) && ((Span & (Span - 1)) == 0);
  localparam int unsigned HiWidth = FromZero ? $clog2(Span) : 1;

  if (Overflow == 0 && FromZero && HiWidth < QWidth - 1 && HiWidth >= OutWidth) begin : g_clip_from_zero
    wire over = |q[QWidth-2:HiWidth];
    assign y_o = q[QWidth-1] ? '0 : (q[OutWidth-1:0] | {OutWidth{over}});
  end else begin : g_general
    wire signed [CWidth-1:0] wide = CWidth'(q);
    wire signed [CWidth-1:0] kept;
    if (Overflow == 1 && WrapWidth < CWidth) begin : g_wrap
      assign kept = {{(CWidth - WrapWidth) {WrapSigned && wide[WrapWidth-1]}}, wide[WrapWidth-1:0]};
    end else begin : g_no_wrap
      assign kept = wide;
    end
    // A bound outside what CWidth bits can take never binds.
    localparam bit LoBinds = Lo > -(longint'(1) <<< (CWidth - 1));
    localparam bit HiBinds = Hi < (longint'(1) <<< (CWidth - 1)) - 1;
    localparam logic signed [CWidth-1:0] LoC = CWidth'(Lo);
    localparam logic signed [CWidth-1:0] HiC = CWidth'(Hi);
    wire under = LoBinds && (kept < LoC);
    wire over = HiBinds && (kept > HiC);
    // high bits of a value known to fit
    // verilator lint_off UNUSEDSIGNAL
    wire signed [CWidth-1:0] y = under ? (Overflow == 2 ? '0 : LoC) : over ? (Overflow == 2 ? '0 : HiC) : kept;
    // verilator lint_on UNUSEDSIGNAL
    assign y_o = y[OutWidth-1:0];
  end

endmodule
