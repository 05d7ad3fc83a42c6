"""The `compress` section of model.yaml: one key a technique, applied in a fixed order."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hwgen.spec_base import Count, Fraction, Section

Step = Literal["structured", "pruning"]

STEPS: tuple[Step, ...] = ("structured", "pruning")
"""The techniques in their order: first what changes shapes, then what puts zeros into them."""

Epochs = Annotated[int, Field(ge=0)]


class StructuredSection(Section):
    """Structured pruning: whole filters, channels and neurons go, and the layers behind them shrink."""

    share: Fraction = Field(default=0.0, description="of the filters or neurons of every layer not named in layers")
    layers: dict[str, Fraction] = {}
    scope: Literal["layer", "global"] = Field(
        default="layer", description="global: the weakest of all layers go, as many as the shares make together"
    )
    criterion: Literal["l1", "l2"] = "l2"
    rounds: Count = Field(default=1, description="cuts with fine-tuning after each")
    epochs: Epochs | None = Field(default=None, description="of fine-tuning after each cut; default: compress.epochs")


class PruningSection(Section):
    """Zeros by magnitude, scheduled during fine-tuning."""

    sparsity: Fraction
    begin_epoch: Epochs = 0
    end_epoch: Annotated[int, Field(ge=0, description="default: 70 % of compress.epochs")] = 7
    method: Literal["magnitude"] = "magnitude"
    layers: dict[str, Fraction] = {}


class DistillSection(Section):
    """Knowledge distillation: in every fine-tuning the outputs of a float teacher are a target too."""

    weight: Annotated[float, Field(gt=0, le=1)] = Field(default=0.5, description="of the teacher's loss in the sum")
    temperature: Annotated[float, Field(gt=0)] = 4.0
    epochs: Epochs | None = Field(default=None, description="of the teacher's training; default: train.float_epochs")


class CompressSection(Section):
    """Fine-tuning after training, with every technique that is asked for."""

    epochs: Epochs = 10
    order: list[Step] | None = Field(default=None, description=f"of the techniques; default: {', '.join(STEPS)}")
    distill: DistillSection | None = None
    weights: str | None = Field(
        default=None, description="a .keras file of the compressed network, used instead of compressing, if it is there"
    )
    structured: StructuredSection | None = None
    pruning: PruningSection | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The techniques asked for, in the order in which they are applied."""
        return tuple(step for step in self.order or STEPS if getattr(self, step) is not None)

    @model_validator(mode="before")
    @classmethod
    def _fill_end(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("pruning"), dict):
            epochs = value.get("epochs", 10)
            if isinstance(epochs, int) and value["pruning"].get("end_epoch", None) is None:
                return value | {"pruning": value["pruning"] | {"end_epoch": round(0.7 * epochs)}}
        return value
