"""A `Graph` as hls4ml's layer list and configuration: every type given exactly, every weight already an integer.

One function per node kind. Where hls4ml's own C++ is exact it is used; the rest are layers of ours, added through
hls4ml's extension API, whose C++ is `templates/nnet_hwgen.h`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import FixedPoint, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph
from hwgen.ir.nodes import TensorType

RESULT = "__out"
"""Suffix of the names of results inside hls4ml."""
MIN_WEIGHT_BITS = 3
"""hls4ml has special products for one and two bit weights; a wider type keeps to plain multiplication."""


@dataclass
class HlsLayers:
    """hls4ml's layer list under construction, its per-layer precision, and the names its tensors have."""

    graph: Graph
    layers: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> list[str]:
        """Names of the input layers."""
        return [self.names[n.name] for n in self.graph.inputs if n.name in self.names]

    @property
    def configuration(self) -> dict[str, Any]:
        """hls4ml's ``HLSConfig``: a precision for everything."""
        model = {"Precision": "fixed<16,6>", "ReuseFactor": 1, "Strategy": "latency"}
        return {"Model": model, "LayerName": self.config}

    def add(self, name: str, kind: str, inputs: list[str], result: FixedPoint, **more: Any) -> None:
        """Add one layer with its result's type; other types are given as ``<name>_t=FixedPoint``."""
        types = {k.removesuffix("_t"): more.pop(k) for k in list(more) if k.endswith("_t")}
        precision = {"result": str(result)} | {k: str(v) for k, v in types.items()}
        self.config[name] = {"Precision": precision}
        # hls4ml keeps a result among the layer's attributes: its name must not be that of an attribute.
        result_name = name if kind == "InputLayer" else f"{name}{RESULT}"
        sources = [i if i in self.inputs else f"{i}{RESULT}" for i in inputs]
        self.layers.append({"name": name, "class_name": kind, "inputs": sources, "outputs": [result_name], **more})

    def const(self, name: str) -> tuple[np.ndarray[Any, Any], FixedPoint]:
        """Return a constant's values and a signed type that holds them."""
        node = self.graph.by_name[name]
        assert isinstance(node, ir.Const)
        fmt = FixedPoint.for_range(min(int(node.value.min()), -1), max(int(node.value.max()), 1), node.fraction)
        width = max(fmt.width, MIN_WEIGHT_BITS)
        values = np.array([float(v) for v in node.value.flat]).reshape(node.value.shape)
        return np.ldexp(values, -node.fraction), FixedPoint(width, width - node.fraction)

    def written_type(self, layer: str) -> FixedPoint:
        """Return the type the C++ has for a layer's result."""
        return FixedPoint.parse(self.config[layer]["Precision"]["result"])

    def type_of(self, name: str) -> TensorType:
        """Return a node's type."""
        return self.graph.types[name]


def hls_layers(graph: Graph) -> HlsLayers:
    """Return `graph` as hls4ml layers.

    Raises
    ------
    GraphError
        For a node kind that has no C++.
    """
    hls = HlsLayers(graph)
    for node in graph.nodes:
        if isinstance(node, ir.Const):
            continue
        maker = MAKERS.get(type(node))
        if maker is None:
            raise GraphError(f"no HLS C++ for {type(node).__name__}", where=node.name)
        hls.names[node.name] = _input_name(node.name) if isinstance(node, ir.Input) else node.name
        maker(hls, node, hls.names[node.name], [hls.names[i] for i in node.inputs if i in hls.names])
    return hls


def _input_name(name: str) -> str:
    """Inputs are C++ parameters: keep them apart from the names hls4ml gives weights, types and layers."""
    words = (
        r"index|trace|name|class_name|inputs?|outputs?|type_name|input_shape|\w+_factor|target_cycles|strategy|nnet|hls"
    )
    taken = re.fullmatch(rf"[a-z]{{1,2}}\d+|layer\d+\w*|\w*config\d+|\w+_t|{words}", name, re.IGNORECASE)
    return f"{name}_in" if taken else name


def exact_type(t: TensorType) -> FixedPoint:
    """Return a plain type that holds the proven range."""
    return FixedPoint.for_range(int(t.lo.min()), int(t.hi.max()), t.fraction)


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
    _own(hls, node, name, inputs, call, body, ("weight", "bias"), accum_t=accum, **more)


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
    _own(hls, node, name, inputs, call, body, (), result=plain, round_t=node.fmt)


def _lookup(hls: HlsLayers, node: ir.Lookup, name: str, inputs: list[str]) -> None:
    values = np.ldexp(node.table.astype(np.float64), -node.fmt.fraction)
    plain = FixedPoint(node.fmt.width, node.fmt.integer, node.fmt.signed)
    body = f"static const long long first = {node.first}LL;\n    static const unsigned n = {_size(hls, node)};"
    call = "lookup<{input_t}, {output_t}, {config}>({input}, {output}, {table})"
    _own(hls, node, name, inputs, call, body, ("table",), result=plain, table_data=values, table_t=plain)


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
    body = f"static const unsigned n = {result.size}, rank = {rank};\n"
    body += "    static unsigned at(unsigned i, unsigned operand) {\n"
    body += (
        f"        const unsigned shape[] = {{{lists[0]}}}, stride[2][{rank}] = {{{{{lists[1]}}}, {{{lists[2]}}}}};\n"
    )
    body += "        unsigned place = 0;\n        for (int d = rank - 1; d >= 0; d--) {\n"
    body += "            place += (i % shape[d]) * stride[operand][d];\n            i /= shape[d];\n        }\n"
    body += "        return place;\n    }"
    call = f"broadcast_{op}<{{input_t}}, {{input2_t}}, {{output_t}}, {{config}}>({{input}}, {{input2}}, {{output}})"
    _own(hls, node, name, inputs, call, body, ())


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
    _own(hls, node, name, inputs, kind + "<{input_t}, {output_t}, {config}>({input}, {output})", body, ())


def _concat(hls: HlsLayers, node: ir.Concat, name: str, inputs: list[str]) -> None:
    """hls4ml concatenates two tensors: longer lists become a chain, all of them rows of what is before the axis."""
    result = hls.type_of(node.name)
    fmt, rank = exact_type(result), len(result.shape)
    rows = int(np.prod(result.shape[: node.axis % rank]))
    parts = []
    for index, (source, operand) in enumerate(zip(inputs, node.inputs, strict=True), start=1):
        columns = hls.type_of(operand).size // rows
        parts.append(f"{name}_rows{index}")
        hls.add(parts[-1], "Reshape", [source], hls.written_type(source), target_shape=[rows, columns])
    left = parts[0]
    for index, right in enumerate(parts[1:], start=2):
        step = f"{name}_part{index}"
        hls.add(step, "Concatenate", [left, right], fmt, axis=-1, op="concatenate2d")
        left = step
    hls.add(name, "Reshape", [left], fmt, target_shape=list(result.shape))


def _reshape(hls: HlsLayers, node: ir.Reshape, name: str, inputs: list[str]) -> None:
    fmt = hls.written_type(inputs[0])
    hls.add(name, "Reshape", inputs, fmt, target_shape=list(node.shape))


def _transpose(hls: HlsLayers, node: ir.Transpose, name: str, inputs: list[str]) -> None:
    hls.add(name, "Transpose", inputs, exact_type(hls.type_of(node.name)), perm=list(node.perm))


def _output(hls: HlsLayers, node: ir.Output, name: str, inputs: list[str]) -> None:
    """An output is its operand, or a copy where hls4ml cannot hand that out (an input, a reshape, a shared result)."""
    operand = hls.graph.by_name[node.inputs[0]]
    alone = len(hls.graph.consumers(operand.name)) == 1
    if alone and not isinstance(operand, ir.Input | ir.Reshape | ir.Concat):
        hls.names[node.name] = inputs[0]
    else:
        hls.add(name, "Activation", inputs, exact_type(hls.type_of(operand.name)), activation="linear")
    hls.outputs.append(hls.names[node.name])


def _own(
    hls: HlsLayers,
    node: ir.Node,
    name: str,
    inputs: list[str],
    call: str,
    body: str,
    weights: tuple[str, ...],
    result: FixedPoint | None = None,
    **more: Any,
) -> None:
    """Add a layer of ours: `call` and `body` are the C++ of its call and of its configuration."""
    shape = list(hls.type_of(node.name).shape)
    types = tuple(key for key in ("accum", "round") if f"{key}_t" in more)
    attributes = {
        "hwgen_call": call,
        "hwgen_body": body,
        "hwgen_shape": shape,
        "hwgen_weights": weights,
        "hwgen_types": types,
    }
    hls.add(name, "Hwgen", inputs, result or exact_type(hls.type_of(node.name)), **attributes, **more)


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
    ir.Output: _output,
}
"""How each node kind is written in hls4ml."""
