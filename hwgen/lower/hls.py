"""A `Graph` as hls4ml's layer list and configuration: every type given exactly, every weight already an integer.

One function per node kind. Where hls4ml's own C++ is exact it is used; the rest are layers of ours, added through
hls4ml's extension API, whose C++ is `templates/nnet_hwgen.h`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import FixedPoint, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph
from hwgen.ir.nodes import TensorType
from hwgen.lower.hls_layers import MIN_WEIGHT_BITS, HlsLayers, exact_type
from hwgen.lower.hls_windows import convolution, divide, max_pool, pad, sum_pool, upsample


def hls_layers(graph: Graph, stream: bool = False, reuse: Callable[[str], int] = lambda name: 1) -> HlsLayers:
    """Return `graph` as hls4ml layers.

    Parameters
    ----------
    stream : bool
        For ``io_stream``: layers joined by streams of pixels.
    reuse : callable
        A node's reuse factor by its name.

    Raises
    ------
    GraphError
        For a node kind that has no C++.
    """
    hls = HlsLayers(graph, stream=stream, reuse=reuse)
    for node in graph.nodes:
        if isinstance(node, ir.Const):
            continue
        maker = MAKERS.get(type(node))
        if maker is None:
            raise GraphError(f"no HLS C++ for {type(node).__name__}", where=node.name)
        hls.names[node.name] = _input_name(node.name) if isinstance(node, ir.Input) else node.name
        maker(hls, node, hls.names[node.name], [hls.names[i] for i in node.inputs if i in hls.names])
    if stream:
        hls.split_fans()
    return hls


def _input_name(name: str) -> str:
    """Inputs are C++ parameters: keep them apart from the names hls4ml gives weights, types and layers."""
    words = (
        r"index|trace|name|class_name|inputs?|outputs?|type_name|input_shape|\w+_factor|target_cycles|strategy|nnet|hls"
    )
    taken = re.fullmatch(rf"[a-z]{{1,2}}\d+|layer\d+\w*|\w*config\d+|\w+_t|{words}", name, re.IGNORECASE)
    return f"{name}_in" if taken else name


def _input(hls: HlsLayers, node: ir.Input, name: str, inputs: list[str]) -> None:
    fmt = FixedPoint(node.fmt.width, node.fmt.integer, node.fmt.signed)
    hls.add(name, "InputLayer", [], fmt, input_shape=list(node.shape))


def _dense(hls: HlsLayers, node: ir.Dense, name: str, inputs: list[str]) -> None:
    x, result = hls.type_of(node.inputs[0]), hls.type_of(node.name)
    weight, weight_t = hls.const(node.inputs[1])
    more: dict[str, Any] = {"weight_data": weight, "weight_t": weight_t, "bias_data": None}
    if len(node.inputs) > 2:
        more["bias_data"], more["bias_t"] = hls.const(node.inputs[2])
    n_in, n_out = weight.shape
    accum = _accumulator(hls, node, x)
    if len(x.shape) == 1:
        hls.add(name, "Dense", inputs, exact_type(result), accum_t=accum, n_in=n_in, n_out=n_out, **more)
        return
    rows = x.size // n_in
    call = "dense<{input_t}, {output_t}, {config}>({input}, {output}, {weight}, {bias})"
    if more["bias_data"] is None:
        more["bias_data"], more["bias_t"] = np.zeros(n_out), FixedPoint(MIN_WEIGHT_BITS, MIN_WEIGHT_BITS)
    body = f"static const unsigned n_rows = {rows}, n_in = {n_in}, n_out = {n_out};"
    hls.own(node, name, inputs, call, body, ("weight", "bias"), accum_t=accum, **more)


def _accumulator(hls: HlsLayers, node: ir.Dense, x: TensorType) -> FixedPoint:
    """Return a type that holds every partial sum, in any order, on the finest grid of products and bias."""
    kernel = hls.graph.by_name[node.inputs[1]]
    result = hls.type_of(node.name)
    assert isinstance(kernel, ir.Const)
    top = max(max_abs(x.lo), max_abs(x.hi))
    total = int(np.abs(kernel.value).sum(axis=0).max()) * top << (result.fraction - x.fraction - kernel.fraction)
    if len(node.inputs) > 2:
        bias = hls.type_of(node.inputs[2])
        total += max_abs(bias.lo) << (result.fraction - bias.fraction)
    return FixedPoint.for_range(-total - 1, total, result.fraction)


def _scale(hls: HlsLayers, node: ir.Scale, name: str, inputs: list[str]) -> None:
    t = hls.type_of(node.name)
    scale, scale_t = hls.const(node.inputs[1])
    bias, bias_t = hls.const(node.inputs[2]) if len(node.inputs) > 2 else (np.zeros(1), FixedPoint(3, 3))
    channels = t.shape[-1]
    hls.add(
        name,
        "BatchNormalization",
        inputs,
        exact_type(t),
        n_in=t.size,
        n_filt=channels,
        scale_data=np.broadcast_to(scale, (channels,)).copy(),
        bias_data=np.broadcast_to(bias, (channels,)).copy(),
        scale_t=scale_t,
        bias_t=bias_t,
    )


def _requantize(hls: HlsLayers, node: ir.Requantize, name: str, inputs: list[str]) -> None:
    if node.clamp is None:
        relu = not node.fmt.signed and node.fmt.overflow.startswith("SAT")
        hls.add(name, "Activation", inputs, node.fmt, activation="relu" if relu else "linear")
        return
    low, high = node.clamp
    body = f"static const long long low = {low}LL, high = {high}LL;\n    static const unsigned n = {_size(hls, node)};"
    plain = FixedPoint(node.fmt.width, node.fmt.integer, node.fmt.signed)
    call = "requantize<{input_t}, {round_t}, {output_t}, {config}>({input}, {output})"
    hls.own(node, name, inputs, call, body, (), result=plain, round_t=node.fmt)


def _lookup(hls: HlsLayers, node: ir.Lookup, name: str, inputs: list[str]) -> None:
    values = np.ldexp(node.table.astype(np.float64), -node.fmt.fraction)
    plain = FixedPoint(node.fmt.width, node.fmt.integer, node.fmt.signed)
    body = f"static const long long first = {node.first}LL;\n    static const unsigned n = {_size(hls, node)};"
    call = "lookup<{input_t}, {output_t}, {config}>({input}, {output}, {table})"
    hls.own(node, name, inputs, call, body, ("table",), result=plain, table_data=values, table_t=plain)


def _size(hls: HlsLayers, node: ir.Node) -> int:
    return hls.type_of(node.name).size


_OPERATIONS: dict[type[ir.Node], tuple[str, str]] = {
    ir.Add: ("add", "+"),
    ir.Sub: ("subtract", "-"),
    ir.Mul: ("multiply", "*"),
    ir.Max: ("maximum", ">"),
    ir.Min: ("minimum", "<"),
}


def _elementwise(hls: HlsLayers, node: ir.Node, name: str, inputs: list[str]) -> None:
    op = _OPERATIONS[type(node)][0]
    a, b = (hls.type_of(i) for i in node.inputs)
    result = hls.type_of(node.name)
    operands = [hls.graph.by_name[i] for i in node.inputs]
    if any(isinstance(o, ir.Const) for o in operands):
        raise GraphError(f"no HLS C++ for {type(node).__name__} with a constant", where=node.name)
    if a.shape == b.shape:
        hls.add(name, "Merge", inputs, exact_type(result), op=op)
        return
    rank = len(result.shape)
    strides = [_strides(t.shape, rank) for t in (a, b)]
    lists = [", ".join(map(str, values)) for values in (result.shape, *strides)]
    body = f"static const unsigned n = {result.size}, n_a = {a.size}, n_b = {b.size}, rank = {rank};\n"
    body += "    static unsigned at(unsigned i, unsigned operand) {\n"
    body += (
        f"        const unsigned shape[] = {{{lists[0]}}}, stride[2][{rank}] = {{{{{lists[1]}}}, {{{lists[2]}}}}};\n"
    )
    body += "        unsigned place = 0;\n        for (int d = rank - 1; d >= 0; d--) {\n"
    body += "            place += (i % shape[d]) * stride[operand][d];\n            i /= shape[d];\n        }\n"
    body += "        return place;\n    }"
    call = f"broadcast_{op}<{{input_t}}, {{input2_t}}, {{output_t}}, {{config}}>({{input}}, {{input2}}, {{output}})"
    hls.own(node, name, inputs, call, body, ())


def _strides(shape: tuple[int, ...], rank: int) -> list[int]:
    """Return row-major strides, 0 on broadcast axes, padded in front to `rank`."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(0 if size == 1 else step)
        step *= size
    return [0] * (rank - len(shape)) + strides[::-1]


def _reduce_max(hls: HlsLayers, node: ir.Node, name: str, inputs: list[str]) -> None:
    t = hls.type_of(node.inputs[0])
    body = f"static const unsigned n_rows = {t.size // t.shape[-1]}, n_in = {t.shape[-1]};"
    kind = "reduce_max" if isinstance(node, ir.ReduceMax) else "argmax"
    hls.own(node, name, inputs, kind + "<{input_t}, {output_t}, {config}>({input}, {output})", body, ())


def _concat(hls: HlsLayers, node: ir.Concat, name: str, inputs: list[str]) -> None:
    """hls4ml concatenates two tensors: longer lists become a chain, all of them rows of what is before the axis."""
    result = hls.type_of(node.name)
    fmt, rank = exact_type(result), len(result.shape)
    rows = int(np.prod(result.shape[: node.axis % rank]))
    columns = [hls.type_of(operand).size // rows for operand in node.inputs]
    parts = []
    for index, (source, width) in enumerate(zip(inputs, columns, strict=True), start=1):
        parts.append(f"{name}_rows{index}")
        _add_reshape(hls, parts[-1], source, hls.written_type(source), (rows, width))
    left, total = parts[0], columns[0]
    for index, (right, width) in enumerate(zip(parts[1:], columns[1:], strict=True), start=2):
        step, total = f"{name}_part{index}", total + width
        if hls.stream:
            call = "join<{input_t}, {input2_t}, {output_t}, {config}>({input}, {input2}, {output})"
            body = f"static const unsigned n_rows = {rows};"
            hls.own_layer(step, [left, right], call, body, (), (rows, total), fmt)
        else:
            hls.add(step, "Concatenate", [left, right], fmt, axis=-1, op="concatenate2d")
        left = step
    _add_reshape(hls, name, left, fmt, result.shape)


def _reshape(hls: HlsLayers, node: ir.Reshape, name: str, inputs: list[str]) -> None:
    flat = len(node.shape) == 1 and all(isinstance(c, ir.Dense) for c in hls.graph.consumers(node.name))
    if hls.stream and flat:  # hls4ml's Dense gathers the items of a stream itself
        hls.add(name, "Reshape", inputs, hls.written_type(inputs[0]), target_shape=list(node.shape))
    else:
        _add_reshape(hls, name, inputs[0], hls.written_type(inputs[0]), node.shape)


def _add_reshape(hls: HlsLayers, name: str, source: str, fmt: FixedPoint, shape: tuple[int, ...]) -> None:
    if not hls.stream:
        hls.add(name, "Reshape", [source], fmt, target_shape=list(shape))
        return
    call = "repack<{input_t}, {output_t}, {config}>({input}, {output})"
    body = f"static const unsigned n = {int(np.prod(shape))};"
    hls.own_layer(name, [source], call, body, (), shape, fmt)


def _transpose(hls: HlsLayers, node: ir.Transpose, name: str, inputs: list[str]) -> None:
    hls.add(name, "Transpose", inputs, exact_type(hls.type_of(node.name)), perm=list(node.perm))


def _output(hls: HlsLayers, node: ir.Output, name: str, inputs: list[str]) -> None:
    """An output is its operand, or a copy where hls4ml cannot hand that out (an input, a reshape, a shared result)."""
    operand = hls.graph.by_name[node.inputs[0]]
    alone = len(hls.graph.consumers(operand.name)) == 1
    if alone and not isinstance(operand, ir.Input | ir.Reshape | ir.Concat | ir.Upsample):
        hls.names[node.name] = inputs[0]
    else:
        hls.add(name, "Activation", inputs, exact_type(hls.type_of(operand.name)), activation="linear")
    hls.outputs.append(hls.names[node.name])


MAKERS: dict[type[ir.Node], Callable[[HlsLayers, Any, str, list[str]], None]] = {
    ir.Input: _input,
    ir.Dense: _dense,
    ir.Scale: _scale,
    ir.Requantize: _requantize,
    ir.Lookup: _lookup,
    **dict.fromkeys(_OPERATIONS, _elementwise),
    ir.ReduceMax: _reduce_max,
    ir.ArgMax: _reduce_max,
    ir.Concat: _concat,
    ir.Reshape: _reshape,
    ir.Transpose: _transpose,
    ir.Conv: convolution,
    ir.DepthwiseConv: convolution,
    ir.MaxPool: max_pool,
    ir.SumPool: sum_pool,
    ir.Divide: divide,
    ir.Pad: pad,
    ir.Upsample: upsample,
    ir.Output: _output,
}
"""How each node kind is written in hls4ml."""
