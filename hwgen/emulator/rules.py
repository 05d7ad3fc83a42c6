"""The C++ of every node: `statements` says what computes it, in calls of ``templates/hwgen_ops.h``.

Every call names the type it computes in. The bound behind it holds for each intermediate result (a partial sum in any
order, a value before rounding, a format's range), so that no signed integer can overflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from hwgen.emulator.cpp import braces, literal, working_type
from hwgen.errors import GraphError
from hwgen.fixed import FixedPoint, Overflow, as_ints, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.infer import align
from hwgen.ir.nodes import TensorType
from hwgen.ir.windows import kernel_of

UNARY = "auto x"


@dataclass(frozen=True)
class Value:
    """A tensor in the generated code: the expression that points to element 0, and its inferred type."""

    at: str
    type: TensorType

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one frame."""
        return self.type.shape

    @property
    def bound(self) -> int:
        """The largest magnitude of any element."""
        return max(max_abs(self.type.lo), max_abs(self.type.hi))


@singledispatch
def statements(node: ir.Node, args: Sequence[Value], y: Value) -> list[str]:
    """Return the C++ statements that compute `node` from `args` into `y`.

    Raises
    ------
    GraphError
        For a kind without a rule, or integers that do not fit 128 bits.
    """
    raise GraphError(f"the emulator has no rule for {type(node).__name__}", where=node.name)


def strides(shape: Sequence[int]) -> list[int]:
    """Return the row-major distance of a step along each axis."""
    return [int(np.prod(shape[k + 1 :], dtype=np.int64)) for k in range(len(shape))]


def spread(value: Value, shape: Sequence[int]) -> list[int]:
    """Return the steps that walk `value` over a larger `shape` as numpy broadcasts it."""
    own = strides(value.shape)
    missing = len(shape) - len(value.shape)
    return [0] * missing + [0 if size == 1 else step for size, step in zip(value.shape, own, strict=True)]


def mapped(
    where: str, shape: Sequence[int], f: str, bound: int, y: tuple[str, Sequence[int]], *args: tuple[str, Sequence[int]]
) -> list[str]:
    """Return a call of ``map``: axes of one element left out, axes that every operand walks alike joined."""
    sizes, steps = _joined(list(shape), [list(y[1]), *(list(a[1]) for a in args)])
    operands = [f"at({name}, {braces(step)})" for (name, _), step in zip([y, *args], steps, strict=True)]
    return [f"map<{working_type(bound, where)}>({braces(sizes)}, {f}, {', '.join(operands)});"]


def _joined(sizes: list[int], steps: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    kept: list[int] = []
    for axis, size in enumerate(sizes):
        if size == 1:
            continue
        if kept and all(s[kept[-1]] == s[axis] * size for s in steps):  # one loop walks both axes
            sizes[axis] = size * sizes[kept.pop()]
        kept.append(axis)
    if not kept:
        return [1], [[0] for _ in steps]
    return [sizes[k] for k in kept], [[s[k] for k in kept] for s in steps]


def function(parameters: str, body: str) -> str:
    """Return a lambda."""
    return f"[]({parameters}) {{ return {body}; }}"


def shifted(name: str, shift: int) -> str:
    """Return `name` shifted left."""
    return f"shl({name}, {shift})" if shift else name


def format_of(fmt: FixedPoint) -> str:
    """Return a number format as a C++ type."""
    sign = str(fmt.signed).lower()
    return f"Format<{fmt.width}, {sign}, Rounding::{fmt.rounding}, Overflow::{fmt.overflow}>"


def format_bound(fmt: FixedPoint, magnitude: int) -> int:
    """Return what bringing integers of `magnitude` into a format's range needs."""
    span = 1 << fmt.width
    return magnitude + span if fmt.overflow is Overflow.WRAP else max(magnitude, span)


def clamped(body: str, clamp: tuple[int, int] | None, ctype: str) -> str:
    """Return `body` within bounds."""
    return body if clamp is None else f"clamp<{ctype}>({body}, {literal(clamp[0])}, {literal(clamp[1])})"


@statements.register
def _(node: ir.Requantize, args: Sequence[Value], y: Value) -> list[str]:
    (x,) = args
    shift = x.type.fraction - node.fmt.fraction
    bound = x.bound + (1 << shift) if shift > 0 else x.bound << -shift
    bound = max(format_bound(node.fmt, bound), *map(abs, node.clamp or (0, 0)))
    ctype = working_type(bound, node.name)
    body = clamped(f"quantize<{format_of(node.fmt)}, {ctype}>(x, {shift})", node.clamp, ctype)
    return mapped(node.name, [y.type.size], function(UNARY, body), bound, (y.at, [1]), (x.at, [1]))


@statements.register
def _(node: ir.Divide, args: Sequence[Value], y: Value) -> list[str]:
    x, divisor = args
    up, down = max(node.fmt.fraction - x.type.fraction, 0), max(x.type.fraction - node.fmt.fraction, 0)
    bound = (x.bound << up) + 4 * (divisor.bound << down)
    bound = max(format_bound(node.fmt, bound), *map(abs, node.clamp or (0, 0)))
    ctype = working_type(bound, node.name)
    rounded = f"divide_round<Rounding::{node.fmt.rounding}, {ctype}>({shifted('x', up)}, {shifted('d', down)})"
    body = clamped(f"overflow<{format_of(node.fmt)}, {ctype}>({rounded})", node.clamp, ctype)
    steps = strides(x.shape)
    operands = ((x.at, steps), (divisor.at, spread(divisor, x.shape)))
    return mapped(node.name, x.shape, function("auto x, auto d", body), bound, (y.at, steps), *operands)


@statements.register
def _(node: ir.Lookup, args: Sequence[Value], y: Value) -> list[str]:
    x, table = args
    body = f"{table.at}[x - {literal(node.first)}]" if node.first >= 0 else f"{table.at}[x + {literal(-node.first)}]"
    bound = x.bound + abs(node.first)
    return mapped(node.name, [y.type.size], function(UNARY, body), bound, (y.at, [1]), (x.at, [1]))


@statements.register
def _(node: ir.Elementwise, args: Sequence[Value], y: Value) -> list[str]:
    _, (up, other) = align([a.type for a in args])
    a, b = (shifted("a", up), shifted("b", other)) if not isinstance(node, ir.Mul) else ("a", "b")
    bounds = [value.bound << shift for value, shift in zip(args, (up, other), strict=True)]
    bodies = {
        ir.Add: f"{a} + {b}",
        ir.Sub: f"{a} - {b}",
        ir.Mul: f"{a} * {b}",
        ir.Max: f"{a} > {b} ? {a} : {b}",
        ir.Min: f"{a} < {b} ? {a} : {b}",
    }
    bound = max(args[0].bound * args[1].bound, *bounds) if isinstance(node, ir.Mul) else sum(bounds)
    operands = [(value.at, spread(value, y.shape)) for value in args]
    body = function("auto a, auto b", bodies[type(node)])
    return mapped(node.name, y.shape, body, bound, (y.at, strides(y.shape)), *operands)


@statements.register
def _(node: ir.Scale, args: Sequence[Value], y: Value) -> list[str]:
    x, s, *bias = args
    up = y.type.fraction - x.type.fraction - s.type.fraction
    bound = max(x.bound * s.bound, x.bound, s.bound) << up
    body, names = f"shl(x * s, {up})" if up else "x * s", "auto x, auto s"
    for b in bias:
        shift = y.type.fraction - b.type.fraction
        bound, body, names = bound + (b.bound << shift), f"{body} + {shifted('b', shift)}", f"{names}, auto b"
    operands = [(value.at, spread(value, y.shape)) for value in args]
    return mapped(node.name, y.shape, function(names, body), bound, (y.at, strides(y.shape)), *operands)


@statements.register
def _(node: ir.ReduceMax, args: Sequence[Value], y: Value) -> list[str]:
    return [f"reduce_max<{y.type.size}, {args[0].shape[-1]}>({args[0].at}, {y.at});"]


@statements.register
def _(node: ir.ArgMax, args: Sequence[Value], y: Value) -> list[str]:
    return [f"arg_max<{y.type.size}, {args[0].shape[-1]}>({args[0].at}, {y.at});"]


@statements.register
def _(node: ir.Concat, args: Sequence[Value], y: Value) -> list[str]:
    _, shifts = align([a.type for a in args])
    axis = node.axis % len(y.shape)
    place, lines = 0, []
    for value, shift in zip(args, shifts, strict=True):
        target = f"{y.at} + {place * strides(y.shape)[axis]}" if place else y.at
        body = function(UNARY, shifted("x", shift))
        bound = value.bound << shift
        operands = (target, strides(y.shape)), (value.at, strides(value.shape))
        lines += mapped(node.name, value.shape, body, bound, *operands)
        place += value.shape[axis]
    return lines


@statements.register
def _(node: ir.Transpose, args: Sequence[Value], y: Value) -> list[str]:
    (x,) = args
    steps = [strides(x.shape)[axis] for axis in node.perm]
    return mapped(node.name, y.shape, function(UNARY, "x"), x.bound, (y.at, strides(y.shape)), (x.at, steps))


@statements.register
def _(node: ir.Pad, args: Sequence[Value], y: Value) -> list[str]:
    (x,) = args
    rows, columns, _ = strides(y.shape)
    start = node.padding[0] * rows + node.padding[2] * columns
    target = f"{y.at} + {start}" if start else y.at
    zero = f"for (auto& v : {y.at}) v = 0;"
    inside = mapped(
        node.name, x.shape, function(UNARY, "x"), x.bound, (target, strides(y.shape)), (x.at, strides(x.shape))
    )
    return [zero, *inside]


@statements.register
def _(node: ir.Upsample, args: Sequence[Value], y: Value) -> list[str]:
    (x,) = args
    (h, w, c), (fy, fx) = x.shape, node.factors
    shape = [h, fy, w, fx, c]
    operands = (y.at, strides(shape)), (x.at, [w * c, 0, c, 0, 1])
    return mapped(node.name, shape, function(UNARY, "x"), x.bound, *operands)


@statements.register
def _(node: ir.Dense, args: Sequence[Value], y: Value) -> list[str]:
    x, w, *bias = args
    total = _sum_bound(x, w, w.shape[0])
    finish, bound = _finish(node, total, x, w, bias, y)
    n, m = w.shape
    acc = working_type(bound, node.name)
    return [f"dense<{acc}, {y.type.size // m}, {n}, {m}>({x.at}, {w.at}, {y.at}, {finish});"]


@statements.register
def _(node: ir.Conv, args: Sequence[Value], y: Value) -> list[str]:
    x, w, *bias = args
    finish, bound = _finish(node, _sum_bound(x, w, int(np.prod(w.shape[:3]))), x, w, bias, y)
    acc = working_type(bound, node.name)
    return [f"conv<{acc}, {_window(node, x, y, w.shape)}, {w.shape[3]}>({x.at}, {w.at}, {y.at}, {finish});"]


@statements.register
def _(node: ir.DepthwiseConv, args: Sequence[Value], y: Value) -> list[str]:
    x, w, *bias = args
    finish, bound = _finish(node, _sum_bound(x, w, w.shape[0] * w.shape[1]), x, w, bias, y)
    acc = working_type(bound, node.name)
    return [f"depthwise<{acc}, {_window(node, x, y, w.shape)}, {w.shape[3]}>({x.at}, {w.at}, {y.at}, {finish});"]


@statements.register
def _(node: ir.MaxPool, args: Sequence[Value], y: Value) -> list[str]:
    return [f"max_pool<{_window(node, args[0], y, ())}>({args[0].at}, {y.at});"]


@statements.register
def _(node: ir.SumPool, args: Sequence[Value], y: Value) -> list[str]:
    acc = working_type(args[0].bound * node.pool[0] * node.pool[1], node.name)
    return [f"sum_pool<{acc}, {_window(node, args[0], y, ())}>({args[0].at}, {y.at});"]


@statements.register
def _(node: ir.Output, args: Sequence[Value], y: Value) -> list[str]:
    (x,) = args
    return mapped(node.name, [y.type.size], function(UNARY, "x"), x.bound, (y.at, [1]), (x.at, [1]))


def _sum_bound(x: Value, w: Value, terms: int) -> int:
    """Return a bound on every partial sum of products, in any order, and on the factors.

    Parameters
    ----------
    terms : products of one sum: the leading elements of w in row-major order
    """
    weights = np.maximum(np.abs(_wide(w.type.lo)), np.abs(_wide(w.type.hi))).reshape(terms, -1)
    return max(x.bound * int(weights.sum(axis=0).max()), x.bound, w.bound)


def _wide(values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return as_ints(values, max_abs(values) << 32)


def _finish(node: ir.Node, total: int, x: Value, w: Value, bias: Sequence[Value], y: Value) -> tuple[str, int]:
    """Return the lambda that makes a result of a sum (the binary point, the bias), and the bound with it."""
    up = y.type.fraction - x.type.fraction - w.type.fraction
    bound, body, index = total << up, shifted("sum", up), "int"
    for b in bias:
        shift = y.type.fraction - b.type.fraction
        if b.type.size not in (1, y.shape[-1]):
            raise GraphError("the emulator takes one bias an output channel", where=node.name, found=str(b.shape))
        bound += b.bound << shift
        element = f"decltype(sum)({b.at}[0])" if b.type.size == 1 else f"decltype(sum)({b.at}[j])"
        body, index = f"{body} + {shifted(element, shift)}", "int" if b.type.size == 1 else "int j"
    return function(f"auto sum, {index}", body), bound


def _window(node: ir.Window, x: Value, y: Value, weight: tuple[int, ...]) -> str:
    kernel = kernel_of(node, [x.shape, weight])
    numbers = [*x.shape, *y.shape[:2], *kernel, *node.strides, node.padding[0], node.padding[2]]
    return f"Window<{', '.join(map(str, numbers))}>"
