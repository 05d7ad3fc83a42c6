"""The cocotb side must not pass silently: missing, empty, failing and skipped results."""

from __future__ import annotations

from pathlib import Path

import pytest
from sim_design import tiny_design, tiny_folder, tiny_graph

from hwgen.errors import ProofError
from hwgen.ir.vectors import load_vectors
from hwgen.sim.cocotb_run import build_bench, read_results, run_bench, run_cocotb
from hwgen.sim.evidence import Evidence, Ledger, junit

CASE = '<testcase name="{name}" time="0.5">{inner}</testcase>'


def _xml(path: Path, *cases: str) -> Path:
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return path


def test_results_are_read(tmp_path: Path) -> None:
    good = CASE.format(name="a", inner="")
    bad = CASE.format(name="b", inner='<failure error_msg="it broke" />')
    skipped = CASE.format(name="c", inner="<skipped />")
    rows = read_results(_xml(tmp_path / "r.xml", good, bad, skipped))
    assert rows == [("a", None, 0.5), ("b", "it broke", 0.5), ("c", "skipped", 0.5)]


def test_missing_empty_or_cut_results_are_failures(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="left no results"):
        read_results(tmp_path / "none.xml", "the log")
    with pytest.raises(ProofError, match="ran no test"):
        read_results(_xml(tmp_path / "r.xml"))
    (tmp_path / "cut.xml").write_text("<testsuites><testsuite>")
    with pytest.raises(ProofError, match="left no results"):
        read_results(tmp_path / "cut.xml")


def test_what_did_not_run_is_never_a_pass() -> None:
    ledger = Ledger()
    assert ledger.status([]) == "NOT RUN"
    ledger.add("a: x", True)
    assert ledger.status(["a"]) == "PASS"
    assert ledger.status(["a", "b"]) == "NOT RUN"
    ledger.add("b", False, "it broke")
    assert ledger.status(["a", "b"]) == "FAIL"
    text = junit(Evidence("FAIL", {"model": "m"}, tuple(ledger.checks)))
    assert 'failures="1"' in text and 'errors="1"' in text and "it broke" in text


@pytest.mark.verilator
def test_a_faulty_core_fails_its_cocotb_bench_and_a_bench_that_dies_is_an_error(tmp_path: Path) -> None:
    edit = ("used_q != 0", "used_q != 0 && (out_ready_i || used_q > 1)")  # valid waits for ready
    folder = tiny_folder(tmp_path / "build", edit=edit)
    vectors, graph = load_vectors(folder / "tb" / "vectors.npz"), tiny_graph()
    expected = {name: graph.evaluate(frames) for name, frames in vectors.items()}
    program = build_bench("tiny", [folder / "rtl" / "tiny.sv"], tmp_path / "sim")
    result = run_bench("core", program, tiny_design(), vectors, expected, 0, tmp_path)
    failed = {name for name, message, _ in result.tests if message is not None}
    assert "sink_waits_for_valid" in {name.rsplit(".", 1)[-1] for name in failed}
    assert len(failed) < len(result.tests)
    with pytest.raises(ProofError):
        run_cocotb(program, "no_such_module", {}, tmp_path / "x", top="tiny", seed=0)
