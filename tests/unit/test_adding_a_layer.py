"""The worked example of docs/adding_a_layer.md is run as it stands there."""

from __future__ import annotations

import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from test_rtl_nodes import check, inp, outputs

from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.ir.evaluate import evaluate_node
from hwgen.ir.infer import infer_type
from hwgen.rtl.rules import Term, lower_node, select


@pytest.mark.verilator
def test_the_worked_example_gives_hardware(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (root / "docs" / "adding_a_layer.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    extended = types.ModuleType("extended")  # hwgen.ir.nodes with the new kind in it
    vars(extended).update(vars(ir))
    names = dict(vars(extended), dataclass=dataclass, np=np, ir=extended, Term=Term, select=select)
    names |= {"infer_type": infer_type, "evaluate_node": evaluate_node, "lower_node": lower_node}
    monkeypatch.setitem(sys.modules, "extended", extended)
    names["__name__"] = "extended"
    for block in blocks:
        exec(block.replace("(node: ir.Abs,", "(node: Abs,"), names)
        extended.Abs = names["Abs"]
    nodes = [inp("x", (5,), "fixed<5,3>"), names["Abs"](name="size", inputs=("x",)), *outputs("size")]
    check(Graph("absolute", tuple(nodes)), tmp_path)
