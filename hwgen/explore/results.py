"""What a search found: `Exploration`, and its files: explore.json, .csv, .html, .svg, and ``front/``."""

from __future__ import annotations

import csv
import io
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from hwgen.explore.space import label
from hwgen.explore.spec import FIGURES, Plan, trial_document
from hwgen.explore.store import Store
from hwgen.explore.trial import copy_build
from hwgen.files import FileSet, json_bytes, write_if_changed


@dataclass(frozen=True)
class Trial:
    """One trial. `figures` is None if it failed, `test` the metric on the test part, which chose nothing."""

    number: int
    status: str
    values: dict[str, Any]
    figures: dict[str, float | None] | None
    test: float | None
    network: str | None
    error: str | None


@dataclass(frozen=True)
class Exploration:
    """The result of a search.

    Parameters
    ----------
    objectives : figure to ``min`` or ``max``
    metric : name of what `accuracy` is
    measured_on : the samples that `accuracy` is measured on
    front : numbers of the trials that no other beats, best first by the first objective
    """

    name: str
    folder: Path
    objectives: dict[str, str]
    metric: str | None
    measured_on: str
    seed: int
    trials: tuple[Trial, ...]
    front: tuple[int, ...]

    @property
    def best(self) -> list[Trial]:
        """The trials of the front."""
        return [self.trials[number] for number in self.front]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values; equal searches give equal values."""
        return {
            "version": 1,
            "name": self.name,
            "seed": self.seed,
            "objectives": self.objectives,
            "metric": self.metric,
            "measured_on": self.measured_on,
            "front": list(self.front),
            "trials": [asdict(trial) for trial in self.trials],
        }

    def text(self, width: int = 160) -> str:
        """Return the front as a table of at most so many columns, and what to do with it."""
        from rich.console import Console
        from rich.table import Table

        varied = self.varied()
        table = Table(box=None, padding=(0, 2, 0, 1), header_style="bold")
        table.add_column("trial", justify="right")
        for name in self.objectives:
            table.add_column(self.title(name), justify="right")
        table.add_column("on test", justify="right")
        for name in varied:
            table.add_column(self.short(name), overflow="fold")
        for trial in self.best:
            figures = [self.shown(name, (trial.figures or {})[name]) for name in self.objectives]
            values = [label(trial.values[name]) for name in varied]
            table.add_row(f"{trial.number:03d}", *figures, self.shown("accuracy", trial.test), *values)
        stream = io.StringIO()
        Console(file=stream, width=width, highlight=False, color_system=None).print(table, soft_wrap=False)
        lines = [line.rstrip() for line in stream.getvalue().splitlines()]
        first = self.folder / "front" / f"{self.front[0]:03d}.yaml" if self.front else None
        ends = [f" {self.folder / 'explore.html'} has the pictures; a point is built by `hwgen build {first}`"]
        return "\n".join([f" {self.counts()}", "", *lines, "", *(ends if first else [])])

    def counts(self) -> str:
        """Return the result in one line."""
        failed = sum(trial.status != "done" for trial in self.trials)
        return f"{len(self.trials)} trials, {failed} failed, {len(self.front)} on the front"

    def title(self, name: str) -> str:
        """Return the heading of a figure, with its unit."""
        titles = {"latency_us": "latency, µs", "interval_us": "interval, µs", "bram_18k": "BRAM 18K"}
        if name == "accuracy":
            return f"{self.metric or name}, {self.measured_on}"
        return titles.get(name, name.upper() if name in ("lut", "ff", "dsp") else name.replace("_", " "))

    def shown(self, name: str, value: float | None) -> str:
        """Return a figure as it is read; a dash where it is not known."""
        if value is None:
            return "–"
        if name == "accuracy":
            return f"{100 * value:.2f} %" if self.metric == "accuracy" else f"{value:.4g}"
        return f"{value:,.3f}" if name.endswith("_us") else f"{value:,.0f}"

    def varied(self) -> list[str]:
        """Return the names of the axes that take more than one value."""
        names = list(self.trials[0].values) if self.trials else []
        return [name for name in names if len({label(trial.values[name]) for trial in self.trials}) > 1]

    def short(self, name: str) -> str:
        """Return an axis' name without the sections that another axis does not need to be told from it."""
        first = name.partition(",")[0]
        ends = [other.partition(",")[0] for other in self.varied() if other != name]
        parts = first.split(".")
        for count in range(1, len(parts)):
            tail = ".".join(parts[-count:])
            if not any(other == tail or other.endswith(f".{tail}") for other in ends):
                return tail
        return first


def write_results(plan: Plan, folder: Path, store: Store) -> Exploration:
    """Read the search's memory, and write what it found into its folder."""
    from hwgen.explore.page import page_html
    from hwgen.explore.plot import picture

    found = _read(plan, folder, store)
    files = FileSet({"explore.json": json_bytes(found.to_json()), "explore.csv": _csv(found)})
    if found.front:
        files.add("explore.html", page_html(found))
        files.add("explore.svg", picture(found))
    files.write(folder)
    _write_front(plan, folder, found)
    return found


def _read(plan: Plan, folder: Path, store: Store) -> Exploration:
    trials, metric = [], None
    for trial in store.trials():
        result = trial.user_attrs.get("result", {"status": "running"})
        metric = metric or result.get("metric")
        trials.append(
            Trial(
                number=trial.number,
                status=result["status"],
                values=store.values(trial.number),
                figures=result.get("figures"),
                test=result.get("test"),
                network=result.get("network"),
                error=result.get("error"),
            )
        )
    first, aim = next(iter(store.objectives.items()))
    sign = -1 if aim == "max" else 1
    front = sorted(store.front(), key=lambda n: (sign * (trials[n].figures or {})[first], n))  # type: ignore[operator]
    return Exploration(
        name=plan.model.model.name,
        folder=folder,
        objectives=store.objectives,
        metric=metric,
        measured_on=plan.spec.measured_on,
        seed=plan.spec.seed,
        trials=tuple(trials),
        front=tuple(front),
    )


def _csv(found: Exploration) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["trial", "front", "status", *found.varied(), *FIGURES, "test", "error"])
    for trial in found.trials:
        figures = trial.figures or {}
        row: list[Any] = [trial.number, int(trial.number in found.front), trial.status]
        row += [label(trial.values[name]) for name in found.varied()]
        row += [figures.get(name) for name in FIGURES]
        writer.writerow([*row, trial.test, trial.error])
    return stream.getvalue()


def _write_front(plan: Plan, folder: Path, found: Exploration) -> None:
    """Write ``front/NNN.yaml`` and the build folder ``front/NNN``, which begins with the trial's trained network."""
    place = folder / "front"
    place.mkdir(exist_ok=True)
    for old in place.glob("*.yaml"):
        if old.stem not in {f"{number:03d}" for number in found.front}:
            old.unlink()
            if not (place / old.stem / "rtl").exists():
                shutil.rmtree(place / old.stem, ignore_errors=True)
    for trial in found.best:
        build = place / f"{trial.number:03d}"
        document = trial_document(plan, trial.values)
        outputs = document.get("outputs") or {}
        document["base"] = _relative(plan.model.base_dir, place)
        document["model"] = {"name": found.name, **document["model"]}
        document["outputs"] = {**outputs, "dir": _relative(build, plan.model.base_dir)}
        figures = ", ".join(f"{found.title(n)} {found.shown(n, (trial.figures or {})[n])}" for n in found.objectives)
        head = f"# Trial {trial.number} of {plan.file.name}: {figures}.\n"
        text = head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
        write_if_changed(build.with_suffix(".yaml"), text.encode())
        network = folder / "networks" / str(trial.network)
        if not build.exists() and network.is_dir():
            copy_build(network, build)


def _relative(target: Path, start: Path) -> str:
    return Path(os.path.relpath(target.absolute(), start.absolute())).as_posix()
