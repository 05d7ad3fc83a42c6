"""The `compress` section of model.yaml: one key a technique, applied in a fixed order."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from hwgen.spec_base import Count, Fraction, Section

Step = Literal["structured", "low_rank", "pruning", "bits"]

STEPS: tuple[Step, ...] = ("structured", "low_rank", "pruning", "bits")
"""The techniques in their order: first what changes shapes, then what puts zeros into them, then how wide they are."""

Epochs = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
RankMethod = Literal["auto", "svd", "spatial", "tucker2", "cp"]

FACTOR_ENDINGS = ("_rank", "_rank1", "_rank2")
"""What the layers of a factorisation are called, behind the name of the layer whose place they take."""


def with_factors(names: list[str]) -> list[str]:
    """Return the names that `hardware.layers` and others may use where layers may be factorised."""
    return [*names, *(name + ending for name in names for ending in FACTOR_ENDINGS)]


def _at_most_one(section: Section, keys: tuple[str, ...]) -> None:
    said = [key for key in keys if getattr(section, key) is not None]
    if len(said) > 1:
        raise PydanticCustomError("hwgen", f"{said[1]} excludes {said[0]}", {"expected": f"one of {', '.join(keys)}"})


class LayerRank(Section):
    """How one layer is factorised; what it does not say, the section says."""

    method: RankMethod | None = None
    rank: Count | Annotated[list[Count], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="a whole number; tucker2: two, of the inputs and of the outputs"
    )
    energy: Share | None = None
    budget: Share | None = None

    @model_validator(mode="after")
    def _check(self) -> LayerRank:
        _at_most_one(self, ("rank", "energy", "budget"))
        return self


class LowRankSection(Section):
    """Low-rank factorisation: one layer becomes two or three with fewer multiplications; then fine-tuning."""

    method: RankMethod = "auto"
    energy: Share | None = Field(default=None, description="share of each kernel's squared norm that is kept")
    budget: Share | None = Field(default=None, description="share of each layer's multiplications that may remain")
    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="search: how much of the metric may be lost before fine-tuning"
    )
    layers: dict[str, LayerRank] = {}
    bits: Annotated[int, Field(ge=2, le=24)] | None = Field(
        default=None, description="of the activations between factors; default: those of the layer's own input"
    )
    force: bool = Field(default=False, description="factorise even where the circuit becomes larger")
    epochs: Epochs | None = Field(default=None, description="of fine-tuning; default: compress.epochs")

    @model_validator(mode="after")
    def _check(self) -> LowRankSection:
        general = ("energy", "budget", "max_drop")
        _at_most_one(self, general)
        if any(getattr(self, key) is not None for key in general):
            return self
        if not self.layers:
            raise PydanticCustomError(
                "hwgen", "nothing says which ranks", {"expected": f"one of {', '.join(general)}, or layers"}
            )
        for name, layer in self.layers.items():
            if layer.rank is None and layer.energy is None and layer.budget is None:
                expected = f"rank, energy or budget in layers.{name}"
                raise PydanticCustomError("hwgen", f"nothing says the rank of {name}", {"expected": expected})
        return self


def _pattern(value: Any) -> Any:
    if value is None or (isinstance(value, str) and re.fullmatch(r"\d+:\d+", value)):
        return value
    quotes = "" if isinstance(value, str) else "; in quotes, or YAML reads a number to base 60"
    raise PydanticCustomError("hwgen", "not a pattern", {"expected": f'n:m, as "2:4"{quotes}'})


Pattern = Annotated[str, BeforeValidator(_pattern)]


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

    sparsity: Fraction | None = Field(default=None, description="required, but with method n_m, where pattern says it")
    begin_epoch: Epochs = 0
    end_epoch: Annotated[int, Field(ge=0, description="default: 70 % of the epochs")] = 7
    method: Literal["magnitude", "n_m", "block"] = "magnitude"
    scope: Literal["layer", "global"] = "layer"
    pattern: Pattern | None = Field(default=None, description="n_m: as 2:4, non-zeros in so many inputs")
    block: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="block: inputs × outputs of a block that is kept or goes as a whole"
    )
    layers: dict[str, Fraction] = {}
    epochs: Epochs | None = Field(default=None, description="of this fine-tuning; default: compress.epochs")

    @property
    def n_of_m(self) -> tuple[int, int]:
        """Return n and m of `pattern`."""
        n, _, m = (self.pattern or "1:1").partition(":")
        return int(n), int(m)

    def share_of(self, layer: str) -> float | None:
        """Return the share of a layer that is pruned in the end; None: the budget of all layers decides."""
        if layer in self.layers:
            return float(self.layers[layer])
        if self.method == "n_m":
            return 1 - self.n_of_m[0] / self.n_of_m[1]
        return None if self.scope == "global" else self.sparsity


Bits = Annotated[int, Field(ge=2, le=16)]


class LayerBits(Section):
    """Bits of one layer's weights, and of the activation behind it."""

    weight: Bits | None = None
    activation: Bits | None = None


class BitSearch(Section):
    """A search for the fewest bits of every layer; at most one of max_drop, floor and ceiling."""

    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="how much of the metric on the validation slice may be lost; default: 0.005"
    )
    floor: float | None = Field(default=None, description="the metric on the validation slice that must be kept")
    ceiling: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="the share of the cost that may remain; the best metric under it is looked for"
    )
    cost: Literal["weight_bits", "memory_bits", "lut", "dsp", "bram_18k", "latency_cycles", "interval_cycles"] = (
        "weight_bits"
    )
    method: Literal["greedy", "bayesian"] = "greedy"
    least: Bits = 2
    trials: Count = 40
    activations: bool = Field(default=False, description="whether activations are narrowed too")
    tune_epochs: Epochs = Field(default=1, description="of fine-tuning in each trial")


class BitsSection(Section):
    """The width of numbers: a preset, by layer, or searched; then fine-tuning."""

    preset: Literal["int8"] | None = None
    layers: dict[str, LayerBits] = {}
    search: BitSearch | None = None
    epochs: Epochs | None = Field(default=None, description="of fine-tuning at the end; default: compress.epochs")


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
    low_rank: LowRankSection | None = None
    pruning: PruningSection | None = None
    bits: BitsSection | None = None

    @property
    def asks_hardware(self) -> bool:
        """Whether compressing depends on `hardware`: a search whose cost is that of a circuit."""
        search = self.bits.search if self.bits else None
        return search is not None and search.cost != "weight_bits"

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
