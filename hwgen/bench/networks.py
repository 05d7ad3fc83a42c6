"""The seeded networks that the benchmarks share."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir

JET_SIZES = (16, 64, 32, 32, 5)
"""The jet tagger's topology, the LHC trigger's standard example."""


def dense_network(
    name: str, sizes: tuple[int, ...], seed: int, inputs: str = "fixed<8,3>", relu: str = "ufixed<6,2,RND_CONV,SAT>"
) -> Graph:
    """Return dense layers with seeded 6-bit weights, half of them zero, and saturating ReLUs between them.

    The input is ``x``, the layers ``fc0``, ``relu0``, ``fc1`` …, the output ``y``.
    """
    rng = np.random.default_rng(seed)
    nodes: list[ir.Node] = [ir.Input(name="x", shape=(sizes[0],), fmt=FixedPoint.parse(inputs))]
    previous = "x"
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        weight = rng.integers(-31, 32, (n_in, n_out)) * (rng.random((n_in, n_out)) < 0.5)
        nodes += [
            ir.Const(name=f"fc{k}_w", value=weight, fraction=5),
            ir.Const(name=f"fc{k}_b", value=rng.integers(-31, 32, n_out), fraction=5),
            ir.Dense(name=f"fc{k}", inputs=(previous, f"fc{k}_w", f"fc{k}_b")),
        ]
        previous = f"fc{k}"
        if k < len(sizes) - 2:
            nodes.append(ir.Requantize(name=f"relu{k}", inputs=(previous,), fmt=FixedPoint.parse(relu)))
            previous = f"relu{k}"
    nodes.append(ir.Output(name="y", inputs=(previous,)))
    return Graph(name, tuple(nodes)).verify()


MOBILENET_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""(channels at alpha 1, stride) of every depthwise-separable block; before them stands a 3×3 convolution of 32."""


class ConvNet:
    """A graph of convolutional layers with seeded weights, under construction."""

    def __init__(self, name: str, shape: tuple[int, int, int], seed: int, density: float = 1.0) -> None:
        self.name, self.rng, self.density = name, np.random.default_rng(seed), density
        self.nodes: list[ir.Node] = [ir.Input(name="x", shape=shape, fmt=FixedPoint(8, 0, False))]

    def add(self, kind: type, name: str, *inputs: str, **fields: object) -> str:
        """Add a node and return its name."""
        self.nodes.append(kind(name=name, inputs=inputs, **fields))
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return Graph(self.name, tuple(self.nodes)).types[name].shape

    def weights(self, name: str, shape: tuple[int, ...]) -> str:
        """Add seeded 6-bit weights, none of them zero but for the density."""
        value = self.rng.integers(1, 32, shape) * self.rng.choice([-1, 1], shape)
        return self.add(ir.Const, name, value=value * (self.rng.random(shape) < self.density), fraction=5)

    def conv(self, name: str, x: str, filters: int, kernel: int = 3, stride: int = 1, fmt: str | None = None) -> str:
        """Add a convolution (Keras' padding "same"), its bias and what re-quantizes it."""
        return self._window(ir.Conv, name, x, (kernel, kernel, self.shape(x)[2], filters), filters, stride, fmt)

    def depthwise(self, name: str, x: str, stride: int = 1) -> str:
        """Add a 3×3 depthwise convolution (padding "same"), its bias and what re-quantizes it."""
        channels = self.shape(x)[2]
        return self._window(ir.DepthwiseConv, name, x, (3, 3, channels, 1), channels, stride, None)

    def _window(
        self, kind: type, name: str, x: str, shape: tuple[int, ...], outputs: int, stride: int, fmt: str | None
    ) -> str:
        padding: list[int] = []
        for size in self.shape(x)[:2]:
            total = max((-(-size // stride) - 1) * stride + shape[0] - size, 0)
            padding += [total // 2, total - total // 2]
        kernel = self.weights(f"{name}_w", shape)
        bias = self.add(ir.Const, f"{name}_b", value=self.rng.integers(-31, 32, outputs), fraction=5)
        y = self.add(kind, name, x, kernel, bias, strides=(stride, stride), padding=tuple(padding))
        return self.add(ir.Requantize, f"{name}_q", y, fmt=FixedPoint.parse(fmt or "ufixed<6,2,RND_CONV,SAT>"))

    def head(self, x: str, outputs: int) -> Graph:
        """Add global averaging and a dense layer, and return the graph."""
        height, width, channels = self.shape(x)
        x = self.add(ir.SumPool, "gap", x, pool=(height, width))
        x = self.add(ir.Requantize, "gap_q", x, fmt=FixedPoint.parse("ufixed<8,8,RND,SAT>"))
        x = self.add(ir.Reshape, "flat", x, shape=(channels,))
        x = self.add(ir.Dense, "logits", x, self.weights("logits_w", (channels, outputs)))
        self.add(ir.Output, "y", x)
        return Graph(self.name, tuple(self.nodes)).verify()


def conv_network(name: str, density: float, seed: int) -> Graph:
    """Return three 3×3 convolutions of 16, 32 and 32 channels on 16×16×8, and a dense layer."""
    net = ConvNet(name, (16, 16, 8), seed, density)
    x = net.conv("c1", "x", 16)
    x = net.conv("c2", x, 32, stride=2)
    return net.head(net.conv("c3", x, 32), 10)


def resnet8_graph(
    size: int = 32, channels: tuple[int, int, int] = (16, 32, 64), seed: int = 0, density: float = 1.0
) -> Graph:
    """Return ResNet-8 on size×size×3 with seeded 6-bit weights: 12.5 M multiply-accumulates at its defaults."""
    net, wide = ConvNet("resnet8", (size, size, 3), seed, density), "fixed<8,4,RND,SAT>"
    x = net.conv("c0", "x", channels[0])
    for k, filters in enumerate(channels):
        stride = 1 if k == 0 else 2
        y = net.conv(f"s{k}b", net.conv(f"s{k}a", x, filters, stride=stride), filters, fmt=wide)
        shortcut = net.conv(f"s{k}s", x, filters, kernel=1, stride=stride, fmt=wide) if k else x
        x = net.add(ir.Add, f"s{k}add", y, shortcut)
        x = net.add(ir.Requantize, f"s{k}r", x, fmt=FixedPoint.parse("ufixed<6,3,RND_CONV,SAT>"))
    return net.head(x, 10)


def mobilenet_graph(size: int = 96, alpha: float = 0.5, seed: int = 0) -> Graph:
    """Return MobileNetV1 on size×size×3 with seeded 6-bit weights: 1.3 M of them at its defaults."""
    net = ConvNet("mobilenet", (size, size, 3), seed)
    x = net.conv("c0", "x", round(32 * alpha), stride=2)
    for k, (channels, stride) in enumerate(MOBILENET_V1, start=1):
        x = net.conv(f"p{k}", net.depthwise(f"d{k}", x, stride), round(channels * alpha), kernel=1)
    return net.head(x, 1000)
