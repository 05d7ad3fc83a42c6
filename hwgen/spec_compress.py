"""The `compress` section of model.yaml: one key a technique, applied in a fixed order or as `order` says."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hwgen.spec_base import Count, Fraction, Section

Step = Literal["structured", "low_rank", "pruning", "bits"]

STEPS: tuple[Step, ...] = ("structured", "low_rank", "pruning", "bits")
"""The techniques in their order: first what changes shapes, then what puts zeros into them, then how wide they are."""

Share = Annotated[float, Field(gt=0, lt=1)]
Epochs = Annotated[int, Field(ge=0)]


class StructuredSection(Section):
    """Structured pruning: whole filters, channels and neurons go, and the layers behind them shrink."""

    share: Fraction = Field(description="of the filters or neurons of a layer")
    layers: dict[str, Fraction] = {}
    scope: Literal["layer", "global"] = "layer"
    criterion: Literal["l1", "l2"] = "l2"
    rounds: Count = Field(default=1, description="cuts with fine-tuning after each")
    epochs: Epochs | None = Field(default=None, description="of fine-tuning after each cut; default: compress.epochs")


class LayerRank(Section):
    """How one layer is factorised; exactly one of rank, energy and budget."""

    method: Literal["auto", "svd", "spatial", "tucker2", "cp"] = "auto"
    rank: Count | None = None
    energy: Share | None = None
    budget: Share | None = None


class LowRankSection(Section):
    """Low-rank factorisation: one layer becomes two or three, with fewer multiplications."""

    method: Literal["auto", "svd", "spatial", "tucker2", "cp"] = "auto"
    energy: Share | None = Field(default=None, description="share of the kernel's squared norm that is kept")
    budget: Share | None = Field(default=None, description="share of the layer's multiplications")
    max_drop: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="search: the smallest ranks that lose no more of the metric before fine-tuning"
    )
    layers: dict[str, LayerRank] = {}
    force: bool = Field(default=False, description="factorise even where the circuit becomes larger")
    epochs: Epochs | None = Field(default=None, description="of fine-tuning; default: compress.epochs")


class PruningSection(Section):
    """Zeros by magnitude, scheduled during fine-tuning."""

    sparsity: Fraction
    begin_epoch: Epochs = 0
    end_epoch: Annotated[int, Field(ge=0, description="default: 70 % of the epochs")] = 7
    method: Literal["magnitude", "n_m", "block"] = "magnitude"
    scope: Literal["layer", "global"] = "layer"
    pattern: (
        Annotated[str, Field(pattern=r"^\d+:\d+$", description="n_m: as 2:4, non-zeros in so many inputs")] | None
    ) = None
    block: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="block: inputs × outputs of a block that is kept or goes as a whole"
    )
    layers: dict[str, Fraction] = {}
    epochs: Epochs | None = Field(default=None, description="default: compress.epochs")


class LayerBits(Section):
    """Bits of one layer's weights, and of the activation behind it."""

    weight: Annotated[int, Field(ge=1, le=16)] | None = None
    activation: Annotated[int, Field(ge=1, le=16)] | None = None


class BitSearch(Section):
    """Search for the fewest bits a layer."""

    max_drop: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="how much of the metric may be lost; default: 0.005"
    )
    floor: float | None = Field(default=None, description="the metric that must be kept (instead of max_drop)")
    ceiling: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="share of the cost before the search that may remain; then the best metric is looked for",
    )
    cost: Literal["weight_bits", "lut", "dsp", "bram_18k", "latency_cycles", "interval_cycles"] = "weight_bits"
    method: Literal["greedy", "bayesian"] = "greedy"
    least: Annotated[int, Field(ge=1, le=8)] = 2
    trials: Count = 40
    activations: bool = Field(default=False, description="whether activations are narrowed too")


class BitsSection(Section):
    """The width of numbers: a preset, by layer, or searched; then fine-tuning."""

    preset: Literal["int8"] | None = None
    layers: dict[str, LayerBits] = {}
    search: BitSearch | None = None
    epochs: Epochs | None = Field(default=None, description="of fine-tuning; default: compress.epochs")


class DistillSection(Section):
    """Knowledge distillation: in every fine-tuning the float teacher's outputs are a target too."""

    weight: Annotated[float, Field(gt=0, le=1)] = Field(default=0.5, description="of the teacher's loss in the sum")
    temperature: Annotated[float, Field(gt=0)] = 4.0


class CompressSection(Section):
    """Fine-tuning after training, with every technique that is asked for."""

    epochs: Epochs = 10
    order: list[Step] | None = Field(default=None, description=f"default: {', '.join(STEPS)}")
    distill: DistillSection | None = None
    structured: StructuredSection | None = None
    low_rank: LowRankSection | None = None
    pruning: PruningSection | None = None
    bits: BitsSection | None = None
    weights: str | None = Field(
        default=None, description="a .keras file of the compressed network, used instead of compressing if it is there"
    )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The techniques asked for, in the order in which they are applied."""
        return tuple(step for step in self.order or STEPS if getattr(self, step) is not None)

    @model_validator(mode="before")
    @classmethod
    def _fill_end(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("pruning"), dict):
            pruning = value["pruning"]
            epochs = pruning["epochs"] if pruning.get("epochs") is not None else value.get("epochs", 10)
            if isinstance(epochs, int) and pruning.get("end_epoch", None) is None:
                return value | {"pruning": pruning | {"end_epoch": round(0.7 * epochs)}}
        return value
