"""`hwgen compare` without training: figures against the first, builds that fail, the page, equal bytes."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_folder import change, make_folder
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.compare import Column, Comparison, compare, figures
from hwgen.compare.column import ROWS, failed_column
from hwgen.compare.cpu import cpu_name, measure_here
from hwgen.compare.page import page_html
from hwgen.errors import ErrorList, HwgenError, ProofError, RequirementError, SpecError, ToolMissing
from hwgen.files import json_bytes

ESTIMATE = {
    "latency_cycles": 10, "interval_cycles": 1, "multipliers": 8, "multiplications": 100, "weights": 120,
    "nonzero": 100, "weight_bits": 1000, "memory_bits": 800, "activation_bits": 50, "lut": 400, "ff": 300, "dsp": 0,
    "bram_18k": 2,
}  # fmt: skip
NOISY = [("noise", 0.1, 0.8), ("noise", 0.2, 0.6), ("brightness", -0.2, 0.7), ("brightness", 0.2, 0.5)]


def robustness(folder: Path, loss: float, rows: list[tuple[str, float, float]]) -> None:
    document = {
        "version": 1, "metric": "accuracy", "seed": 0, "frames": 8, "clean": {"before": 0.9, "after": 0.9 - loss},
        "rows": [{"name": n, "severity": s, "before": v, "after": v - loss} for n, s, v in rows],
    }  # fmt: skip
    (folder / "reports" / "robustness.json").write_bytes(json_bytes(document))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Two finished build folders, `a` and `b`: half the cycles, another accuracy, a quarter of the memory."""
    base = tmp_path_factory.mktemp("compare")
    make_folder(base / "a")
    cycles = json.loads((base / "a" / "reports" / "prediction.json").read_text())["latency_cycles"]
    change(base / "a", "reports/prediction.json", estimate=ESTIMATE | {"latency_cycles": cycles})
    shutil.copytree(base / "a", base / "b")
    change(base / "b", "reports/prediction.json", estimate=ESTIMATE | {"memory_bits": 200, "lut": 600, "dsp": 4})
    change(base / "b", "reports/lower.json", integer=0.865)
    latency = {"predicted_cycles": cycles / 2, "measured_cycles": cycles / 2}
    change(base / "b", "verification.json", latency=latency)
    robustness(base / "a", 0.0, NOISY)
    robustness(base / "b", 0.1, NOISY)
    return base


@pytest.fixture
def folders(made, tmp_path) -> list[Path]:
    return [Path(shutil.copytree(made / name, tmp_path / name)) for name in "ab"]


@pytest.fixture(scope="module")
def both(made) -> Comparison:
    return compare([made / "a", made / "b"])


def lines_of(comparison: Comparison) -> dict[str, str]:
    return {line.split("  ")[0].strip(): line for line in comparison.text().splitlines() if line.strip()}


def test_figures_against_the_first(both) -> None:
    second = both.columns[1]
    ratios, changes, improvement = both.ratios(second), both.changes(second), both.improvement(second)
    assert ratios["latency_us"] == 0.5 and ratios["memory_bits"] == 0.25 and ratios["LUT"] == 1.5
    assert ratios["DSP"] is None, "nothing divided by zero"
    assert changes["accuracy"] == pytest.approx(-0.01) and changes["robustness"] == pytest.approx(-0.1)
    assert second.figures["robustness"] == pytest.approx(0.55), "after compression, clean left out"
    assert improvement == {"time": -0.5, "accuracy": pytest.approx(-0.01), "memory": -0.75}
    assert both.titles == (f"{second.name} [1]", f"{second.name} [2]"), "two builds of one name"
    lines = lines_of(both)
    assert lines[both.titles[1]].split()[-6:] == ["−50.0", "%", "−1.0", "pt", "−75.0", "%"]
    assert "×1.500" in lines["LUT"] and "−10.00" in lines["robustness"]
    assert both.text().splitlines()[-1].split() == ["verdict", "PASS", "PASS"] and not both.notes()


def test_an_error_improves_in_per_cent_of_itself(both) -> None:
    first, second = (replace(c, metric="mae") for c in both.columns)
    moved = Comparison((first, second)).improvement(second)["accuracy"]
    assert moved == pytest.approx(0.865 / 0.875 - 1)
    page = page_html(Comparison((first, second)))
    assert re.search(r'class="num better">−1\.1 %', page), "less of an error is better"
    assert re.search(r'class="num worse">−1\.0 pt', page_html(both)), "less accuracy is worse"


def test_memory_is_what_every_build_has(both) -> None:
    unrolled = replace(both.columns[1], figures=both.columns[1].figures | {"memory_bits": None})
    assert both.memory[0] == "memory_bits" and Comparison((both.columns[0], unrolled)).memory[0] == "weight_bits"


def test_other_disturbances_and_metrics_are_not_compared(folders) -> None:
    robustness(folders[1], 0.1, NOISY[:2])
    found = compare(folders)
    assert found.changes(found.columns[1])["robustness"] is None
    assert any("disturbances are not the same" in note for note in found.notes())
    change(folders[1], "reports/train.json", metric="mae")
    found = compare(folders)
    assert found.changes(found.columns[1])["accuracy"] is None and "metrics are not the same" in found.text()


def test_synthesis_stands_where_all_builds_have_it(folders, both) -> None:
    assert not both.blocks(), "the cost stage has not run"
    for folder in folders:
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["stages"]["cost"] = {"key": {}, "seconds": 1.0, "outputs": {}}
        (folder / "manifest.json").write_bytes(json_bytes(manifest))
    cost = json.loads((folders[1] / "reports" / "cost.json").read_text())
    table = next(t for t in cost["tables"] if t["kind"] == "synthesized")
    table["total"]["LUT"] *= 2
    change(folders[1], "reports/cost.json", tables=cost["tables"])
    found = compare(folders)
    (block,) = found.blocks()
    assert block.title == "synthesized: yosys, xcup" and dict(block.rows)["depth"] == (12, 12)
    assert "×2.000" in next(line for line in found.text().splitlines()[::-1] if line.startswith(" LUT"))
    assert "Synthesized: yosys, xcup" in page_html(found)
    change(folders[1], "reports/cost.json", tables=[])
    assert not compare(folders).blocks()


def test_a_build_that_cannot_be_made_costs_only_itself(folders, tmp_path) -> None:
    bad = tmp_path / "<script>.yaml"
    bad.write_text("model: {name: x y, layers: []}\n")
    found = compare([folders[0], bad, folders[1]])
    assert [c.status for c in found.columns] == ["PASS", "ERROR", "PASS"] and found.exit_status == 2
    assert "<script>.yaml:1: model.name" in found.columns[1].reason and found.columns[1].reason in found.text()
    assert found.ratios(found.columns[2])["latency_us"] == 0.5
    page = page_html(found)
    assert "&lt;script&gt;" in page and "<script" not in page
    found = compare([bad, *folders])
    assert all(value is None for c in found.columns for value in found.ratios(c).values())
    assert "there are no ratios" in found.text() and "  –" in lines_of(found)["LUT"] and "×" not in found.text()
    assert "Accuracy against latency" in page_html(found)
    assert page_html(compare([bad, bad])).count("No build has figures") == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [(ProofError, "FAIL"), (SpecError, "ERROR"), (RequirementError, "UNMET"), (ToolMissing, "NOT RUN")],
)
def test_what_a_failed_build_is_called(error, status, both) -> None:
    failed = failed_column("x", error("too slow", where="m.yaml:3: hardware.target", found="9 µs"))
    assert failed.status == status and failed.reason == "m.yaml:3: hardware.target: too slow"
    assert Comparison((both.columns[0], failed)).exit_status == error.exit_status
    several = failed_column("x", ErrorList([SpecError("first"), SpecError("second")]))
    assert several.reason == "first" and "second" in str(several.error)


def test_refused_before_anything_is_built(folders, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("hwgen.api.build", lambda *_, **__: pytest.fail("something was built"))
    monkeypatch.chdir(tmp_path)
    text = (folders[0] / "resolved.yaml").read_text()
    for name in ("one.yaml", "two.yaml"):
        Path(name).write_text(text)
    (tmp_path / "empty").mkdir()
    for targets, says in [
        ([folders[0]], "two or more"),
        (["one.yaml", "gone.yaml"], "gone.yaml: does not exist"),
        (["one.yaml", "empty"], "not a build folder"),
        (["one.yaml", "two.yaml"], "two files build into one folder"),
    ]:
        with pytest.raises(HwgenError, match=says):
            compare(targets)
    run = CliRunner().invoke(app, ["compare", "one.yaml", "a", "--html", "empty"])
    assert run.exit_code == 2 and "not a file to write a page into" in run.output
    run = CliRunner().invoke(app, ["compare", "one.yaml", "a", "--html", "one.yaml/page.html"])
    assert run.exit_code == 2 and "one.yaml is a file" in run.output


def test_the_command_line_says_it_twice_alike(folders, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("model: {name: x, layers: []}\n")
    pages, documents = [], []
    for k in range(2):
        run = CliRunner().invoke(app, ["compare", "a", "b", "bad.yaml", "--json", "--html", f"pages/{k}.html"])
        assert run.exit_code == 2
        documents.append(run.stdout)
        pages.append(Path(f"pages/{k}.html").read_bytes())
        assert "error: " in run.stderr and "bad.yaml:1: model.layers" in run.stderr
    assert documents[0] == documents[1] and pages[0] == pages[1]
    document = json.loads(documents[0])
    assert "measured_here" not in document and [b["status"] for b in document["builds"]] == ["PASS", "PASS", "ERROR"]
    assert document["builds"][2]["folder"] is None and set(document["builds"][2]["figures"].values()) == {None}


def test_the_page_holds_every_figure(both) -> None:
    page = page_html(both)
    ElementTree.fromstring(page[page.index("<main>") : page.index("</body>")].replace("<br>", "<br/>"))
    assert "http://" not in page and "https://" not in page and "<script" not in page
    for key, title, _ in ROWS[1:]:
        assert title in page, key
    assert page.count('class="plot lines"') == 2 and page.count('class="plot scatter"') == 1
    brightness = page[page.index("<b>brightness</b>") :]
    assert re.findall(r">(-0\.2|clean|0\.2)</text>", brightness) == ["-0.2", "clean", "0.2"]


def test_labels_do_not_cover_each_other() -> None:
    area = (78.0, 16.0, 654.0, 346.0)
    crowd = [(650.0, 20.0), (650.0, 20.0), (640.0, 24.0), (300.0, 180.0), (304.0, 182.0), (90.0, 340.0)]
    titles = [f"a_network_{k}" for k in range(len(crowd))]
    places = figures.label_places(crowd, titles, area)
    boxes = [figures._label_box(place, figures.CHAR * len(t)) for place, t in zip(places, titles, strict=True)]
    assert not any(figures._meet(a, b) for a, b in combinations(boxes, 2))
    assert all(figures._inside(box, area) for box in boxes)


@pytest.mark.parametrize("values", [[3.7, 1.3], [5.0], [0.001, 4000.0], [0.9984, 0.9984], [-3.0, 2.0], [0.0]])
def test_axes_hold_their_values(values) -> None:
    axes = [figures.value_axis(values)] + ([figures.time_axis(values)] if min(values) >= 0 else [])
    for axis in axes:
        assert all(0 <= axis.at(value) <= 1 for value in values) and 2 <= len(axis.ticks) <= 12
        assert list(axis.ticks) == sorted(axis.ticks) and all(-1e-9 <= axis.at(tick) <= 1 + 1e-9 for tick in axis.ticks)
    assert figures.value_axis([98.0, 99.9], cap=100).ticks[-1] == 100


def test_measuring_costs_only_its_own_cell(both, monkeypatch) -> None:
    """A folder that cannot be measured (no network in it), a process that crashes, no build: each says why."""
    gone = failed_column("gone", SpecError("wrong"))
    here = measure_here([both.columns[0], gone], "-1")
    assert here["builds"][1]["int8"] == {"reason": "there is no build"}
    assert here["tensorflow"] is None
    assert all("reason" in here["builds"][0][key] for key in ("float32", "int8", "gpu"))
    found = Comparison((both.columns[0], gone), here)
    assert "Measured here" in found.text() and "there is no build" in found.text()
    assert "Measured here" in page_html(found) and found.to_json()["measured_here"] == here
    monkeypatch.setattr("sys.executable", "/bin/false")
    crashed = measure_here(both.columns[:1], "-1")["builds"][0]
    assert crashed["float32"] == crashed["gpu"] == {"reason": "false failed with exit status 1: no output"}


def test_what_was_measured_is_shown(both) -> None:
    one = {"median_us": 2.5, "least_us": 2.25, "most_us": 9.0, "runs": 20, "bytes": 9, "score": 0.875, "frames": 8}
    none = {"reason": "no GPU here"}
    builds = [{"name": c.name, "float32": one, "int8": one | {"median_us": 1.25}, "gpu": none} for c in both.columns]
    found = replace(both, here={"cpu": "A Processor", "tensorflow": "2", "threads": 1, "batch": 1, "builds": builds})
    text, page = found.text(), page_html(found)
    for shown in ("A Processor", "1.25", "2.25–9.00", "87.50 %", "no GPU here"):
        assert shown in text and shown in page, shown
    assert text.count("no GPU here") == 1


def test_the_processor_says_its_name(tmp_path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Fast Chip 9\n")
    assert cpu_name(tmp_path / "cpuinfo") == "Fast Chip 9" and cpu_name(tmp_path / "none")


def test_a_column_knows_nothing_until_it_does() -> None:
    column = failed_column("x", SpecError("wrong"))
    assert isinstance(column, Column) and not column.known
