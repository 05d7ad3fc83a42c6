"""Handlers of convolutions, pools, padding and upsampling: hls4ml's description of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwgen.lower.handlers_common import (
    Conf,
    Handler,
    describe_as,
    fold_batchnorm,
    refuse,
    weights,
    with_activation,
)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return what Keras' ``same`` adds before and after `size` elements."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _geometry(
    layer: Any, ins: Sequence[Any], outs: Sequence[Any], kernel: Sequence[int], what: str, dilation: Sequence[int] = ()
) -> Conf:
    """Return hls4ml's sizes, strides and padding of a window layer.

    Parameters
    ----------
    kernel : without dilation
    what : ``filt`` or ``pool``
    """
    shape, result = [int(d) for d in ins[0].shape[1:]], [int(d) for d in outs[0].shape[1:]]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation or [1] * len(kernel), strict=True)]
    strides = [int(s) for s in getattr(layer, "strides", kernel)]
    if len(strides) == 1 and len(kernel) == 2:
        strides *= 2
    padding = str(getattr(layer, "padding", "valid")).lower()
    conf: Conf = {"data_format": "channels_last", "dilation": tuple(dilation) or (1,) * len(kernel)}
    names = ("width",) if len(kernel) == 1 else ("height", "width")
    sides = {"height": ("top", "bottom"), "width": ("left", "right")}
    for axis, name in enumerate(names):
        pads = (0, 0)
        if padding == "same":
            pads = same_padding(shape[axis], spans[axis], strides[axis])
        elif padding == "causal":
            pads = (spans[axis] - 1, 0)
        elif padding != "valid":
            raise refuse(layer, f"padding={padding!r}", "padding='valid' or 'same'", "padding")
        conf |= {f"in_{name}": shape[axis], f"out_{name}": result[axis] if len(result) == len(shape) else 1}
        conf |= {f"{what}_{name}": int(kernel[axis]), f"stride_{name}": strides[axis]}
        conf |= {f"pad_{side}": pad for side, pad in zip(sides[name], pads, strict=True)}
    return conf


def _check(layer: Any) -> None:
    """Refuse what has no meaning here: another order of axes, groups, Keras' own quantization."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise refuse(layer, "channels_first pictures", "data_format='channels_last'", "data_format")
    if getattr(layer, "groups", 1) != 1:
        expected = "groups=1, or QDepthwiseConv2D"
        raise refuse(layer, "a convolution in groups", expected, "groups", str(layer.groups))
    if getattr(layer, "lora_rank", None) or getattr(layer, "quantization_mode", None):
        raise refuse(layer, "Keras' own quantization or LoRA is switched on", "a plain convolution")


def _mask(layer: Any) -> np.ndarray[Any, Any] | None:
    """Return the zeros and ones that QConv2D multiplies its kernel with, None if it has none."""
    mask = getattr(layer, "_mask", None)
    if mask is None:
        return None
    floats = np.asarray(mask, dtype=np.float64)
    if not np.isin(floats, (0.0, 1.0)).all():
        raise refuse(layer, "a mask of other numbers than 0 and 1", "mask of zeros and ones", "mask")
    return floats


def _dims(kernel: Sequence[Any]) -> str:
    return f"{len(kernel)}D"


def _conv(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    _check(layer)
    kernel = layer.kernel_size
    attrs = weights(layer, "kernel", _mask(layer))
    if hasattr(layer, "batchnorm"):
        if _mask(layer) is not None:
            raise refuse(layer, "a mask is ignored by QKeras where the batch norm is folded", "no mask", "mask")
        fold_batchnorm(layer, attrs, "kernel")
    attrs |= _geometry(layer, ins, outs, kernel, "filt", layer.dilation_rate)
    attrs |= {"n_chan": int(ins[0].shape[-1]), "n_filt": int(layer.filters)}
    return with_activation(layer, describe_as(layer, ins, outs, f"Conv{_dims(kernel)}", **attrs), ins, outs)


def _depthwise_conf(layer: Any, ins: Sequence[Any], outs: Sequence[Any], attrs: Conf) -> Conf:
    kernel = layer.kernel_size
    if len(set(layer.strides)) != 1:
        what = "TensorFlow has no depthwise convolution with unequal strides"
        raise refuse(layer, what, f"strides={layer.strides[0]}", "strides", str(tuple(layer.strides)))
    channels, depth = int(ins[0].shape[-1]), int(layer.depth_multiplier)
    attrs |= _geometry(layer, ins, outs, kernel, "filt", layer.dilation_rate)
    attrs |= {"n_chan": channels, "n_filt": channels * depth, "depth_multiplier": depth}
    attrs |= {"depthwise_data": attrs["weight_data"], "depthwise_quantizer": attrs["weight_quantizer"]}
    return describe_as(layer, ins, outs, f"DepthwiseConv{_dims(kernel)}", **attrs)


def _depthwise(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    _check(layer)
    attrs = weights(layer, "depthwise")
    if hasattr(layer, "batchnorm"):
        fold_batchnorm(layer, attrs, "depthwise")
    return with_activation(layer, _depthwise_conf(layer, ins, outs, attrs), ins, outs)


def _separable(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    """A depthwise convolution without a bias, then a pointwise one: exact between the two."""
    _check(layer)
    middle = f"{outs[0].name}_before_pointwise"
    attrs = weights(layer, "depthwise") | {"bias_data": None, "bias_quantizer": None}
    first = _depthwise_conf(layer, ins, outs, attrs)
    first |= {"name": f"{layer.name}_depthwise", "result_goes_here": False, "output_keras_tensor_names": [middle]}
    place = {key: first[key] for key in first if key.startswith("out_")}
    place |= {f"in_{key.removeprefix('out_')}": value for key, value in place.items()}
    names = [key.removeprefix("out_") for key in place if key.startswith("out_")]
    place |= {f"{key}_{name}": 1 for key in ("filt", "stride") for name in names}
    place |= dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), 0)
    place |= {"data_format": "channels_last", "dilation": (1,) * len(names)}
    place |= {"n_chan": first["n_filt"], "n_filt": int(layer.filters)}
    second = describe_as(layer, outs, outs, f"Conv{_dims(names)}", **weights(layer, "pointwise"), **place)
    second["input_keras_tensor_names"] = [middle]
    return (first, *with_activation(layer, second, ins, outs))


def _pool(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    _check(layer)
    kind = type(layer).__name__.removeprefix("Q")
    attrs = _geometry(layer, ins, outs, layer.pool_size, "pool")
    if len(layer.pool_size) == 1:
        attrs |= {"n_in": attrs["in_width"], "n_out": attrs["out_width"]}
    conf = describe_as(layer, ins, outs, kind, n_filt=int(ins[0].shape[-1]), **attrs)
    return with_activation(layer, conf, ins, outs)


def _global_pool(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    _check(layer)
    kind = type(layer).__name__.removeprefix("Q")
    sizes = [int(d) for d in ins[0].shape[1:-1]]
    attrs: Conf = {"n_in": sizes[0]} if len(sizes) == 1 else dict(zip(("in_height", "in_width"), sizes, strict=True))
    attrs |= {"data_format": "channels_last", "n_filt": int(ins[0].shape[-1]), "keepdims": bool(layer.keepdims)}
    return with_activation(layer, describe_as(layer, ins, outs, kind, **attrs), ins, outs)


def _quantized_pool(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    """QKeras multiplies by a quantized 1/count, in float32: only its plain average is exact."""
    if layer.average_quantizer_internal is not None:
        kind = type(layer).__name__.removeprefix("Q")
        expected = f"{kind}, then QActivation: the average is exact, and rounded once"
        raise refuse(layer, "an average by a quantized factor", expected, "average_quantizer")
    return (_global_pool if "Global" in type(layer).__name__ else _pool)(layer, ins, outs)


def _zero_padding(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    _check(layer)
    pads = np.asarray(layer.padding, dtype=int).reshape(-1, 2)
    conf: Conf = {"data_format": "channels_last", "n_chan": int(ins[0].shape[-1])}
    names = ("width",) if len(pads) == 1 else ("height", "width")
    for axis, name in enumerate(names):
        before, after = ("top", "bottom") if name == "height" else ("left", "right")
        conf |= {f"pad_{before}": int(pads[axis, 0]), f"pad_{after}": int(pads[axis, 1])}
        conf |= {f"in_{name}": int(ins[0].shape[1 + axis]), f"out_{name}": int(outs[0].shape[1 + axis])}
    return (describe_as(layer, ins, outs, f"ZeroPadding{len(pads)}D", **conf),)


def _upsampling(layer: Any, ins: Sequence[Any], outs: Sequence[Any]) -> tuple[Conf, ...]:
    _check(layer)
    method = getattr(layer, "interpolation", "nearest")
    if method != "nearest":
        raise refuse(layer, f"interpolation={method!r}", "interpolation='nearest'", "interpolation")
    shape, result = list(ins[0].shape[1:]), list(outs[0].shape[1:])
    if len(shape) == 2:
        shape, result = [1, *shape], [1, *result]
    conf = {"in_height": shape[0], "in_width": shape[1], "out_height": result[0], "out_width": result[1]}
    kind = type(layer).__name__
    more = {"n_chan": shape[2], "algorithm": "nearest", "data_format": "channels_last"}
    return (describe_as(layer, ins, outs, kind, **conf, **more),)


_KERAS = "keras.src.layers"
_DIMS = (1, 2)

WINDOW_HANDLERS: dict[str, Handler] = {
    **{f"{_KERAS}.convolutional.conv{n}d.Conv{n}D": _conv for n in _DIMS},
    **{f"{_KERAS}.convolutional.depthwise_conv{n}d.DepthwiseConv{n}D": _depthwise for n in _DIMS},
    **{f"{_KERAS}.convolutional.separable_conv{n}d.SeparableConv{n}D": _separable for n in _DIMS},
    **{f"qkeras.qconvolutional.QConv{n}D": _conv for n in _DIMS},
    **{f"qkeras.qconvolutional.QSeparableConv{n}D": _separable for n in _DIMS},
    "qkeras.qconvolutional.QDepthwiseConv2D": _depthwise,
    "qkeras.qconv2d_batchnorm.QConv2DBatchnorm": _conv,
    "qkeras.qdepthwiseconv2d_batchnorm.QDepthwiseConv2DBatchnorm": _depthwise,
    **{f"{_KERAS}.pooling.max_pooling{n}d.MaxPooling{n}D": _pool for n in _DIMS},
    **{f"{_KERAS}.pooling.average_pooling{n}d.AveragePooling{n}D": _pool for n in _DIMS},
    **{f"{_KERAS}.pooling.global_max_pooling{n}d.GlobalMaxPooling{n}D": _global_pool for n in _DIMS},
    **{f"{_KERAS}.pooling.global_average_pooling{n}d.GlobalAveragePooling{n}D": _global_pool for n in _DIMS},
    "qkeras.qpooling.QAveragePooling2D": _quantized_pool,
    "qkeras.qpooling.QGlobalAveragePooling2D": _quantized_pool,
    **{f"{_KERAS}.reshaping.zero_padding{n}d.ZeroPadding{n}D": _zero_padding for n in _DIMS},
    **{f"{_KERAS}.reshaping.up_sampling{n}d.UpSampling{n}D": _upsampling for n in _DIMS},
}
"""Handlers by the layer class's full name."""
