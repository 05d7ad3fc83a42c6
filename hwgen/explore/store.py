"""The memory of a search: an Optuna study in ``explore.db`` (SQLite), and what must not change while it lasts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hwgen
from hwgen.digests import digest_of, input_digest
from hwgen.errors import HwgenError, OutputError
from hwgen.explore.space import Axis, combinations
from hwgen.explore.spec import Plan
from hwgen.explore.trial import TRAIN, Result

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

DATABASE = "explore.db"
NAME = "explore"
STARTUP = 8
"""Trials drawn at random before the sampler learns from them."""

TRIES = 20
"""Draws for a point that no trial had yet, before one is taken from the list of those left."""


class Store:
    """A study on the disk. Each change is one transaction: whatever stops the search, what is there is whole."""

    def __init__(self, folder: Path, plan: Plan, objectives: dict[str, str]) -> None:
        self.plan, self.objectives = plan, objectives
        optuna = _optuna()
        self._storage = _opened((folder / DATABASE).absolute())
        directions = [_direction(aim) for aim in objectives.values()]
        try:
            self.study: Study = optuna.load_study(study_name=NAME, storage=self._storage)
        except KeyError:
            self.study = optuna.create_study(study_name=NAME, storage=self._storage, directions=directions)
        known = self.study.user_attrs.get("identity")
        if known is None:  # new, or stopped between its making and this line
            self.study.set_user_attr("identity", identity(plan, objectives))
        else:
            _refuse_changes(plan, folder, known, identity(plan, objectives))

    def close(self) -> None:
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def trials(self) -> list[FrozenTrial]:
        """Return every trial by number."""
        return self.study.get_trials(deepcopy=False)

    def running(self) -> list[int]:
        """Return the numbers of trials that were asked for and have no result yet."""
        return [trial.number for trial in self.trials() if not trial.state.is_finished()]

    def ask(self) -> int | None:
        """Choose the values of one more trial and write them down; None if every point of the space was tried."""
        optuna, trials = _optuna(), self.trials()
        params = propose(self.plan, self.objectives, trials)
        if params is None:
            return None
        state = optuna.trial.TrialState.RUNNING
        self.study.add_trial(optuna.trial.create_trial(state=state, params=params, distributions=_space(self.plan)))
        return len(trials)

    def tell(self, number: int, result: Result) -> None:
        """Write down the result of a trial; one without every objective has failed."""
        optuna = _optuna()
        result = judged(result, self.objectives)
        trial_id = self.trials()[number]._trial_id
        self._storage.set_trial_user_attr(trial_id, "result", result)
        if result["status"] == "done":
            self.study.tell(number, [float(result["figures"][name]) for name in self.objectives])
        else:
            self.study.tell(number, state=optuna.trial.TrialState.FAIL)

    def values(self, number: int) -> dict[str, Any]:
        """Return the values of a trial by axis."""
        params = self.trials()[number].params
        return {axis.name: axis.decode(params[axis.name]) for axis in self.plan.axes}

    def front(self) -> list[int]:
        """Return the numbers of the trials that no other beats; of equal ones the first."""
        best = sorted(self.study.best_trials, key=lambda trial: trial.number)
        kept: dict[tuple[float, ...], int] = {}
        for trial in best:
            kept.setdefault(tuple(trial.values), trial.number)
        return list(kept.values())


def _opened(file: Path) -> Any:
    """Return Optuna's storage in a file, made if it is not there."""
    from sqlalchemy.exc import DatabaseError

    try:
        return _optuna().storages.RDBStorage(f"sqlite:///{file}")
    except (DatabaseError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise OutputError(f"cannot be read: {reason}", where=str(file), hint="--fresh begins anew") from error


def judged(result: Result, objectives: dict[str, str]) -> Result:
    """Return a result, as failed if an objective is not known of it."""
    unknown = [name for name in objectives if result["status"] == "done" and result["figures"][name] is None]
    if not unknown:
        return result
    figure = f"{', '.join(unknown)}: not known of this network"
    return {"status": "failed", "error": f"{figure} (cost is known of calibrated parts, accuracy where there is data)"}


def propose(plan: Plan, objectives: dict[str, str], history: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """Return the values of the next trial as Optuna draws them: a function of `seed` and the trials so far.

    The first one is the base itself, if it lies in the space. None: the space is small, and every point was tried.
    """
    optuna, number = _optuna(), len(history)
    seen = [trial.params for trial in history]
    start = _base_point(plan.axes, plan.base)
    if number == 0 and start is not None:
        return start
    everything = combinations(plan.axes)
    left = None if everything is None else [point for point in everything if point not in seen]
    if left == []:
        return None
    drawn: dict[str, Any] = {}
    for attempt in range(TRIES):
        seed = int(digest_of([plan.spec.seed, number, attempt])[:8], 16)
        study = optuna.create_study(
            sampler=_sampler(plan.spec.sampler, seed), directions=[_direction(a) for a in objectives.values()]
        )
        study.add_trials(history)
        drawn = study.ask(_space(plan)).params
        if drawn not in seen:
            return drawn
    if left:
        return left[int(digest_of([plan.spec.seed, number])[:8], 16) % len(left)]
    return drawn


def identity(plan: Plan, objectives: dict[str, str]) -> dict[str, Any]:
    """Return what a search is: with any of it changed, its trials could not be compared. `trials` may grow."""
    said = plan.spec.model_dump(mode="json", exclude={"trials", "base", "objectives", "version"})
    inputs = {key: input_digest(plan.model, key) for key in TRAIN.files}
    return {
        **said,
        "objectives": objectives,
        plan.spec.base: plan.base,
        "files that the base names": {key: digest for key, digest in inputs.items() if digest is not None},
        "hwgen": hwgen.__version__,
    }


def _refuse_changes(plan: Plan, folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = flatten(before), flatten(now)
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if not changed:
        return

    def said(values: dict[str, Any]) -> str:
        return "; ".join(f"{key}: {values.get(key, '–')}" for key in changed[:4]) + ("; …" if len(changed) > 4 else "")

    raise HwgenError(
        f"the search in {folder} was begun with other settings",
        where=str(plan.file),
        found=said(new),
        expected=said(old),
        hint="--fresh begins anew, --out DIR keeps both",
    )


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Return nested mappings as one, by dotted key."""
    if isinstance(value, dict) and value:
        parts = [flatten(inner, f"{path}.{key}" if path else str(key)) for key, inner in value.items()]
        return {key: inner for part in parts for key, inner in part.items()}
    return {path: value}


def _base_point(axes: Sequence[Axis], base: dict[str, Any]) -> dict[str, Any] | None:
    from hwgen.explore.space import get_key

    point = {}
    for axis in axes:
        raw = [axis.encode(get_key(base, key)) for key in axis.keys]
        if raw[0] is None or any(r != raw[0] for r in raw):
            return None
        point[axis.name] = raw[0]
    return point


def _space(plan: Plan) -> dict[str, Any]:
    return {axis.name: axis.distribution() for axis in plan.axes}


def _sampler(name: str, seed: int) -> Any:
    samplers = _optuna().samplers
    return (
        samplers.RandomSampler(seed) if name == "random" else samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    )


def _direction(aim: str) -> str:
    return {"min": "minimize", "max": "maximize"}[aim]


def _optuna() -> Any:
    """Return the module, told to say nothing."""
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)
    return optuna
