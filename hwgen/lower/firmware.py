"""The hls4ml Vitis project of a graph, with the program that emulates it (`emulator.py` compiles and runs it)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import NumericsError
from hwgen.files import FileSet, json_bytes
from hwgen.fixed import FixedPoint
from hwgen.ir.graph import Graph
from hwgen.lower import vendor
from hwgen.lower.emulator import EMULATOR_CPP, PORTS_JSON, Emulator
from hwgen.lower.hls import hls_layers
from hwgen.lower.hls_layers import HlsLayers
from hwgen.lower.names import identifier
from hwgen.reserved import RESERVED

__all__ = ["Emulator", "emulator_source", "project_files", "reuse_factors", "top_name", "write_project"]

MAX_PORT_BITS = 62
"""Integers of inputs and outputs travel as 64-bit words."""


def write_project(model: Any, lowered: Any, spec: Any, folder: Path) -> None:
    """Write the hls4ml project of ``lowered.graph`` into `folder`; only changed files are touched.

    Parameters
    ----------
    model : keras.Model
        Not read: the graph says everything.
    lowered : Lowered
    spec : ModelSpec
    folder : Path

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    hardware = getattr(spec, "hardware", None)
    files = project_files(
        lowered.graph,
        part=str(getattr(hardware, "part", "xcvu13p-flga2577-2-e")),
        clock_period_ns=float(getattr(hardware, "clock_period_ns", 5)),
        io_type=str(getattr(hardware, "io_type", "io_parallel")),
        reuse=reuse_factors(hardware),
    )
    files.write(folder)


def reuse_factors(hardware: Any) -> Callable[[str], int]:
    """Return the reuse factor that `hardware` in model.yaml gives a node: its layer's, else the global one, else 1."""
    layers = {identifier(name): layer for name, layer in (getattr(hardware, "layers", None) or {}).items()}
    everywhere = getattr(hardware, "reuse_factor", None) or 1

    def factor(name: str) -> int:
        layer = layers.get(name, layers.get(name.removesuffix("_depthwise")))
        return int(getattr(layer, "reuse_factor", None) or everywhere)

    return factor


def project_files(
    graph: Graph,
    *,
    part: str,
    clock_period_ns: float,
    io_type: str = "io_parallel",
    reuse: Callable[[str], int] = lambda name: 1,
) -> FileSet:
    """Return the hls4ml project of `graph` with our batch emulator, as a `FileSet`."""
    hls = hls_layers(graph, io_type == "io_stream", reuse)
    with tempfile.TemporaryDirectory(prefix="hwgen-hls-") as scratch, vendor.quiet():
        target = Path(scratch) / "project"
        vendor.write_vitis_project(
            hls.layers,
            hls.inputs,
            hls.outputs,
            hls.configuration,
            name=top_name(graph),
            folder=target,
            part=part,
            clock_period_ns=clock_period_ns,
            io_type=io_type,
        )
        files = FileSet()
        for path in sorted(p for p in target.rglob("*") if p.is_file()):
            files.add(path.relative_to(target).as_posix(), path.read_bytes())
    files.add(EMULATOR_CPP, emulator_source(graph, hls))
    files.add(PORTS_JSON, json_bytes(_ports(graph)))
    return files


def top_name(graph: Graph) -> str:
    """Return the name of the C++ top function."""
    return (
        f"{graph.name}_top" if graph.name.lower() in RESERVED or graph.name in ("nnet", "hls", "main") else graph.name
    )


def _ports(graph: Graph) -> dict[str, Any]:
    """Describe the emulator's inputs and outputs."""

    def port(name: str, shape: tuple[int, ...], fmt: FixedPoint) -> dict[str, Any]:
        if fmt.width > MAX_PORT_BITS:
            raise NumericsError(
                "too wide for the emulator", where=name, found=str(fmt), expected=f"at most {MAX_PORT_BITS} bits"
            )
        return {"name": name, "shape": list(shape), "width": fmt.width, "signed": fmt.signed, "fraction": fmt.fraction}

    inputs = [port(n.name, n.shape, n.fmt) for n in graph.inputs]
    outputs = []
    for node in graph.outputs:
        t = graph.types[node.name]
        outputs.append(port(node.name, t.shape, t.fmt))
    return {"version": 1, "top": top_name(graph), "inputs": inputs, "outputs": outputs}


def emulator_source(graph: Graph, hls: HlsLayers) -> str:
    """Return C++ that runs the top function over many frames of integers in one call."""
    ports = _ports(graph)
    if hls.stream:
        return _EMULATOR.format(top=ports["top"], body=_stream_body(ports, hls))
    before, arguments, after = [], [], []
    for index, (port, name) in enumerate(zip(ports["inputs"], hls.inputs, strict=True)):
        size, cpp = int(np.prod(port["shape"])), _cpp_type(hls.written_type(name))
        before.append(f"        static {cpp} x{index}[{size}];")
        before.append(f"        set_bits<{size}>(x{index}, in);")
        arguments.append(f"x{index}")
    for index, (port, name) in enumerate(zip(ports["outputs"], hls.outputs, strict=True)):
        size, cpp = int(np.prod(port["shape"])), _cpp_type(hls.written_type(name))
        before.append(f"        static {cpp} y{index}[{size}];")
        after.append(f"        get_bits<{size}>(y{index}, out);")
        arguments.append(f"y{index}")
    call = f"        {ports['top']}({', '.join(arguments)});"
    body = "\n".join([*before, call, *after])
    return _EMULATOR.format(top=ports["top"], body=body)


def _stream_body(ports: dict[str, Any], hls: HlsLayers) -> str:
    """Return the C++ that runs one frame through a top function of streams: an item is the last axis at one place."""
    lines, arguments, after = [], [], []
    for side, names, letter in (("inputs", hls.inputs, "x"), ("outputs", hls.outputs, "y")):
        for index, (port, name) in enumerate(zip(ports[side], names, strict=True)):
            item, size = int(port["shape"][-1]), int(np.prod(port["shape"]))
            kind = f"nnet::array<{_cpp_type(hls.written_type(name))}, {item}>"
            lines.append(f"        static hls::stream<{kind}> {letter}{index};")
            arguments.append(f"{letter}{index}")
            if side == "inputs":
                lines.append(f"        put_items<{size // item}>({letter}{index}, in);")
            else:
                after.append(f"        get_items<{size // item}>({letter}{index}, out);")
    call = f"        {ports['top']}({', '.join(arguments)});"
    return "\n".join([*lines, call, *after])


def _cpp_type(fmt: FixedPoint) -> str:
    """Return the C++ type that hls4ml writes for `fmt`."""
    return f"ap_{'' if fmt.signed else 'u'}fixed<{fmt.width}, {fmt.integer}, AP_{fmt.rounding}, AP_{fmt.overflow}>"


_EMULATOR = """// Runs the hls4ml project over many frames: 64-bit integers from one file into another, nothing rounded.
// A frame is every element of every input, in order; so are the results.
#include "firmware/{top}.h"

#include "firmware/nnet_utils/nnet_types.h"
#include "hls_stream.h"
#include <cstdio>

template <unsigned N, class T> void set_bits(T *x, FILE *in) {{
    static long long values[N];
    if (fread(values, sizeof(long long), N, in) != N)
        exit(3);
    for (unsigned i = 0; i < N; i++)
        x[i].range(T::width - 1, 0) = ap_int<64>(values[i]).range(T::width - 1, 0);
}}

template <int W, int I, ap_q_mode Q, ap_o_mode O> long long integer(const ap_fixed<W, I, Q, O> &x) {{
    ap_int<W> bits = x.range(W - 1, 0);
    return bits.to_int64();
}}
template <int W, int I, ap_q_mode Q, ap_o_mode O> long long integer(const ap_ufixed<W, I, Q, O> &x) {{
    ap_uint<W> bits = x.range(W - 1, 0);
    return bits.to_int64();
}}

template <unsigned N, class T> void get_bits(const T *x, FILE *out) {{
    static long long values[N];
    for (unsigned i = 0; i < N; i++)
        values[i] = integer(x[i]);
    if (fwrite(values, sizeof(long long), N, out) != N)
        exit(4);
}}

template <unsigned N, class T> void put_items(hls::stream<T> &x, FILE *in) {{
    for (unsigned i = 0; i < N; i++) {{
        T item;
        set_bits<T::size>(item.data, in);
        x.write(item);
    }}
}}
template <unsigned N, class T> void get_items(hls::stream<T> &x, FILE *out) {{
    for (unsigned i = 0; i < N; i++) {{
        const T item = x.read();
        get_bits<T::size>(item.data, out);
    }}
}}

// Usage: emulator <frames> <input file> <output file>
int main(int argc, char **argv) {{
    if (argc != 4)
        return 2;
    FILE *in = fopen(argv[2], "rb"), *out = fopen(argv[3], "wb");
    if (!in || !out)
        return 2;
    for (long long frame = 0, frames = atoll(argv[1]); frame < frames; frame++) {{
{body}
    }}
    return fclose(out) ? 4 : 0;
}}
"""
