"""`hwgen bench`: the list, bars, what is missing, the history; the benchmarks themselves run in `make bench`."""

from __future__ import annotations

import json
import os
import re

import pytest
from typer.testing import CliRunner

from hwgen.bench import history, lut_peers
from hwgen.bench.dslx import dslx_text
from hwgen.bench.networks import dense_network
from hwgen.bench.registry import BENCHMARKS, Benchmark, load
from hwgen.bench.result import Options, Result, Row, table
from hwgen.bench.run import bench, choose
from hwgen.cli import app
from hwgen.errors import HwgenError

ROWS = [
    Row("good", "a ratio", 0.5, at_most=1),
    Row("bad", "another", 3.0, at_most=2),
    Row("free", "no bar", 12345.6),
    Row("gone", "a peer", None, at_most=1, reason="not installed: pip install it"),
]


def test_every_benchmark_of_the_list_is_there_and_documented(root) -> None:
    text = (root / "docs" / "benchmarks.md").read_text()
    for benchmark in BENCHMARKS:
        assert callable(load(benchmark.module)) and f"--only {benchmark.name}" in text
    assert len({b.name for b in BENCHMARKS}) == len(BENCHMARKS)


def test_bars() -> None:
    assert [row.verdict for row in ROWS] == ["met", "MISSED", "", "NOT RUN"]
    assert [row.met for row in ROWS] == [True, False, None, None]
    assert Row("x", "x", 5.0, at_least=5, at_most=6).met and not Row("x", "x", 4.9, at_least=5).met
    lines = table(ROWS).splitlines()
    assert re.search(r"another +3 +≤ 2 +MISSED", lines[1]) and "12,346" in lines[2]
    assert lines[3].endswith("NOT RUN  not installed: pip install it")


def test_names() -> None:
    assert choose([]) == list(BENCHMARKS)
    assert [b.name for b in choose(["mutants,speed"])] == ["speed", "mutants"]  # in the order of the list
    with pytest.raises(HwgenError) as error:
        choose(["mutant"])
    assert error.value.found == "mutant" and error.value.expected == "mutants?"
    assert CliRunner().invoke(app, ["bench", "--only", "nothing"]).exit_code == 2


def test_a_real_benchmark_through_the_command(tmp_path) -> None:
    result = CliRunner().invoke(app, ["bench", "--quick", "--only", "report", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert re.search(r"report.html of small, MB +0\.\d+ +≤ 3 +met", result.output)
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["status"] == "DONE" and document["rows"][0]["met"] is True
    (run,) = history.read(tmp_path)
    assert run["machine"]["cores"] >= 1 and run["versions"]["alkaid"] and run["quick"] is True
    assert run["benchmarks"]["report"]["rows"]["size_mb"] == document["rows"][0]["value"]
    shown = CliRunner().invoke(app, ["bench", "--history", "--out", str(tmp_path)]).output
    assert "report.size_mb" in shown and run["date"][:10] in shown


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("return Result([Row('k', 'w', 3.0, at_most=2)])", "DONE", 1),
        ("return Result([Row('k', 'w', None, at_most=2, reason='no peer')])", "DONE", 0),
        ("raise ToolMissing('verilator is missing', hint='get it')", "NOT RUN", 4),
        ("raise ProofError('it does not give the same integers')", "FAILED", 1),
        ("raise RuntimeError('a bug')", "FAILED", 1),
        ("import os; os.abort()", "FAILED", 1),
    ],
)
def test_what_goes_wrong_is_said(tmp_path, monkeypatch, body, status, code) -> None:
    """A benchmark that ends in each way, in a process of its own as the real ones."""
    source = "from hwgen.bench.result import Options, Result, Row\nfrom hwgen.errors import ProofError, ToolMissing\n"
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "case.py").write_text(f"{source}def run(options):\n    {body}\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr("hwgen.bench.run.BENCHMARKS", (Benchmark("case", "a case", "cases"),))
    said: list[str] = []
    assert bench([], Options(), tmp_path, said.append) == code
    assert json.loads((tmp_path / "case.json").read_text())["status"] == status
    (run,) = history.read(tmp_path)
    assert run["benchmarks"]["case"]["status"] == status
    assert "every bar" in said[-1] or status in said[-1] or "missed" in said[-1] or "failed" in said[-1]


def test_a_missing_peer_is_a_row_that_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr(lut_peers, "find_spec", lambda name: None)
    assert "pip install" in str(lut_peers.why_no_xls(Options()))
    monkeypatch.setattr(lut_peers, "find_spec", lambda name: object())
    assert lut_peers.why_no_xls(Options()) is None
    assert lut_peers.why_no_xls(Options(quick=True)) == "left out by --quick"


def test_a_peer_that_nothing_of_ours_matches_misses_its_bar() -> None:
    peer = lut_peers.Point("alkaid", "cutoff 5", 9, 29_000, 1, 114, 1.0)
    ours = [
        lut_peers.Point("hwgen", "4 ns", 8, 25_000, 1, 98, 1.0),
        lut_peers.Point("hwgen", "3 ns", 10, 20_000, 1, 90, 1.0),
    ]
    row = lut_peers.against("alkaid", ours, peer)
    assert row.value == 25_000 / 29_000 and row.met
    row = lut_peers.against("alkaid", ours[1:], peer)  # fewer LUTs, but more clocks
    assert row.met is False and "worse" in row.what


@pytest.mark.parametrize("peer", [True, False])
def test_rows_of_the_peers(monkeypatch, peer) -> None:
    """The wiring alone: what would be synthesized for minutes is stood in for."""

    def made(lut: int, who: str = "hwgen"):
        return lambda graph, setting, *rest, **options: lut_peers.Point(
            who, str(setting), 6, lut // (1 + (options.get("strategy") == "distributed_arithmetic")), 1, 90, 1.0
        )

    monkeypatch.setattr(lut_peers, "alkaid_program", lambda graph: graph)
    monkeypatch.setattr(lut_peers, "find_spec", lambda name: object() if peer else None)
    for name, lut in (("alkaid_point", 300), ("xls_point", 260), ("dslx_point", 400), ("hwgen_point", 250)):
        monkeypatch.setattr(lut_peers, name, made(lut, name.removesuffix("_point")))
    rows = {row.key: row for row in lut_peers.run(Options()).rows}
    assert rows["alkaid"].value == 250 / 300 and rows["layer_layer"].value == 0.5 and rows["generate_s"].met
    assert rows["xls"].value == (250 / 260 if peer else None) and rows["xls_dslx"].met is (True if peer else None)
    assert peer or "pip install" in str(rows["xls"].reason)


def test_a_broken_history_names_its_line(tmp_path) -> None:
    assert history.read(tmp_path) == [] and "no run yet" in history.table([])
    history.append(tmp_path, history.record(Options(), {}))
    with (tmp_path / history.FILE).open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(HwgenError) as error:
        history.read(tmp_path)
    assert error.value.where.endswith("line 2")


def test_the_history_marks_what_was_missed() -> None:
    document = {"status": "DONE", "seconds": 1.0, **Result(ROWS).to_json()}
    runs = [history.record(Options(), {"case": document})] * 7
    shown = history.table(runs)
    assert len(shown.splitlines()[0].split("  ")) > history.SHOWN and shown.count("3 *") == history.SHOWN
    assert "NOT RUN" in shown


def test_dslx_is_the_same_layers() -> None:
    graph = dense_network("net", (3, 4, 2), 0, relu="ufixed<6,2,RND,SAT>")
    text = dslx_text(graph)
    weights = graph.by_name["fc0_w"].value
    assert text.count(" * s") == sum((graph.by_name[f"fc{k}_w"].value != 0).sum() for k in range(2))
    assert f"x{int(weights.any(axis=1).argmax())} * " in text
    assert "pub fn model(x: s8[3]) ->" in text and text.count("relu0_one(x[") == 4
