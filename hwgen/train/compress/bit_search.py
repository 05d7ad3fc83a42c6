"""Bit-width search: the fewest bits above an accuracy floor, or the best metric below a cost ceiling.

What a trial costs is read off our own hardware model; how good it is, off the validation slice of the training part.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from hwgen.train.compress.bits import Place, by_layer, narrowed, widths_of
from hwgen.train.compress.judge import Judge, Score, cost_function
from hwgen.train.compress.notebook import Notebook, settings_of
from hwgen.train.compress.workshop import Workshop
from hwgen.train.loop import History

if TYPE_CHECKING:
    import keras

    from hwgen.spec_compress import BitSearch

MAX_DROP = 0.005
"""Of the metric, where model.yaml names neither floor nor ceiling."""
ROUNDING = 1e-9
"""A floor that is a difference of floats."""


@dataclass
class Trial:
    """One network that was tried."""

    widths: dict[Place, int]
    score: Score
    accepted: bool
    what: str

    def report(self, number: int) -> dict[str, Any]:
        """Return the trial as plain values."""
        head = {"trial": number, "what": self.what, "bits": by_layer(self.widths)}
        return head | asdict(self.score) | {"accepted": self.accepted}


@dataclass
class Search:
    """A search under way, and its result: `model`, with `score`."""

    shop: Workshop
    plan: BitSearch
    judge: Judge
    limit: float
    model: keras.Model
    score: Score
    start: Score
    notebook: Notebook
    trials: list[Trial] = field(default_factory=list)
    history: History = field(default_factory=dict)
    unmet: str | None = None

    @property
    def under_ceiling(self) -> bool:
        """Whether the cost is bounded and the metric looked for, not the other way round."""
        return self.plan.ceiling is not None

    def holds(self, score: Score) -> bool:
        """Return whether floor or ceiling is kept."""
        if self.under_ceiling:
            return score.cost <= self.limit
        return self.judge.worth(score.metric) >= self.limit - ROUNDING

    def better(self, new: Score, old: Score) -> bool:
        """Return whether `new` is to be preferred: first who keeps the limit, then what is looked for."""
        if self.holds(new) != self.holds(old):
            return self.holds(new)
        worth, before = (self.judge.worth(s.metric) for s in (new, old))
        if self.under_ceiling:
            return (worth, -new.loss) > (before, -old.loss) if self.holds(new) else new.cost < old.cost
        return (new.cost, -worth, new.loss) < (old.cost, -before, old.loss) if self.holds(new) else worth > before

    def tuned(self, model: keras.Model, epochs: int, message: str) -> tuple[keras.Model, Score]:
        """Fine-tune `model`; the better one of before and after."""
        before, weights = self.judge.score(model), model.get_weights()
        if not epochs:
            return model, before
        trained = self.notebook.train(model, epochs, lambda: self.shop.finetune(model, epochs, message))
        for key, values in trained.items():
            self.history.setdefault(key, []).extend(values)
        after = self.judge.score(model)
        # Equal metrics: the trained one, whose weights sit better on their grid.
        if self.judge.worth(after.metric) >= self.judge.worth(before.metric):
            return model, after
        if not self.under_ceiling and self.holds(after):
            return model, after
        model.set_weights(weights)
        return model, before

    def report(self) -> dict[str, Any]:
        """Return the search as plain values, with every trial."""
        return {
            "method": self.plan.method,
            "metric_of": "validation slice of the training part",
            "cost_of": self.plan.cost,
            **({"ceiling": self.limit} if self.under_ceiling else {"floor": self.judge.worth(self.limit)}),
            "before": {"metric": self.start.metric, "cost": self.start.cost},
            "after": {"metric": self.score.metric, "cost": self.score.cost},
            "kept": self.holds(self.score),
            "trials": [trial.report(number) for number, trial in enumerate(self.trials, 1)],
        }


def search_bits(shop: Workshop, before: keras.Model, model: keras.Model, plan: BitSearch, epochs: int) -> Search:
    """Narrow `model` as `compress.bits.search` says, then fine-tune it.

    Parameters
    ----------
    before : the network before the step; `max_drop` and `ceiling` are relative to it
    model : where the search starts; no place gets more bits than it has there
    epochs : of fine-tuning at the end

    Returns
    -------
    Search
        With the best network found; `unmet` says so if that does not keep the limit.
    """
    judge = Judge(shop, model, cost_function(shop, plan.cost))
    first = judge.score(before)
    if plan.ceiling is not None:
        limit = plan.ceiling * first.cost
    elif plan.floor is not None:
        limit = judge.worth(plan.floor)
    else:
        limit = judge.worth(first.metric) - (MAX_DROP if plan.max_drop is None else plan.max_drop)
    notebook = Notebook(shop.notes, settings_of(shop.spec, judge.task, shop.teacher) if shop.notes else "")
    search = Search(shop, plan, judge, limit, model, judge.score(model), first, notebook)
    if not search.under_ceiling and not search.holds(search.score):
        search.model, search.score = search.tuned(model, epochs, "reaching the floor")
    if search.under_ceiling or search.holds(search.score):
        {"greedy": greedy, "bayesian": bayesian}[plan.method](search)
        search.model, search.score = search.tuned(search.model, epochs, "fine-tuning the bits found")
    if not search.holds(search.score):
        search.unmet = _unmet(search)
    return search


def greedy(search: Search) -> None:
    """Take one bit at a time from where the loss rises least for the cost saved; stay where a trial fails.

    How much the loss rises is measured without training, and again for a place after it was narrowed. Where it does not
    rise at all, the place that saves most comes first.
    """
    plan, locked = search.plan, set[Place]()
    rises: dict[Place, tuple[float, float] | None] = {}
    while len(search.trials) < plan.trials and not (search.under_ceiling and search.holds(search.score)):
        open_places = [place for place in _places(search) if place not in locked]
        for place in open_places:
            if place not in rises:
                search.shop.progress(f"sensitivity of {' '.join(place)}", None)
                rises[place] = _rise(search, place)
        order = sorted((rise, place) for place in open_places if (rise := rises[place]) is not None)
        if not order:
            return
        place = order[0][1]
        rises.pop(place)
        if not _narrow(search, place):
            locked.add(place)


def bayesian(search: Search) -> None:
    """Let Optuna's tree-structured Parzen estimator choose the bits of all places; each trial starts from the start."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan, start = search.plan, search.model
    now = widths_of(start)
    ranges = {place: (plan.least, now[place]) for place in _places(search)}
    if not ranges:
        return
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=search.shop.spec.train.seed))
    for share in (0.75, 0.5):
        study.enqueue_trial({" ".join(p): max(low, round(share * high)) for p, (low, high) in ranges.items()})
    for number in range(1, plan.trials + 1):
        asked = study.ask()
        widths = {place: asked.suggest_int(" ".join(place), low, high) for place, (low, high) in ranges.items()}
        model = narrowed(search.shop, start, widths)
        model, score = search.tuned(model, plan.tune_epochs, f"trial {number} of {plan.trials}")
        accepted = search.better(score, search.score)
        search.trials.append(Trial(dict(widths_of(model)), score, accepted, "bayesian"))
        if accepted:
            search.model, search.score = model, score
        study.tell(asked, _objective(search, score))


def _objective(search: Search, score: Score) -> float:
    """Return what Optuna makes small; who breaks the limit is worse than all who keep it, by how far."""
    cost = score.cost / max(search.start.cost, 1e-9)
    worth, scale = search.judge.worth(score.metric), max(abs(search.start.metric), 1e-9)
    if search.under_ceiling:
        return -worth / scale if search.holds(score) else 10 + cost
    return cost if search.holds(score) else 10 + (search.limit - worth) / scale


def _places(search: Search) -> list[Place]:
    """Return the places that can lose a bit."""
    kinds = ("weight", "activation") if search.plan.activations else ("weight",)
    return [p for p, bits in widths_of(search.model).items() if p[1] in kinds and bits > search.plan.least]


def _rise(search: Search, place: Place) -> tuple[float, float] | None:
    """Return the rise of the loss for each unit of cost that one bit less saves, and minus the cost saved.

    A loss that falls counts as no rise. None: nothing is saved.
    """
    narrower = narrowed(search.shop, search.model, {place: widths_of(search.model)[place] - 1})
    score = search.judge.score(narrower)
    saved = search.score.cost - score.cost
    return (max(0.0, score.loss - search.score.loss) / saved, -saved) if saved > 0 else None


def _narrow(search: Search, place: Place) -> bool:
    """Try one bit less at a place; keep it if the floor is kept, or if there is none."""
    bits = widths_of(search.model)[place]
    what = f"{' '.join(place)} {bits} → {bits - 1}"
    model = narrowed(search.shop, search.model, {place: bits - 1})
    number = len(search.trials) + 1
    model, score = search.tuned(model, search.plan.tune_epochs, f"trial {number}: {what}")
    accepted = search.under_ceiling or search.holds(score)
    search.trials.append(Trial(widths_of(model), score, accepted, what))
    if accepted:
        search.model, search.score = model, score
    return accepted


def _unmet(search: Search) -> str:
    """Return the sentence that says what could not be reached."""
    plan, score = search.plan, search.score
    if search.under_ceiling:
        return f"compress.bits.search.ceiling: {plan.cost} {score.cost:.6g}, required ≤ {search.limit:.6g}"
    key = "floor" if plan.floor is not None else "max_drop"
    wanted = search.judge.worth(search.limit)
    sign = "≥" if search.judge.higher else "≤"
    where = f"{search.judge.name} {score.metric:.6g} on the validation slice"
    return f"compress.bits.search.{key}: {where}, required {sign} {wanted:.6g}; the best network found went on"
