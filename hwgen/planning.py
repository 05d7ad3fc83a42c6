"""From a graph and model.yaml to a plan: the one place that turns the keys of `hardware` into a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwgen.ir import Graph
    from hwgen.rtl import RtlOptions
    from hwgen.rtl.generate import Plan
    from hwgen.rtl.stream.folding import FoldRequest
    from hwgen.rtl.stream.generate import StreamPlan
    from hwgen.spec import ModelSpec


def rtl_options(spec: ModelSpec) -> RtlOptions:
    """Return what the RTL generator is told of `hardware`."""
    from hwgen.rtl import RtlOptions
    from hwgen.tools import cache_dir

    hardware = spec.hardware
    return RtlOptions(
        clock_period_ns=hardware.clock_period_ns,
        strategy=hardware.strategy,
        handshake=hardware.handshake,
        axis_bytes=hardware.axis_bytes,
        part=hardware.part,
        layer_strategy={name: layer.strategy for name, layer in hardware.layers.items() if layer.strategy},
        cache=cache_dir(),
    )


def fold_request(spec: ModelSpec) -> tuple[FoldRequest, int | None]:
    """Return the fold asked for, and the largest latency in cycles (None: any)."""
    from hwgen.rtl.stream import FoldRequest

    hardware, target = spec.hardware, spec.hardware.target
    interval, period = target.interval_cycles, hardware.clock_period_ns
    if target.throughput_hz is not None:
        interval = int(1e9 / (period * target.throughput_hz) * (1 + 1e-12))
    latency = None if target.latency_us is None else int(target.latency_us * 1000 / period * (1 + 1e-12))
    limits = [n for n in (target.max_multipliers, target.max_dsp) if n is not None]
    request = FoldRequest(
        reuse_factor=hardware.reuse_factor,
        layer_reuse={name: layer.reuse_factor for name, layer in hardware.layers.items() if layer.reuse_factor},
        interval_cycles=interval,
        max_multipliers=min(limits, default=None),
        strategy=hardware.strategy,
        layer_strategy={name: layer.strategy for name, layer in hardware.layers.items() if layer.strategy},
    )
    return request, latency


def plan_network(graph: Graph, spec: ModelSpec) -> Plan | StreamPlan:
    """Decide everything about the hardware of `graph` before any SystemVerilog is written.

    Raises
    ------
    RequirementError
        If `hardware.target` cannot be met.
    """
    from hwgen.rtl import plan
    from hwgen.rtl.stream import plan_stream

    if spec.hardware.io_type == "io_parallel":
        return plan(graph, rtl_options(spec))
    request, latency = fold_request(spec)
    return plan_stream(graph, rtl_options(spec), request, latency)
