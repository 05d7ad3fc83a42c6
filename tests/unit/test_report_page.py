"""report.html and report.json: every section, every status, hostile text, missing and broken files."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_folder import SECTIONS, change, make_folder, pair
from typer.testing import CliRunner

from hwgen.api import page_of, show
from hwgen.bench.networks import dense_network
from hwgen.cli import app
from hwgen.fixed import FixedPoint
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.report.browser import open_page
from hwgen.report.distributions import activation_rows, weight_rows
from hwgen.report.page import page_html
from hwgen.report.page_data import page_data
from hwgen.report.table import table
from hwgen.report.timeline import timeline

VOID = {"meta", "link", "br", "wbr", "rect", "line", "path", "polyline"}


class Page(HTMLParser):
    """A page's structure: ids in order, text, tags left open, whatever could load or run something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.open: list[str] = []
        self.active: list[str] = []
        self.pictures: list[str | None] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        self.text += " " if tag in ("th", "td", "br", "li", "p", "div", "tr", "h2", "h3", "span") else ""
        self.ids += [values["id"]] if "id" in values else []
        self.active += [tag] if tag in ("script", "iframe", "object", "embed", "img", "form", "base") else []
        self.active += [f"{k}={v}" for k, v in attrs if k.startswith("on")]
        for key in ("src", "href", "action", "xlink:href"):
            value = values.get(key)
            self.active += [value] if value and not value.startswith("#") and value != "data:," else []
        if tag == "svg":
            self.pictures.append(values.get("aria-label"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.text += data


@pytest.fixture(scope="module", params=["io_parallel", "io_stream"])
def made(request, tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("made") / request.param, request.param)


@pytest.fixture
def folder(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "build"))


def read(folder: Path) -> tuple[dict, Page, str]:
    """Write the page as the command does; return its data, its structure and its text."""
    html = page_of(folder).read_text()
    page = Page(html)
    assert not page.open and not page.active
    assert [name for name in page.ids if name in SECTIONS] == list(SECTIONS)
    assert "http" not in re.sub(r"http-equiv", "", html) and "@import" not in html and "url(" not in html
    return json.loads((folder / "report.json").read_text()), page, " ".join(page.text.split())


def test_a_build_that_passed(folder) -> None:
    data, page, text = read(folder)
    assert data["version"] == 1 and data["status"] == "PASS" and "✓ PASS" in text
    assert "integer graph = SystemVerilog 24 vectors, 0 differ" in text
    assert "Not checked: timing closure, vendor simulators and tools." in text
    assert "integer graph = netlist" in text
    assert all(data[name].get("reason") is None for name in ("accuracy", "timeline", "cost", "weights", "activations"))
    assert all(label for label in page.pictures) and len(page.pictures) > 20
    assert (folder / "report.html").stat().st_size < 3_000_000
    stream = data["design"]["io_type"] == "io_stream"
    assert bool(data["folding"]["rows"]) == stream and bool(data["fifos"]["rows"]) == stream
    assert ("bottleneck" in text.split("Folding and bottleneck")[1]) == stream
    last = data["timeline"]["rows"][-1]["last"]
    assert last == data["timeline"]["latency_cycles"] == data["evidence"]["timing"]["latency"]["measured"]


def test_robustness_before_and_after(folder) -> None:
    """A row a severity, with the change by compression; on the screen a line a disturbance."""
    assert "Robustness not measured: verify.robustness does not ask for it" in read(folder)[2]
    assert "Robustness (" not in table(show(folder).report, ".")
    rows = [("noise", 0.1, 0.875, 0.75), ("noise", 0.2, 0.5, 0.5), ("shifted", "<b>.npz", 0.25, 0.125)]
    found = {
        "version": 1,
        "metric": "accuracy",
        "seed": 3,
        "frames": 8,
        "clean": {"before": 0.9, "after": 0.9},
        "rows": [dict(zip(("name", "severity", "before", "after"), row, strict=True)) for row in rows],
    }
    (folder / "reports" / "robustness.json").write_text(json.dumps(found))
    with (folder / "resolved.yaml").open("a") as stream:
        stream.write("verify: {robustness: {noise: [0.1, 0.2]}}\n")
    data, _, text = read(folder)
    assert "noise 0.1 87.50 % 75.00 % -12.50" in text and "shifted <b>.npz 25.00 % 12.50 % -12.50" in text
    assert "8 test frames, disturbed (seed 3), before and after compression" in text
    assert [row["name"] for row in data["robustness"]["rows"]] == ["clean", "noise", "noise", "shifted"]
    screen = [line.split("  ") for line in table(show(folder).report, ".").splitlines() if " noise " in line]
    assert [[cell.strip() for cell in line if cell.strip()] for line in screen] == [
        ["noise", "0.1 / 0.2", "87.5 / 50.0 %", "75.0 / 50.0 %"]
    ]
    for row in (found["clean"], *found["rows"]):
        del row["after"]  # type: ignore[attr-defined]
    (folder / "reports" / "robustness.json").write_text(json.dumps(found))
    text = read(folder)[2]
    assert "noise 0.2 50.00 % " in text and "before and after" not in text
    (folder / "reports" / "robustness.json").write_text('{"clean": {}}')
    assert "Robustness not measured" in read(folder)[2]


def test_cost_says_whose_figures_they_are(folder) -> None:
    data, _, text = read(folder)
    assert data["cost"]["shown"] == ["LUT", "FF", "depth"]
    assert data["cost"]["by_layer"][0] == ["LUT", "FF"]
    assert "Predicted estimate" in text and "Synthesized yosys pyosys 0.70" in text
    assert "NOT RUN" in text and "nextpnr-ecp5 is not installed" in text
    assert "layer kind bits" in text and "fc0 LUT RAM 4,096" in text and "fc1 block RAM –" in text
    assert "utilization LUT 0.25 FF –" in text and "limit fc1" in text and "misplaced none" in text
    assert "Synthesized, xcup: critical path: 7.5 ns in fc0 -> fc1" in text
    assert "Synthesized, xcup: too small: 12 LUT" in text and "would fit: reuse_factor 4" in text
    assert "clock: about 7.05 ns, an estimate from depth (17 levels x 0.4 ns); not measured" in text
    tables = data["cost"]["tables"]
    change(folder, "reports/cost.json", tables=[tables[2], tables[1] | {"layers": [{"layer": "fc0"}]}, tables[0]])
    text = read(folder)[2]
    assert "By layer: predicted" in text and "By layer: synthesized" not in text
    assert re.search(r"layer LUT FF (fc0|c1) 100", text)
    some = [{"layer": "fc0", "LUT": 7}, {"layer": "(top)"}]  # one part of a synthesis was cut
    change(folder, "reports/cost.json", tables=[tables[1] | {"layers": some, "total": {}, "status": "FAILED"}])
    assert re.search(r"By layer: synthesized.*fc0 7", read(folder)[2])
    (folder / "reports" / "cost.json").unlink()
    change(folder, "reports/prediction.json", cost=data["cost"]["tables"][0])
    data, _, text = read(folder)
    assert [t["kind"] for t in data["cost"]["tables"]] == ["predicted"] and "Predicted estimate" in text
    change(folder, "reports/prediction.json", cost=None)
    assert "no cost is known: the cost stage has not run on this build" in read(folder)[2]


def test_hwgen_cost_writes_the_report_anew(folder) -> None:
    table = json.loads((folder / "reports" / "cost.json").read_text())["tables"][0] | {"device": "xcvu13p-flga2577-2-e"}
    change(folder, "reports/prediction.json", cost=table)
    result = CliRunner().invoke(app, ["cost", str(folder), "--kind", "predicted", "--part", "xcvu13p-flga2577-2-e"])
    assert result.exit_code == 0, result.output
    tables = json.loads((folder / "report.json").read_text())["cost"]["tables"]
    assert "xcvu13p-flga2577-2-e" in [one["device"] for one in tables]
    assert (folder / "report.html").is_file()


def test_unreadable_cost_is_said(folder) -> None:
    change(folder, "reports/cost.json", tables=[{"kind": "guess"}, {"kind": "predicted", "source": "me", "device": 1}])
    assert "a table of reports/cost.json cannot be read" in read(folder)[2]


def test_a_mismatch(folder) -> None:
    place = {"set": "random", "index": 3, "seed": 0, "layer": "fc0", "element": 7, "agree": []}
    numbers = {"graph_integer": -23, "graph_value": -0.5, "rtl_integer": -22, "rtl_value": -0.4, "type": "fixed<9,4>"}
    pairs = [pair("qkeras", "graph"), pair("graph", "hls_cpp"), pair("graph", "rtl", 2)]
    change(folder, "verification.json", status="FAIL", pairs=pairs, mismatch=place | numbers, reason="rtl differs",
           failed_checks=["graph = rtl: 2 of 24 vectors differ"])  # fmt: skip
    data, _, text = read(folder)
    assert data["status"] == "FAIL" and data["exit_status"] == 1
    assert "✗ FAIL" in text and "2 differ" in text
    assert "graph and rtl disagree: 2 of 24 vectors" in text and "fc0, element [7]" in text
    assert "of the integer graph" in text  # the accuracy: not that of the RTL


def test_a_missing_tool(folder) -> None:
    pairs, gone = [pair("qkeras", "graph"), pair("graph", "hls_cpp")], ("latency", "interval", "stalls", "fifos")
    reason = "verilator is not installed"
    change(folder, "verification.json", status="NOT RUN", reason=reason, pairs=pairs, **dict.fromkeys(gone))
    data, _, text = read(folder)
    assert data["status"] == "NOT RUN" and "○ NOT RUN" in text and "verilator is not installed" in text
    assert "integer graph = SystemVerilog NOT RUN" in text and "predicted only" in text


def test_an_unmet_requirement(folder) -> None:
    with (folder / "resolved.yaml").open("a") as stream:
        stream.write("verify: {require: {latency_cycles: 1}}\n")
    data, _, text = read(folder)
    assert data["status"] == "UNMET" and "✗ UNMET" in text and "verify.require.latency_cycles" in text


@pytest.mark.parametrize("last", ["spec", "train", "compress", "lower", "rtl"])
def test_a_build_that_stopped(folder, last) -> None:
    stages = ["spec", "train", "compress", "lower", "rtl"]
    made = {"train": ["reports/train.json"], "compress": ["reports/compress.json"],
            "lower": ["reports/lower.json", "graph", "tb"], "rtl": ["rtl", "reports/prediction.json"]}  # fmt: skip
    later = [path for stage in stages[stages.index(last) + 1 :] for path in made[stage]]
    for path in [*later, "verification.json", "reports/cost.json"]:
        target = folder / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    manifest = json.loads((folder / "manifest.json").read_text())["stages"]
    change(folder, "manifest.json", stages={name: manifest[name] for name in stages[: stages.index(last) + 1]})
    data, _, text = read(folder)
    assert data["status"] == "PARTIAL" and "NOT VERIFIED" in text and "Not checked: the RTL." in text
    lowered, planned = last in ("lower", "rtl"), last == "rtl"
    assert bool(data["weights"]["rows"]) == bool(data["activations"]["rows"]) == lowered
    assert bool(data["timeline"]["rows"]) == planned
    assert lowered or "has not been lowered" in text
    assert planned or "the RTL has not been generated" in text


def test_broken_files_are_reasons_not_crashes(folder) -> None:
    (folder / "tb" / "vectors.npz").write_bytes(b"not a zip")
    (folder / "reports" / "cost.json").write_text("{")
    text = read(folder)[2]
    assert "the test vectors cannot be evaluated" in text and "no cost is known" in text
    change(folder, "reports/prediction.json", taps=[{"node": "x"}], fifos=[3], latency_cycles=5)
    change(folder, "rtl/design.json", statistics={"layers": [{"layer": "fc0"}]}, taps=[{"cycle": "x"}])
    change(folder, "verification.json", fifos=None)
    text = read(folder)[2]
    for what in ("cycles of the layers", "folding table of rtl/design.json", "FIFOs of reports/prediction.json"):
        assert f"the {what} cannot be read" in text
    (folder / "graph" / "weights.npz").write_bytes(b"PK")
    assert "the graph cannot be read" in read(folder)[2]


def test_what_users_write_is_escaped(folder) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    change(folder, "verification.json", status="FAIL", reason=evil, not_checked=[evil], tools={evil: evil},
           failed_checks=[evil], seeds={evil: [evil]}, inputs={evil: evil, "rtl": {evil: evil}})  # fmt: skip
    change(folder, "reports/train.json", metric=evil, data={"name": evil, "train": 1, "test": 8, "digest": evil})
    change(folder, "reports/lower.json", notes=[evil])
    design = json.loads((folder / "rtl" / "design.json").read_text())
    for row in design["statistics"].get("layers", []):
        row["layer"] = evil
    for tap in design["taps"]:
        tap["node"] = evil
    change(folder, "rtl/design.json", part=evil, taps=design["taps"], statistics=design["statistics"])
    table = json.loads((folder / "reports" / "cost.json").read_text())["tables"][0]
    table |= {"device": evil, "tool": evil, "reason": evil, "details": {evil: evil}}
    table["layers"][0]["layer"] = evil
    change(folder, "reports/cost.json", tables=[table], part=evil)
    with (folder / "resolved.yaml").open("a") as stream:
        stream.write(f"# {evil}\n")
    text = read(folder)[2]  # no element of the text is one of the page
    assert text.count("<script>alert(1)</script>") >= 10


def test_the_page_is_the_same_twice_and_the_second_is_not_evaluated(folder, monkeypatch) -> None:
    first = page_of(folder).read_bytes()
    monkeypatch.setattr("hwgen.report.page_data.activation_rows", None)  # a call would raise
    assert page_of(folder).read_bytes() == first
    data = json.loads((folder / "report.json").read_text())
    assert page_html(data) == first.decode()  # the page shows report.json and nothing else


def test_histograms_count_everything_once() -> None:
    graph = dense_network("net", (6, 9, 4), 3)
    frames = {"x": np.random.default_rng(0).integers(-128, 128, (50, 6))}
    rows, used = activation_rows(graph, frames)
    traced = graph.evaluate(frames, trace=True)
    assert used == 50 and [row["layer"] for row in rows] == ["x", "fc0", "relu0", "fc1"]
    for row in rows:
        values = traced[row["layer"]]
        assert row["zeros"] + sum(row["bins"]) == row["values"] == values.size
        assert row["used"] == [values.min() * row["lsb"], values.max() * row["lsb"]]
        assert len(row["bins"]) <= 64 and row["range"][0] + len(row["bins"]) * row["step"] > row["range"][1]
        place = np.random.default_rng(1).choice(values[values != 0], 20)
        for value in place * row["lsb"]:
            assert row["bins"][int((value - row["range"][0]) // row["step"])] > 0
    assert rows[1]["clipped"] is None  # a sum cannot be clipped
    sums = traced["fc0"] * 2.0 ** -graph.types["fc0"].fraction
    fmt = FixedPoint.parse("ufixed<6,2,RND_CONV,SAT>")
    assert rows[2]["clipped"] == (np.round(sums / fmt.lsb) > fmt.int_max).sum() > 0
    (first, _) = weight_rows(graph)
    weights = graph.by_name["fc0_w"].value
    assert first["zeros"] == (weights == 0).sum() and first["values"] == weights.size


def test_large_networks_get_fewer_vectors(monkeypatch) -> None:
    graph = dense_network("net", (6, 9, 4), 3)
    size = sum(graph.types[node.name].size for node in graph.nodes)
    monkeypatch.setattr("hwgen.report.distributions.ELEMENTS", 7 * size)
    monkeypatch.setattr("hwgen.report.distributions.BLOCK", 3 * size)
    frames = {"x": np.random.default_rng(0).integers(-128, 128, (50, 6))}
    rows, used = activation_rows(graph, frames)
    assert used == 7 and rows[0]["values"] == 7 * 6


def test_an_unrolled_layer_begins_when_its_latest_operand_is_there() -> None:
    fmt = FixedPoint(4, 4)
    nodes = [ir.Input(name="x", shape=(2,), fmt=fmt), ir.Add(name="a", inputs=("x", "x"))]
    nodes += [ir.Reshape(name="r", inputs=("a",), shape=(2,)), ir.Add(name="b", inputs=("r", "x"))]
    graph = Graph("g", (*nodes, ir.Output(name="y", inputs=("b",)))).verify()
    design = {"taps": [{"node": "a", "cycle": 2}, {"node": "b", "cycle": 5}]}
    found = timeline(design, {"latency_cycles": 7}, graph)
    assert [(r["layer"], r["first"], r["last"]) for r in found["rows"]] == [
        ("a", 0, 2), ("b", 2, 5), ("(output registers)", 5, 7)
    ]  # fmt: skip


def test_the_command_opens_a_browser_only_where_one_can_be_seen(folder, monkeypatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    result = CliRunner().invoke(app, ["show", str(folder), "--html"])
    assert result.exit_code == 0 and str(folder / "report.html") in result.output and not opened
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_page(folder / "report.html") == str(folder / "report.html")
    assert opened == [(folder / "report.html").resolve().as_uri()]
    result = CliRunner().invoke(app, ["show", str(folder.parent), "--html"])
    assert result.exit_code == 2 and "not a build folder" in result.output


def test_every_figure_of_the_page_is_in_the_data(made) -> None:
    data = page_data(show(made).report, made)
    assert set(data) >= {"name", "status", "verdict", *SECTIONS}
    json.dumps(data, allow_nan=False)
