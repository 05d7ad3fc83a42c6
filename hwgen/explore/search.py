"""`explore`: ask, run, tell, batch after batch, and the Pareto front in the end. Start reading here.

A search is a function of explore.yaml. Every trial of a batch is asked for before one of them is told, whatever the
number of workers, and the sampler's seed follows from `seed` and the trial's number: two searches, or one that was
interrupted and resumed, ask for the same trials.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from hwgen import interrupts
from hwgen.errors import HwgenError, OutputError, SpecError
from hwgen.explore.results import Exploration, write_results
from hwgen.explore.screen import Silent
from hwgen.explore.spec import Plan, load_plan, trial_document
from hwgen.explore.store import DATABASE, Store
from hwgen.explore.trial import Result, trial_folder
from hwgen.explore.workers import LocalPool, Pool
from hwgen.files import write_if_changed
from hwgen.folder import disk_errors
from hwgen.quiet import quiet

if TYPE_CHECKING:
    from hwgen.explore.screen import SearchScreen

DEFAULT_COST = {"latency_us": "min", "lut": "min"}
"""What is traded against the metric if explore.yaml names no objectives."""


def explore(
    file: str | Path,
    *,
    out: str | Path | None = None,
    workers: int | None = None,
    ray: str | None = None,
    fresh: bool = False,
    screen: SearchScreen | Silent | None = None,
) -> Exploration:
    """Search the space of an explore.yaml; what an earlier call has found in the same folder is kept.

    Parameters
    ----------
    file : explore.yaml
    out : the search's folder; default: ``hls_projects/<model.name>_explore``
    workers : processes on this machine; default: half the cores
    ray : address of a Ray cluster whose nodes run the trials instead
    fresh : forget what was found before
    screen : told of progress; default: silent

    Raises
    ------
    HwgenError
        For bad input, a folder that holds another search, or if every trial failed.
    """
    plan, screen = load_plan(file), screen or Silent()
    if workers is not None and workers < 1:
        raise HwgenError("not a number of workers", where="--workers", found=str(workers), expected="1 or more")
    folder = Path(out) if out is not None else Path("hls_projects") / f"{plan.model.model.name}_explore"
    objectives = _objectives(plan)
    with _held(folder, fresh), disk_errors(folder), contextlib.closing(Store(folder, plan, objectives)) as store:
        with contextlib.closing(_pool(plan, folder, workers, ray)) as pool:
            _search(plan, folder, store, pool, screen)
        found = write_results(plan, folder, store)
    if not found.front:
        first = next((trial for trial in found.trials if trial.error), None)
        error = HwgenError(
            f"none of {len(found.trials)} trials succeeded",
            where=str(plan.file),
            found=first.error if first else None,
            hint=f"{folder / 'explore.json'} has the message of each",
        )
        error.add_note("the trials are written down")
        raise error
    return found


def _search(plan: Plan, folder: Path, store: Store, pool: Pool, screen: SearchScreen | Silent) -> None:
    screen.begin(plan.spec.trials, len(store.trials()) - len(store.running()))
    while True:
        interrupts.check()
        numbers = next_batch(plan, store)
        if not numbers:
            return
        for number in numbers:
            _write_trial(plan, folder, store, number)

        def finished(number: int, result: Result) -> None:
            store.tell(number, result)
            screen.finished(number, result, len(store.front()))

        pool.run(numbers, finished, screen.update)


def next_batch(plan: Plan, store: Store) -> list[int]:
    """Return the trials to run now: those under way, with what was not asked yet of their batch; empty at the end."""
    asked, batch = len(store.trials()), plan.spec.batch
    running = store.running()
    begun = bool(running) and running[0] // batch * batch + len(running) < asked  # some of the batch are told
    end = asked if begun else ((running[0] if running else asked) // batch + 1) * batch
    for _ in range(asked, min(end, plan.spec.trials)):
        if store.ask() is None:
            break
    return store.running()


def _write_trial(plan: Plan, folder: Path, store: Store, number: int) -> None:
    """Write the model.yaml of a trial."""
    place = trial_folder(folder, number)
    document = trial_document(plan, store.values(number))
    document["base"] = Path(os.path.relpath(plan.model.base_dir, place.absolute())).as_posix()
    document["model"] = {"name": plan.model.model.name, **document["model"]}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    write_if_changed(place / "model.yaml", text.encode())


def _objectives(plan: Plan) -> dict[str, str]:
    """Return the objectives; loads the data, so that bad data is one message and the metric is known."""
    from hwgen.train.data import load_data
    from hwgen.train.metrics import HIGHER_IS_BETTER
    from hwgen.train.outputs import judged_by

    with tempfile.TemporaryDirectory() as scratch, quiet(Path(scratch) / "log"):
        data = load_data(plan.model)
    if data is None:
        if not plan.objectives or "accuracy" in plan.objectives:
            where = plan.lines.get("accuracy", str(plan.file))
            raise SpecError(
                "accuracy cannot be measured: the base has no data", where=where, expected="data: in the base"
            )
        return plan.objectives
    metric = judged_by(plan.model, data)
    best = "max" if HIGHER_IS_BETTER.get(metric, True) else "min"
    said = plan.objectives.get("accuracy", best)
    if said != best:
        where = f"{plan.lines['accuracy']}: objectives.accuracy"
        raise SpecError(f"the metric of the base is {metric}", where=where, found=said, expected=best)
    return plan.objectives or {"accuracy": best, **DEFAULT_COST}


def _pool(plan: Plan, folder: Path, workers: int | None, ray: str | None) -> Pool:
    if ray is not None:
        from hwgen.explore.ray_workers import RayPool

        return RayPool(folder, ray, plan.spec.measured_on)
    return LocalPool(folder, workers or max(1, (os.cpu_count() or 1) // 2), plan.spec.measured_on)


@contextlib.contextmanager
def _held(folder: Path, fresh: bool) -> Iterator[None]:
    """Hold the search's folder, which nobody else uses meanwhile."""
    where, hint = str(folder), "choose another folder with --out"
    if folder.is_dir() and any(folder.iterdir()) and not (folder / ".explore").is_file():
        raise OutputError("the output folder is not empty, and no search made it", where=where, hint=hint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".explore").open("w")
    except OSError as error:
        raise OutputError(f"cannot write the output folder: {error.strerror}", where=where, hint=hint) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError("another search is at work in this folder", where=where, hint="wait, or --out") from error
        if fresh:
            (folder / DATABASE).unlink(missing_ok=True)
            for name in ("trials", "front"):
                shutil.rmtree(folder / name, ignore_errors=True)
        yield
