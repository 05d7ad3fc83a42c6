"""Every cycle of a streaming design, computed from the firing rules before any RTL is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from hwgen.errors import GraphError
from hwgen.rtl.stream import network as net
from hwgen.rtl.stream.rules import Flow, make_process


@dataclass(frozen=True)
class Run:
    """One evaluation: the flows by stream name, and the frames that were sent."""

    flows: Mapping[str, Flow]
    network: net.Network
    frames: int

    def first_in(self, frame: int) -> int:
        """Return the cycle in which the first beat of a frame is accepted, the earliest over the inputs."""
        return min(
            self.flows[s.output].taken[frame * self.network.streams[s.output].beats] for s in self.network.sources
        )

    def first_out(self, frame: int) -> int:
        """Return the cycle of the first output beat of a frame, the latest over the outputs."""
        return max(self.flows[s.input].taken[frame * self.network.streams[s.input].beats] for s in self.network.sinks)

    def last_out(self, frame: int) -> int:
        """Return the cycle of the last output beat of a frame, the latest over the outputs."""
        return max(
            self.flows[s.input].taken[(frame + 1) * self.network.streams[s.input].beats - 1] for s in self.network.sinks
        )

    def offered(self, sink: net.Sink) -> int:
        """Return how many beats an output has offered."""
        return len(self.flows[sink.input].offered)

    def high_water(self, stage: net.Fifo) -> int:
        """Return the most items a FIFO holds at the end of a cycle."""
        pushes, pops = self.flows[stage.input].taken, self.flows[stage.output].taken
        fill = most = k = 0
        for n, cycle in enumerate(pushes):
            while k < len(pops) and pops[k] <= cycle:
                k += 1
            fill = n + 1 - k
            most = max(most, fill)
        return most


def simulate(
    network: net.Network, frames: int, pace: int = 0, unbounded: bool = False, withheld: str | None = None
) -> Run:
    """Compute every transfer of `frames` frames.

    Parameters
    ----------
    network : Network
    frames : int
    pace : int
        Frame k is not offered before cycle ``k * pace``; 0: sources always offer.
    unbounded : bool
        Let every `Fifo` be as deep as it likes (engines and kernels keep their own).
    withheld : str, optional
        A network input whose very last item never comes: the run is then not complete.

    Raises
    ------
    GraphError
        If the design stands still: which streams wait, and for whom.
    """
    flows = {name: Flow(name) for name in network.streams}
    processes = [make_process(stage, network, flows, frames, pace, unbounded, withheld) for stage in network.stages]
    neighbours: dict[str, list[int]] = {name: [] for name in flows}
    for index, process in enumerate(processes):
        for flow in (*process.ins, *process.outs):
            neighbours[flow.name].append(index)
    watched = [
        [(flow.offered, flow.taken, [k for k in neighbours[flow.name] if k != index]) for flow in (*p.ins, *p.outs)]
        for index, p in enumerate(processes)
    ]
    waiting_list, queued = deque(range(len(processes))), [True] * len(processes)
    while waiting_list:
        index = waiting_list.popleft()
        queued[index] = False
        before = [len(offered) + len(taken) for offered, taken, _ in watched[index]]
        processes[index].advance()
        for (offered, taken, others), old in zip(watched[index], before, strict=True):
            if len(offered) + len(taken) != old:
                for other in others:
                    if not queued[other]:
                        queued[other] = True
                        waiting_list.append(other)
    if withheld is not None:
        return Run(flows, network, frames)
    for sink in network.sinks:
        wanted = frames * network.streams[sink.input].beats
        if len(flows[sink.input].taken) < wanted:
            raise GraphError(
                "the streaming design would stand still",
                where=sink.input,
                found=f"{len(flows[sink.input].taken)} of {wanted} beats come out; {waiting(network, flows)}",
                expected="deeper FIFOs on the branches",
            )
    return Run(flows, network, frames)


def waiting(network: net.Network, flows: Mapping[str, Flow]) -> str:
    """Say which streams hold an item that is not taken, and who would have to take it."""
    takers = {name: stage.name for stage in network.stages for name in stage.inputs}
    rows = [
        f"{name} waits for {takers.get(name, 'the sink')}"
        for name, flow in flows.items()
        if len(flow.offered) > len(flow.taken)
    ]
    return "; ".join(rows) or "no stream holds an item"


@dataclass(frozen=True)
class Timing:
    """What the bench has to measure, all in cycles.

    Parameters
    ----------
    first_out_cycles, latency_cycles : one frame into an empty design: first beat in to first, to last beat out
    steady_latency_cycles : the same to the last beat out, the source paced at the interval
    interval_cycles : between frames, the source always offering
    high_water : by FIFO, the most items held with the source paced at the interval
    spans : by stream, the cycles of the first and the last beat of one frame in an empty design
    """

    first_out_cycles: int
    latency_cycles: int
    steady_latency_cycles: int
    interval_cycles: int
    high_water: Mapping[str, int] = field(default_factory=dict)
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)


WARM_UP_FRAMES = 3
MEASURED_FRAMES = 4


def interval_of(network: net.Network, unbounded: bool = False) -> int:
    """Return the cycles between frames in steady state with sources that always offer.

    Raises
    ------
    GraphError
        If the distance does not become constant.
    """
    warm = WARM_UP_FRAMES
    while warm <= 48:
        frames = warm + MEASURED_FRAMES
        run = simulate(network, frames, unbounded=unbounded)
        ends = [run.last_out(k) for k in range(frames)]
        gaps = {b - a for a, b in zip(ends[warm - 1 :], ends[warm:], strict=False)}
        if len(gaps) == 1:
            return gaps.pop()
        warm *= 2
    raise GraphError("the interval does not become constant", where=network.name, found=str(sorted(gaps)))


def predict(network: net.Network, interval: int | None = None) -> Timing:
    """Compute latency, interval (if it is not known yet) and FIFO high-water marks of a design."""
    one = simulate(network, 1)
    interval = interval_of(network) if interval is None else interval
    frames = WARM_UP_FRAMES + MEASURED_FRAMES
    paced = simulate(network, frames, pace=interval)
    steady = paced.last_out(frames - 1) - paced.first_in(frames - 1)
    marks = {stage.name: paced.high_water(stage) for stage in network.stages if isinstance(stage, net.Fifo)}
    start = one.first_in(0)
    spans = {n: (flow.taken[0] - start, flow.taken[-1] - start) for n, flow in one.flows.items() if flow.taken}
    return Timing(one.first_out(0) - start, one.last_out(0) - start, steady, interval, marks, spans)
