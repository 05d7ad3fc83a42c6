"""Network surgery: the same network with some layers changed, resized or replaced by several, weights kept.

Every technique that changes more than numbers goes through `rebuild`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.train.env import import_keras

if TYPE_CHECKING:
    import keras

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class NewLayer:
    """A layer that comes in the place of another, alone or in a chain.

    Parameters
    ----------
    layer : a Keras layer that was never called
    weights : in the order of `layer.get_weights()`; None: what its initializers give
    """

    layer: Any
    weights: Sequence[Array] | None = None


Change = Callable[[Any], Sequence[NewLayer] | None]
"""Given a layer of the old network: the chain in its place, or None to leave it as it is."""


def rebuild(model: keras.Model, change: Change) -> keras.Model:
    """Return a new network with every layer replaced as `change` says; `model` is left alone.

    The last layer of a chain should keep the name of the old layer: model.yaml and reports speak of it.

    Parameters
    ----------
    change : Change
        Asked once a layer; a layer that is called several times stays one layer.
    """
    keras = import_keras()
    chains: dict[int, list[NewLayer]] = {}
    rest_of: dict[int, list[NewLayer]] = {}

    def first_of(layer: Any) -> Any:
        if id(layer) not in chains:
            chain = change(layer)
            chains[id(layer)] = list(chain) if chain is not None else [_same(layer)]
            rest_of[id(chains[id(layer)][0].layer)] = chains[id(layer)][1:]
        return chains[id(layer)][0].layer

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        for later in rest_of.get(id(layer), ()):
            output = later.layer(output)
        return output

    functional = keras.Model(model.inputs, model.outputs, name=model.name)
    result = keras.models.clone_model(functional, clone_function=first_of, call_function=call)
    for chain in chains.values():
        for new in chain:
            if new.weights is not None:
                new.layer.set_weights([np.asarray(w) for w in new.weights])
    return result


def with_config(layer: Any, changes: Mapping[str, Any], weights: Sequence[Array] | None = None) -> NewLayer:
    """Return a layer of the same class with some keys of its config changed.

    Range clips and initializers that depend on a quantizer are made anew, since quantizer or shape may have changed.

    Parameters
    ----------
    changes : keys of ``layer.get_config()``
    weights : default: those of `layer`
    """
    config = dict(layer.get_config())
    for key, value in config.items():
        if key.endswith("_constraint") and _class_name(value) == "Clip":
            config[key] = None
        elif key.endswith("_initializer") and _class_name(value) == "QInitializer":
            config[key] = value["config"]["initializer"]
    return NewLayer(
        type(layer).from_config(config | dict(changes)), layer.get_weights() if weights is None else weights
    )


def _same(layer: Any) -> NewLayer:
    return NewLayer(type(layer).from_config(layer.get_config()), layer.get_weights())


def _class_name(value: Any) -> str:
    return str(value.get("class_name", "")) if isinstance(value, dict) else type(value).__name__
