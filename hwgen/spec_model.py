"""`ModelSpec`: every key of model.yaml, its default and its type, once."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from hwgen.spec_base import AutoOrFixed, Count, FixedText, Function, Section, Shape, word_or_count
from hwgen.spec_compress import CompressSection
from hwgen.spec_robustness import RobustnessSection


class LayerSpec(Section):
    """One item of ``model.layers``: a Keras or QKeras class with its own arguments."""

    kind: str
    args: dict[str, Any] = {}
    line: int = 0

    @property
    def name(self) -> str | None:
        """The layer's own name, if it says one."""
        name = self.args.get("name")
        return name if isinstance(name, str) else None


class ModelSection(Section):
    """What the network is: described, built by a function, or brought as a file (exactly one)."""

    name: str = Field(description="default: the stem of model.file, else of the YAML; the top module too")
    layers: list[LayerSpec] | None = None
    builder: Function | None = None
    args: dict[str, Any] = Field(default={}, description="of the builder, by name")
    file: str | None = None
    input_shape: Shape | dict[str, Shape] | None = Field(default=None, description="default: from the data")
    output: Literal["logits", "argmax", "softmax"] = "logits"


class DataSection(Section):
    """Where frames come from; the network sees ``x * scale + offset``. `set` beside `npz` says what the file holds."""

    set: str | None = None
    npz: str | None = None
    loader: Function | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    scale: float = 1.0
    offset: float = 0.0


OfOutputs = Annotated[dict[str, str], Field(min_length=1)]
"""A word for each output of the network, by its name."""


class TrainSection(Section):
    """Quantization-aware training."""

    epochs: Annotated[int, Field(ge=0)] = 30
    float_epochs: Annotated[int, Field(ge=0)] = 10
    batch_size: Count = 64
    optimizer: str = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    seed: Annotated[int, Field(ge=0)] = 0
    loss: str | OfOutputs = Field(default="auto", description="of all outputs, or by the name of the output")
    loss_weights: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="of several outputs: a factor of the loss by name; default: 1"
    )
    metric: str | OfOutputs = Field(
        default="auto", description="of all outputs (their mean), or by name: the first one judges, all are reported"
    )
    weights: str | None = Field(default=None, description="a .keras file used instead of training, if it is there")


class LayerPrecision(Section):
    """What one layer says otherwise."""

    weight: str | None = None
    bias: str | None = None
    activation: str | None = None
    result: AutoOrFixed = "auto"
    accum: AutoOrFixed = "auto"


class PrecisionSection(Section):
    """Number formats; quantizers are QKeras texts and fill only what a layer leaves out."""

    input: FixedText | dict[str, FixedText] | None = None
    weight: str | None = None
    bias: str | None = None
    activation: str | None = None
    result: AutoOrFixed = "auto"
    accum: AutoOrFixed = "auto"
    layers: dict[str, LayerPrecision] = {}
    allow_wrap: bool = False


class TargetSection(Section):
    """What the hardware must reach."""

    interval_cycles: Count | None = None
    throughput_hz: Annotated[float, Field(gt=0)] | None = None
    latency_us: Annotated[float, Field(gt=0)] | None = None
    max_multipliers: Annotated[int, Field(ge=0)] | None = None
    max_dsp: Annotated[int, Field(ge=0)] | None = None


Strategy = Literal["distributed_arithmetic", "latency", "resource"]


class LayerHardware(Section):
    """What one layer says otherwise."""

    reuse_factor: Count | None = None
    strategy: Strategy | None = None


class HardwareSection(Section):
    """The device, its clock, and how the network becomes hardware."""

    part: str = "xcvu13p-flga2577-2-e"
    clock_period_ns: Annotated[float, Field(gt=0)] = 5.0
    io_type: Literal["io_parallel", "io_stream"] = "io_parallel"
    strategy: Strategy = Field(
        default_factory=lambda said: "resource" if said.get("io_type") == "io_stream" else "distributed_arithmetic",
        description="default: distributed_arithmetic with io_parallel, resource with io_stream",
    )
    target: TargetSection = TargetSection()
    reuse_factor: Count | None = Field(
        default_factory=lambda said: 1 if said.get("target") == TargetSection() else None,
        description="default: 1; unset with a target",
    )
    handshake: Literal["valid_ready", "none"] = "valid_ready"
    axis_bytes: Annotated[int, Field(ge=1, le=512)] = Field(
        default=8, description="bytes a beat of the AXI4-Stream wrapper"
    )
    layers: dict[str, LayerHardware] = {}


class RequireSection(Section):
    """What must hold at the end; unmet: exit status 3."""

    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    latency_cycles: Count | None = None
    latency_ns: Annotated[float, Field(gt=0)] | None = None
    interval_cycles: Count | None = None


class VerifySection(Section):
    """How much is simulated."""

    vectors: Annotated[Literal["auto", "all"] | int, word_or_count("auto", "all")] = "auto"
    random_vectors: Count = 10000
    seed: Annotated[int, Field(ge=0)] = 0
    budget_s: Annotated[float, Field(gt=0)] = 120.0
    stalls: bool = True
    waves: Literal["on_failure", "always", "never"] = "on_failure"
    netlist: Literal["auto"] | bool = "auto"
    robustness: RobustnessSection | None = Field(default=None, description="the metric on disturbed test samples")
    require: RequireSection = RequireSection()


class OutputsSection(Section):
    """What is written where."""

    dir: str | None = Field(default=None, description="default: hls_projects/<model.name> below the current folder")
    report: bool = True
    handoff: list[str] = []
    cost: bool = Field(default=True, description="synthesize the design for hardware.part (the cost stage)")
    cost_budget_s: Annotated[float, Field(gt=0)] = Field(
        default=120.0, description="seconds that the synthesis may take, and five times as many place and route"
    )
    emulator: bool = False


class ModelSpec(Section):
    """A validated model.yaml. Paths in it are relative to `base_dir`."""

    version: Literal[1] = 1
    base: str = Field(
        default=".", description="the folder that paths in this file are relative to; default: the file's own"
    )
    model: ModelSection
    data: DataSection | None = None
    train: TrainSection = TrainSection()
    compress: CompressSection = CompressSection()
    precision: PrecisionSection = PrecisionSection()
    hardware: HardwareSection = Field(default_factory=lambda: HardwareSection())
    verify: VerifySection = VerifySection()
    outputs: OutputsSection = OutputsSection()
    _file: Path = PrivateAttr(Path("model.yaml"))
    _places: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def file(self) -> Path:
        """The YAML file, as it was named."""
        return self._file

    @property
    def base_dir(self) -> Path:
        """The folder that paths in the file are relative to."""
        return Path(os.path.normpath(self._file.absolute().parent / self.base))

    @property
    def part_path(self) -> str:
        """`hardware.part`; of a cell library given as a path, that path."""
        part = self.hardware.part
        return os.path.normpath(self.base_dir / part) if part.endswith(".lib") else part

    @property
    def hardware_of_compress(self) -> HardwareSection | None:
        """`hardware`, if compressing depends on it: a bit search whose cost is that of the circuit."""
        return self.hardware if self.compress.asks_hardware else None

    def line_of(self, path: str) -> str:
        """Return ``model.yaml:5`` for a dotted path such as ``model.layers[0].units``, or the nearest key around it."""
        while path and path not in self._places:
            path = re.sub(r"(\.?[^.\[\]]+|\[\d+\])$", "", path)
        return self._places.get(path, str(self._file))
