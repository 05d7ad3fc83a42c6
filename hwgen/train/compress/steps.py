"""The steps of `compress` as one list, and the function that applies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.train.compress.bits import bits
from hwgen.train.compress.distill import train_teacher
from hwgen.train.compress.kept import take_kept
from hwgen.train.compress.low_rank import low_rank
from hwgen.train.compress.masks import sparsity_of
from hwgen.train.compress.pruning import prune
from hwgen.train.compress.structured import structured
from hwgen.train.compress.workshop import StepResult, Workshop
from hwgen.train.loop import History
from hwgen.train.store import read_notes

if TYPE_CHECKING:
    import keras

STEP_OF: Mapping[str, Callable[[Workshop, Any], StepResult]] = {
    "structured": structured,
    "low_rank": low_rank,
    "pruning": prune,
    "bits": bits,
}
"""What applies each technique. A network in, fine-tuned in place or made anew."""


@dataclass
class CompressResult:
    """A compressed network.

    Parameters
    ----------
    sparsity : the share of weights that are exactly 0.0, by layer, of the floats
        The integers have more zeros: small weights round to 0. Those are counted where integers are.
    steps : a row a technique, with the metric after it: ``{"step", "metric"}`` and the technique's own details
    unmet : what was asked for and could not be reached, in words
    """

    model: keras.Model
    metric: float | None
    sparsity: dict[str, float]
    history: History = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    unmet: str | None = None
    remarks: list[str] = field(default_factory=list)


def compress_model(shop: Workshop, model: keras.Model) -> CompressResult:
    """Apply every technique that `compress` asks for, in its order; without any, nothing is changed.

    Raises
    ------
    ModelError, SpecError
        If a technique cannot be applied as asked.
    """
    rows: list[dict[str, Any]] = []
    history: History = {}
    unmet: list[str] = []
    if shop.spec.compress.steps and shop.spec.compress.distill is not None:
        data = shop.known_data("distill", "distillation trains a teacher and")
        shop.teacher = train_teacher(shop.spec, data, model, shop.progress)
        rows.append({"step": "teacher", "metric": shop.metric(shop.teacher)})
    remarks: list[str] = []
    for name in shop.spec.compress.steps:
        result = STEP_OF[name](shop, model)
        model = result.model
        rows.append({"step": name, "metric": shop.metric(model)} | result.details)
        unmet += [result.unmet] if result.unmet else []
        remarks += result.remarks
        for key, values in result.history.items():
            history.setdefault(key, []).extend(values)
    metric = rows[-1]["metric"] if shop.spec.compress.steps else shop.metric(model)
    return CompressResult(model, metric, sparsity_of(model), history, rows, "; ".join(unmet) or None, remarks)


def compressed_before(shop: Workshop, model: keras.Model, path: Path) -> CompressResult:
    """Take the network that `compress.weights` names instead of compressing `model`; one row for all techniques.

    Raises
    ------
    ModelError
        If it was made by other settings, or from another network.
    """
    result = take_kept(shop, model, path)
    metric = shop.metric(result)
    rows = [{"step": "weights", "metric": metric}]
    return CompressResult(result, metric, sparsity_of(result), {}, rows, read_notes(path).get("unmet"))
