"""Which channels of a network belong together: what must go when one filter goes.

Every element of a tensor's last axis carries the label of a channel. A layer with a kernel makes new labels; merging
layers unite those of their inputs; a `Flatten` repeats them; what is not understood pins them, so that they stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.train.env import import_keras

if TYPE_CHECKING:
    import keras

Array = np.ndarray[Any, np.dtype[Any]]

KERNEL = ("Dense", "Conv1D", "Conv2D", "SeparableConv1D", "SeparableConv2D", "DenseBatchnorm", "Conv2DBatchnorm")
"""Classes that make new channels, without QKeras' Q."""
DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D", "DepthwiseConv2DBatchnorm")
MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
BY_CHANNEL = (
    *("Activation", "AdaptiveActivation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Identity", "Dropout"),
    *("SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "BatchNormalization"),
    *("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D"),
    *("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D"),
    *("ZeroPadding1D", "ZeroPadding2D", "UpSampling1D", "UpSampling2D", "Cropping1D", "Cropping2D"),
)
"""Classes that do the same to every channel, and never mix two."""


def plain_kind(layer: Any) -> str:
    """Return the class of a layer without QKeras' Q: ``QConv2D`` is ``Conv2D``."""
    name = type(layer).__name__
    return name[1:] if name.startswith("Q") else name


@dataclass
class Channels:
    """The labels of every layer's input and output.

    Parameters
    ----------
    of_input, of_output : labels by layer name, one an element of the last axis; of the first input
    makers : names of the layers with kernels, in the network's order
    """

    of_input: dict[str, Array] = field(default_factory=dict)
    of_output: dict[str, Array] = field(default_factory=dict)
    makers: list[str] = field(default_factory=list)
    _parent: list[int] = field(default_factory=list)
    _pinned: set[int] = field(default_factory=set)

    def fresh(self, count: int, *, pinned: bool = False) -> Array:
        """Return `count` new labels."""
        first = len(self._parent)
        self._parent += range(first, first + count)
        labels = np.arange(first, first + count)
        if pinned:
            self.pin(labels)
        return labels

    def root(self, label: int) -> int:
        """Return the label that stands for all those united with `label`."""
        while self._parent[label] != label:
            self._parent[label] = self._parent[self._parent[label]]
            label = self._parent[label]
        return label

    def roots(self, labels: Array) -> Array:
        """Return the roots of `labels`."""
        return np.array([self.root(int(label)) for label in labels], dtype=int)

    def unite(self, first: Array, second: Array) -> None:
        """Let the labels of two axes of one length be the same, element by element."""
        for a, b in zip(first, second, strict=True):
            ra, rb = self.root(int(a)), self.root(int(b))
            self._parent[rb] = ra

    def pin(self, labels: Array) -> None:
        """Say that these channels must stay."""
        self._pinned.update(int(label) for label in labels)

    def pinned(self) -> set[int]:
        """Return the roots of all channels that must stay."""
        return {self.root(label) for label in self._pinned}

    def groups(self) -> list[list[str]]:
        """Return the layers with kernels whose channels are tied to each other, as lists, in the network's order."""
        owner: dict[int, int] = {}
        groups: list[list[str]] = []
        for name in self.makers:
            roots = self.roots(self.of_output[name])
            tied = sorted({owner[int(r)] for r in roots if int(r) in owner})
            merged = [member for index in tied for member in groups[index]] + [name]
            for index in tied:
                groups[index] = []
            groups.append(merged)
            for member in merged:
                owner.update(dict.fromkeys((int(r) for r in self.roots(self.of_output[member])), len(groups) - 1))
        return [group for group in groups if group]


def trace_channels(model: keras.Model) -> Channels:
    """Follow every channel through the network; those of its inputs and outputs are pinned."""
    keras = import_keras()
    channels, labels = Channels(), dict[int, Array]()
    functional = keras.Model(model.inputs, model.outputs)
    for tensor in functional.inputs:
        labels[id(tensor)] = channels.fresh(int(tensor.shape[-1]), pinned=True)
    for node in _nodes(functional):
        inputs = [labels[id(tensor)] for tensor in node.input_tensors]
        if inputs:
            _step(channels, node, inputs, labels)
    for tensor in functional.outputs:
        channels.pin(labels[id(tensor)])
    return channels


def _nodes(functional: Any) -> Iterator[Any]:
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        yield from functional._nodes_by_depth[depth]


def _step(channels: Channels, node: Any, inputs: Sequence[Array], labels: dict[int, Array]) -> None:
    """Label the outputs of one call of a layer."""
    layer, target = node.operation, node.outputs[0]
    shapes = [tuple(t.shape[1:]) for t in node.input_tensors]
    made = _labels_of(channels, layer, inputs, shapes, tuple(target.shape[1:]))
    if made is None:
        for some in inputs:
            channels.pin(some)
        made = channels.fresh(int(target.shape[-1]), pinned=True)
    if layer.name in channels.of_output:  # a layer that is called twice has one kernel
        channels.unite(channels.of_input[layer.name], inputs[0])
        channels.unite(channels.of_output[layer.name], made)
    elif plain_kind(layer) in KERNEL:
        channels.makers.append(layer.name)
    channels.of_input.setdefault(layer.name, inputs[0])
    channels.of_output.setdefault(layer.name, made)
    labels[id(target)] = made
    for other in node.outputs[1:]:
        labels[id(other)] = channels.fresh(int(other.shape[-1]), pinned=True)


def _labels_of(
    channels: Channels, layer: Any, inputs: Sequence[Array], shapes: Sequence[tuple[int, ...]], target: tuple[int, ...]
) -> Array | None:
    """Return the labels of a layer's output; None if it does something that is not understood."""
    kind = plain_kind(layer)
    if kind in KERNEL and getattr(layer, "groups", 1) == 1 and getattr(layer, "depth_multiplier", 1) in (1, None):
        return channels.fresh(target[-1])
    if kind in DEPTHWISE and layer.depth_multiplier == 1:
        return inputs[0]
    if kind in BY_CHANNEL and not _mixes(layer):
        return inputs[0]
    if kind in MERGES and len({len(some) for some in inputs}) == 1:
        for other in inputs[1:]:
            channels.unite(inputs[0], other)
        return inputs[0]
    if kind == "Concatenate" and layer.axis in (-1, len(target)):
        return np.concatenate(inputs)
    if kind in ("Flatten", "Reshape"):
        spread = np.broadcast_to(inputs[0], shapes[0]).reshape(-1, target[-1])
        return spread[0] if (spread == spread[0]).all() else None
    return None


def _mixes(layer: Any) -> bool:
    """Return whether an activation works across channels."""
    return "softmax" in str(getattr(getattr(layer, "activation", None), "__name__", "")).lower()


def kept(labels: Mapping[str, Array], channels: Channels, name: str, gone: set[int]) -> Array:
    """Return the positions along the last axis of layer `name` that stay when the roots `gone` go."""
    return np.flatnonzero([int(root) not in gone for root in channels.roots(labels[name])])
