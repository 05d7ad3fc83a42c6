"""One SystemVerilog module per layer: the group's operations, stage by stage, with named registers between."""

from __future__ import annotations

from hwgen.rtl import sv
from hwgen.rtl.layer_plan import LayerModule, own_wire
from hwgen.rtl.wires import AddConst, AddSub, Literal, MulConst, Multiply, Op, Round, Select, Table, Term


class LayerText:
    """Writes one module's text."""

    def __init__(self, module: LayerModule) -> None:
        self.m = module
        self.ops = module.program.ops
        self.lines: list[str] = []
        # What the module reads without taps: its needed operations, and the outside wires they use.
        own = [i for i in range(len(self.ops)) if i in module.needed and self.ops[i].group == module.group]
        self.read = {o for i in own for o in self.ops[i].operands} | set(own)

    def name_at(self, index: int, stage: int) -> str:
        """Return the name of a wire's value at `stage` (its delayed copy)."""
        index = own_wire(self.m.program, index, self.m)
        if isinstance(self.ops[index], Literal):
            return ""
        delay = stage - self.m.birth[index]
        return self.m.names[index] + (f"_d{delay}" if delay else "")

    def sized(self, index: int, stage: int, width: int) -> str:
        """Return an operand at `stage`, extended or truncated to `width` bits."""
        return sv.sized(self.name_at(index, stage), self.ops[index], width)

    def signed(self, index: int, stage: int, width: int) -> str:
        """Return an operand at `stage` as a signed expression of `width` bits."""
        return sv.signed(self.name_at(index, stage), self.ops[index], width)

    def text(self) -> str:
        """Return the whole module."""
        self._ports()
        self._unpack()
        by_stage: dict[int, list[int]] = {}
        for i in self.m.names:
            by_stage.setdefault(self.m.birth[i], []).append(i)
        last = max([*by_stage, *(tap.cycle for tap in self.m.taps), self.m.last_stage])
        for stage in range(self.m.first_stage, last + 1):
            self._stage(stage, [i for i in by_stage.get(stage, []) if self.ops[i].group == self.m.group])
            self._registers(stage)
        self._outputs()
        self._taps()
        self.lines.append("endmodule")
        return "\n".join(self.lines) + "\n"

    def _ports(self) -> None:
        ports = ["input  logic clk_i"] if self.m.clocked else []
        if ports and not any(self.m.reach[i] > self.m.birth[i] for i in self.read if i in self.m.names):
            ports = ["/* verilator lint_off UNUSEDSIGNAL */ input  logic clk_i"]  # for taps alone
        for tensor in self.m.inputs:
            t = self.m.graph.types[tensor]
            unused = "/* verilator lint_off UNUSEDSIGNAL */ " if self._reads_less(tensor) else ""
            ports.append(f"{unused}input  logic {sv.span(t.size * t.fmt.width)}{tensor}_i")
        for tensor in self.m.outputs:
            t = self.m.graph.types[tensor]
            ports.append(f"output logic {sv.span(t.size * t.fmt.width)}{tensor}_o")
        taps = []
        for tap in self.m.taps:
            if not tap.leaves:
                t = self.m.graph.types[tap.node]
                taps.append(f"output logic {sv.span(t.size * t.fmt.width)}tap_{tap.node}_o")
        self.lines.append(f"module {self.m.module} (")
        if taps:
            self.lines += ["`ifdef HWGEN_TAPS", *(f"  {p}," for p in taps), "`endif"]
        self.lines += [f"  {p}," for p in ports[:-1]] + [f"  {ports[-1]}", ");", ""]

    def _reads_less(self, tensor: str) -> bool:
        """Return whether some bits of an input are not read (pruned weights, bits that cannot be set)."""
        terms = self.m.program.aligned.get(tensor) or self.m.program.tensors[tensor]
        read = sum(self.ops[t.wire].width for t in terms if t.wire in self.read)
        t = self.m.graph.types[tensor]
        return read < t.size * t.fmt.width

    def _guarded(self, lines: list[str]) -> None:
        """Append lines that only taps need."""
        if lines:
            self.lines += ["`ifdef HWGEN_TAPS", *lines, "`endif"]

    def _unpack(self) -> None:
        guarded: list[str] = []
        for tensor in self.m.inputs:
            width = self.m.graph.types[tensor].fmt.width
            self.lines.append(f"  // {tensor}: {self.m.graph.types[tensor].size} elements of {width} bits")
            terms = self.m.program.aligned.get(tensor) or self.m.program.tensors[tensor]
            seen = set()
            for k, term in enumerate(terms):
                if term.wire in self.m.names and term.wire not in seen:
                    seen.add(term.wire)
                    op = self.ops[term.wire]
                    part = sv.slice_of(k * width + term.shift, op.width)
                    line = f"  wire {sv.wire_type(op)}{self.m.names[term.wire]} = {tensor}_i{part};"
                    (self.lines if term.wire in self.read else guarded).append(line)
        self._guarded(guarded)
        self.lines.append("")

    def _stage(self, stage: int, indices: list[int]) -> None:
        if not indices:
            return
        self.lines.append(f"  // ---- stage {stage} ----")
        for i in indices:
            if not self.m.tap_only(i):
                self.lines += self._operation(i, stage)
        self._guarded([line for i in indices if self.m.tap_only(i) for line in self._operation(i, stage)])
        self.lines.append("")

    def _operation(self, index: int, stage: int) -> list[str]:
        op = self.ops[index]
        if isinstance(op, AddConst | Round | Table):
            return self._instance(index, op, stage)
        return [f"  wire {sv.wire_type(op)}{self.m.names[index]} = {self._expression(op, stage)};"]

    def _expression(self, op: Op, stage: int) -> str:
        w = op.width
        match op:
            case AddSub():
                return self._add_sub(op, stage)
            case MulConst() if op.const > 0 and op.const & (op.const - 1) == 0:
                return sv.shifted(self.sized(op.a, stage, w), op.const.bit_length() - 1)
            case MulConst():
                return f"{self.sized(op.a, stage, w)} * {sv.literal(op.const, max(w, op.const.bit_length() + 1))}"
            case Multiply():
                return f"{self.sized(op.a, stage, w)} * {self.sized(op.b, stage, w)}"
            case Select():
                return self._select(op, stage)
        raise TypeError(f"no SystemVerilog for {type(op).__name__}")

    def _add_sub(self, op: AddSub, stage: int) -> str:
        """Return the sum; low bits of one operand that meet only zeros of the other stay out of the adder."""
        sign, w = "-" if op.subtract else "+", op.width
        plain, moved, shift = (op.a, op.b, op.shift_b) if op.shift_b else (op.b, op.a, op.shift_a)
        passes_by = shift and not (op.subtract and moved == op.a) and self.ops[plain].width > shift < w
        if not passes_by:
            a = sv.shifted(self.sized(op.a, stage, w), op.shift_a)
            b = sv.shifted(self.sized(op.b, stage, w), op.shift_b)
            return f"{a} {sign} {b}"
        name, high = self.name_at(plain, stage), w - shift
        low = sv.slice_of(0, shift)
        right = ">>>" if self.ops[plain].signed else ">>"
        return f"{{{high}'({name} {right} {shift}) {sign} {self.sized(moved, stage, high)}, {name}{low}}}"

    def _select(self, op: Select, stage: int) -> str:
        w = max(sv.signed_width(self.ops[op.a], op.shift_a), sv.signed_width(self.ops[op.b], op.shift_b))
        a = sv.shifted(self.signed(op.a, stage, w), op.shift_a)
        b = sv.shifted(self.signed(op.b, stage, w), op.shift_b)
        then = sv.shifted(self.sized(op.then, stage, op.width), op.shift_then)
        other = sv.shifted(self.sized(op.other, stage, op.width), op.shift_other)
        return f"({a} >= {b}) ? {then} : {other}"

    def _instance(self, index: int, op: AddConst | Round | Table, stage: int) -> list[str]:
        name, a = self.m.names[index], self.ops[op.a]
        lines = [f"  wire {sv.wire_type(op)}{name};"]
        if isinstance(op, AddConst):
            x = sv.shifted(self.sized(op.a, stage, op.width), op.shift)
            negate = ".Negate(1), " if op.negate else ""
            chosen = f".Width({op.width}), {negate}.Const({sv.parameter(op.const)})"
            lines.append(f"  hg_add_const #({chosen}) u_{name} (.x_i({x}), .y_o({name}));")
            return lines
        if isinstance(op, Table):
            t = self.m.graph.types[self.m.graph.by_name[op.name].inputs[0]]
            out = self.m.graph.types[op.name].fmt.width
            pad = f"{name}_unused" if out > op.width else ""
            if pad:
                lines.append(f"  wire {sv.span(out - op.width)}{pad};  // sign or zero bits")
            target = f"{{{pad}, {name}}}" if pad else name
            x = self.sized(op.a, stage, t.fmt.width)
            lines.append(f"  {self.m.top}_{op.name}_table u_{name} (.x_i({x}), .y_o({target}));")
            return lines
        width = sv.signed_width(a)
        x = self.signed(op.a, stage, width)
        parameters = [f".InWidth({width})", f".OutWidth({op.width})", f".Shift({op.shift})"]
        if op.rounding != "TRN" and op.shift > 0:
            parameters.append(f".Rounding({ROUNDING_CODE[op.rounding]})")
        if op.half_added:
            parameters.append(".HalfAdded(1)")
        if op.zero_outside:
            parameters.append(".Overflow(2)")
        elif op.wrap_width:
            parameters += [".Overflow(1)", f".WrapWidth({op.wrap_width})", f".WrapSigned({int(op.wrap_signed)})"]
        parameters += [f".Lo({sv.parameter(op.clamp_lo)})", f".Hi({sv.parameter(op.clamp_hi)})"]
        lines.append(f"  hg_requantize #({', '.join(parameters)}) u_{name} (.x_i({x}), .y_o({name}));")
        return lines

    def _registers(self, stage: int) -> None:
        """Emit the register rank between `stage` and the next one; registers for taps alone apart."""
        crossing = [i for i in self.m.names if self.m.birth[i] <= stage < self.m.tap_reach[i]]
        plain = [i for i in crossing if stage < self.m.reach[i] and i in self.read]
        self.lines += self._rank(plain, stage)
        self._guarded(self._rank([i for i in crossing if i not in plain], stage))
        if crossing:
            self.lines.append("")

    def _rank(self, crossing: list[int], stage: int) -> list[str]:
        if not crossing:
            return []
        held = [f"  logic {sv.wire_type(self.ops[i])}{self.name_at(i, stage + 1)};" for i in crossing]
        moved = [f"    {self.name_at(i, stage + 1)} <= {self.name_at(i, stage)};" for i in crossing]
        return [*held, "  always_ff @(posedge clk_i) begin", *moved, "  end"]

    def _element(self, term: Term, stage: int, width: int) -> str:
        """Return a tensor element, `width` bits, from its term."""
        op = self.ops[term.wire]
        if isinstance(op, Literal):
            value = ((op.lo << term.shift) - term.offset) & ((1 << width) - 1)
            return f"{width}'d{value}"
        text = sv.shifted(self.sized(term.wire, stage, width), term.shift)
        return f"{text} - {width}'d{term.offset}" if term.offset else text

    def _outputs(self) -> None:
        for tensor in self.m.outputs:
            t = self.m.graph.types[tensor]
            stage = self.m.plan.tensor_stage(self.m.program, tensor)
            self.lines.append(f"  // {tensor}: {t.size} elements of {t.fmt.width} bits, {t.fmt}, element 0 lowest")
            for k, term in enumerate(self.m.program.aligned[tensor]):
                part = sv.slice_of(k * t.fmt.width, t.fmt.width)
                self.lines.append(f"  assign {tensor}_o{part} = {self._element(term, stage, t.fmt.width)};")
        self.lines.append("")

    def _taps(self) -> None:
        taps = [tap for tap in self.m.taps if not tap.leaves]
        if not taps:
            return
        clock = "clk_i" if self.m.clocked else "1'b0"
        self.lines.append("`ifdef HWGEN_TAPS")
        for tap in taps:
            t = self.m.graph.types[tap.node]
            w = t.fmt.width
            for k, term in enumerate(self.m.program.tensors[tap.node]):
                literal = isinstance(self.ops[term.wire], Literal)
                born = tap.cycle if literal else self.m.plan.stage[own_wire(self.m.program, term.wire, self.m)]
                value = self._element(term, born, w)
                self.lines.append(
                    f"  hg_delay #(.Width({w}), .Cycles({tap.cycle - born})) u_tap_{tap.node}_{k} "
                    f"(.clk_i({clock}), .x_i({value}), "
                    f".y_o(tap_{tap.node}_o{sv.slice_of(k * w, w)}));"
                )
        self.lines += ["`endif", ""]


ROUNDING_CODE = {"TRN": 0, "TRN_ZERO": 1, "RND": 2, "RND_ZERO": 3, "RND_INF": 4, "RND_MIN_INF": 5, "RND_CONV": 6}
"""The `Rounding` parameter of hg_requantize."""
