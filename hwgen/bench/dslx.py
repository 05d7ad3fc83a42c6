"""The benchmark's dense layers in DSLX, XLS' own language: what someone would write who has XLS and no hwgen.

Each output is a sum of products with constants, zeros left out, as wide as the graph proves; XLS optimizes, schedules
and writes Verilog.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.fixed import IntArray
from hwgen.ir import Graph
from hwgen.ir import nodes as ir


def dslx_text(graph: Graph) -> str:
    """Return a DSLX module of a chain of dense layers and rounding, saturating ReLUs; its function is ``model``.

    The rounding is half up (``RND``); the input is an array of signed integers, the output one of the last sums.
    """
    parts, calls = [], []
    for node in graph.nodes:
        match node:
            case ir.Dense():
                parts.append(_dense(graph, node))
            case ir.Requantize():
                parts.append(_relu(graph, node))
            case _:
                continue
        calls.append(f"  let {node.name} = {node.name}_layer({node.inputs[0]});")
    (source,), (sink,) = graph.inputs, graph.outputs
    body = "\n".join([*calls, f"  {sink.inputs[0]}"])
    head = (
        f"pub fn model({source.name}: {_array(graph, source.name)}) -> {_array(graph, sink.inputs[0])} {{\n{body}\n}}\n"
    )
    return "\n".join([*parts, head])


def _scalar(graph: Graph, name: str) -> str:
    fmt = graph.types[name].fmt
    return (
        f"{'s' if fmt.signed else 'u'}{fmt.width}" if fmt.width <= 64 else f"{'s' if fmt.signed else 'u'}N[{fmt.width}]"
    )


def _array(graph: Graph, name: str) -> str:
    return f"{_scalar(graph, name)}[{graph.types[name].size}]"


def _dense(graph: Graph, node: ir.Dense) -> str:
    operand, weight, bias = node.inputs[0], *(graph.by_name[name] for name in node.inputs[1:])
    assert isinstance(weight, ir.Const) and isinstance(bias, ir.Const)
    wide = f"s{graph.types[node.name].fmt.width}"
    shift = graph.types[node.name].fraction - bias.fraction
    lines = [f"fn {node.name}_layer(x: {_array(graph, operand)}) -> {_array(graph, node.name)} {{"]
    lines += [f"  let x{i} = x[u32:{i}] as {wide};" for i in range(weight.value.shape[0]) if weight.value[i].any()]
    for j in range(weight.value.shape[1]):
        terms = [f"x{i} * {wide}:{int(w)}" for i, w in enumerate(weight.value[:, j]) if w]
        terms.append(f"{wide}:{int(bias.value[j]) << shift}")
        lines.append(f"  let y{j} = {' + '.join(terms)};")
    outputs = ", ".join(f"y{j}" for j in range(weight.value.shape[1]))
    return "\n".join([*lines, f"  [{outputs}]", "}\n"])


def _relu(graph: Graph, node: ir.Requantize) -> str:
    operand = node.inputs[0]
    source, fmt = graph.types[operand], node.fmt
    wide, shift = f"s{source.fmt.width + 1}", source.fraction - fmt.fraction
    out = f"u{fmt.width}"
    lines = [f"fn {node.name}_one(v: {_scalar(graph, operand)}) -> {out} {{"]
    lines.append(f"  let r = ((v as {wide}) + {wide}:{1 << (shift - 1)}) >> u32:{shift};")
    lines.append(f"  if r < {wide}:0 {{ {out}:0 }}")
    lines.append(f"  else if r > {wide}:{fmt.int_max} {{ {out}:{fmt.int_max} }} else {{ r as {out} }}")
    calls = ", ".join(f"{node.name}_one(x[u32:{i}])" for i in range(source.size))
    lines += ["}", f"fn {node.name}_layer(x: {_array(graph, operand)}) -> {_array(graph, node.name)} {{"]
    return "\n".join([*lines, f"  [{calls}]", "}\n"])


def dslx_verilog(graph: Graph, stages: int, frames: IntArray) -> str:
    """Return XLS' Verilog of the DSLX, in `stages` pipeline stages, checked against the graph on `frames`.

    Raises
    ------
    AssertionError
        If XLS' compiled function does not give the graph's integers.
    ImportError
        If xls-python is not installed.
    """
    from xls.c_api import convert_dslx_to_ir, mangle_dslx_name, optimize_ir, parse_ir_package

    top = mangle_dslx_name("model", "model")
    package = parse_ir_package(optimize_ir(convert_dslx_to_ir(dslx_text(graph), "model.x", "model"), top))
    package.set_top(top)
    (source,), (sink,) = graph.inputs, graph.outputs
    expected = graph.evaluate({source.name: frames})[sink.name]
    compiled = package.get_function(top).to_jit()
    got = [_run(compiled, frame, source.fmt.width, graph.types[sink.name].fmt.width) for frame in frames]
    np.testing.assert_array_equal(np.array(got), expected)
    result = package.schedule_and_codegen(
        scheduling_options_textproto=f'delay_model: "unit" pipeline_stages: {stages}',
        codegen_flags_textproto="generator: GENERATOR_KIND_PIPELINE use_system_verilog: false "
        'flop_inputs: true flop_outputs: true module_name: "model"',
        with_delay_model=True,
    )
    return str(result.get_verilog_text())


def _run(compiled: Any, frame: IntArray, width: int, out_width: int) -> list[int]:
    """Run XLS' compiled function on one frame of signed integers."""
    from xls import Value

    values = Value.make_array([Value.make_sbits(width, int(v)) for v in frame])
    result = compiled.run([values])
    return [result.get_element(k).get_bits().to_int64() for k in range(result.get_element_count())]
