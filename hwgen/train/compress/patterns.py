"""How a kernel is divided where it is pruned: into blocks (single weights are blocks of 1 × 1), or into groups of m.

Everything is counted on the matrix that the hardware works through: a row an input of the multiply engine (for a
convolution the elements of its window in the order ky, kx, channel), a column an output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def matrix_shape(layer: Any, kernel: Any) -> tuple[int, int]:
    """Return (inputs, outputs) of a layer's kernel as the hardware sees it; of a depthwise one (taps, outputs)."""
    shape = tuple(int(n) for n in kernel.shape)
    depthwise = kernel is getattr(layer, "depthwise_kernel", None) or "Depthwise" in type(layer).__name__
    outputs = shape[-1] * (shape[-2] if depthwise and len(shape) > 2 else 1)
    return int(np.prod(shape)) // outputs, outputs


@dataclass(frozen=True)
class Blocks:
    """A kernel as blocks that are kept or go as a whole.

    Parameters
    ----------
    matrix : (inputs, outputs)
    size : (inputs, outputs) of a block, which divide the matrix
    """

    matrix: tuple[int, int]
    size: tuple[int, int] = (1, 1)

    @property
    def count(self) -> int:
        """Number of blocks."""
        return self.matrix[0] * self.matrix[1] // (self.size[0] * self.size[1])

    def scores(self, weights: Array) -> Array:
        """Return the sum of squares of each block, (blocks,), row by row of blocks."""
        (inputs, outputs), (high, wide) = self.matrix, self.size
        squares = np.square(np.asarray(weights, dtype=np.float64))
        return squares.reshape(inputs // high, high, outputs // wide, wide).sum(axis=(1, 3)).ravel()

    def spread(self, kept: Array) -> Array:
        """Return ones and zeros, (inputs, outputs), from a truth value a block."""
        (inputs, outputs), (high, wide) = self.matrix, self.size
        grid = np.asarray(kept).reshape(inputs // high, outputs // wide)
        return grid.repeat(high, axis=0).repeat(wide, axis=1).astype(np.float64)


@dataclass(frozen=True)
class Groups:
    """A kernel as groups of `size` consecutive inputs of an output, each with at most `most` weights that are not 0.

    Parameters
    ----------
    matrix : (inputs, outputs), inputs a multiple of `size`
    """

    matrix: tuple[int, int]
    most: int
    size: int

    def ranks(self, scores: Array) -> Array:
        """Return each weight's place in its group, the smallest score first, ties in order; (groups, size, outputs)."""
        inputs, outputs = self.matrix
        grouped = np.asarray(scores).reshape(inputs // self.size, self.size, outputs)
        order = np.argsort(grouped, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(self.size)[None, :, None], axis=1)
        return ranks

    def broken(self, weights: Array) -> int:
        """Return how many groups have more than `most` weights that are not 0.0."""
        inputs, outputs = self.matrix
        grouped = np.asarray(weights).reshape(inputs // self.size, self.size, outputs)
        return int((np.count_nonzero(grouped, axis=1) > self.most).sum())


def lamp(scores: Array) -> Array:
    """Return layer-adaptive magnitude scores (LAMP): each score over the sum of all that are not smaller.

    The largest of every kernel gets 1, so that a budget over all layers empties none.

    Parameters
    ----------
    scores : squares of weights, or sums of them over blocks
    """
    order = np.argsort(scores, kind="stable")
    rest = np.cumsum(scores[order][::-1])[::-1]  # of a weight and all larger ones
    result = np.empty_like(scores)
    result[order] = np.divide(scores[order], rest, out=np.zeros_like(rest), where=rest > 0)
    return result
