"""What every compression step is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwgen.errors import ModelError, SpecError
from hwgen.train.compress.distill import with_teacher
from hwgen.train.compress.masks import zeros_held
from hwgen.train.loop import History, Progress, evaluate, make_task, run, silent

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec
    from hwgen.train.data import DataSet


@dataclass
class Workshop:
    """What every compression step is given.

    Parameters
    ----------
    teacher : in floats, whose outputs every fine-tuning follows; None: labels alone
    notes : folder where a search notes what it has trained, to go on there if it is interrupted; None: nowhere
    """

    spec: ModelSpec
    data: DataSet | None
    progress: Progress = silent
    teacher: keras.Model | None = None
    notes: Path | None = None

    def where(self, key: str) -> str:
        """Return ``model.yaml:12: compress.<key>`` for a message."""
        path = f"compress.{key}" if key else "compress"
        return f"{self.spec.line_of(path)}: {path}"

    def known_data(self, key: str, what: str) -> DataSet:
        """Return the data; a technique that must train refuses to go on without."""
        if self.data is None:
            raise ModelError(f"{what} needs data", where=self.where(key), expected="a data section")
        return self.data

    def finetune(
        self,
        model: keras.Model,
        epochs: int,
        message: str,
        *,
        best_from: int = 0,
        callbacks: tuple[Any, ...] = (),
    ) -> History:
        """Train `model` in place for some epochs and keep its best one: the one place where it is fine-tuned.

        Weights that are 0.0 before stay so.
        """
        student = model
        task = make_task(self.spec, self.known_data("", "fine-tuning"), model)
        if self.teacher is not None:
            model, task = with_teacher(self.spec, model, task, self.teacher)
        with zeros_held(student):
            return run(
                self.spec,
                model,
                task,
                epochs=epochs,
                message=message,
                progress=self.progress,
                best_from=best_from,
                callbacks=callbacks,
            )

    def metric(self, model: keras.Model) -> float | None:
        """Return the network's metric on the test part."""
        return evaluate(self.spec, self.data, model) if self.data else None

    def refuse(self, key: str, what: str, found: str, expected: str, hint: str | None = None) -> SpecError:
        """Return the error of a setting that cannot be."""
        return SpecError(what, where=self.where(key), found=found, expected=expected, hint=hint)


@dataclass
class StepResult:
    """What one compression step gives: the network (the same one, or a new one of other shapes), and its training.

    Parameters
    ----------
    details : what else is to stand in the step's row of reports/compress.json, as plain values
    unmet : what was asked for and could not be reached, in words; the build goes on, and ends with exit status 3
    remarks : lines for the person who builds: what was chosen, what was left as it is, and why
    """

    model: keras.Model
    history: History = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    unmet: str | None = None
    remarks: list[str] = field(default_factory=list)
