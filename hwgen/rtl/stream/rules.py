"""The firing rule of each stage (docs/rtl/streaming.md) as a process that extends the flows at its ends.

Items on a stream are *offered* (valid rises) and *taken* (valid and ready). All rules are maxima of earlier times plus
constants, so the order of evaluation does not matter and the result is exact.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwgen.rtl.stream import network as net


class Flow:
    """The items on one stream: when each is offered, when each is taken."""

    __slots__ = ("name", "offered", "taken")

    def __init__(self, name: str) -> None:
        self.name = name
        self.offered: list[int] = []
        self.taken: list[int] = []


@dataclass
class Process:
    """The state of one stage's evaluation; alone, a stage that another process covers."""

    stage: net.Stage
    flows: Mapping[str, Flow]

    def __post_init__(self) -> None:
        self.ins = [self.flows[name] for name in self.stage.inputs]
        self.outs = [self.flows[name] for name in self.stage.outputs]
        self.start()

    def start(self) -> None:
        """Prepare what the rule needs."""

    def advance(self) -> None:
        """Extend the flows as far as what is known allows."""


@dataclass
class Source(Process):
    """Frames offered at once, or paced."""

    frames: int = 1
    pace: int = 0
    beats: int = 1
    withheld: bool = False

    def advance(self) -> None:
        out = self.outs[0]
        while len(out.offered) < self.frames * self.beats - self.withheld and len(out.offered) <= len(out.taken):
            n = len(out.offered)
            earliest = (n // self.beats) * self.pace if n % self.beats == 0 else 0
            out.offered.append(max(earliest, out.taken[n - 1] + 1 if n else 0))


@dataclass
class Places(Process):
    """`hg_place`: always offers."""

    items: int = 1

    def advance(self) -> None:
        out = self.outs[0]
        while len(out.offered) < self.items and len(out.offered) <= len(out.taken):
            out.offered.append(out.taken[-1] + 1 if out.taken else 0)


@dataclass
class Sink(Process):
    """Always ready."""

    def advance(self) -> None:
        flow = self.ins[0]
        flow.taken.extend(flow.offered[len(flow.taken) :])


@dataclass
class Fifo(Process):
    """`hg_fifo`."""

    depth: int | None = None

    def advance(self) -> None:
        source, out = self.ins[0], self.outs[0]
        n, depth = len(source.taken), self.depth
        while n < len(source.offered):
            cycle = source.offered[n]
            if depth is not None and n >= depth:
                if n - depth >= len(out.taken):
                    break
                cycle = max(cycle, out.taken[n - depth] + 1)
            source.taken.append(cycle)
            n += 1
        _register_out(out, source.taken, 1)


def _register_out(out: Flow, pushed: Sequence[int], delay: int, apart: int = 1) -> None:
    """Offer each pushed item `delay` cycles later, or `apart` cycles after the one before it has left."""
    m = len(out.offered)
    while m < len(pushed) and m <= len(out.taken):
        out.offered.append(max(pushed[m] + delay, out.taken[m - 1] + apart if m else 0))
        m += 1


@dataclass
class Kernel(Process):
    """A pipeline behind `hg_credit_fifo` that takes one item of each input."""

    def start(self) -> None:
        self.fired: list[int] = []

    def advance(self) -> None:
        stage = self.stage
        assert isinstance(stage, net.Kernel)
        out = self.outs[0]
        n = len(self.fired)
        while all(n < len(flow.offered) for flow in self.ins):
            cycle = max(flow.offered[n] for flow in self.ins)
            if n >= stage.depth:
                if n - stage.depth >= len(out.taken):
                    break
                cycle = max(cycle, out.taken[n - stage.depth] + 1)
            for flow in self.ins:
                flow.taken.append(cycle)
            self.fired.append(cycle)
            n += 1
        _register_out(out, self.fired, stage.latency + 1)


@dataclass
class Engine(Process):
    """A multiply engine: fires, runs `cycles` steps, gives `beats` results into its output FIFO.

    Where an `hg_collect` puts all beats of a firing together, only the whole item is followed: every beat but the last
    is taken as soon as it is offered, so that the last is offered at max(push + 1, take of the item before + beats);
    pushes are a cycle apart or more.
    """

    collect: net.Stage | None = None

    def start(self) -> None:
        stage = self.stage
        assert isinstance(stage, net.Engine)
        self.pushed: list[int] = []
        self.cycles, self.beats, self.depth, self.offsets = stage.cycles, stage.beats, stage.depth, stage.offsets
        self.apart = 1
        if isinstance(self.collect, net.Collect):
            self.outs = [self.flows[self.collect.output]]
            self.apart, self.depth = self.beats, self.depth // self.beats
            self.beats, self.offsets = 1, self.offsets[-1:]

    def advance(self) -> None:
        source, out = self.ins[0], self.outs[0]
        n = len(source.taken)
        while n < len(source.offered):
            cycle = source.offered[n]
            if n:
                cycle = max(cycle, source.taken[n - 1] + self.cycles)
            need = (n + 1) * self.beats - 1 - self.depth
            if need >= 0:
                if need >= len(out.taken):
                    break
                cycle = max(cycle, out.taken[need] + 1)
            source.taken.append(cycle)
            self.pushed.extend([cycle + offset for offset in self.offsets])
            n += 1
        _register_out(out, self.pushed, 1, self.apart)


@dataclass
class Gather(Process):
    """`hg_collect` and `hg_reduce`: the last of `beats` items passes through as one."""

    def advance(self) -> None:
        stage = self.stage
        assert isinstance(stage, net.Collect | net.Reduce)
        source, out, beats = self.ins[0], self.outs[0], stage.beats
        n = len(source.taken)
        while n < len(source.offered):
            if n % beats != beats - 1:
                source.taken.append(source.offered[n])
            else:
                m = n // beats
                if m >= len(out.offered):
                    out.offered.append(source.offered[n])
                if m >= len(out.taken):
                    break
                source.taken.append(out.taken[m])
            n += 1


@dataclass
class Split(Process):
    """`hg_split`: one item as `beats` narrow ones."""

    def advance(self) -> None:
        stage = self.stage
        assert isinstance(stage, net.Split)
        source, out, beats = self.ins[0], self.outs[0], stage.beats
        while True:
            m = len(out.offered)
            if m > len(out.taken):
                break
            n = m // beats
            if m and m % beats == 0 and len(source.taken) < n:
                source.taken.append(out.taken[m - 1])
            if n >= len(source.offered):
                break
            out.offered.append(max(source.offered[n], out.taken[m - 1] + 1 if m else 0))


@dataclass
class InParts(Process):
    """Two `hg_split`, a pipeline of `hg_credit_fifo` and an `hg_collect`, followed pixel by pixel.

    Every part of a result but the last is taken as soon as it is offered. Where nothing is in the way the parts of a
    pixel enter in cycles that follow each other; only behind a result that waits are they followed one by one.
    """

    around: tuple[net.Split, net.Split, net.Collect] | None = None

    def start(self) -> None:
        kernel = self.stage
        assert isinstance(kernel, net.Kernel) and self.around is not None
        self.ins = [self.flows[split.input] for split in self.around[:2]]
        self.outs = [self.flows[self.around[2].output]]
        self.parts, self.depth, self.delay = self.around[2].beats, kernel.depth, kernel.latency + 1
        self.fired = self.left = 0  # parts that have entered the pipeline, that have left its FIFO
        self.last = -1  # when the last part entered
        self.inside: deque[int] = deque()  # when each part entered that has not left
        self.gone = deque([-(1 << 60)] * self.depth, self.depth)  # when the last parts left

    def advance(self) -> None:
        (a, b), parts = self.ins, self.parts
        while True:
            self._leave()
            n, part = divmod(self.fired, parts)
            if n >= len(a.offered) or n >= len(b.offered):
                break
            cycle = self.last + 1 if part else max(a.offered[n], b.offered[n], self.last + 1)
            if self.left == self.fired and self.gone[-1] < cycle + self.delay:
                self._rest(cycle, parts - part)
            else:
                need = self.fired - self.depth
                if need >= self.left:
                    break
                self.last = max(cycle, self.gone[need - self.left] + 1)
                self.inside.append(self.last)
                self.fired += 1
            if self.fired % parts == 0:
                a.taken.append(self.last)
                b.taken.append(self.last)

    def _rest(self, cycle: int, count: int) -> None:
        """Let the rest of a pixel enter, a part a cycle; all but the last leave as they come."""
        self.last = cycle + count - 1
        self.gone.extend(range(max(cycle, self.last - self.depth) + self.delay, self.last + self.delay))
        self.fired += count
        self.left = self.fired - 1
        self.inside.append(self.last)

    def _leave(self) -> None:
        out = self.outs[0]
        while self.inside:
            n, part = divmod(self.left, self.parts)
            cycle = max(self.inside[0] + self.delay, self.gone[-1] + 1)
            if part == self.parts - 1:
                if len(out.offered) == n:
                    out.offered.append(cycle)
                if len(out.taken) <= n:
                    break
                cycle = out.taken[n]
            self.gone.append(cycle)
            self.inside.popleft()
            self.left += 1


@dataclass
class Decimate(Process):
    """`hg_decimate`: passes some pixels, drops the others at once."""

    def advance(self) -> None:
        stage = self.stage
        assert isinstance(stage, net.Decimate)
        source, out = self.ins[0], self.outs[0]
        if not hasattr(self, "passed"):
            self.passed = 0
        n = len(source.taken)
        while n < len(source.offered):
            y, x = divmod(n % (stage.height * stage.width), stage.width)
            if not stage.keeps(y, x):
                source.taken.append(source.offered[n])
            else:
                if self.passed >= len(out.offered):
                    out.offered.append(source.offered[n])
                if self.passed >= len(out.taken):
                    break
                source.taken.append(out.taken[self.passed])
                self.passed += 1
            n += 1


@dataclass
class Pad(Process):
    """`hg_pad`: zeros around the picture need no input, but those before the first pixel wait until it is offered."""

    frames: int = 1

    def advance(self) -> None:
        stage = self.stage
        assert isinstance(stage, net.Pad)
        source, out = self.ins[0], self.outs[0]
        top, bottom, left, right = stage.padding
        width, height = stage.width + left + right, stage.height + top + bottom
        while True:
            m = len(out.offered)
            if m and m <= len(out.taken) and self._inside(m - 1, width, height) and not self._settled(m - 1):
                source.taken.append(out.taken[m - 1])
                self.settled = m - 1
            if m > len(out.taken) or m >= self.frames * width * height:
                break
            earliest = out.taken[m - 1] + 1 if m else 0
            if self._inside(m, width, height) or m % (width * height) < top * width + left:
                n = len(source.taken)
                if n >= len(source.offered):
                    break
                earliest = max(earliest, source.offered[n])
            out.offered.append(earliest)

    def start(self) -> None:
        self.settled = -1

    def _settled(self, m: int) -> bool:
        return self.settled >= m

    def _inside(self, m: int, width: int, height: int) -> bool:
        stage = self.stage
        assert isinstance(stage, net.Pad)
        y, x = divmod(m % (width * height), width)
        top, _, left, _ = stage.padding
        return top <= y < top + stage.height and left <= x < left + stage.width


@dataclass
class Upsample(Process):
    """`hg_upsample`: nearest neighbour; the first pass over a row takes it in."""

    def advance(self) -> None:
        stage = self.stage
        assert isinstance(stage, net.Upsample)
        source, out = self.ins[0], self.outs[0]
        fy, fx = stage.factors
        row = stage.width * fx
        while True:
            m = len(out.offered)
            if m > len(out.taken):
                break
            if m and self._pops(m - 1, row, fy, fx) and len(source.taken) < self._inputs(m, row, fy, fx):
                source.taken.append(out.taken[m - 1])
            earliest = out.taken[m - 1] + 1 if m else 0
            if (m // row) % fy == 0:
                n = self._inputs(m, row, fy, fx)
                if n >= len(source.offered):
                    break
                earliest = max(earliest, source.offered[n])
            out.offered.append(earliest)

    @staticmethod
    def _pops(m: int, row: int, fy: int, fx: int) -> bool:
        return (m // row) % fy == 0 and m % fx == fx - 1

    @staticmethod
    def _inputs(m: int, row: int, fy: int, fx: int) -> int:
        """Return how many inputs have been popped before output m."""
        group, within = divmod(m, row * fy)
        return group * (row // fx) + min(within, row) // fx


@dataclass
class Fork(Process):
    """`hg_fork`: every branch takes each item in its own time."""

    def advance(self) -> None:
        source = self.ins[0]
        while True:
            n = len(source.taken)
            if n < len(source.offered):
                for out in self.outs:
                    if len(out.offered) == n:
                        out.offered.append(source.offered[n])
                if all(len(out.taken) > n for out in self.outs):
                    source.taken.append(max(out.taken[n] for out in self.outs))
                    continue
            break


@dataclass
class RowStore(Process):
    """`hg_row_store`: a writer of pixels and a reader of windows."""

    frames: int = 1

    def start(self) -> None:
        stage = self.stage
        assert isinstance(stage, net.RowStore)
        self.released: list[int] = []  # by global row: the cycle of its release
        self.issued = self.steps = 0  # steps whose issue, whose shift is known
        self.issue = self.shift = -1  # of the last such step
        self.emitted = 0
        extra = max(0, (stage.out_width - 1) * stage.strides[1] - stage.left + stage.kernel[1] - stage.width)
        self.row_steps = stage.width + extra

    def advance(self) -> None:
        again = True
        while again:
            again = self._write()
            again = self._read() or again

    def _write(self) -> bool:
        stage = self.stage
        assert isinstance(stage, net.RowStore)
        source, slots = self.ins[0], stage.slots
        n, moved = len(source.taken), False
        while n < len(source.offered):
            row = n // stage.width
            cycle = source.offered[n]
            if row >= slots:
                if row - slots >= len(self.released):
                    break
                cycle = max(cycle, self.released[row - slots] + 1)
            source.taken.append(cycle)
            n, moved = n + 1, True
        return moved

    def _read(self) -> bool:
        stage = self.stage
        assert isinstance(stage, net.RowStore)
        taken, out = self.ins[0].taken, self.outs[0]
        (kh, kw), (sh, sw) = stage.kernel, stage.strides
        moved = False
        total = self.frames * stage.out_height * self.row_steps
        while self.steps < total:
            row, column = divmod(self.steps, self.row_steps)
            frame, oy = divmod(row, stage.out_height)
            if self.issued == self.steps:
                issue = max(self.issue + 1, self.shift)
                last = min(oy * sh - stage.top + kh - 1, stage.height - 1)
                if column < stage.width and last >= 0:
                    pixel = (frame * stage.height + last) * stage.width + column
                    if pixel >= len(taken):
                        break
                    issue = max(issue, taken[pixel] + 1)
                self.issue, self.issued, moved = issue, self.issued + 1, True
                if column == self.row_steps - 1:
                    self._release(frame, oy, issue)
            if self.emitted > len(out.taken):
                break  # the window emitted last is not taken yet
            shift = max(self.issue + 1, self.shift + 1)
            if self.emitted:
                shift = max(shift, out.taken[self.emitted - 1])
            place = column - (kw - 1 - stage.left)
            if place >= 0 and place % sw == 0 and place // sw < stage.out_width:
                out.offered.append(shift + 1)
                self.emitted += 1
            self.shift, self.steps, moved = shift, self.steps + 1, True
        return moved

    def _release(self, frame: int, oy: int, cycle: int) -> None:
        stage = self.stage
        assert isinstance(stage, net.RowStore)
        done = stage.height
        if oy < stage.out_height - 1:
            done = min(max((oy + 1) * stage.strides[0] - stage.top, 0), stage.height)
        while len(self.released) < frame * stage.height + done:
            self.released.append(cycle)


def make_process(
    stage: net.Stage,
    network: net.Network,
    flows: Mapping[str, Flow],
    frames: int,
    pace: int,
    unbounded: bool,
    withheld: str | None = None,
) -> Process:
    """Return the process of a stage; `unbounded` lets branch FIFOs be as deep as they like."""
    match stage:
        case net.Source():
            beats = network.streams[stage.output].beats
            return Source(stage, flows, frames, pace, beats, stage.node == withheld)
        case net.Fifo():
            return Fifo(stage, flows, None if unbounded and not stage.register else stage.depth)
        case net.Pad():
            return Pad(stage, flows, frames)
        case net.Places():
            return Places(stage, flows, frames * stage.height * stage.width)
        case net.RowStore():
            return RowStore(stage, flows, frames)
        case net.Engine():
            return Engine(stage, flows, network.collected.get(stage.name))
        case net.Collect() if stage in network.collected.values():
            return Process(stage, flows)
        case net.Kernel() if stage.name in network.in_parts:
            return InParts(stage, flows, network.in_parts[stage.name])
        case net.Split() | net.Collect() if any(stage in found for found in network.in_parts.values()):
            return Process(stage, flows)
        case _:
            return _PROCESSES[type(stage)](stage, flows)


_PROCESSES: dict[type[net.Stage], type[Process]] = {
    net.Sink: Sink,
    net.Kernel: Kernel,
    net.Collect: Gather,
    net.Reduce: Gather,
    net.Split: Split,
    net.Decimate: Decimate,
    net.Upsample: Upsample,
    net.Fork: Fork,
}
