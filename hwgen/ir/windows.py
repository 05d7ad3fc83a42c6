"""Windows over the first two axes of a tensor: result shapes, gathering taps, and the transpose of gathering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import IntArray
from hwgen.ir import nodes as ir

Padding = tuple[int, int, int, int]
"""Rows above and below, columns left and right."""


def window_shape(node: ir.Window, shape: tuple[int, ...], kernel: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of the result of sliding `kernel` over a tensor of `shape`.

    Raises
    ------
    GraphError
        If the tensor is not (height, width, channels), or no window fits, or a number is out of place.
    """
    if len(shape) != 3:
        raise GraphError("a window needs a tensor (height, width, channels)", where=node.name, found=str(shape))
    top, bottom, left, right = node.padding
    if min(*kernel, *node.strides) < 1 or top < 0 or left < 0:
        raise GraphError(
            "kernel and strides must be at least 1, padding above and left at least 0",
            where=node.name,
            found=f"kernel {kernel}, strides {node.strides}, padding {node.padding}",
        )
    spans = (shape[0] + top + bottom - kernel[0], shape[1] + left + right - kernel[1])
    if min(spans) < 0:
        raise GraphError(
            "the kernel is larger than the padded input",
            where=node.name,
            found=f"kernel {kernel} over {shape[:2]} with padding {node.padding}",
        )
    return spans[0] // node.strides[0] + 1, spans[1] // node.strides[1] + 1


def taps(
    shape: tuple[int, int], out: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> Iterator[tuple[int, int, tuple[slice, slice], tuple[slice, slice]]]:
    """Yield (ky, kx, places of the result, places of the operand) where tap (ky, kx) lies inside the operand.

    Parameters
    ----------
    shape, out : (height, width) of the operand and of the result
    """
    rows = [_inside(ky - padding[0], strides[0], shape[0], out[0]) for ky in range(kernel[0])]
    columns = [_inside(kx - padding[2], strides[1], shape[1], out[1]) for kx in range(kernel[1])]
    for ky, row in enumerate(rows):
        for kx, column in enumerate(columns):
            if row is not None and column is not None:
                yield ky, kx, (row[0], column[0]), (row[1], column[1])


def _inside(offset: int, stride: int, size: int, out: int) -> tuple[slice, slice] | None:
    """Return the result and operand indices at which ``o * stride + offset`` lies in ``0 .. size - 1``."""
    first = max(0, -(offset // stride))
    last = min(out - 1, (size - 1 - offset) // stride)
    if first > last:
        return None
    start = first * stride + offset
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)


def gather(x: IntArray, node: ir.Window, kernel: tuple[int, int], fill: Any = 0) -> IntArray:
    """Return every window of x: (frames, height, width, channels) to (frames, Ho, Wo, KH, KW, channels)."""
    frames, height, width, channels = x.shape
    out = window_shape(node, x.shape[1:], kernel)
    inside = list(taps((height, width), out, kernel, node.strides, node.padding))
    result = np.empty((frames, *out, *kernel, channels), dtype=x.dtype)
    covered = [(s.stop - s.start) for _, _, places, _ in inside for s in places]
    if sum(covered) < kernel[0] * kernel[1] * sum(out):
        result[...] = fill
    for ky, kx, (oy, ox), (iy, ix) in inside:
        result[:, oy, ox, ky, kx] = x[:, iy, ix]
    return result


def scatter(columns: IntArray, node: ir.Window, shape: tuple[int, int]) -> IntArray:
    """Add windows (frames, Ho, Wo, KH, KW, channels) up where `gather` took them from: its transpose."""
    frames, *out, height, width, channels = columns.shape
    result = np.zeros((frames, *shape, channels), dtype=columns.dtype)
    for ky, kx, (oy, ox), (iy, ix) in taps(shape, (out[0], out[1]), (height, width), node.strides, node.padding):
        result[:, iy, ix] += columns[:, oy, ox, ky, kx]
    return result


def tap_counts(node: ir.Window, shape: tuple[int, ...], kernel: tuple[int, int]) -> IntArray:
    """Return how many taps lie inside the operand at each place of the result: (Ho, Wo, 1)."""
    ones = np.ones((1, *shape[:2], 1), dtype=np.int64)
    return gather(ones, node, kernel).sum(axis=(3, 4))[0]


def kernel_of(node: ir.Window, shapes: list[tuple[int, ...]]) -> tuple[int, int]:
    """Return (height, width) of a window node's kernel, from its pool or from its weight's shape.

    Parameters
    ----------
    shapes : shapes of the node's operands
    """
    if isinstance(node, ir.MaxPool | ir.SumPool):
        return node.pool
    return shapes[1][0], shapes[1][1]
