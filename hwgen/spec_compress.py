"""The `compress` section of model.yaml: one key a technique, applied in a fixed order."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hwgen.spec_base import Fraction, Section

Step = Literal["pruning"]

STEPS: tuple[Step, ...] = ("pruning",)
"""The techniques in the order in which they are applied."""

Epochs = Annotated[int, Field(ge=0)]


class PruningSection(Section):
    """Zeros by magnitude, scheduled during fine-tuning."""

    sparsity: Fraction
    begin_epoch: Epochs = 0
    end_epoch: Annotated[int, Field(ge=0, description="default: 70 % of compress.epochs")] = 7
    method: Literal["magnitude"] = "magnitude"
    layers: dict[str, Fraction] = {}


class CompressSection(Section):
    """Fine-tuning after training, with every technique that is asked for."""

    epochs: Epochs = 10
    weights: str | None = Field(
        default=None, description="a .keras file of the compressed network, used instead of compressing, if it is there"
    )
    pruning: PruningSection | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The techniques asked for, in the order in which they are applied."""
        return tuple(step for step in STEPS if getattr(self, step) is not None)

    @model_validator(mode="before")
    @classmethod
    def _fill_end(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("pruning"), dict):
            epochs = value.get("epochs", 10)
            if isinstance(epochs, int) and value["pruning"].get("end_epoch", None) is None:
                return value | {"pruning": value["pruning"] | {"end_epoch": round(0.7 * epochs)}}
        return value
