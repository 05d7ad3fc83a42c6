"""The steps of `compress` as one list, and the function that applies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.train.compress.masks import sparsity_of
from hwgen.train.compress.pruning import check_pruned, prune
from hwgen.train.compress.workshop import StepResult, Workshop
from hwgen.train.fit import copy_weights
from hwgen.train.loop import History

if TYPE_CHECKING:
    import keras

STEP_OF: Mapping[str, Callable[[Workshop, Any], StepResult]] = {
    "pruning": prune,
}
"""What applies each technique. A network in, fine-tuned in place or made anew."""


@dataclass
class CompressResult:
    """A compressed network.

    Parameters
    ----------
    sparsity : the share of weights that are exactly 0.0, by layer, of the floats
        The integers have more zeros: small weights round to 0. Those are counted where integers are.
    steps : a row a technique, with the metric after it: ``{"step", "metric"}``
    """

    model: keras.Model
    metric: float | None
    sparsity: dict[str, float]
    history: History = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)


def compress_model(shop: Workshop, model: keras.Model) -> CompressResult:
    """Apply every technique that `compress` asks for, in its order; without any, nothing is changed.

    Raises
    ------
    ModelError, SpecError
        If a technique cannot be applied as asked.
    """
    rows: list[dict[str, Any]] = []
    history: History = {}
    for name in shop.spec.compress.steps:
        result = STEP_OF[name](shop, model)
        model = result.model
        rows.append({"step": name, "metric": shop.metric(model)})
        for key, values in result.history.items():
            history.setdefault(key, []).extend(values)
    metric = rows[-1]["metric"] if rows else shop.metric(model)
    return CompressResult(model, metric, sparsity_of(model), history, rows)


def compressed_before(shop: Workshop, model: keras.Model, path: Path) -> CompressResult:
    """Take the weights that `compress.weights` names instead of compressing; one row for all techniques.

    Raises
    ------
    ModelError
        If they do not fit the network, or have fewer zeros than `compress.pruning` asks for.
    """
    copy_weights(shop.spec, model, path, "compress.weights")
    if "pruning" in shop.spec.compress.steps:
        check_pruned(shop, model, path.name)
    metric = shop.metric(model)
    return CompressResult(model, metric, sparsity_of(model), {}, [{"step": "weights", "metric": metric}])
