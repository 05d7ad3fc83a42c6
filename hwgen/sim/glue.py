"""The few lines of C++ that tie one design's ports to the native harness (`templates/dut.h`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

PREFIX = "Vtop"
"""The class name of every model we build; cocotb's main program expects it."""


def cpp_name(port: str) -> str:
    """Return the C++ member that Verilator makes of a port name: a second underscore in a row is escaped."""
    return re.sub(r"(?<=_)_", "__05F", port)


def port_words(ports: Sequence[dict[str, Any]]) -> list[int]:
    """Return how many 32-bit words each port takes in a frame of the harness."""
    return [-(-port["elements"] * port["width"] // 32) for port in ports]


def glue(design: dict[str, Any], *, taps: bool = False, trace: str | None = None) -> str:
    """Return the glue's C++ for a core as `design.json` describes it.

    Parameters
    ----------
    taps : bool
        Read the tap ports too: the model is built with ``HWGEN_TAPS``.
    trace : {None, "fst", "vcd"}
        The waveform format the model is built for.
    """
    handshake = design["handshake"] == "valid_ready"
    tapped = design["taps"] if taps else []
    row = "        "
    tracer = {None: "", "fst": "VerilatedFstC", "vcd": "VerilatedVcdC"}[trace]
    text = ['#include "Vtop.h"', '#include "verilated.h"']
    text += [f'#include "verilated_{trace}_c.h"'] if trace else []
    text += [
        '#include "dut.h"',
        "namespace {",
        "template <class T> void put(T& port, const uint32_t* w) {",
        "    if constexpr (sizeof(T) <= 4) port = T(w[0]); else port = T(w[0] | uint64_t(w[1]) << 32);",
        "}",
        "template <std::size_t N> void put(VlWide<N>& port, const uint32_t* w) {",
        "    for (std::size_t i = 0; i < N; i++) port[i] = w[i];",
        "}",
        "template <class T> void get(const T& port, uint32_t* w) {",
        "    w[0] = uint32_t(port);",
        "    if constexpr (sizeof(T) > 4) w[1] = uint32_t(port >> 32);",
        "}",
        "template <std::size_t N> void get(const VlWide<N>& port, uint32_t* w) {",
        "    for (std::size_t i = 0; i < N; i++) w[i] = port[i];",
        "}",
        "struct Design final : Dut {",
        "    VerilatedContext context;",
        "    Vtop* top = nullptr;",
        f"    {tracer}* waves = nullptr;" if trace else "",
        "    ~Design() override { delete top; }",
        f"    void clock(bool level) override {{ top->{cpp_name(design['clock'])} = level; }}",
        f"    void reset(bool level) override {{ top->{cpp_name(design['reset'])} = level; }}",
        "    void in_valid(bool level) override { top->in_valid_i = level; }",
        "    void in_data(const uint32_t* w) override {",
        *[row + line for line in _each("put", design["inputs"])],
        "    }",
        f"    bool in_ready() const override {{ return {'top->in_ready_o' if handshake else 'true'}; }}",
        f"    void out_ready(bool level) override {{ {'top->out_ready_i = level' if handshake else '(void)level'}; }}",
        "    bool out_valid() const override { return top->out_valid_o; }",
        "    void out_data(uint32_t* w) const override {",
        *[row + line for line in _each("get", design["outputs"])],
        "    }",
        "    void taps(uint32_t* w) const override {",
        *[row + line for line in _each("get", tapped)],
        "        (void)w;",
        "    }",
        "    void eval() override { top->eval(); }",
        "    void final() override { top->final(); }",
        "    bool error() const override { return context.gotError() || context.gotFinish(); }",
        "    void trace_open(const char* path) override {",
        f"        waves = new {tracer}; top->trace(waves, 99); waves->open(path);" if trace else "        (void)path;",
        "    }",
        f"    void trace(uint64_t time) override {{ {'waves->dump(time)' if trace else '(void)time'}; }}",
        f"    void trace_close() override {{ {'waves->close()' if trace else ''}; }}",
        "};",
        "}  // namespace",
        "Dut* make_dut(int argc, char** argv, unsigned seed) {",
        "    auto* design = new Design;",
        "    (void)argc, (void)argv;",
        "    design->context.randReset(2);",
        "    design->context.randSeed(int(seed));",
        "    design->context.fatalOnError(false);",
        "    design->context.traceEverOn(true);" if trace else "",
        '    design->top = new Vtop{&design->context, "TOP"};',
        "    return design;",
        "}",
        f"const unsigned dut_in_words = {sum(port_words(design['inputs']))};",
        f"const unsigned dut_out_words = {sum(port_words(design['outputs']))};",
        f"const unsigned dut_tap_words = {sum(port_words(tapped))};",
    ]
    return "\n".join(line for line in text if line) + "\n"


def _each(verb: str, ports: Sequence[dict[str, Any]]) -> list[str]:
    lines, offset = [], 0
    for port, words in zip(ports, port_words(ports), strict=True):
        lines.append(f"{verb}(top->{cpp_name(port['port'])}, w + {offset});")
        offset += words
    return lines
