"""report.html and the pages of `hwgen compare` and `hwgen explore`, in a real browser, without network."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from report_folder import SECTIONS, change, make_folder, pair

from hwgen.api import page_of
from hwgen.compare import Comparison, compare
from hwgen.compare.column import failed_column
from hwgen.compare.page import write_page
from hwgen.errors import SpecError
from hwgen.explore.page import page_html
from hwgen.explore.results import Exploration, Trial
from hwgen.files import json_bytes

pytestmark = pytest.mark.browser
WIDTHS = (1280, 400)


def find_browser(root: Path) -> tuple[str, dict[str, str]]:
    """Return a Chromium and its environment: `HWGEN_BROWSER`, that of `make browser`, or one that is installed."""
    fetched = root / "build" / "browser"
    if os.environ.get("HWGEN_BROWSER"):
        fetched = Path(os.environ["HWGEN_BROWSER"]).parent
    if (fetched / "chromium").is_file():
        return str(fetched / "chromium"), {"LD_LIBRARY_PATH": str(fetched / "lib")}
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path, {}
    pytest.skip("no browser: `make browser`")


@pytest.fixture(scope="module")
def browser(request):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    path, environment = find_browser(request.config.rootpath)
    with playwright.sync_playwright() as tool:
        options = ["--no-sandbox", "--no-zygote", "--disable-gpu"]
        opened = tool.chromium.launch(executable_path=path, args=options, env={**os.environ, **environment})
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Pages of a passed build of each kind, of a failed one and of one that was stopped before the RTL."""
    base = tmp_path_factory.mktemp("pages")
    folders = {"stream": make_folder(base / "stream", "io_stream"), "unrolled": make_folder(base / "unrolled")}
    folders["failed"] = Path(shutil.copytree(folders["stream"], base / "failed"))
    change(folders["failed"], "verification.json", status="FAIL", reason="x" * 300, pairs=[pair("graph", "rtl", 2)])
    folders["stopped"] = Path(shutil.copytree(folders["unrolled"], base / "stopped"))
    shutil.rmtree(folders["stopped"] / "rtl")
    (folders["stopped"] / "verification.json").unlink()
    return {name: page_of(folder) for name, folder in folders.items()}


@contextmanager
def opened(browser, path: Path):
    """Open a page without network; at the end, fail if it said anything on the console or asked for another file."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    yield page
    assert not told and asked == [path.as_uri()]
    context.close()


@pytest.mark.parametrize("name", ["stream", "unrolled", "failed", "stopped"])
def test_the_page_renders(browser, pages, name) -> None:
    with opened(browser, pages[name]) as page:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            names = [f"#{s} h2" for s in SECTIONS]
            for selector in ["h1", "#verdict strong", "#figures dd", "#not-checked li", *names]:
                box = page.locator(selector).first.bounding_box()
                assert box and box["width"] > 10 and box["height"] > 10, selector
                assert box["x"] >= 0 and box["x"] + box["width"] <= width, selector
            boxes = "all => all.map(e => e.getBoundingClientRect()).map(b => [b.width, b.height])"
            sizes = page.locator("svg").evaluate_all(boxes)
            assert len(sizes) >= 5 and all(w > 40 and h > 3 for w, h in sizes)
            filled = page.locator("svg .value").evaluate_all(boxes)
            assert len(filled) >= 4 and all(w > 0 and h > 0 for w, h in filled)
        assert (
            page.locator("#verdict").evaluate("e => getComputedStyle(e).borderLeftStyle") == "solid"
        )  # the style is there


def test_the_page_prints_and_follows_the_system(browser, pages) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(offline=True, color_scheme=scheme)
        page = context.new_page()
        page.goto(pages["stream"].as_uri())
        shades[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        if scheme == "dark":
            page.emulate_media(media="print")
            shades["print"] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert len(page.pdf()) > 10_000
        context.close()
    assert shades["light"] == shades["print"] == "rgb(255, 255, 255)" != shades["dark"]


@pytest.fixture(scope="module")
def comparison(pages, tmp_path_factory) -> Path:
    """The page of two builds, one of them disturbed, and of one that could not be made; measured here, made up."""
    robust = {"version": 1, "metric": "accuracy", "seed": 0, "frames": 8, "clean": {"before": 0.9}}
    rows = [{"name": n, "severity": s, "before": v} for n, s, v in [("noise", 0.1, 0.8), ("noise", 0.2, 0.5)]]
    folders = [Path(shutil.copytree(pages[n].parent, tmp_path_factory.mktemp(n) / n)) for n in ("stream", "unrolled")]
    for folder, cycles in zip(folders, (400, 40), strict=True):
        figures = {"lut": 900, "ff": 800, "dsp": None, "bram_18k": 0, "multipliers": 24, "multiplications": 700}
        bits = {"weight_bits": 4000, "memory_bits": 10 * cycles, "activation_bits": 100}
        estimate = {"latency_cycles": cycles, "interval_cycles": cycles, **figures, **bits}
        change(folder, "reports/prediction.json", estimate=estimate)
        (folder / "reports" / "robustness.json").write_bytes(json_bytes(robust | {"rows": rows}))
    columns = (*compare(folders).columns, failed_column("a_rather_long_name_of_a_network", SpecError("wrong " * 40)))
    time = {"median_us": 2.5, "least_us": 2.0, "most_us": 9.0, "score": 0.9}
    builds = [{"float32": time, "int8": time, "gpu": {"reason": "no GPU here"}} for _ in columns]
    found = Comparison(columns, {"cpu": "A Processor " * 4, "tensorflow": "2", "builds": builds})
    write_page(found, folders[0] / "compare.html")
    return folders[0] / "compare.html"


def test_the_comparison_renders(browser, comparison) -> None:
    with opened(browser, comparison) as page:
        boxes = "all => all.map(e => e.getBoundingClientRect()).map(b => [b.x, b.y, b.width, b.height])"
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for selector in (
                "#survey table",
                "#figures h2",
                "#scatter svg",
                "#robustness svg.lines",
                "#all table",
                "#here h2",
            ):
                box = page.locator(selector).first.bounding_box()
                assert box and box["width"] > 100 and box["height"] > 15 and box["x"] >= 0, selector
            bars = page.locator("#figures svg.bar .c0").evaluate_all(boxes)
            assert len(bars) == 4 and all(w > 5 and h > 5 for _, _, w, h in bars)
            labels = page.locator("svg.scatter text.label").evaluate_all(boxes)
            (x, y, w, h) = page.locator("svg.scatter .frame").evaluate_all(boxes)[0]
            assert len(labels) == 2, "a build each that has figures"
            assert all(x <= a and a + c <= x + w and y <= b and b + d <= y + h for a, b, c, d in labels), (
                "inside the plot"
            )
        shades = page.locator("#survey svg.shape path").evaluate_all("all => all.map(e => getComputedStyle(e).fill)")
        assert len(shades) == len(set(shades)) == 3


@pytest.fixture(scope="module")
def exploration(tmp_path_factory) -> Path:
    """The page of a search over three axes: a front of three trials, one that others beat, one that failed."""
    trials = []
    for number, (accuracy, latency, lut) in enumerate(
        [(0.9, 2.0, 4000), (0.95, 4.0, 9000), (0.8, 1.0, 900), (0.7, 5, 9e3)]
    ):
        values = {
            "hardware.reuse_factor": 1 << number,
            "model.args.width": 0.25 * number,
            "compress.bits": f"<b>{number}</b>",
        }
        figures = {"accuracy": accuracy, "latency_us": latency, "lut": lut}
        trials.append(Trial(number, "done", values, figures, accuracy - 0.01, None, None))
    trials.append(Trial(4, "failed", trials[0].values, None, None, None, "killed by signal 9; " * 12))
    aims = {"accuracy": "max", "latency_us": "min", "lut": "min"}
    folder = tmp_path_factory.mktemp("explore")
    found = Exploration("a_search", folder, aims, "accuracy", "validation", 1, tuple(trials), (1, 0, 2))
    (folder / "explore.html").write_text(page_html(found))
    return folder / "explore.html"


def test_the_exploration_renders(browser, exploration) -> None:
    with opened(browser, exploration) as page:
        boxes = "all => all.map(e => e.getBoundingClientRect()).map(b => [b.x, b.y, b.width, b.height])"
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for selector in ("h1", "#front table", "#trials table"):
                box = page.locator(selector).first.bounding_box()
                assert box and box["width"] > 100 and box["height"] > 15 and box["x"] >= 0, selector
            plots = page.locator("figure svg").evaluate_all(boxes)
            assert len(plots) == 3, "a plot for each pair of objectives"
            assert all(w > 100 and h > 80 and x >= 0 and x + w <= width for x, _, w, h in plots)
        assert page.locator("#front tbody tr").count() == 3 and page.locator("#trials tbody tr").count() == 5
        assert "killed by signal 9" in page.locator("#trials .text-bad").inner_text()
        assert page.locator("b").count() == 0, "what the user wrote is text"
