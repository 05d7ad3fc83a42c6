"""The graphs that the predicted cost is calibrated and validated on, each from a seed: dense, then convolutional."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.bench.networks import ConvNet
from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir


class Unrolled:
    """A graph of dense layers with seeded weights, under construction."""

    def __init__(self, name: str, size: int, seed: int, fmt: str = "fixed<8,3>") -> None:
        self.name, self.rng = name, np.random.default_rng(seed)
        self.nodes: list[ir.Node] = [ir.Input(name="x", shape=(size,), fmt=FixedPoint.parse(fmt))]

    def add(self, kind: type, name: str, *inputs: str, **fields: object) -> str:
        """Add a node and return its name."""
        self.nodes.append(kind(name=name, inputs=inputs, **fields))
        return name

    def size(self, name: str) -> int:
        """Return a tensor's elements."""
        return Graph(self.name, tuple(self.nodes)).types[name].size

    def dense(self, name: str, x: str, outputs: int, bits: int = 6, density: float = 0.5, bias: bool = True) -> str:
        """Add a dense layer of `bits`-bit weights, `density` of them not zero."""
        top = (1 << (bits - 1)) - 1
        shape = (self.size(x), outputs)
        value = self.rng.integers(-top, top + 1, shape) * (self.rng.random(shape) < density)
        operands = [x, self.add(ir.Const, f"{name}_w", value=value, fraction=bits - 1)]
        if bias:
            operands.append(
                self.add(ir.Const, f"{name}_b", value=self.rng.integers(-top, top + 1, outputs), fraction=bits - 1)
            )
        return self.add(ir.Dense, name, *operands)

    def requantize(self, name: str, x: str, fmt: str) -> str:
        """Add a re-quantizer (a ReLU where the format is unsigned)."""
        return self.add(ir.Requantize, name, x, fmt=FixedPoint.parse(fmt))

    def tabled(self, name: str, x: str, out: str, bits: int = 6) -> str:
        """Add a literal table (a sigmoid of the value) behind a re-quantizer of `bits` bits."""
        source, fmt = FixedPoint(bits, 3), FixedPoint.parse(out)
        q = self.requantize(f"{name}_in", x, f"fixed<{bits},3,RND,SAT>")
        values = np.arange(source.int_min, source.int_max + 1) * source.lsb
        table = fmt.quantize(1 / (1 + np.exp(-values)))
        return self.add(ir.Lookup, name, q, table=table, first=source.int_min, fmt=fmt)

    def finish(self, x: str) -> Graph:
        """Add the output and return the graph."""
        self.add(ir.Output, "y", x)
        return Graph(self.name, tuple(self.nodes)).verify()


RELU, NARROW = "ufixed<6,2,RND_CONV,SAT>", "ufixed<4,1,RND,SAT>"


def mlp(name: str, sizes: tuple[int, ...], seed: int, **how: Any) -> Graph:
    """Return dense layers with re-quantizers between them."""
    fmt, relu = how.pop("inputs", "fixed<8,3>"), how.pop("relu", RELU)
    last = how.pop("last", None)
    net = Unrolled(name, sizes[0], seed, fmt)
    x = "x"
    for k, outputs in enumerate(sizes[1:]):
        x = net.dense(f"fc{k}", x, outputs, **how)
        if k < len(sizes) - 2:
            x = net.requantize(f"relu{k}", x, relu)
        elif last:
            x = net.requantize(f"relu{k}", x, last)
    return net.finish(x)


def residual(name: str, size: int, seed: int, bits: int, relu: str) -> Graph:
    """Return two dense layers around which the input passes by, and a third one."""
    net = Unrolled(name, size, seed)
    q = net.requantize("q", "x", "fixed<6,3,RND,SAT>")
    a = net.requantize("a", net.dense("fa", q, size, bits), relu)
    b = net.requantize("b", net.dense("fb", a, size, bits), "fixed<6,3,RND,SAT>")
    s = net.requantize("s", net.add(ir.Add, "sum", b, q), relu)
    return net.finish(net.dense("fc", s, 4, bits))


def classifier(name: str, sizes: tuple[int, ...], seed: int, bits: int) -> Graph:
    """Return dense layers whose result is the index of the largest output."""
    net = Unrolled(name, sizes[0], seed)
    x = "x"
    for k, outputs in enumerate(sizes[1:]):
        x = net.dense(f"fc{k}", x, outputs, bits)
        if k < len(sizes) - 2:
            x = net.requantize(f"relu{k}", x, RELU)
    return net.finish(net.add(ir.ArgMax, "arg", x))


def tabled(name: str, sizes: tuple[int, ...], seed: int, bits: int) -> Graph:
    """Return dense layers with sigmoid tables between them."""
    net = Unrolled(name, sizes[0], seed)
    x = "x"
    for k, outputs in enumerate(sizes[1:]):
        x = net.dense(f"fc{k}", x, outputs, bits)
        if k < len(sizes) - 2:
            x = net.tabled(f"sig{k}", x, "ufixed<6,0,RND,SAT>", bits=6)
    return net.finish(x)


def one_table(name: str, seed: int, bits: int) -> Graph:
    """Return one dense layer and a table of the hyperbolic tangent, of `bits` bits."""
    net = Unrolled(name, 8, seed)
    q = net.requantize("q", net.dense("fc", "x", 6, 4), f"fixed<{bits},3,RND,SAT>")
    source, fmt = FixedPoint(bits, 3), FixedPoint.parse(f"fixed<{bits},1,RND,SAT>")
    values = np.tanh(np.arange(source.int_min, source.int_max + 1) * source.lsb)
    return net.finish(net.add(ir.Lookup, "tanh", q, table=fmt.quantize(values), first=source.int_min, fmt=fmt))


def sums(name: str, size: int, seed: int) -> Graph:
    """Return sums, differences and maxima of two re-quantized dense layers, and the largest of them."""
    net = Unrolled(name, size, seed)
    a = net.requantize("a", net.dense("fa", "x", size, 4), "fixed<6,3,RND,SAT>")
    b = net.requantize("b", net.dense("fb", "x", size, 4), "ufixed<5,2,TRN,SAT>")
    s, d = net.add(ir.Add, "s", a, b), net.add(ir.Sub, "d", a, b)
    m = net.add(ir.Max, "m", s, d)
    return net.finish(net.add(ir.ArgMax, "arg", net.requantize("r", m, "fixed<5,3,RND_CONV,SAT>")))


def two_towers(name: str, sizes: tuple[int, int, int], seed: int, bits: int) -> Graph:
    """Return two dense layers of one input, concatenated before a third one."""
    net = Unrolled(name, sizes[0], seed)
    a = net.requantize("a", net.dense("fa", "x", sizes[1], bits), RELU)
    b = net.requantize("b", net.dense("fb", "x", sizes[1], bits, density=0.25), RELU)
    joined = net.add(ir.Concat, "cat", a, b, axis=0)
    return net.finish(net.dense("fc", joined, sizes[2], bits))


def small_image(name: str, seed: int, filters: int, size: int) -> Graph:
    """Return an unrolled convolution with pooling and a dense layer."""
    net = ConvNet(name, (size, size, 1), seed, 0.6)
    x = net.conv("c1", "x", filters)
    x = net.add(ir.MaxPool, "pool", x, pool=(2, 2), strides=(2, 2), padding=(0, 0, 0, 0))
    x = net.add(ir.Reshape, "flat", x, shape=((size // 2) ** 2 * filters,))
    x = net.add(ir.Dense, "fc", x, net.weights("fc_w", ((size // 2) ** 2 * filters, 3)))
    net.add(ir.Output, "y", x)
    return Graph(name, tuple(net.nodes)).verify()


# ---- streaming ---------------------------------------------------------------------------------------------------


def conv_stack(name: str, shape: tuple[int, int, int], filters: tuple[int, ...], seed: int, **how: Any) -> Graph:
    """Return convolutions one after the other, and a dense head behind a global average."""
    stride, kernel, density = how.get("stride", 1), how.get("kernel", 3), how.get("density", 1.0)
    net = ConvNet(name, shape, seed, density)
    x = "x"
    for k, n in enumerate(filters):
        x = net.conv(f"c{k}", x, n, kernel=kernel, stride=stride if k else 1, fmt=how.get("relu"))
    return net.head(x, how.get("outputs", 5))


def separable(
    name: str, shape: tuple[int, int, int], filters: tuple[int, ...], seed: int, density: float = 1.0
) -> Graph:
    """Return depthwise-separable blocks behind a convolution."""
    net = ConvNet(name, shape, seed, density)
    x = net.conv("c0", "x", filters[0], stride=2)
    for k, n in enumerate(filters[1:]):
        x = net.conv(f"p{k}", net.depthwise(f"d{k}", x, 2 if k % 2 else 1), n, kernel=1)
    return net.head(x, 4)


def pooled(name: str, shape: tuple[int, int, int], filters: tuple[int, ...], seed: int, dense: int) -> Graph:
    """Return convolutions with maximum pooling, flattened before two dense layers."""
    net = ConvNet(name, shape, seed)
    x = "x"
    for k, n in enumerate(filters):
        x = net.conv(f"c{k}", x, n)
        x = net.add(ir.MaxPool, f"m{k}", x, pool=(2, 2), strides=(2, 2), padding=(0, 0, 0, 0))
    total = int(np.prod(net.shape(x)))
    x = net.add(ir.Reshape, "flat", x, shape=(total,))
    x = net.add(ir.Dense, "f0", x, net.weights("f0_w", (total, dense)))
    x = net.add(ir.Requantize, "f0_q", x, fmt=FixedPoint.parse(RELU))
    x = net.add(ir.Dense, "f1", x, net.weights("f1_w", (dense, 4)))
    net.add(ir.Output, "y", x)
    return Graph(name, tuple(net.nodes)).verify()


def res_block(
    name: str, shape: tuple[int, int, int], filters: int, seed: int, density: float = 1.0, blocks: int = 1
) -> Graph:
    """Return residual blocks behind a convolution."""
    net, wide = ConvNet(name, shape, seed, density), "fixed<8,4,RND,SAT>"
    x = net.conv("c0", "x", filters)
    for k in range(blocks):
        stride = 1 + k
        y = net.conv(f"b{k}", net.conv(f"a{k}", x, filters, stride=stride), filters, fmt=wide)
        shortcut = net.conv(f"s{k}", x, filters, kernel=1, stride=stride, fmt=wide) if k else x
        x = net.add(ir.Add, f"add{k}", y, shortcut)
        x = net.add(ir.Requantize, f"r{k}", x, fmt=FixedPoint.parse("ufixed<6,3,RND_CONV,SAT>"))
    return net.head(x, 4)


def fire(name: str, shape: tuple[int, int, int], squeeze: int, expand: int, seed: int) -> Graph:
    """Return SqueezeNet's fire module between two convolutions: a fork and a concatenation."""
    net = ConvNet(name, shape, seed)
    x = net.conv("c0", "x", 4, stride=2)
    s = net.conv("sq", x, squeeze, kernel=1)
    a, b = net.conv("e1", s, expand, kernel=1), net.conv("e3", s, expand)
    return net.head(net.add(ir.Concat, "cat", a, b, axis=2), 4)


def stream_mlp(name: str, sizes: tuple[int, ...], seed: int, **how: Any) -> Graph:
    """Return dense layers, folded."""
    return mlp(name, sizes, seed, density=how.pop("density", 1.0), **how)
