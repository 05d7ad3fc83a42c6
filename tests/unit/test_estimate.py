"""The figures of a plan, held against the SystemVerilog that is made from it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hwgen.bench.networks import conv_network, dense_network
from hwgen.cost.estimate import estimate_plan, kernels, multiplications
from hwgen.rtl import RtlOptions, plan
from hwgen.rtl.stream import FoldRequest, emit_stream, plan_stream


def rom_bits(files: dict[str, bytes]) -> int:
    """Return the bits of the weight and schedule memories as written: words times bits of a word."""
    total = 0
    for name, content in files.items():
        if name.endswith("_weights.sv") or name.endswith("_schedule.sv"):
            text = content.decode()
            width = int(re.search(r"output logic \[(\d+):0\] data_o", text).group(1)) + 1
            total += width * max(1, len(re.findall(r"^ +\d+'d\d+: ", text, re.MULTILINE)))
    return total


@pytest.mark.parametrize("density", [1.0, 0.2])
def test_weight_memory_is_what_the_files_hold(density: float) -> None:
    decided = plan_stream(
        conv_network("shapes", density, 0), RtlOptions(), FoldRequest(reuse_factor=None, max_multipliers=24)
    )
    found = estimate_plan(decided)
    written = rom_bits(dict(emit_stream(decided).files))
    biases = found.memory_bits - written
    assert written > 0 and 0 <= biases < 0.2 * found.memory_bits
    assert found.multipliers == decided.folding.multipliers <= 24
    assert (found.latency_cycles, found.interval_cycles) == (
        decided.predicted.latency_cycles,
        decided.predicted.interval_cycles,
    )
    assert found.activation_bits > 0 and found.lut > 0


def test_zeros_are_not_multiplied() -> None:
    dense, sparse = (conv_network("shapes", density, 0) for density in (1.0, 0.2))
    assert multiplications(sparse) < 0.3 * multiplications(dense)
    nonzero = sum(int(np.count_nonzero(value)) for value in kernels(sparse))
    found = estimate_plan(plan(dense_network("jets", (8, 12, 5), 0), RtlOptions()))
    assert found.memory_bits is None and found.interval_cycles == 1
    assert nonzero < 0.3 * sum(value.size for value in kernels(sparse))
    assert found.multiplications == found.nonzero <= found.weights == 8 * 12 + 12 * 5
