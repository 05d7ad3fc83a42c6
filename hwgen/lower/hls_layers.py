"""`HlsLayers`: hls4ml's layer list under construction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.fixed import FixedPoint
from hwgen.ir import nodes as ir
from hwgen.ir.graph import Graph
from hwgen.ir.nodes import TensorType

RESULT = "__out"
"""Suffix of the names of results inside hls4ml."""
MOST_CLONES = 6
"""Readers of one stream, at most: hls4ml copies a stream to seven."""
MIN_WEIGHT_BITS = 3
"""hls4ml has special products for one and two bit weights; a wider type keeps to plain multiplication."""


@dataclass
class HlsLayers:
    """hls4ml's layer list under construction, its per-layer precision, and the names its tensors have."""

    graph: Graph
    layers: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    stream: bool = False
    reuse: Callable[[str], int] = lambda name: 1

    @property
    def inputs(self) -> list[str]:
        """Names of the input layers."""
        return [self.names[n.name] for n in self.graph.inputs if n.name in self.names]

    @property
    def configuration(self) -> dict[str, Any]:
        """hls4ml's ``HLSConfig``: a precision for everything."""
        model = {"Precision": "fixed<16,6>", "ReuseFactor": 1, "Strategy": "latency"}
        return {"Model": model, "LayerName": self.config}

    def add(self, name: str, kind: str, inputs: list[str], result: FixedPoint, **more: Any) -> None:
        """Add one layer with its result's type; other types are given as ``<name>_t=FixedPoint``."""
        types = {k.removesuffix("_t"): more.pop(k) for k in list(more) if k.endswith("_t")}
        precision = {"result": str(result)} | {k: str(v) for k, v in types.items()}
        self.config[name] = {"Precision": precision}
        if self.reuse_of(name) > 1:
            self.config[name] |= {"ReuseFactor": self.reuse_of(name), "Strategy": "resource"}
        # hls4ml keeps a result among the layer's attributes: its name must not be that of an attribute.
        result_name = name if kind == "InputLayer" else f"{name}{RESULT}"
        sources = [i if i in self.inputs else f"{i}{RESULT}" for i in inputs]
        self.layers.append({"name": name, "class_name": kind, "inputs": sources, "outputs": [result_name], **more})

    def own(
        self,
        node: ir.Node,
        name: str,
        inputs: list[str],
        call: str,
        body: str,
        weights: tuple[str, ...],
        result: FixedPoint | None = None,
        **more: Any,
    ) -> None:
        """Add a layer of ours for `node`: `call` and `body` are the C++ of its call and of its configuration."""
        shape = self.type_of(node.name).shape
        self.own_layer(name, inputs, call, body, weights, shape, result or exact_type(self.type_of(node.name)), **more)

    def own_layer(
        self,
        name: str,
        inputs: list[str],
        call: str,
        body: str,
        weights: tuple[str, ...],
        shape: tuple[int, ...],
        result: FixedPoint,
        **more: Any,
    ) -> None:
        """Add a layer of ours that gives a tensor of `shape`."""
        attributes = {
            "hwgen_call": call,
            "hwgen_body": body,
            "hwgen_shape": list(shape),
            "hwgen_weights": weights,
            "hwgen_types": tuple(key for key in ("accum", "round", "near") if f"{key}_t" in more),
        }
        self.add(name, "Hwgen", inputs, result, **attributes, **more)

    def reuse_of(self, name: str) -> int:
        """Return a layer's reuse factor."""
        return self.reuse(name)

    def split_fans(self) -> None:
        """Let no result have more than `MOST_CLONES` readers: the others read a copy."""
        position = 0
        while position < len(self.layers):
            layer = self.layers[position]
            result = layer["outputs"][0]
            readers = [other for other in self.layers if result in other["inputs"]]
            uses = sum(other["inputs"].count(result) for other in readers)
            if uses + (layer["name"] in self.outputs) > MOST_CLONES:
                copy = f"{layer['name']}_copy"
                for other in readers[MOST_CLONES // 2 :]:
                    other["inputs"] = [f"{copy}{RESULT}" if i == result else i for i in other["inputs"]]
                self.add(copy, "Activation", [layer["name"]], self.written_type(layer["name"]), activation="linear")
                self.layers.insert(position + 1, self.layers.pop())
            position += 1

    def const(self, name: str) -> tuple[np.ndarray[Any, Any], FixedPoint]:
        """Return a constant's values and a signed type that holds them."""
        node = self.graph.by_name[name]
        assert isinstance(node, ir.Const)
        fmt = FixedPoint.for_range(min(int(node.value.min()), -1), max(int(node.value.max()), 1), node.fraction)
        width = max(fmt.width, MIN_WEIGHT_BITS)
        values = np.array([float(v) for v in node.value.flat]).reshape(node.value.shape)
        return np.ldexp(values, -node.fraction), FixedPoint(width, width - node.fraction)

    def written_type(self, layer: str) -> FixedPoint:
        """Return the type the C++ has for a layer's result."""
        return FixedPoint.parse(self.config[layer]["Precision"]["result"])

    def type_of(self, name: str) -> TensorType:
        """Return a node's type."""
        return self.graph.types[name]


def exact_type(t: TensorType) -> FixedPoint:
    """Return a plain type that holds the proven range."""
    return FixedPoint.for_range(int(t.lo.min()), int(t.hi.max()), t.fraction)
