"""`check_model`: refuse, before training starts, what could not be lowered after it."""

from __future__ import annotations

import copy
from typing import Any

from hwgen.errors import ErrorList, HwgenError, ModelError, NumericsError, SpecError
from hwgen.ir.streamable import check_streamable
from hwgen.ir.unrolled import check_unrolled
from hwgen.lower import vendor
from hwgen.lower.precision import Precision
from hwgen.train.env import mend_qkeras


def located(error: HwgenError, spec: Any) -> HwgenError:
    """Return `error` with the line of model.yaml in front of the layer it names, where that is known."""
    if isinstance(error, ErrorList) or not error.where:
        return error
    line = _line(spec, error.where)
    if line is None or error.where.startswith(line):
        return error
    new = copy.copy(error)
    new.where = f"{line}: {error.where}"
    new.args = (new.render(),)
    return new


def _line(spec: Any, where: str) -> str | None:
    """Return ``model.yaml:5`` for ``fc1.kernel_quantizer`` or ``precision.input``."""
    line_of = getattr(spec, "line_of", None)
    if line_of is None:
        return None
    path = where
    if not where.startswith("precision."):
        layer, _, key = where.partition(".")
        for index, item in enumerate(getattr(spec.model, "layers", None) or []):
            if item.args.get("name") == layer:
                path = f"model.layers[{index}].{key}" if key in item.args else f"model.layers[{index}]"
                break
        else:
            return None
    try:
        line = line_of(path)
    except (KeyError, LookupError, ValueError):
        return None
    return str(line) if line else None


def check_model(model: Any, spec: Any) -> None:
    """Check a built, not yet trained Keras model: every layer, quantizer and scale must have an exact meaning.

    Raises
    ------
    ErrorList
        With every refusal, each naming the layer and the nearest alternative.
    """
    with vendor.quiet():
        mend_qkeras()
        errors = _layer_errors(model, Precision(spec))
        if not errors:
            errors = _whole_errors(model, spec)
    if errors:
        raise ErrorList([located(error, spec) for error in errors])


def _layer_errors(model: Any, precision: Precision) -> list[HwgenError]:
    """Describe every layer call alone."""
    from hwgen.lower.handlers import describe
    from hwgen.lower.reading import not_quantized

    errors: list[HwgenError] = []
    for layer, ins, outs in vendor.layer_calls(model):
        found: list[HwgenError] = []
        try:
            for conf in describe(layer, ins, outs):
                for name in ("weight", "bias") if "weight_quantizer" in conf else ():
                    said = conf[f"{name}_quantizer"] or precision.weight_type(layer.name, name)
                    if conf[f"{name}_data"] is not None and said is None:
                        found.append(not_quantized(layer.name, name, conf["weight_key"]))
        except HwgenError as error:
            found.append(error)
        errors += [e for e in found if e.render() not in {known.render() for known in errors}]
    return errors


def _whole_errors(model: Any, spec: Any) -> list[HwgenError]:
    """Lower the untrained model; what depends on trained values is not an error yet."""
    from hwgen.lower.lowering import analyse

    try:
        graph = analyse(model, spec).graph
    except NumericsError:
        return []
    except (ModelError, SpecError) as error:
        return [error]
    compress = getattr(spec, "compress", None)
    smaller = any(getattr(compress, step, None) is not None for step in ("structured", "low_rank", "pruning"))
    try:
        if getattr(spec.hardware, "io_type", "io_parallel") == "io_stream":
            check_streamable(graph)
        elif not smaller:
            check_unrolled(graph)
    except (ModelError, NumericsError) as error:
        return [error]
    return []
