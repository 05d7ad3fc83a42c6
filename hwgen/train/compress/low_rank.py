"""Low-rank factorisation: layers become chains of smaller ones, then the network is fine-tuned."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from hwgen.train.compress.factor_layers import factorised, kernel_of, work_of
from hwgen.train.compress.rank_plan import described, named_choices, other_choices
from hwgen.train.compress.rank_search import Bench, search
from hwgen.train.compress.workshop import StepResult, Workshop
from hwgen.train.loop import make_task

if TYPE_CHECKING:
    import keras

SAMPLES = 512
"""Training frames that place the binary points between the factors."""


def low_rank(shop: Workshop, model: keras.Model) -> StepResult:
    """Factorise the layers that `compress.low_rank` is about, and fine-tune the new network.

    Raises
    ------
    ErrorList, ModelError, SpecError
        If a layer named there cannot be factorised as asked, or there is no data.
    """
    spec, plan = shop.spec, shop.spec.compress.low_rank
    assert plan is not None
    task = make_task(spec, shop.known_data("low_rank", "factorisation fine-tunes the network and"), model)
    every = max(1, task.samples // SAMPLES)
    samples = [x[::every][:SAMPLES] for x in task.x_fit]
    chosen = named_choices(spec, model)
    remarks: list[str] = []
    if plan.max_drop is not None:
        chosen |= search(Bench(shop, model, samples), chosen, plan.max_drop, remarks)
    elif plan.energy is not None or plan.budget is not None:
        others, remarks = other_choices(spec, model)
        chosen |= others
    order = [layer.name for layer in model.layers if layer.name in chosen]
    told = [described(name, chosen[name], work_of(model.get_layer(name))) for name in order]
    zeros = {name: float((kernel_of(model.get_layer(name)) == 0).mean()) for name in order}
    remarks += [f"{name} had {share:.0%} zeros, its factors have none" for name, share in zeros.items() if share >= 0.1]
    for name in order:
        shop.progress(f"factorising {name}", None)
        model = factorised(model, name, chosen[name], samples, plan.bits)
    epochs = spec.compress.epochs if plan.epochs is None else plan.epochs
    history = shop.finetune(model, epochs, "fine-tuning after factorisation") if order else {}
    details = {"layers": {name: asdict(chosen[name]) for name in order}}
    return StepResult(model, history, details, remarks=told + remarks)
