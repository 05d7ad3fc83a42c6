"""What every compression step is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hwgen.errors import ModelError, SpecError
from hwgen.train.compress.masks import kept_zeros
from hwgen.train.loop import History, Progress, evaluate, make_task, run, silent

if TYPE_CHECKING:
    import keras

    from hwgen.cost.estimate import Estimate
    from hwgen.spec import ModelSpec
    from hwgen.train.data import DataSet

Estimator = Callable[[Any], "Estimate"]
"""From a Keras model to what it takes in hardware: lowered, planned, counted."""


@dataclass
class Workshop:
    """What every compression step is given.

    Parameters
    ----------
    estimate : callable, optional
        What a network takes in hardware; None where nobody can tell (training without lowering).
    zeros_stay : bool
        Set once weights have been pruned: no later fine-tuning brings them back.
    """

    spec: ModelSpec
    data: DataSet | None
    progress: Progress = silent
    estimate: Estimator | None = None
    zeros_stay: bool = False

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
        """Train `model` in place for some epochs, keep its best one; zeros stay zero after pruning.

        The one place where a compressed network is trained.
        """
        data = self.known_data("", "fine-tuning")
        task = make_task(self.spec, data, model)
        with kept_zeros(model, self.zeros_stay):
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
    """What one compression step gives: the network (the same one, or a new one of other shapes).

    Parameters
    ----------
    details : plain JSON values for the report: what was cut, ranks, bits, by layer
    notes : one line each, what a user should know (a layer left alone, and why)
    """

    model: keras.Model
    history: History = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
