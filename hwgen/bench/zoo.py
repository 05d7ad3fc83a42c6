"""What each architecture of `hwgen.zoo` costs in hardware, from its plan alone: nothing is trained or simulated.

Pictures of 32×32×3, ten classes, seeded weights of 8 bits, fresh from their initializers. Quick leaves out the networks
that take longest to lower.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from hwgen import zoo
from hwgen.bench.result import Options, Result, Row
from hwgen.cost.estimate import Estimate, estimate_plan
from hwgen.ir import Graph
from hwgen.rtl import RtlOptions
from hwgen.rtl.stream import FoldRequest, plan_stream
from hwgen.tools import cache_dir

SHAPE, OUTPUTS = (32, 32, 3), 10
PART, PERIOD_NS = "xck26-sfvc784-2LV-c", 4.0
BUDGETS = (128, 512)

FIRES = ((16, 64), (16, 64), None, (32, 128), (32, 128))
SMALL_V2 = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 2, 2))
SMALL_EFFICIENT = ((1, 3, 16, 1, 1), (6, 3, 24, 2, 1), (6, 5, 40, 2, 2), (6, 3, 80, 2, 2))
"""The first four stages of EfficientNet-B0, the picture halved twice in them."""

NETWORKS: dict[str, tuple[bool, Callable[[], Any]]] = {
    # name: whether --quick plans it too, and how it is built
    "resnet, depth 8": (True, lambda: zoo.resnet(SHAPE, OUTPUTS)),
    "resnet, depth 20": (False, lambda: zoo.resnet(SHAPE, OUTPUTS, depth=20)),
    "mobilenet_v1, width 0.25": (True, lambda: zoo.mobilenet_v1(SHAPE, OUTPUTS, width=0.25, stem_stride=1)),
    "mobilenet_v2, width 0.5": (True, lambda: _mobilenet_v2(0.5)),
    "squeezenet, width 0.5": (True, lambda: _squeezenet(0.5)),
    "efficientnet, width 0.5, phi 0": (True, lambda: _efficientnet(0.5, 0.0)),
    "  the same, no squeeze-excite": (False, lambda: _efficientnet(0.5, 0.0, squeeze=0.0)),
    "  the same, ReLU for hard swish": (False, lambda: _efficientnet(0.5, 0.0, activation="relu")),
    "efficientnet, width 0.5, phi 1": (False, lambda: _efficientnet(0.5, 1.0)),
}


def _mobilenet_v2(width: float) -> Any:
    return zoo.mobilenet_v2(SHAPE, OUTPUTS, width=width, stem_stride=1, stages=SMALL_V2, head=256)


def _squeezenet(width: float) -> Any:
    return zoo.squeezenet(SHAPE, OUTPUTS, width=width, stem=64, stem_kernel=3, stem_stride=1, fires=FIRES)


def _efficientnet(width: float, phi: float, **more: Any) -> Any:
    size = zoo.resolution(SHAPE[0], phi)
    args = {"width": width, "phi": phi, "stem_stride": 1, "stages": SMALL_EFFICIENT, "head": 512, **more}
    return zoo.efficientnet((size, size, SHAPE[2]), OUTPUTS, **args)


def run(options: Options) -> Result:
    """Lower every network, and plan it at several numbers of multipliers."""
    rows: list[Row] = []
    details: dict[str, Any] = {}
    worst = 0.0
    print(
        f"{'network':<32}{'weights':>9}{'products':>12}{'limit':>7}{'used':>6}{'interval':>10}{'÷ bound':>9}"
        f"{'latency µs':>12}{'LUT':>8}{'FF':>8}{'DSP':>6}{'BRAM18':>8}{'s':>6}"
    )
    for name, (quick, make) in NETWORKS.items():
        if options.quick and not quick:
            continue
        graph = lowered(make, options.seed)
        for budget in BUDGETS:
            start = time.monotonic()
            found, ratio = planned(graph, budget)
            seconds = time.monotonic() - start
            worst = max(worst, ratio)
            details[f"{name.strip()} at {budget}"] = {**asdict(found), "of_bound": ratio, "seconds": seconds}
            print(_line(name, budget, found, ratio, seconds), flush=True)
            key = "".join(c if c.isalnum() else "_" for c in name.strip())
            rows.append(
                Row(f"{key}_{budget}", f"{name.strip()}, {budget} multipliers: interval", found.interval_cycles)
            )
    return Result([Row("of_bound", "interval ÷ its lower bound, the worst", worst, at_most=1.05), *rows], details)


def lowered(make: Callable[[], Any], seed: int) -> Graph:
    """Return the graph of a network with the weights of its initializers."""
    from hwgen.lower import lower_model
    from hwgen.train.env import seed_everything

    seed_everything(seed)
    precision = {"input": "ufixed<8,0>", "layers": {}, "allow_wrap": False}
    precision |= dict.fromkeys(("weight", "bias", "activation", "result", "accum"))
    hardware = {"part": PART, "clock_period_ns": PERIOD_NS, "io_type": "io_stream", "reuse_factor": None, "layers": {}}
    spec = SimpleNamespace(
        model=SimpleNamespace(name="zoo", output="logits", layers=None),
        precision=SimpleNamespace(**precision),
        hardware=SimpleNamespace(**hardware),
    )
    return lower_model(make(), spec).graph


def planned(graph: Graph, budget: int) -> tuple[Estimate, float]:
    """Return the figures at a number of multipliers, and the interval ÷ its lower bound."""
    options = RtlOptions(clock_period_ns=PERIOD_NS, part=PART, cache=cache_dir())
    plan = plan_stream(graph, options, FoldRequest(reuse_factor=None, max_multipliers=budget))
    return estimate_plan(plan), plan.timing.interval_cycles / plan.folding.bound_cycles


def _line(name: str, budget: int, found: Estimate, ratio: float, seconds: float) -> str:
    cost = [found.lut, found.ff, found.dsp, found.bram_18k]
    texts = ["–" if value is None else f"{value:,}" for value in cost]
    latency = found.latency_cycles * PERIOD_NS / 1000
    return (
        f"{name:<32}{found.weights:>9,}{found.multiplications:>12,}{budget:>7}{found.multipliers or 0:>6}"
        f"{found.interval_cycles:>10,}{ratio:>9.3f}{latency:>12,.1f}"
        f"{texts[0]:>8}{texts[1]:>8}{texts[2]:>6}{texts[3]:>8}{seconds:>6.1f}"
    )
