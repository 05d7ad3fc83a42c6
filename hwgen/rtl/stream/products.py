"""Products of two live streams, as the gates of squeeze-excite: how a pixel's products share multipliers."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.rtl.stream.linear import Fold


@dataclass(frozen=True)
class Product:
    """``y[c] = a[c] * b[c]`` for each pixel of two streams.

    Parameters
    ----------
    name : the Mul's name
    firings : pixels a frame
    channels : products a pixel
    """

    name: str
    firings: int
    channels: int

    @property
    def macs(self) -> int:
        """Products of a frame."""
        return self.firings * self.channels

    @property
    def weights(self) -> int:
        """None of its operands is a weight."""
        return 0

    nonzero = weights


def products_of(graph: Graph) -> list[Product]:
    """Return the products of two live tensors of the same shape, in order."""
    found = []
    for node in graph.nodes:
        if isinstance(node, ir.Mul) and not any(isinstance(graph.by_name[i], ir.Const) for i in node.inputs):
            t = graph.types[node.name]
            if t.shape and all(graph.types[i].shape == t.shape for i in node.inputs):
                found.append(Product(node.name, t.size // t.shape[-1], t.shape[-1]))
    return found


def product_folds(layer: Product) -> list[Fold]:
    """Return its folds, fewest cycles first: a pixel in equal parts, one part a cycle."""
    lanes = [n for n in range(layer.channels, 0, -1) if layer.channels % n == 0]
    return [Fold("product", layer.channels // n, n, lanes=n) for n in lanes]
