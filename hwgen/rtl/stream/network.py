"""A streaming design as data: streams, and the stages they join. What each stage does is in docs/rtl/streaming.md."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hwgen.fixed import FixedPoint, IntArray

if TYPE_CHECKING:
    from hwgen.rtl.generate import Plan
    from hwgen.rtl.stream.sparse import SparseSchedule


@dataclass(frozen=True)
class Stream:
    """What travels between two stages: `beats` items a frame, `elements` of `fmt` each, element 0 lowest.

    Parameters
    ----------
    node : str, optional
        The graph node whose tensor this is, pixel by pixel; None for windows and parts of pixels.
    """

    name: str
    elements: int
    fmt: FixedPoint
    beats: int
    node: str | None = None

    @property
    def bits(self) -> int:
        """Bits of an item."""
        return self.elements * self.fmt.width


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage:
    """Base of the stages: a name (that of its instance) and the streams it reads and writes."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def input(self) -> str:
        """The only input."""
        return self.inputs[0]

    @property
    def output(self) -> str:
        """The only output."""
        return self.outputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Source(Stage):
    """A network input: a stream port."""

    node: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Sink(Stage):
    """A network output: a stream port."""

    node: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Fifo(Stage):
    """`hg_fifo`; a `register` keeps its depth of 2, the others get the depth that the timing needs.

    An `optional` one is left out where the interval does not need it.
    """

    depth: int = 2
    register: bool = False
    optional: bool = False

    @property
    def high_bits(self) -> int:
        """Bits of the high-water mark."""
        return self.depth.bit_length()


@dataclass(frozen=True, eq=False, kw_only=True)
class Fork(Stage):
    """`hg_fork`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Kernel(Stage):
    """An unrolled pipeline behind an `hg_credit_fifo`: a part of the graph, one item of each input in, one item out.

    Parameters
    ----------
    plan : Plan
        The planned part; its inputs are named after the input streams.
    layer : str
        The graph node it starts with.
    """

    plan: Plan
    layer: str
    nodes: tuple[str, ...] = ()

    @cached_property
    def latency(self) -> int:
        """Register ranks of the pipeline."""
        return self.plan.schedule.n_stages

    @cached_property
    def depth(self) -> int:
        """Slots of the output FIFO."""
        return self.plan.schedule.n_stages + 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Engine(Stage):
    """A multiply engine with what follows it: `cycles` steps a firing, result beats at `offsets` after the fire.

    Parameters
    ----------
    layer : str
        The graph node (Conv, DepthwiseConv or Dense) it computes.
    nodes : graph nodes computed behind it, in order
    select : IntArray
        For each element of the operand register, the element of the input item, or -1 for a zero.
    lanes : int
        Results of a beat.
    post : Plan, optional
        The pipeline of the followers, `lanes` wide.
    bias : IntArray (beats, lanes)
    """

    layer: str
    nodes: tuple[str, ...]
    select: IntArray
    lanes: int
    acc: FixedPoint
    weight_width: int
    weight_fraction: int
    bias: IntArray
    bias_fraction: int
    post: Plan | None
    coefficients: Mapping[str, IntArray] = field(default_factory=dict)
    macs: int = 0

    @cached_property
    def cycles(self) -> int:
        """Steps of one firing (T)."""
        raise NotImplementedError

    @cached_property
    def beats(self) -> int:
        """Result beats of one firing."""
        raise NotImplementedError

    @cached_property
    def multipliers(self) -> int:
        """Multipliers."""
        raise NotImplementedError

    @cached_property
    def follow(self) -> int:
        """Register ranks of the followers' pipeline."""
        return self.post.schedule.n_stages if self.post else 0

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Cycles from the fire to the push of each result beat."""
        raise NotImplementedError

    @cached_property
    def depth(self) -> int:
        """Slots of the output FIFO: no firing waits for room while the sink takes."""
        flight = self.offsets[-1] - self.cycles + 2
        return max(2, self.beats * (1 + -(-max(flight, 1) // self.cycles)))


@dataclass(frozen=True, eq=False, kw_only=True)
class MacEngine(Engine):
    """`hg_mac`: P products a lane and step, R steps a group, G groups.

    Parameters
    ----------
    weights : IntArray (groups * steps, lanes, products)
    shared : bool
        All lanes see the same operand (dense); else each its own (depthwise).
    """

    weights: IntArray
    shared: bool

    @cached_property
    def products(self) -> int:
        """Products of a lane in a step."""
        return int(self.weights.shape[2])

    @cached_property
    def groups(self) -> int:
        """Groups of outputs, one after the other."""
        return len(self.bias)

    @cached_property
    def steps(self) -> int:
        """Steps of a group."""
        return len(self.weights) // self.groups

    @cached_property
    def cycles(self) -> int:
        return len(self.weights)

    @cached_property
    def beats(self) -> int:
        return self.groups

    @cached_property
    def multipliers(self) -> int:
        return self.lanes * self.products

    @cached_property
    def pipeline(self) -> int:
        """Cycles from a step to its group's result (L of hg_mac)."""
        return 2 + (self.cycles > 1) + -(-(self.products - 1).bit_length() // 2)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        first = 1 + self.pipeline + self.follow
        return tuple(first + (g + 1) * self.steps - 1 for g in range(self.groups))


@dataclass(frozen=True, eq=False, kw_only=True)
class SparseEngine(Engine):
    """`hg_mac_sparse`: an offline schedule of the non-zero weights alone."""

    schedule: SparseSchedule
    pipeline: int

    @cached_property
    def cycles(self) -> int:
        return self.schedule.cycles

    @cached_property
    def beats(self) -> int:
        return len(self.bias)

    @cached_property
    def multipliers(self) -> int:
        return self.schedule.lanes

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        first = 1 + self.cycles - 1 + self.pipeline + self.follow
        return tuple(first + j for j in range(self.beats))


@dataclass(frozen=True, eq=False, kw_only=True)
class RowStore(Stage):
    """`hg_row_store`."""

    channels: int
    element_width: int
    height: int
    width: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    top: int
    left: int
    out_height: int
    out_width: int
    pad_value: int = 0

    @property
    def slots(self) -> int:
        """Row slots of the circular buffer."""
        return self.kernel[0] + self.strides[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Places(Stage):
    """`hg_place`: row and column of pixel after pixel."""

    height: int
    width: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Collect(Stage):
    """`hg_collect`: `beats` narrow items as one; element k of the result is element `order[k]` of them together."""

    beats: int
    order: IntArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Split(Stage):
    """`hg_split`."""

    beats: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Reduce(Stage):
    """`hg_reduce`: the sum or maximum of a frame's pixels."""

    beats: int
    maximum: bool
    signed: bool
    node: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Decimate(Stage):
    """`hg_decimate`."""

    height: int
    width: int
    strides: tuple[int, int]
    out_height: int
    out_width: int

    def keeps(self, y: int, x: int) -> bool:
        """Return whether a pixel passes."""
        (sy, sx), rows, columns = self.strides, self.out_height, self.out_width
        return y % sy == 0 and x % sx == 0 and y // sy < rows and x // sx < columns


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Stage):
    """`hg_pad`."""

    height: int
    width: int
    padding: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Upsample(Stage):
    """`hg_upsample`."""

    height: int
    width: int
    factors: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Network:
    """Streams by name and the stages in order from inputs to outputs."""

    name: str
    streams: Mapping[str, Stream]
    stages: tuple[Stage, ...]

    @cached_property
    def sources(self) -> list[Source]:
        """The network inputs."""
        return [s for s in self.stages if isinstance(s, Source)]

    @cached_property
    def sinks(self) -> list[Sink]:
        """The network outputs."""
        return [s for s in self.stages if isinstance(s, Sink)]

    @cached_property
    def collected(self) -> Mapping[str, Collect]:
        """By engine, the stage that puts all result beats of a firing together."""
        readers = {name: stage for stage in self.stages for name in stage.inputs}
        found = {}
        for stage in self.stages:
            if isinstance(stage, Engine):
                reader = readers[stage.output]
                if isinstance(reader, Collect) and reader.beats == stage.beats and stage.depth % stage.beats == 0:
                    found[stage.name] = reader
        return found

    @cached_property
    def in_parts(self) -> Mapping[str, tuple[Split, Split, Collect]]:
        """By kernel that multiplies pixels part by part, the stages that cut both and put the product together."""
        writers = {name: stage for stage in self.stages for name in stage.outputs}
        readers = {name: stage for stage in self.stages for name in stage.inputs}
        found: dict[str, tuple[Split, Split, Collect]] = {}
        for stage in self.stages:
            if not isinstance(stage, Kernel) or len(stage.inputs) != 2:
                continue
            match writers[stage.inputs[0]], writers[stage.inputs[1]], readers[stage.output]:
                case (Split() as a, Split() as b, Collect() as whole) if a.beats == b.beats == whole.beats:
                    found[stage.name] = (a, b, whole)
        return found

    def producer(self, stream: str) -> Stage:
        """Return the stage that writes a stream."""
        return next(s for s in self.stages if stream in s.outputs)

    def consumer(self, stream: str) -> Stage:
        """Return the stage that reads a stream."""
        return next(s for s in self.stages if stream in s.inputs)

    def without(self, fifos: Collection[str]) -> Network:
        """Return the network without some FIFOs: their readers read what they read."""
        gone = [s for s in self.stages if s.name in fifos]
        instead = {s.output: s.input for s in gone}
        stages = [
            replace(s, inputs=tuple(instead.get(name, name) for name in s.inputs))
            for s in self.stages
            if s.name not in fifos
        ]
        streams = {name: stream for name, stream in self.streams.items() if name not in instead}
        return Network(self.name, streams, tuple(stages)).verify()

    def verify(self) -> Network:
        """Check that every stream has one writer and one reader, and return self."""
        written = [name for s in self.stages for name in s.outputs]
        read = [name for s in self.stages for name in s.inputs]
        for names in (written, read):
            if sorted(names) != sorted(self.streams):
                wrong = set(names) ^ set(self.streams) or {n for n in names if names.count(n) > 1}
                raise ValueError(f"{self.name}: streams without one writer and one reader: {sorted(wrong)}")
        if len({s.name for s in self.stages}) != len(self.stages):
            raise ValueError(f"{self.name}: two stages share a name")
        return self


def as_rows(values: IntArray, rows: int, columns: int) -> IntArray:
    """Return `values` as (rows, columns), filled up with zeros."""
    flat = np.zeros(rows * columns, dtype=values.dtype)
    flat[: values.size] = values.ravel()
    return flat.reshape(rows, columns)
