"""Exploration without training: the file, the space, asking and telling, resuming, what is written."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from explore_pools import SPACE, FakePool, use, write_explore
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.errors import ErrorList, HwgenError, OutputError
from hwgen.explore.screen import SearchScreen
from hwgen.explore.search import explore
from hwgen.explore.space import Axis, combinations, get_key, set_key
from hwgen.explore.spec import load_plan, trial_document
from hwgen.explore.store import DATABASE, STARTUP, Store


def error_of(path: Path) -> str:
    with pytest.raises(HwgenError) as caught:
        load_plan(path)
    assert caught.value.exit_status == 2
    return caught.value.render()


def search(path: Path, out: Path, **options: Any) -> bytes:
    explore(path, out=out, **options)
    return (out / "explore.json").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a search finds that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as monkeypatch:
        use(monkeypatch, FakePool)
        return search(write_explore(folder), folder / "out")


def test_keys_of_a_model_are_set_and_read() -> None:
    document: dict[str, Any] = {"model": {"layers": ["QDense", {"QDense": {"units": 3}}, {"QActivation": None}]}}
    set_key(document, "model.layers[0].units", 8, "x")
    set_key(document, "model.layers[1].units", 16, "x")
    set_key(document, "model.layers[2].name", "a", "x")
    set_key(document, "compress.pruning.layers.fc1", 0.5, "x")
    assert document["model"]["layers"] == [
        {"QDense": {"units": 8}},
        {"QDense": {"units": 16}},
        {"QActivation": {"name": "a"}},
    ]
    assert document["compress"] == {"pruning": {"layers": {"fc1": 0.5}}}
    assert get_key(document, "model.layers[1].units") == 16
    assert get_key(document, "model.layers[7].units") is None and get_key(document, "nothing.here") is None
    set_key(document, "compress.pruning", None, "x")
    assert document["compress"] == {}
    with pytest.raises(HwgenError, match="no such place"):
        set_key(document, "model.layers[7].units", 1, "x")


def test_axes_take_the_values_they_say() -> None:
    bits = Axis("b", ("b",), "", low=2, high=5, text="quantized_bits({},0)")
    assert bits.values() == [f"quantized_bits({n},0)" for n in (2, 3, 4, 5)]
    assert bits.encode("quantized_bits(4,0)") == 4 and bits.encode("quantized_bits(9,0)") is None
    share = Axis("s", ("s",), "", low=0.3, high=0.8, step=0.1)
    assert share.values() == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    mixed = Axis("m", ("m",), "", choices=(True, 1, "1", None, {"a": 1}))
    assert [mixed.encode(value) for value in ({"a": 1}, None)] == ['{"a": 1}', "null"] and not mixed.ordered
    rising = Axis("r", ("r",), "", choices=(1, 4, 16))
    assert rising.ordered and rising.decode(2) == 16
    free = Axis("f", ("f",), "", low=0.001, high=0.1, log=True)
    assert free.values() is None and free.decode(0.0123456789) == 0.0123457 and combinations([free]) is None
    assert len(combinations([bits, share, rising]) or []) == 72


BAD = [
    ({"space": {"hardware.reuse_facto": [1, 2]}}, "space.hardware.reuse_facto: unknown key", "reuse_factor?"),
    ({"space": {"hardware.reuse_factor": [1, -2]}}, "space.hardware.reuse_factor: wrong value", "-2"),
    ({"space": {"compress.pruning.sparsity": {"low": 0.5, "high": 1.5}}}, "sparsity: wrong value", "< 1"),
    ({"space": {"model.layers[9].units": [1]}}, "no such place", "model.layers[9].units"),
    ({"space": {"data.scale": [1, 2]}}, "data cannot be explored", "same samples"),
    ({"space": {"hardware.reuse_factor": 3}}, "neither a list", "{low: 1, high: 8}"),
    ({"space": {"hardware.reuse_factor": []}}, "no values", "at least one"),
    ({"space": {"hardware.reuse_factor": [1, 1]}}, "reuse_factor[1]: the same value twice", "1"),
    ({"space": {"hardware.reuse_factor": {"low": 3, "high": 3}}}, "the range is empty", "low < high"),
    ({"space": {"hardware.reuse_factor": {"low": 1, "heigh": 3}}}, "reuse_factor.heigh: unknown key", "low, high"),
    ({"space": {"train.learning_rate": {"low": 0, "high": 1, "log": True}}}, "starts above 0", "log: false"),
    ({"space": {"precision.weight": {"low": 1, "high": 4, "text": "q"}}}, "precision.weight.text: wrong", "{}"),
    ({"space": {"hardware.target": [None], "hardware.target.max_dsp": [1]}}, "set twice", "hardware.target"),
    ({"space": {}}, "space: wrong value", ""),
    ({"objectives": {"accuracy": "max", "luts": "min"}}, "objectives.luts: no such figure", "lut"),
    ({"objectives": {"accuracy": "maximal"}}, "objectives.accuracy: wrong value", "min or max"),
    ({"trials": 0}, "trials: wrong value", "≥ 1"),
    ({"base": "nothing.yaml"}, "base: there is no such model.yaml", "nothing.yaml"),
    ({"sampler": "grid"}, "sampler: wrong value", "tpe, random"),
]


@pytest.mark.parametrize(("keys", "what", "more"), BAD, ids=[what for _, what, _ in BAD])
def test_bad_files_are_refused_with_their_line(tmp_path: Path, keys: dict[str, Any], what: str, more: str) -> None:
    text = error_of(write_explore(tmp_path, **keys))
    assert what in text and more in text
    assert "explore.yaml:" in text or "explore.yaml: " in text


def test_every_error_of_a_file_is_shown_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    path = write_explore(tmp_path, space={"hardware.x": [1]}, trials=-1, objectives={"nothing": "max"})
    with pytest.raises(ErrorList) as caught:
        load_plan(path)
    assert len(caught.value.errors) == 2  # keys of the space are looked up in the base once the file itself is right
    result = CliRunner().invoke(app, ["explore", str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2 and "2 errors; nothing was written" in result.output
    assert not (tmp_path / "out").exists()


def test_the_direction_of_the_metric_is_checked(tmp_path: Path) -> None:
    path = write_explore(tmp_path, objectives={"accuracy": "min", "lut": "min"})
    with pytest.raises(HwgenError, match="the metric of the base is accuracy") as caught:
        explore(path, out=tmp_path / "out")
    assert "explore.yaml:" in str(caught.value.where) and caught.value.expected == "max"


def test_committed_weights_do_not_stand_in_for_what_is_explored(tmp_path: Path) -> None:
    for key, kept in (
        ("hardware.reuse_factor", {"train", "compress"}),
        ("compress.epochs", {"train"}),
        ("train.epochs", set()),
    ):
        path = write_explore(tmp_path, space={key: [1, 2]})
        model = yaml.safe_load((tmp_path / "model.yaml").read_text())
        model["train"]["weights"], model["compress"] = "a.keras", {"weights": "b.keras"}
        (tmp_path / "model.yaml").write_text(yaml.safe_dump(model))
        base = load_plan(path).base
        assert {section for section in ("train", "compress") if "weights" in base[section]} == kept


def test_two_searches_are_equal_and_another_seed_is_another_search(
    tmp_path: Path, monkeypatch: Any, whole: bytes
) -> None:
    use(monkeypatch, FakePool)
    assert search(write_explore(tmp_path), tmp_path / "b") == whole
    document = json.loads(whole)
    assert len(document["trials"]) == 14 > STARTUP + 4  # the sampler has learnt, too
    points = [json.dumps(trial["values"]) for trial in document["trials"]]
    assert len(set(points)) == len(points)
    assert search(write_explore(tmp_path, seed=1), tmp_path / "c") != whole
    front = {number: document["trials"][number]["figures"] for number in document["front"]}
    for number, own in front.items():
        better = [t["number"] for t in document["trials"] if _beats(t["figures"], own)]
        assert not better, f"{better} beat {number}"
    others = [t for t in document["trials"] if t["number"] not in front]
    assert others and all(any(_beats(own, t["figures"]) for own in front.values()) for t in others)


def _beats(a: dict[str, float], b: dict[str, float]) -> bool:
    pairs = [(a["accuracy"], b["accuracy"]), (-a["latency_us"], -b["latency_us"]), (-a["lut"], -b["lut"])]
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)


@pytest.mark.parametrize("at", [1, 10])
def test_an_interrupted_search_resumes_and_ends_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: Any, whole: bytes, at: int
) -> None:
    path = write_explore(tmp_path)

    def stop(number: int) -> None:
        if number == at:
            raise KeyboardInterrupt

    pools = use(monkeypatch, lambda out: FakePool(out, stop if not pools else lambda number: None))
    with pytest.raises(KeyboardInterrupt):
        explore(path, out=tmp_path / "out")
    assert search(path, tmp_path / "out") == whole
    assert at in pools[1].ran and not set(pools[0].ran) & set(pools[1].ran)
    assert sorted(pools[0].ran + pools[1].ran) == list(range(14))


def test_a_search_stopped_while_it_asks_asks_the_same_again(tmp_path: Path, monkeypatch: Any, whole: bytes) -> None:
    path = write_explore(tmp_path)
    use(monkeypatch, FakePool)
    ask, calls = Store.ask, [0]

    def dies(self: Store) -> int | None:
        calls[0] += 1
        if calls[0] == 11:
            raise KeyboardInterrupt
        return ask(self)

    monkeypatch.setattr(Store, "ask", dies)
    with pytest.raises(KeyboardInterrupt):
        explore(path, out=tmp_path / "out")
    assert search(path, tmp_path / "out") == whole


def test_failed_trials_cost_only_themselves(tmp_path: Path, monkeypatch: Any) -> None:
    lost = {"status": "failed", "died": True, "error": "the worker process was killed by SIGKILL"}
    use(monkeypatch, lambda out: FakePool(out, lambda number: lost if number in (2, 5) else None))
    found = explore(write_explore(tmp_path), out=tmp_path / "out")
    assert [trial.number for trial in found.trials if trial.status == "failed"] == [2, 5]
    assert found.trials[5].error == lost["error"] and not {2, 5} & set(found.front)
    assert "14 trials, 2 failed" in found.text()
    page = (tmp_path / "out" / "explore.html").read_text()
    assert lost["error"] in page and page.count("<svg") == 3


def test_the_command_shows_progress_and_the_front(tmp_path: Path, monkeypatch: Any) -> None:
    lost = {"status": "failed", "error": "no luck\n  found  more"}
    use(monkeypatch, lambda out: FakePool(out, lambda number: lost if number == 2 else None))
    arguments = ["explore", str(write_explore(tmp_path, trials=5)), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and " trial 2   failed: no luck\n" in result.stderr
    assert result.stdout.startswith(" 5 trials, 1 failed, ") and "accuracy, validation" in result.stdout
    again = CliRunner().invoke(app, arguments)
    assert "5 of 5 trials are there from an earlier run" in again.stderr and again.stdout == result.stdout
    quiet = CliRunner().invoke(app, [*arguments, "--quiet"])
    assert quiet.stdout.count("\n") == 1 and not quiet.stderr
    plain = CliRunner().invoke(app, [*arguments, "--json"])
    assert json.loads(plain.stdout) == json.loads((tmp_path / "out" / "explore.json").read_text())


def test_the_picture_of_a_running_search() -> None:
    from rich.console import Console

    screen = SearchScreen()
    screen.begin(10, 3)
    screen.update(4, "epoch 2/10", 0.2)
    screen.update(5, "lowering")
    screen.finished(5, {"status": "failed", "error": "no luck"}, front=2)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(screen._picture())
    text = console.export_text()
    assert "4/10 trials, 1 failed, front 2" in text and "trial 4   epoch 2/10  20 %" in text and "trial 5" not in text


def test_a_search_without_any_result_says_why(tmp_path: Path, monkeypatch: Any) -> None:
    use(monkeypatch, lambda out: FakePool(out, lambda number: {"status": "failed", "error": "no luck"}))
    with pytest.raises(HwgenError, match="none of 5 trials succeeded") as caught:
        explore(write_explore(tmp_path, trials=5), out=tmp_path / "out")
    assert caught.value.found == "no luck"
    assert json.loads((tmp_path / "out" / "explore.json").read_text())["front"] == []


def test_an_objective_that_is_not_known_fails_the_trial(tmp_path: Path, monkeypatch: Any) -> None:
    use(monkeypatch, FakePool)
    with pytest.raises(HwgenError, match="none of") as caught:
        explore(write_explore(tmp_path, objectives={"accuracy": "max", "memory_bits": "min"}), out=tmp_path / "out")
    assert "memory_bits: not known" in str(caught.value.found)


def test_a_changed_file_is_refused_until_fresh(tmp_path: Path, monkeypatch: Any) -> None:
    use(monkeypatch, FakePool)
    path, out = write_explore(tmp_path, trials=4), tmp_path / "out"
    before = search(path, out)
    space = copy.deepcopy(SPACE) | {"model.layers[0].units": [4, 8]}
    write_explore(tmp_path, trials=4, space=space)
    with pytest.raises(HwgenError, match="begun with other settings") as caught:
        explore(path, out=out)
    assert caught.value.exit_status == 2 and "--fresh" in str(caught.value.hint)
    assert "model.layers[0].units: [4, 8]" in str(caught.value.found)
    assert "model.layers[0].units: [4, 8, 16]" in str(caught.value.expected)
    assert (out / "explore.json").read_bytes() == before
    after = json.loads(search(path, out, fresh=True))
    assert len(after["trials"]) == 4 and all(t["values"]["model.layers[0].units"] != 16 for t in after["trials"])
    model = (tmp_path / "model.yaml").read_text()
    (tmp_path / "model.yaml").write_text(model.replace("batch_size: 16", "batch_size: 8"))
    with pytest.raises(HwgenError, match="begun with other settings") as caught:
        explore(path, out=out)
    assert "train.batch_size: 8" in str(caught.value.found)


def test_more_trials_go_on_where_the_search_ended(tmp_path: Path, monkeypatch: Any, whole: bytes) -> None:
    use(monkeypatch, FakePool)
    search(write_explore(tmp_path, trials=4), tmp_path / "out")
    assert search(write_explore(tmp_path), tmp_path / "out") == whole


def test_a_small_space_is_searched_whole_and_the_base_comes_first(tmp_path: Path, monkeypatch: Any) -> None:
    use(monkeypatch, FakePool)
    space = {**SPACE, "hardware.clock_period_ns": [5.0], "model.layers[0].units": [4, 8]}
    path = write_explore(tmp_path, trials=100, space=space)
    model = yaml.safe_load((tmp_path / "model.yaml").read_text()) | {"hardware": {"clock_period_ns": 5.0}}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(model))
    found = explore(path, out=tmp_path / "out")
    assert len(found.trials) == 12
    base = {name: get_key(model, name.partition(",")[0]) for name in space}
    assert found.trials[0].values == base
    assert trial_document(load_plan(path), base)["precision"] == model["precision"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, monkeypatch: Any) -> None:
    use(monkeypatch, FakePool)
    path, out = write_explore(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="no search made it"):
        explore(path, out=out, fresh=True)
    (out / "mine.txt").unlink()
    explore(path, out=out)
    (out / DATABASE).write_bytes(b"not a database at all, but long enough to be read as one")
    with pytest.raises(OutputError, match="cannot be read"):
        explore(path, out=out)
