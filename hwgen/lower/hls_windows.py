"""Windows, division, padding and upsampling as hls4ml layers: its own where they are exact, ours where not."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.errors import GraphError
from hwgen.fixed import FixedPoint, max_abs
from hwgen.ir import nodes as ir
from hwgen.ir.reciprocal import reciprocals
from hwgen.ir.windows import kernel_of
from hwgen.lower.hls_layers import MIN_WEIGHT_BITS, HlsLayers, exact_type

WIDEST_MULTIPLIER = 63
"""Bits of a reciprocal: it is written as a ``long long``."""
MOST_PLACES = 1024
"""hls4ml's io_parallel convolution is generated place by place: larger ones are loops of ours."""


def convolution(hls: HlsLayers, node: ir.Conv | ir.DepthwiseConv, name: str, inputs: list[str]) -> None:
    """Add a convolution."""
    weight, weight_t = hls.const(node.inputs[1])
    more: dict[str, Any] = {"weight_data": weight, "weight_t": weight_t, "bias_data": None}
    if len(node.inputs) > 2:
        more["bias_data"], more["bias_t"] = hls.const(node.inputs[2])
    more["accum_t"] = _accumulator(hls, node)
    depthwise = isinstance(node, ir.DepthwiseConv)
    if _is_exact_in_hls4ml(hls, node, weight.shape):
        _theirs(hls, node, name, inputs, depthwise, more)
        return
    if more["bias_data"] is None:
        channels = hls.type_of(node.name).shape[2]
        more["bias_data"], more["bias_t"] = np.zeros(channels), FixedPoint(MIN_WEIGHT_BITS, MIN_WEIGHT_BITS)
    kind = "depthwise" if depthwise else "convolution"
    call = kind + "<{input_t}, {output_t}, {config}>({input}, {output}, {weight}, {bias})"
    hls.own(node, name, inputs, call, _body(hls, node, name), ("weight", "bias"), **more)


def _is_exact_in_hls4ml(hls: HlsLayers, node: ir.Window, weight: tuple[int, ...]) -> bool:
    """hls4ml 1.3.0's streams ignore a vertical stride of one-row kernels, and a depth multiplier everywhere."""
    if isinstance(node, ir.DepthwiseConv) and weight[3] != 1:
        return False
    if hls.stream:
        return weight[0] > 1 or (node.strides[0] == 1 and not isinstance(node, ir.DepthwiseConv))
    height, width, _ = hls.type_of(node.name).shape
    return height * width <= MOST_PLACES


def _theirs(
    hls: HlsLayers, node: ir.Window, name: str, inputs: list[str], depthwise: bool, more: dict[str, Any]
) -> None:
    height, width, channels = hls.type_of(node.inputs[0]).shape
    out = hls.type_of(node.name).shape
    pads = [max(p, 0) for p in node.padding]
    if hls.stream and any(pads):
        padded = f"{name}_padded"
        _zero_padding(hls, padded, inputs, (height, width, channels), pads)
        inputs, height, width, pads = [padded], height + pads[0] + pads[1], width + pads[2] + pads[3], [0] * 4
    attributes = {
        "in_height": height,
        "in_width": width,
        "out_height": out[0],
        "out_width": out[1],
        "n_chan": channels,
        "n_filt": out[2],
        "filt_height": more["weight_data"].shape[0],
        "filt_width": more["weight_data"].shape[1],
        "stride_height": node.strides[0],
        "stride_width": node.strides[1],
        "data_format": "channels_last",
        **dict(zip(("pad_top", "pad_bottom", "pad_left", "pad_right"), pads, strict=True)),
    }
    if depthwise:
        attributes |= {"depth_multiplier": 1, "depthwise_data": more["weight_data"]}
    kind = "DepthwiseConv2D" if depthwise else "Conv2D"
    hls.add(name, kind, inputs, exact_type(hls.type_of(node.name)), **attributes, **more)


def _accumulator(hls: HlsLayers, node: ir.Window) -> FixedPoint:
    """Return a type that holds every partial sum, in any order, on the finest grid of products and bias."""
    x, w, result = (hls.type_of(n) for n in (node.inputs[0], node.inputs[1], node.name))
    axes = (0, 1) if isinstance(node, ir.DepthwiseConv) else (0, 1, 2)
    magnitudes = np.maximum(np.abs(w.lo), np.abs(w.hi)).astype(object)
    total = int(magnitudes.sum(axis=axes).max()) * max(max_abs(x.lo), max_abs(x.hi))
    total <<= result.fraction - x.fraction - w.fraction
    if len(node.inputs) > 2:
        bias = hls.type_of(node.inputs[2])
        total += max_abs(bias.lo) << (result.fraction - bias.fraction)
    return FixedPoint.for_range(-total - 1, total, result.fraction)


def _body(hls: HlsLayers, node: ir.Window, name: str) -> str:
    """Return the C++ constants of a window of ours."""
    shape, out = hls.type_of(node.inputs[0]).shape, hls.type_of(node.name).shape
    kernel = kernel_of(node, [hls.type_of(i).shape for i in node.inputs])
    numbers = {
        "in_height": shape[0],
        "in_width": shape[1],
        "n_chan": shape[2],
        "out_height": out[0],
        "out_width": out[1],
        "n_filt": out[2],
        "filt_height": kernel[0],
        "filt_width": kernel[1],
        "n_taps": kernel[0] * kernel[1],
        "stride_height": node.strides[0],
        "stride_width": node.strides[1],
        "pad_top": node.padding[0],
        "pad_left": node.padding[2],
        "reuse_factor": hls.reuse_of(name),
    }
    return "\n    ".join(f"static const int {key} = {value};" for key, value in numbers.items())


def max_pool(hls: HlsLayers, node: ir.MaxPool, name: str, inputs: list[str]) -> None:
    """Add a maximum: hls4ml's where windows do not overlap and nothing is padded."""
    shape, result = hls.type_of(node.inputs[0]).shape, exact_type(hls.type_of(node.name))
    whole = all(size % step == 0 for size, step in zip(shape, node.pool, strict=False))
    if node.pool != node.strides or any(node.padding) or not whole or node.pool[0] == 1:
        call = "window_maximum<{input_t}, {output_t}, {config}>({input}, {output})"
        hls.own(node, name, inputs, call, _body(hls, node, name), ())
        return
    attributes = {
        "in_height": shape[0],
        "in_width": shape[1],
        "out_height": shape[0] // node.pool[0],
        "out_width": shape[1] // node.pool[1],
        "n_filt": shape[2],
        "pool_height": node.pool[0],
        "pool_width": node.pool[1],
        "stride_height": node.strides[0],
        "stride_width": node.strides[1],
        "data_format": "channels_last",
        **dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), 0),
    }
    source = hls.written_type(inputs[0])
    hls.add(name, "MaxPooling2D", inputs, result, accum_t=source, **attributes)


def sum_pool(hls: HlsLayers, node: ir.SumPool, name: str, inputs: list[str]) -> None:
    """Add a sum over windows; hls4ml only has averages, which round."""
    x = hls.type_of(node.inputs[0])
    total = max(max_abs(x.lo), max_abs(x.hi)) * node.pool[0] * node.pool[1]
    accum = FixedPoint.for_range(-total - 1, total, x.fraction)
    call = "window_sum<{input_t}, {output_t}, {config}>({input}, {output})"
    hls.own(node, name, inputs, call, _body(hls, node, name), (), accum_t=accum)


def divide(hls: HlsLayers, node: ir.Divide, name: str, inputs: list[str]) -> None:
    """Add an exact division: a product by the reciprocal, rounded to guard bits, then as `node.fmt` says."""
    x = hls.type_of(node.inputs[0])
    lo, hi = int(x.lo.min()), int(x.hi.max())
    places = np.broadcast_to(node.divisor, (*x.shape[:-1], node.divisor.shape[-1] if node.divisor.ndim else 1))
    divisors = sorted({int(d) for d in node.divisor.ravel()})
    multipliers, shift, guard = reciprocals(divisors, node.fmt.fraction - x.fraction, lo, hi)
    if max(multipliers).bit_length() > WIDEST_MULTIPLIER:
        raise GraphError("an average this wide has no HLS C++", where=name, found=f"{x.fmt} into {node.fmt}")
    most = ((max(abs(lo), abs(hi)) * max(multipliers)) >> shift) + 1
    near = FixedPoint.for_range(-most - 1, most, node.fmt.fraction + guard)
    low, high = node.clamp or (node.fmt.int_min, node.fmt.int_max)
    table = dict(zip(divisors, multipliers, strict=True))
    factors = [f"{table[int(d)]}LL" for d in (places.ravel() if len(divisors) > 1 else divisors)]
    step = x.size // len(factors) if len(factors) > 1 else x.size
    body = "\n    ".join(
        [
            f"static const unsigned n = {x.size}, shift = {shift};",
            f"static const long long low = {low}LL, high = {high}LL;",
            "static long long multiplier(unsigned i) {",
            f"    static const long long factors[] = {{{', '.join(factors)}}};",
            f"    return factors[i / {step}];",
            "}",
        ]
    )
    plain = FixedPoint(node.fmt.width, node.fmt.integer, node.fmt.signed)
    call = "divide<{input_t}, {near_t}, {round_t}, {output_t}, {config}>({input}, {output})"
    hls.own(node, name, inputs, call, body, (), result=plain, round_t=node.fmt, near_t=near)


def pad(hls: HlsLayers, node: ir.Pad, name: str, inputs: list[str]) -> None:
    """Add zeros around a picture."""
    shape = hls.type_of(node.inputs[0]).shape
    _zero_padding(hls, name, inputs, (shape[0], shape[1], shape[2]), list(node.padding))


def _zero_padding(hls: HlsLayers, name: str, inputs: list[str], shape: tuple[int, int, int], pads: list[int]) -> None:
    attributes = {
        "in_height": shape[0],
        "in_width": shape[1],
        "out_height": shape[0] + pads[0] + pads[1],
        "out_width": shape[1] + pads[2] + pads[3],
        "n_chan": shape[2],
        "data_format": "channels_last",
        **dict(zip(("pad_top", "pad_bottom", "pad_left", "pad_right"), pads, strict=True)),
    }
    hls.add(name, "ZeroPadding2D", inputs, hls.written_type(inputs[0]), **attributes)


def upsample(hls: HlsLayers, node: ir.Upsample, name: str, inputs: list[str]) -> None:
    """Add the nearest neighbour."""
    shape, out = hls.type_of(node.inputs[0]).shape, hls.type_of(node.name).shape
    attributes = {
        "in_height": shape[0],
        "in_width": shape[1],
        "out_height": out[0],
        "out_width": out[1],
        "n_chan": shape[2],
        "algorithm": "nearest",
        "data_format": "channels_last",
    }
    hls.add(name, "UpSampling2D", inputs, hls.written_type(inputs[0]), **attributes)
