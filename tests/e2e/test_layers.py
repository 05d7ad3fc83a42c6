"""Every layer and quantizer that is lowered, through all four representations: QKeras, graph, HLS C++, RTL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lower_helpers import chain, qdense
from test_lower_traps import TWO_INPUTS, everything, merges

import hwgen

pytestmark = [pytest.mark.e2e, pytest.mark.keras, pytest.mark.gxx, pytest.mark.verilator]

SOFTMAX = {"model": {"output": "softmax"}}
ARGMAX = {"model": {"output": "argmax"}, "hardware": {"handshake": "none"}}
PLAIN = {"hardware": {"strategy": "latency", "handshake": "none", "clock_period_ns": 2}}


def softmax() -> Any:
    return chain(qdense(5, "d", activation="softmax"))


CASES = [
    ("every quantizer", everything, "fixed<8,3>", {}),
    ("every merge", merges, TWO_INPUTS, {}),
    ("every merge, plain multipliers", merges, TWO_INPUTS, PLAIN),
    ("softmax", softmax, "fixed<8,3>", SOFTMAX),
    ("argmax", softmax, "fixed<8,3>", ARGMAX),
]


@pytest.mark.parametrize(("make", "types", "more"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_exact_from_the_model_file_to_the_rtl(make: Any, types: Any, more: dict[str, Any], tmp_path: Path) -> None:
    """A brought file without data: there is no test set, and the random frames and corners must all agree."""
    make().save(tmp_path / "net.keras")
    document = {"precision": {"input": types}, "outputs": {"cost": False}, **more}
    document["verify"] = {"random_vectors": 2000, "netlist": False}
    document["model"] = {"file": "net.keras", **more.get("model", {})}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(document))
    result = hwgen.build(tmp_path / "model.yaml", out=tmp_path / "out")
    assert result.status == "PASS", result.report.reason
    pairs = {(p.a, p.b): p for p in result.report.pairs if p.requested}
    assert set(pairs) == {("qkeras", "graph"), ("graph", "hls_cpp"), ("graph", "rtl")}
    for pair in pairs.values():
        assert pair.mismatches == 0 and not pair.sets.get("test") and pair.sets["random"] == 2000
        assert pair.sets["corners"] > 0
