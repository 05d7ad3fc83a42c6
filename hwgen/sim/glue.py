"""The few lines of C++ that tie one design's ports to the native harness (`templates/dut.h`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from hwgen.sim.streams import Stream, in_streams, out_streams, tap_streams

PREFIX = "Vtop"
"""The class name of every model we build; cocotb's main program expects it."""

HELPERS = """\
template <class T> void put(T& port, const uint32_t* w) {
    if constexpr (sizeof(T) <= 4) port = T(w[0]); else port = T(w[0] | uint64_t(w[1]) << 32);
}
template <std::size_t N> void put(VlWide<N>& port, const uint32_t* w) {
    for (std::size_t i = 0; i < N; i++) port[i] = w[i];
}
template <class T> void get(const T& port, uint32_t* w) {
    w[0] = uint32_t(port);
    if constexpr (sizeof(T) > 4) w[1] = uint32_t(port >> 32);
}
template <std::size_t N> void get(const VlWide<N>& port, uint32_t* w) {
    for (std::size_t i = 0; i < N; i++) w[i] = port[i];
}"""


def cpp_name(port: str) -> str:
    """Return the C++ member that Verilator makes of a port name: a second underscore in a row is escaped."""
    return re.sub(r"(?<=_)_", "__05F", port)


def glue(design: dict[str, Any], *, taps: bool = False, trace: str | None = None) -> str:
    """Return the glue's C++ for a core as `design.json` describes it.

    Parameters
    ----------
    taps : bool
        Read taps, streams inside and FIFO marks too: the model is built with ``HWGEN_TAPS``.
    trace : {None, "fst", "vcd", "saif"}
        The waveform format the model is built for; of SAIF only the settled values before each rising edge.
    """
    sources, sinks = in_streams(design), out_streams(design)
    tapped = tap_streams(design) if taps else []
    links, fifos = (design["links"], design["fifos"]) if taps else ([], [])
    tracer = {None: "", "fst": "VerilatedFstC", "vcd": "VerilatedVcdC", "saif": "VerilatedSaifC"}[trace]
    text = ['#include "Vtop.h"', '#include "verilated.h"']
    text += [f'#include "verilated_{trace}_c.h"'] if trace else []
    text += ['#include "dut.h"', "namespace {", HELPERS, "struct Design final : Dut {"]
    text += ["    VerilatedContext context;", "    Vtop* top = nullptr;"]
    text += [f"    {tracer}* waves = nullptr;"] if trace else []
    text += [
        "    ~Design() override { delete top; }",
        f"    void clock(bool level) override {{ {_top(design['clock'])} = level; }}",
        f"    void reset(bool level) override {{ {_top(design['reset'])} = level; }}",
        *_each("void in_valid(unsigned k, bool level)", sources, lambda s: f"{_top(s.valid)} = level;"),
        *_each("void in_data(unsigned k, const uint32_t* w)", sources, lambda s: _data("put", s)),
        *_each("bool in_ready(unsigned k) const", sources, lambda s: _level(s.ready), "false"),
        *_each(
            "void out_ready(unsigned k, bool level)",
            sinks,
            lambda s: f"{_top(s.ready)} = level;" if s.ready else "(void)level;",
        ),
        *_each("bool out_valid(unsigned k) const", sinks, lambda s: _level(s.valid), "false"),
        *_each("void out_data(unsigned k, uint32_t* w) const", sinks, lambda s: _data("get", s)),
        *_each("bool tap_valid(unsigned k) const", tapped, lambda s: _level(s.valid), "false"),
        *_each("void tap_data(unsigned k, uint32_t* w) const", tapped, lambda s: _data("get", s)),
        *_each("unsigned link(unsigned k) const", links, _link, "0"),
        *_each("uint32_t mark(unsigned k) const", fifos, lambda f: f"return {_top(f['port'])};", "0"),
        "    void eval() override { top->eval(); }",
        "    void final() override { top->final(); }",
        "    bool error() const override { return context.gotError() || context.gotFinish(); }",
        "    void trace_open(const char* path) override {",
        f"        waves = new {tracer}; top->trace(waves, 99); waves->open(path);" if trace else "        (void)path;",
        "    }",
        f"    void trace(uint64_t time) override {{ {_dump(trace)} }}",
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
        *(
            f"const std::vector<StreamInfo> {name} = {{{_infos(streams)}}};"
            for name, streams in (("dut_in", sources), ("dut_out", sinks), ("dut_taps", tapped))
        ),
        f"const unsigned dut_links = {len(links)}, dut_marks = {len(fifos)};",
    ]
    return "\n".join(line for line in text if line) + "\n"


def _dump(trace: str | None) -> str:
    if trace is None:
        return "(void)time;"
    return "if (!(time & 1)) waves->dump(time / 2);" if trace == "saif" else "waves->dump(time);"


def _top(port: str) -> str:
    return f"top->{cpp_name(port)}"


def _level(port: str | None) -> str:
    """Return the statement that reads a port of a handshake; where there is none, it is always high."""
    return f"return {_top(port) if port else 'true'};"


def _infos(streams: Sequence[Stream]) -> str:
    return ", ".join(f"{{{s.words}, {s.beats}, {str(bool(s.valid)).lower()}}}" for s in streams)


def _link(link: dict[str, Any]) -> str:
    return f"return unsigned({_top(link['valid'])}) + 2u * {_top(link['ready'])};"


def _data(verb: str, stream: Stream) -> str:
    """Return the copies between a stream's ports and the words of a beat."""
    parts, offset = [], 0
    for port, words in zip(stream.ports, stream.port_words, strict=True):
        parts.append(f"{verb}({_top(port['port'])}, w + {offset});")
        offset += words
    return " ".join(parts)


def _each(head: str, items: Sequence[Any], body: Callable[[Any], str], otherwise: str | None = None) -> list[str]:
    """Return a method that does for its item k what `body` says; no switch where there is only one.

    Parameters
    ----------
    otherwise : str, optional
        What a method with a result returns where there is no such item.
    """
    texts = [body(item) for item in items]
    last = [f"        return {otherwise};"] if otherwise and len(texts) != 1 else []
    lines = [f"    {head} override {{", "        (void)k;" + (" (void)w;" if " w)" in head else "")]
    if len(texts) == 1:
        lines += [f"        {texts[0]}"]
    elif texts:
        stop = "" if otherwise else " break;"
        cases = [f"        case {index}: {text}{stop}" for index, text in enumerate(texts)]
        lines += ["        switch (k) {", *cases, "        }"]
    return [*lines, *last, "    }"]
