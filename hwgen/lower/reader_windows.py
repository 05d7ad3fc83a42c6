"""Reading hls4ml's convolutions, pools, padding and resizing: 1-D layers become pictures of height 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hwgen.errors import ModelError
from hwgen.fixed import IntArray
from hwgen.ir import nodes as ir
from hwgen.ir.windows import tap_counts
from hwgen.lower.reading import Average, Reading, accumulator, label, read_weight


def _picture(node: Any, reading: Reading) -> str:
    """Return the operand as (height, width, channels)."""
    builder, x = reading.builder, reading.operand(node)
    shape = builder.types[x].shape
    if len(shape) == 3:
        return x
    if len(shape) != 2:
        raise ModelError("a picture or a sequence is needed", where=label(node), found=f"a tensor of {shape}")
    return builder.add(ir.Reshape, f"{label(node)}_row", x, shape=(1, *shape))


def _back(node: Any, reading: Reading, x: str, rank: int) -> str:
    """Return a picture of height 1 as a sequence again, if that is what the layer gives."""
    shape = reading.builder.types[x].shape
    return x if rank == 3 else reading.builder.add(ir.Reshape, f"{label(node)}_line", x, shape=shape[1:])


def _axis(node: Any, name: str, kernel: int) -> tuple[int, int, int]:
    """Return stride and padding before and after along ``height`` or ``width``; after: as far as is read."""
    before = "pad_top" if name == "height" else "pad_left"
    size = node.get_attr(f"in_{name}", node.get_attr("n_in"))
    out = node.get_attr(f"out_{name}", node.get_attr("n_out"))
    stride, pad = int(node.get_attr(f"stride_{name}")), int(node.get_attr(before))
    return stride, pad, (int(out) - 1) * stride + kernel - int(size) - pad


def _place(node: Any, kernel: tuple[int, int], rank: int) -> dict[str, tuple[int, ...]]:
    """Return a window's strides and padding.

    Parameters
    ----------
    kernel : with dilation
    rank : of the layer's operand: 2 for a sequence
    """
    sy, top, bottom = _axis(node, "height", kernel[0]) if rank == 3 else (1, 0, 0)
    sx, left, right = _axis(node, "width", kernel[1])
    return {"strides": (sy, sx), "padding": (top, bottom, left, right)}


def _dilation(node: Any, rank: int) -> tuple[int, int]:
    """Return (vertical, horizontal) dilation, from hwgen's attribute or from hls4ml's."""
    own = node.get_attr("dilation")
    if own is not None:
        return (1, int(own[0])) if len(own) == 1 else (int(own[0]), int(own[1]))
    vertical = int(node.get_attr("dilation_height", 1) or 1) if rank == 3 else 1
    return vertical, int(node.get_attr("dilation_width", 1) or 1)


def dilated(kernel: IntArray, dilation: tuple[int, int]) -> IntArray:
    """Return a kernel (height, width, ...) with zeros between its taps."""
    spans = [(size - 1) * step + 1 for size, step in zip(kernel.shape, dilation, strict=False)]
    result = np.zeros((*spans, *kernel.shape[2:]), dtype=kernel.dtype)
    result[:: dilation[0], :: dilation[1]] = kernel
    return result


def _convolution(node: Any, reading: Reading, kind: type[ir.Conv | ir.DepthwiseConv]) -> str:
    builder, layer, name = reading.builder, reading.layer_of[label(node)], label(node)
    rank = len(builder.types[reading.operand(node)].shape)
    kernel, fraction = read_weight(node, reading, "weight", layer)
    if rank == 2:
        kernel = kernel[None]
    if kind is ir.DepthwiseConv and kernel.ndim == 3:
        kernel = kernel[..., None]
    kernel = dilated(kernel, _dilation(node, rank))
    operands = [_picture(node, reading), builder.const(f"{name}_w", kernel, fraction)]
    if node.get_attr("bias_data") is not None:
        bias, fraction = read_weight(node, reading, "bias", layer)
        operands.append(builder.const(f"{name}_b", bias, fraction))
    result = builder.add(kind, name, *operands, **_place(node, (kernel.shape[0], kernel.shape[1]), rank))
    accum = reading.precision.accum(layer) if node.get_attr("result_goes_here", True) else None
    result = result if accum is None else accumulator(reading, result, accum, name, layer)
    return _back(node, reading, result, rank)


def _conv(node: Any, reading: Reading) -> str:
    return _convolution(node, reading, ir.Conv)


def _depthwise(node: Any, reading: Reading) -> str:
    return _convolution(node, reading, ir.DepthwiseConv)


def _pool(node: Any, reading: Reading) -> str | None:
    rank = len(reading.builder.types[reading.operand(node)].shape)
    pool = (int(node.get_attr("pool_height")) if rank == 3 else 1, int(node.get_attr("pool_width")))
    if node.get_attr("count_pad", False) and node.get_attr("pool_op") == "Average":
        raise ModelError("an average that counts its padding", where=label(node), expected="padding='valid'")
    return _pooled(node, reading, pool, _place(node, pool, rank), lambda x: _back(node, reading, x, rank))


def _global_pool(node: Any, reading: Reading) -> str | None:
    builder = reading.builder
    shape = builder.types[reading.operand(node)].shape
    pool = (shape[0] if len(shape) == 3 else 1, shape[-2])
    kept = (1,) * (len(shape) - 1) if node.get_attr("keepdims") else ()

    def back(x: str) -> str:
        wanted = (*kept, shape[-1])
        known = builder.types[x].shape == wanted
        return x if known else builder.add(ir.Reshape, f"{label(node)}_line", x, shape=wanted)

    return _pooled(node, reading, pool, {"strides": pool, "padding": (0, 0, 0, 0)}, back)


def _pooled(
    node: Any,
    reading: Reading,
    pool: tuple[int, int],
    place: dict[str, tuple[int, ...]],
    back: Callable[[str], str],
) -> str | None:
    """Add a pool. An average of 2**n elements everywhere is exact; another waits for the quantizer that follows."""
    builder, x, name = reading.builder, _picture(node, reading), label(node)
    if node.get_attr("pool_op") == "Max":
        return back(builder.add(ir.MaxPool, name, x, pool=pool, **place))
    total = builder.add(ir.SumPool, f"{name}_sum", x, pool=pool, **place)
    made = builder.nodes[-1]
    assert isinstance(made, ir.SumPool)
    counts = tap_counts(made, builder.types[x].shape, pool)
    first = int(counts.flat[0])
    if (counts == first).all() and first & (first - 1) == 0:
        if first == 1:
            return back(total)
        scale = builder.const(f"{name}_s", [1], first.bit_length() - 1)
        return back(builder.add(ir.Scale, name, total, scale))
    line = back(total)
    shape = builder.types[line].shape
    divisor = np.array([first]) if (counts == first).all() else counts.reshape(*shape[:-1], 1)
    reading.averages[node.outputs[0]] = Average(line, divisor, reading.layer_of[name])
    return None


def _pad(node: Any, reading: Reading) -> str:
    rank = len(reading.builder.types[reading.operand(node)].shape)
    sides = ("pad_top", "pad_bottom", "pad_left", "pad_right")
    padding = tuple(int(node.get_attr(side, 0) or 0) for side in sides)
    x = _picture(node, reading)
    return _back(node, reading, reading.builder.add(ir.Pad, label(node), x, padding=padding), rank)


def _resize(node: Any, reading: Reading) -> str:
    if node.get_attr("algorithm", "nearest") != "nearest":
        raise ModelError("only the nearest neighbour is exact", where=label(node), expected="interpolation='nearest'")
    rank = len(reading.builder.types[reading.operand(node)].shape)
    x = _picture(node, reading)
    shape = reading.builder.types[x].shape
    wanted = (int(node.get_attr("out_height")) if rank == 3 else 1, int(node.get_attr("out_width")))
    if wanted[0] % shape[0] or wanted[1] % shape[1]:
        raise ModelError("resizing by a factor that is not whole", where=label(node), found=f"{shape[:2]} to {wanted}")
    factors = (wanted[0] // shape[0], wanted[1] // shape[1])
    return _back(node, reading, reading.builder.add(ir.Upsample, label(node), x, factors=factors), rank)


WINDOW_READERS: dict[str, Callable[[Any, Reading], str | None]] = {
    **dict.fromkeys(("Conv1D", "Conv2D"), _conv),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("Pooling1D", "Pooling2D"), _pool),
    **dict.fromkeys(("GlobalPooling1D", "GlobalPooling2D"), _global_pool),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), _pad),
    "Resize": _resize,
}
"""What becomes of hls4ml's window layers."""
