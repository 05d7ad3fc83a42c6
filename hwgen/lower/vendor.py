"""Every private name of hls4ml, Keras and QKeras that hwgen touches stands in this file.

hls4ml 1.3.0, qkeras-v3 1.2.1, keras 3.15: an upgrade is one look here. Imports are inside functions, since they take
seconds and since the later stages must run where none of this is installed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.lower.quantizers import WeightRule

NEUTRAL_PASSES = (
    "channels_last_converter",
    "separable_to_depthwise_and_conv",
    "expand_time_distributed",
    "expand_layer_group",
)
"""hls4ml's neutral passes that keep every quantizer and every exact value: docs/lowering.md says why no others."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what TensorFlow, Keras and hls4ml print."""
    _import_quietly()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _import_quietly() -> None:
    """Import TensorFlow once, without the lines its C++ writes to standard error."""
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        finally:
            os.dup2(kept, 2)
            os.close(kept)


# --- QKeras and Keras -------------------------------------------------------------------------------------------


def qkeras_sigmoid_name() -> str:
    """Return which sigmoid QKeras' quantizers use now: ``hard_sigmoid`` unless someone changed it."""
    import qkeras.quantizers

    return str(getattr(qkeras.quantizers._sigmoid, "__name__", "sigmoid"))


class _Float64Ops:
    """`keras.ops` as QKeras sees it, with its literal float32 read as float64."""

    def __init__(self, ops: Any) -> None:
        self._ops = ops

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ops, name)

    def cast(self, x: Any, dtype: Any) -> Any:
        return self._ops.cast(x, "float64" if dtype == "float32" else dtype)

    def array(self, x: Any, dtype: Any = None) -> Any:
        return self._ops.array(x, "float64" if dtype == "float32" else dtype)


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Run Keras and QKeras in float64; everything is put back afterwards."""
    import keras
    import qkeras.quantizers

    floatx, policy, ops = keras.config.floatx(), keras.config.dtype_policy(), qkeras.quantizers.Kops
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    qkeras.quantizers.Kops = _Float64Ops(ops)
    try:
        yield
    finally:
        qkeras.quantizers.Kops = ops
        keras.config.set_dtype_policy(policy)
        keras.config.set_floatx(floatx)


def functional(model: Any) -> Any:
    """Return the functional form of a Sequential model; a functional model itself."""
    import keras

    return model._functional if isinstance(model, keras.Sequential) else model


def layer_calls(model: Any) -> list[tuple[Any, list[Any], list[Any]]]:
    """Return every layer call in topological order: layer, input tensors, output tensors."""
    from hls4ml.converters.keras_v3_to_hls import resolve_dependency_relation

    model = functional(model)
    _, _, todo, tensors = resolve_dependency_relation(model)
    ready: set[str] = set()
    order = []
    while todo:
        item = next(i for i in todo if set(i[1]) <= ready)
        todo.remove(item)
        order.append(item)
        ready.update(item[2])
    return [(model.get_layer(n), [tensors[t] for t in i], [tensors[t] for t in o]) for n, i, o in order]


def is_softmax(activation: Any) -> bool:
    """Return whether an activation is Keras' softmax."""
    return getattr(activation, "__name__", "") == "softmax"


def has_weights(layer: Any) -> bool:
    """Return whether a layer multiplies by a kernel."""
    return any(hasattr(layer, key) for key in ("kernel", "depthwise_kernel"))


def float64_layer(layer: Any) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    """Return a copy of `layer` in float64 as a function of arrays, and apart from it an activation of its own.

    Call it, and what it returns, inside `float64`.
    """
    import keras

    config = layer.get_config() | {"dtype": "float64"}
    clone = type(layer).from_config(config)
    shapes = [tuple(t.shape) for t in layer._inbound_nodes[0].arguments.keras_tensors]
    clone.build(shapes[0] if len(shapes) == 1 else shapes)
    clone.set_weights([np.asarray(w, dtype=np.float64) for w in layer.get_weights()])
    if getattr(clone, "_mask", None) is not None:
        clone._mask = keras.ops.cast(clone._mask, "float64")
    activation = None
    if has_weights(clone) or hasattr(clone, "average_quantizer"):
        activation, clone.activation = clone.activation, None
        if is_softmax(activation) or getattr(activation, "__name__", "") == "linear":
            activation = None

    def core(*args: Any) -> Any:
        tensors = [keras.ops.convert_to_tensor(a, dtype="float64") for a in args]
        return np.asarray(clone(tensors[0] if len(tensors) == 1 else tensors))

    def after(x: Any) -> Any:
        assert activation is not None
        return np.asarray(activation(keras.ops.convert_to_tensor(x, dtype="float64")))

    return core, None if activation is None else after


def tensor_names(tensors: Any) -> list[str]:
    """Return the names of Keras tensors."""
    return [str(t.name) for t in tensors]


# --- hls4ml: from a Keras model to a ModelGraph ------------------------------------------------------------------


def weight_quantizer(rule: WeightRule | None) -> Any:
    """Return `rule` as an hls4ml quantizer: exact values in float64, in a plain fixed-point type (no xnor, no po2)."""
    if rule is None:
        return None
    from hls4ml.model.quantizers import Quantizer
    from hls4ml.model.types import FixedPrecisionType

    class ExactQuantizer(Quantizer):  # type: ignore[misc]
        """An hls4ml weight quantizer that applies a `WeightRule`."""

        def __init__(self, rule: WeightRule) -> None:
            self.rule = rule
            super().__init__(32, FixedPrecisionType(width=32, integer=32 - rule.fraction))

        def __call__(self, data: Any) -> Any:
            ints = self.rule.apply(np.asarray(data, dtype=np.float64))
            return np.ldexp(ints.astype(np.float64), -self.rule.fraction)

    return ExactQuantizer(rule)


def node_rule(node: Any, name: str) -> tuple[WeightRule | None, Any]:
    """Return the rule of a node's ``weight`` or ``bias``, or the QKeras quantizer inside hls4ml's own."""
    quantizer = node.get_attr(f"{name}_quantizer")
    return getattr(quantizer, "rule", None), getattr(quantizer, "quantizer_fn", None)


def quantizer_of(config: Mapping[str, Any]) -> Any:
    """Return the QKeras quantizer that hls4ml's ``activation_quantizer`` describes, under names of its own."""
    import qkeras.quantizers

    names = {"linear": "quantized_bits", "binary_tanh": "binary", "ternary_tanh": "ternary"}
    name = names.get(config["class_name"], config["class_name"])
    return getattr(qkeras.quantizers, name).from_config(dict(config["config"]))


def make_model_graph(layer_list: list[dict[str, Any]], inputs: list[str], outputs: list[str]) -> Any:
    """Return hls4ml's ModelGraph after the neutral passes: the one point at which hwgen reads it."""
    from hls4ml.model import ModelGraph
    from hls4ml.model.flow import register_flow
    from hls4ml.model.flow.flow import flow_map

    if "hwgen_neutral" not in flow_map:
        register_flow("hwgen_neutral", list(NEUTRAL_PASSES))
    config = {
        "Backend": "Vitis",
        "IOType": "io_parallel",
        "OutputDir": "unused",
        "ProjectName": "hwgen",
        "HLSConfig": {
            "Model": {"Precision": "fixed<16,6>", "ReuseFactor": 1, "Strategy": "latency"},
            "Flows": ["hwgen_neutral"],
        },
    }
    return ModelGraph.from_layer_list(config, layer_list, inputs, outputs)


def parse(model: Any, handlers: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """Run hls4ml's Keras 3 parser with `handlers` of ours on top of its own; return layers, input and output names."""
    from hls4ml.converters.keras_v3 import layer_handlers
    from hls4ml.converters.keras_v3_to_hls import parse_keras_v3_model

    before = dict(layer_handlers)
    layer_handlers.update(handlers)
    try:
        layers, inputs, outputs, _ = parse_keras_v3_model(model, allow_da_fallback=False, allow_v2_fallback=False)
    finally:
        layer_handlers.clear()
        layer_handlers.update(before)
    return list(layers), list(inputs), list(outputs)


def handler_base() -> Any:
    """Return hls4ml's base class of layer handlers."""
    from hls4ml.converters.keras_v3._base import KerasV3LayerHandler

    return KerasV3LayerHandler


# --- hls4ml: from a layer list to a Vitis project ------------------------------------------------------------------


def precision(fmt: FixedPoint) -> Any:
    """Return `fmt` as hls4ml's precision type."""
    from hls4ml.model.types import FixedPrecisionType

    rounding = None if fmt.rounding is Rounding.TRN else str(fmt.rounding)
    overflow = None if fmt.overflow is Overflow.WRAP else str(fmt.overflow)
    return FixedPrecisionType(fmt.width, fmt.integer, fmt.signed, rounding, overflow)


def write_vitis_project(
    layers: list[dict[str, Any]],
    inputs: list[str],
    outputs: list[str],
    hls_config: dict[str, Any],
    *,
    name: str,
    folder: Path,
    part: str,
    clock_period_ns: float,
    io_type: str = "io_parallel",
) -> dict[str, Any]:
    """Make a ModelGraph of `layers` for Vitis and have hls4ml write its project; return the configuration used."""
    from hls4ml.backends import get_backend
    from hls4ml.model import ModelGraph
    from hls4ml.model.optimizer import get_optimizer

    _register_extension()
    config = get_backend("Vitis").create_initial_config(part=part, clock_period=clock_period_ns, io_type=io_type)
    config |= {
        "Backend": "Vitis",
        "OutputDir": str(folder),
        "ProjectName": name,
        "Stamp": "hwgen",
        "HLSConfig": {**hls_config, "Flows": _vitis_flows(io_type)},
    }
    graph = ModelGraph.from_layer_list(config, layers, inputs, outputs)
    graph.config.config["OutputDir"] = str(folder)
    get_optimizer("vitis:write_hls").transform(graph)
    _make_relocatable(folder)
    return config


def _vitis_flows(io_type: str) -> list[str]:
    """Return flows with hls4ml's own passes for Vitis and `io_type`, but without its neutral and inference passes.

    Every type is given and every weight quantized, so that nothing is left for those passes to do but harm.
    """
    from hls4ml.model.flow import get_flow, register_flow
    from hls4ml.model.flow.flow import flow_map

    sources = {
        "init": get_flow("vivado:init_layers").optimizers,
        "validation": get_flow("vitis:validation").optimizers,
        "optimize": ["vivado:inplace_parallel_reshape"],
        "streaming": ["vivado:inplace_stream_flatten", "vivado:clone_output"],
        "types": get_flow("vivado:specific_types").optimizers,
        "templates": [*get_flow("vivado:apply_templates").optimizers, *get_flow("vitis:apply_templates").optimizers],
    }
    for key, passes in sources.items():
        if f"vitis:hwgen_{key}" not in flow_map:
            register_flow(f"hwgen_{key}", list(passes), backend="Vitis")
    unused = "optimize" if io_type == "io_stream" else "streaming"
    return [f"vitis:hwgen_{key}" for key in sources if key != unused]


def _make_relocatable(folder: Path) -> None:
    """Take the folder's own path out of what hls4ml wrote, so that equal inputs give equal bytes."""
    config = folder / "hls4ml_config.yml"
    config.write_text(config.read_text().replace(str(folder), "."))


_EXTENSION: list[Any] = []


def _register_extension() -> None:
    """Add the layer class `Hwgen`, its C++ and its templates to hls4ml, once."""
    if _EXTENSION:
        return
    from hls4ml.backends import get_backend
    from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
    from hls4ml.model.layers import Layer, register_layer
    from hls4ml.model.types import NamedType

    class Hwgen(Layer):  # type: ignore[misc]
        """A layer whose call and configuration hwgen gives as text (`hls.py`)."""

        def initialize(self) -> None:
            self.add_output_variable(self.get_attr("hwgen_shape"))
            for key in self.get_attr("hwgen_weights"):
                self.add_weights_variable(name=key, var_name=f"{key[0]}{{index}}")
            for key in self.get_attr("hwgen_types"):
                self.set_attr(f"{key}_t", NamedType(*reversed(self.model.config.get_precision(self, key))))

    def words(node: Any) -> dict[str, str]:
        variables = [node.get_input_variable(name) for name in node.inputs]
        table = {f"input{i + 1 if i else ''}": v.name for i, v in enumerate(variables)}
        table |= {f"input{i + 1 if i else ''}_t": v.type.name for i, v in enumerate(variables)}
        table |= {"output": node.get_output_variable().name, "output_t": node.get_output_variable().type.name}
        table |= {key: node.get_weights(key).name for key in node.get_attr("hwgen_weights")}
        table |= {f"{key}_t": node.get_attr(f"{key}_t").name for key in node.get_attr("hwgen_types")}
        return table | {"config": f"config{node.index}"}

    class HwgenConfig(LayerConfigTemplate):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(Hwgen)

        def format(self, node: Any) -> str:
            lines = [node.get_attr("hwgen_body")]
            for key in node.get_attr("hwgen_weights"):
                weight = node.get_weights(key)
                lines += [
                    f"static const unsigned n_{key} = {weight.data_length};",
                    f"typedef {weight.type.name} {key}_t;",
                ]
            lines += [f"typedef {node.get_attr(key + '_t').name} {key}_t;" for key in node.get_attr("hwgen_types")]
            body = "\n    ".join(lines)
            return f"struct config{node.index} {{\n    {body}\n}};\n"

    class HwgenFunction(FunctionCallTemplate):  # type: ignore[misc]
        def __init__(self) -> None:
            headers = ["nnet_utils/nnet_hwgen.h", "nnet_utils/nnet_hwgen_stream.h"]
            super().__init__(Hwgen, include_header=headers)

        def format(self, node: Any) -> str:
            stream = node.model.config.get_config_value("IOType") == "io_stream"
            space = "nnet::hwgen::stream" if stream else "nnet::hwgen"
            return f"{space}::{node.get_attr('hwgen_call').format(**words(node))};"

    backend = get_backend("Vitis")
    register_layer("Hwgen", Hwgen)
    backend.register_template(HwgenConfig)
    backend.register_template(HwgenFunction)
    for header in ("nnet_hwgen.h", "nnet_hwgen_stream.h"):
        backend.register_source(Path(__file__).parent / "templates" / header)
    _EXTENSION.append(Hwgen)
