"""What a search goes by: metric and loss on the validation slice of the training part, and cost of the hardware."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.errors import SpecError
from hwgen.train.compress.workshop import Workshop
from hwgen.train.loop import make_task, outputs_of, scores_of, silent, validation_part
from hwgen.train.metrics import HIGHER_IS_BETTER

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec

Cost = Callable[[Any], float]
"""The cost of a Keras model's hardware."""


@dataclass(frozen=True)
class Score:
    """How good a network is, and what it costs. Metric and loss are on the validation slice."""

    metric: float
    loss: float
    cost: float


class Judge:
    """Scores networks of the same inputs and outputs.

    Parameters
    ----------
    model : any one of them
    """

    def __init__(self, shop: Workshop, model: keras.Model, cost: Cost) -> None:
        data = shop.known_data("bits.search", "a search")
        self.task, self.cost = make_task(shop.spec, data, model), cost
        self.name = self.task.metric
        self.higher = HIGHER_IS_BETTER[self.name]
        self.spec, self.part = shop.spec, validation_part(shop.spec, data)

    def worth(self, metric: float) -> float:
        """Return the metric so that more is better; of that again, the metric."""
        return metric if self.higher else -metric

    def score(self, model: keras.Model) -> Score:
        """Return metric, loss and cost of a network."""
        outputs = outputs_of(model, self.task.x_val)
        losses = self.task.loss if isinstance(self.task.loss, list) else [self.task.loss]
        wanted = self.task.y_val if isinstance(self.task.y_val, tuple) else (self.task.y_val,)
        metric = scores_of(self.spec, self.part, model, outputs).score
        loss = [np.mean(np.asarray(f(_like(y, o), o))) for f, y, o in zip(losses, wanted, outputs, strict=True)]
        weights = self.task.loss_weights or [1.0] * len(loss)
        return Score(metric, float(np.dot(weights, loss)), self.cost(model))


def _like(targets: Any, outputs: Any) -> Any:
    return targets.reshape(outputs.shape) if targets.size == outputs.size else targets


def cost_function(shop: Workshop, name: str) -> Cost:
    """Return what measures one figure of `hwgen.cost.estimate` of the lowered network.

    ``weight_bits`` does not depend on `hardware`; every other figure is that of the network as planned for it.
    """
    from hwgen.cost.estimate import estimate_plan, weight_bits
    from hwgen.lower import lower_model
    from hwgen.planning import plan_network
    from hwgen.spec_model import HardwareSection

    spec: ModelSpec = shop.spec
    if name == "weight_bits":
        plain = spec.model_copy(update={"hardware": HardwareSection()})
        return lambda model: float(weight_bits(lower_model(model, plain, silent).graph))

    def cost(model: Any) -> float:
        value = getattr(estimate_plan(plan_network(lower_model(model, spec, silent).graph, spec)), name)
        if value is None:
            raise _not_known(shop, name)
        return float(value)

    return cost


def _not_known(shop: Workshop, name: str) -> SpecError:
    hint = "docs/compression_bits.md says which figure which network has"
    expected = "a figure that is known for this io_type and part, as weight_bits"
    return shop.refuse("bits.search.cost", f"{name} of this network is not known", name, expected, hint)
