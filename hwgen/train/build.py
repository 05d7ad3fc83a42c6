"""From the `model` section of model.yaml to a Keras model: described, built by the user's function, or brought."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hwgen.errors import ErrorList, HwgenError, ModelError
from hwgen.train.builder import call_builder
from hwgen.train.env import import_keras, seed_everything

if TYPE_CHECKING:
    import keras

    from hwgen.spec import LayerSpec, ModelSpec
    from hwgen.train.data import DataSet

_WEIGHT_KEYS = ("kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer")
_SEVERAL_INPUTS = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")


def make_model(spec: ModelSpec, data: DataSet | None, *, trust: bool = False) -> keras.Model:
    """Return the quantized network of a model.yaml, seeded by `train.seed`, not compiled.

    Parameters
    ----------
    spec : ModelSpec
    data : DataSet or None
        Gives the input shape where `model.input_shape` does not.
    trust : bool
        Whether a brought file may run code on loading.

    Raises
    ------
    ModelError, ErrorList
        Naming the line and layer.
    """
    seed_everything(spec.train.seed)
    if spec.model.file:
        from hwgen.train.store import load_model

        where = f"{spec.line_of('model.file')}: model.file"
        model = load_model(spec.base_dir / spec.model.file, trust=trust, where=where)
    elif spec.model.builder:
        model = call_builder(spec, _offers(spec, data))
    else:
        model = _from_layers(spec, data)
    _check_inputs(spec, data, model)
    return model


def input_shape(spec: ModelSpec, data: DataSet | None) -> Any:
    """Return the shape of one frame: `model.input_shape`, else that of the data; a mapping for several inputs."""
    if spec.model.input_shape:
        return spec.model.input_shape
    if data is None:
        where = f"{spec.line_of('model')}: model.input_shape"
        raise ModelError("the input shape is not known", where=where, expected="model.input_shape, or a data set")
    shapes = [list(x.shape[1:]) for x in data.xs_train]
    return shapes[0] if len(shapes) == 1 else dict(zip(data.inputs, shapes, strict=True)) if data.inputs else shapes


def _from_layers(spec: ModelSpec, data: DataSet | None) -> keras.Model:
    keras = import_keras()
    layers = spec.model.layers or []
    shape = input_shape(spec, data)
    if not isinstance(shape, list) or any(not isinstance(n, int) for n in shape):
        where = f"{spec.line_of('model.layers')}: model.layers"
        raise ModelError(
            "a list of layers has one input",
            where=where,
            found=f"input shapes {shape}",
            expected="one shape",
            hint="networks with several inputs come in through `builder: package.module:function`",
        )
    model = keras.Sequential(name=spec.model.name)
    model.add(keras.Input(tuple(shape), name="x"))
    errors: list[HwgenError] = []
    for index, (layer, name) in enumerate(zip(layers, layer_names(layers), strict=True)):
        try:
            model.add(_make_layer(spec, index, layer, name))
        except HwgenError as error:
            errors.append(error)
        except Exception as error:
            errors.append(_broken_layer(spec, index, layer, name, error))
            break  # what follows would complain about the hole
    if errors:
        raise ErrorList(errors)
    return model


def layer_names(layers: list[LayerSpec]) -> list[str]:
    """Return the name of every layer; one without a name is called after its kind and counted: ``qdense1``."""
    taken = {layer.args["name"] for layer in layers if "name" in layer.args}
    names, counts = [], dict[str, int]()
    for layer in layers:
        name = layer.args.get("name")
        stem = re.sub(r"\W", "", layer.kind).lower()
        while not name or (name in taken and "name" not in layer.args):
            counts[stem] = counts.get(stem, 0) + 1
            name = f"{stem}{counts[stem]}"
        names.append(str(name))
    return names


def _make_layer(spec: ModelSpec, index: int, layer: LayerSpec, name: str) -> Any:
    where = f"{spec.line_of(f'model.layers[{index}]')}: {name}"
    kind = _layer_class(layer.kind, where)
    args = {key: tuple(v) if isinstance(v, list) else v for key, v in layer.args.items()} | {"name": name}
    known = _parameters(kind)
    unknown = [key for key in args if key not in known]
    if unknown:
        close = [difflib.get_close_matches(key, known, 1) for key in unknown]
        expected = ", ".join(f"{match[0]}?" for match in close if match) or ", ".join(
            sorted(known - {"kwargs", "self"})
        )
        line = spec.line_of(f"model.layers[{index}].{unknown[0]}")
        raise ModelError(
            f"{layer.kind} has no argument {', '.join(unknown)}", where=f"{line}: {name}", expected=expected
        )
    return kind(**_with_precision(spec, layer.kind, args, known, name, where))


def _with_precision(
    spec: ModelSpec, kind: str, args: dict[str, Any], known: set[str], name: str, where: str
) -> dict[str, Any]:
    """Fill in the quantizers a layer leaves out; `precision.layers.<name>` replaces what it says."""
    own, general = spec.precision.layers.get(name), spec.precision
    missing: list[str] = []

    def fill(key: str, text: str | None, override: str | None, required: bool) -> None:
        if override is not None:
            args[key] = override
        elif args.get(key) is None and text is not None:
            args[key] = text
        if args.get(key) is None and required:
            missing.append(key)

    if kind.startswith("Q"):
        for key in _WEIGHT_KEYS:
            if key in known:
                fill(key, general.weight, own.weight if own else None, required=True)
        if "bias_quantizer" in known and args.get("use_bias", True):
            fill("bias_quantizer", general.bias, own.bias if own else None, required=True)
        if kind == "QActivation":
            fill("activation", general.activation, own.activation if own else None, required=True)
        elif own and own.activation and "activation" in known:
            args["activation"] = own.activation
    if missing:
        short = "activation" if missing[0] == "activation" else "bias" if missing[0].startswith("bias") else "weight"
        raise ModelError(
            f"{kind} has no {', '.join(missing)}",
            where=where,
            expected=f"{missing[0]} in the layer, or precision.{short}",
        )
    return args


def _layer_class(kind: str, where: str) -> Any:
    keras = import_keras()
    import qkeras

    known = {
        name: value
        for module in (keras.layers, qkeras)
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, keras.layers.Layer) and not name.startswith("_")
    }
    if kind in _SEVERAL_INPUTS:
        hint = "networks that branch come in through `builder: package.module:function`"
        raise ModelError(f"{kind} has several inputs; a list of layers is a chain", where=where, hint=hint)
    if kind in ("Lambda", "InputLayer", "Input"):
        expected = "model.input_shape" if kind.startswith("Input") else "Keras or QKeras layers"
        raise ModelError(f"{kind} cannot be a described layer", where=where, expected=expected)
    if kind not in known:
        close = difflib.get_close_matches(kind, known, 3)
        raise ModelError(
            f"no such layer: {kind}",
            where=where,
            expected=" or ".join(close) + "?" if close else "a Keras or QKeras class",
        )
    return known[kind]


def _parameters(kind: Any) -> set[str]:
    """Return every argument a layer class takes, those of its bases that it passes on included."""
    names: set[str] = set()
    for base in inspect.getmro(kind):
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters
        names |= {p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
        if base.__name__ == "Layer":
            break
    return names - {"self"}


def _broken_layer(spec: ModelSpec, index: int, layer: LayerSpec, name: str, error: Exception) -> ModelError:
    text = " ".join(str(error).split())
    missing = re.search(r"missing \d+ required positional arguments?: (.*)", text)
    where = f"{spec.line_of(f'model.layers[{index}]')}: {name}"
    if missing:
        return ModelError(f"{layer.kind} needs {missing.group(1)}", where=where)
    return ModelError(f"{layer.kind} cannot be made: {text[:300]}", where=where, found=f"{layer.args}")


def _offers(spec: ModelSpec, data: DataSet | None) -> dict[str, Callable[[], Any]]:
    """Return what a builder may ask for by name; `outputs` is the number of classes."""
    return {
        "input_shape": lambda: _as_tuples(input_shape(spec, data)),
        "outputs": lambda: _outputs(data),
        "seed": lambda: spec.train.seed,
    }


def _outputs(data: DataSet | None) -> int | None:
    """Return how many classes the labels have; None for float targets or without data."""
    if data is None or not data.integer_labels or isinstance(data.y_train, tuple):
        return None
    return max(len(data.classes), int(data.y_train.max()) + 1)


def _as_tuples(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {name: tuple(part) for name, part in shape.items()}
    return tuple(tuple(part) if isinstance(part, list) else part for part in shape)


def _check_inputs(spec: ModelSpec, data: DataSet | None, model: keras.Model) -> None:
    """Refuse a model whose inputs are not of a fixed shape, or not those of the data or of `model.input_shape`."""
    key = "model.file" if spec.model.file else "model.builder" if spec.model.builder else "model.layers"
    where = f"{spec.line_of(key)}: {key}"
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    for tensor, shape in zip(model.inputs, shapes, strict=True):
        if any(n is None for n in shape):
            raise ModelError(
                f"the input {tensor.name} has no fixed shape",
                where=where,
                found=str(shape),
                expected="sizes known in advance",
            )
    if data is None:
        return
    names = [tensor.name for tensor in model.inputs]
    if data.inputs and set(data.inputs) == set(names) and list(data.inputs) != names:
        found_names, expected = ", ".join(data.inputs), ", ".join(names)
        raise ModelError(
            "the inputs of the data are in another order", where=where, found=found_names, expected=expected
        )
    found = [tuple(x.shape[1:]) for x in data.xs_train]
    if found != shapes:
        raise ModelError(
            "the model's input does not fit the data", where=where, found=f"model {shapes}", expected=f"data {found}"
        )
