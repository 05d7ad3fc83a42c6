"""The smallest ranks that lose no more of the metric than allowed, before fine-tuning.

Judged on the validation slice of the training part; the test part is never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hwgen.train.compress.factor_layers import factorised, work_of
from hwgen.train.compress.factorise import Array, Choice
from hwgen.train.compress.rank_plan import open_layers, within_budget
from hwgen.train.compress.workshop import Workshop
from hwgen.train.loop import grid_inputs, outputs_of, scores_of, validation_part
from hwgen.train.metrics import HIGHER_IS_BETTER
from hwgen.train.outputs import judged_by

if TYPE_CHECKING:
    import keras

    from hwgen.train.data import DataSet

RUNGS = (0.75, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05)
"""Shares of a layer's multiplications that are tried, one after the other."""


@dataclass
class Bench:
    """Factorises a network on trial and says how much worse it has become."""

    shop: Workshop
    model: keras.Model
    samples: Sequence[Array]

    @cached_property
    def part(self) -> DataSet:
        """The validation slice as a test part."""
        return validation_part(self.shop.spec, self.shop.known_data("low_rank", "a search"))

    def drop(self, chosen: Mapping[str, Choice], before: float | None = None) -> float:
        """Return what the metric loses: accuracy and auc as they are, mse and mae as a share of the error before."""
        plan, model = self.shop.spec.compress.low_rank, self.model
        assert plan is not None
        for layer in self.model.layers:
            if layer.name in chosen:
                model = factorised(model, layer.name, chosen[layer.name], self.samples, plan.bits)
        start = self.metric(self.model) if before is None else before
        now = self.metric(model)
        if HIGHER_IS_BETTER[judged_by(self.shop.spec, self.part)]:
            return start - now
        return (now - start) / start if start else now

    def metric(self, model: keras.Model) -> float:
        """Return the metric on the validation slice."""
        spec = self.shop.spec
        return scores_of(spec, self.part, model, outputs_of(model, grid_inputs(spec, model, self.part.xs_test))).score


def search(bench: Bench, fixed: Mapping[str, Choice], max_drop: float, remarks: list[str]) -> dict[str, Choice]:
    """Return choices for the layers that nothing else decides; with `fixed` they lose at most `max_drop` together.

    First each layer alone goes down a ladder of budgets until it loses too much. Then all go down together, one rung at
    a time, always the layer that lost least alone for the multiplications it saves; a layer stops at the first
    rung that is too much for all.

    Parameters
    ----------
    fixed : choices that are made already
    remarks : gets a line for each layer left as it is
    """
    shop, before = bench.shop, bench.metric(bench.model)
    ladders: dict[str, list[tuple[Choice, float]]] = {}
    saved: dict[str, int] = {}
    for layer in open_layers(shop.spec, bench.model, remarks):
        shop.progress(f"ranks of {layer.name}", None)
        ladders[layer.name] = _ladder(bench, layer, before, max_drop)
        saved[layer.name] = work_of(layer).multiplications
    chosen: dict[str, Choice] = {}
    if fixed and bench.drop(fixed, before) > max_drop:
        remarks.append(f"nothing is searched: the ranks given already lose more than {max_drop:g}")
        return chosen
    rung = dict.fromkeys(ladders, 0)
    while candidates := [name for name in rung if rung[name] < len(ladders[name])]:
        name = min(candidates, key=lambda n: max(ladders[n][rung[n]][1], 0) / saved[n])
        trial = chosen | {name: ladders[name][rung[name]][0]}
        shop.progress(f"ranks: {name} at {trial[name].multiplications:,} multiplications", None)
        if bench.drop({**fixed, **trial}, before) <= max_drop:
            chosen, rung[name] = trial, rung[name] + 1
        else:
            rung[name] = len(ladders[name])
    remarks += [f"{n} is left as it is: any factors lose more than {max_drop:g}" for n in ladders if n not in chosen]
    return chosen


def _ladder(bench: Bench, layer: Any, before: float, max_drop: float) -> list[tuple[Choice, float]]:
    """Return the choices that a layer can have alone, the largest first, with what each loses."""
    found: list[tuple[Choice, float]] = []
    for share in RUNGS:
        made = within_budget(bench.shop.spec, layer, share)
        if made is None or (found and made.ranks == found[-1][0].ranks):
            continue
        lost = bench.drop({layer.name: made}, before)
        if lost > max_drop:
            break
        found.append((made, lost))
    return found
