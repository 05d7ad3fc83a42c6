"""The flow with small stages of its own: what is run again, and what a failure leaves behind."""

import contextlib
import errno
import json
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer

from hwgen import flow
from hwgen.errors import ModelError, OutputError, ToolMissing
from hwgen.flow import FlowOptions, FlowResult, Stage, run_flow
from hwgen.folder import EVIDENCE, BuildFolder
from hwgen.spec import load_spec
from hwgen.stages import Context, replace_folder


@dataclass
class Calls:
    """What ran, and what the next run of a stage shall raise."""

    ran: list[str] = field(default_factory=list)
    fails: dict[str, BaseException] = field(default_factory=dict)

    def note(self, name: str) -> None:
        self.ran.append(name)
        if name in self.fails:
            raise self.fails.pop(name)

    def take(self) -> list[str]:
        ran, self.ran = self.ran, []
        return ran


CALLS = Calls()


def train(context: Context) -> None:
    (context.folder / "train").mkdir(exist_ok=True)
    (context.folder / "train" / "half").write_text("half")
    CALLS.note("train")
    (context.folder / "train" / "model").write_text(f"seed {context.spec.train.seed}")


def lower(context: Context) -> None:
    CALLS.note("lower")
    text = (context.folder / "train" / "model").read_text()
    replace_folder({"graph.json": text[:4].encode()}, context.folder / "graph")  # the same for every seed


def verify(context: Context) -> None:
    print("noise from a library")
    os.write(2, b"noise from C++\n")
    CALLS.note("verify")
    (context.folder / EVIDENCE).write_text("{}")


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stages = [
        Stage("train", train, ("train",), ("data.npz",), writes=("train/model",)),
        Stage("lower", lower, ("precision",), reads=("train/model",), writes=("graph/*",)),
        Stage("verify", verify, ("verify",), reads=("graph/*",), writes=(EVIDENCE,)),
    ]
    monkeypatch.setattr(flow, "STAGES", stages)
    CALLS.ran.clear()
    CALLS.fails.clear()
    (tmp_path / "d.npz").write_bytes(b"data")
    (tmp_path / "model.yaml").write_text(
        "model:\n  name: net\n  layers:\n    - QDense: {name: fc, units: 2}\ndata:\n  npz: d.npz\n"
    )

    class Screen:
        def start(self, stage: str, why: str = "") -> None: ...
        def update(self, message: str, fraction: float | None = None) -> None: ...
        def done(self, run: flow.StageRun) -> None: ...

    def run(*overrides: str, **options: object) -> FlowResult:
        spec = load_spec(tmp_path / "model.yaml", overrides)
        return run_flow(spec, tmp_path / "out" / "net", FlowOptions(**options), Screen())  # type: ignore[arg-type]

    return run


ALL = ["train", "lower", "verify"]


def test_unchanged_does_nothing(build) -> None:
    build()
    assert CALLS.take() == ALL
    result = build()
    assert CALLS.take() == []
    assert [run.seconds for run in result.runs] == [None, None, None]


def test_only_what_depends_on_a_change_runs(build, tmp_path: Path) -> None:
    build()
    CALLS.take()
    build("verify.seed=1")
    assert CALLS.take() == ["verify"]
    build("verify.seed=1", "precision.allow_wrap=true")
    assert CALLS.take() == ["lower"]  # it wrote the same graph: nothing follows
    (tmp_path / "d.npz").write_bytes(b"other")
    build("verify.seed=1", "precision.allow_wrap=true")
    assert CALLS.take() == ["train"]  # it made the same model
    build("verify.seed=1", "precision.allow_wrap=true", "train.seed=1")
    assert CALLS.take() == ["train", "lower"]


def test_from_to_force_retrain(build) -> None:
    build(last="lower")
    assert CALLS.take() == ["train", "lower"]
    build()
    assert CALLS.take() == ["verify"]
    build(first="lower")
    assert CALLS.take() == ["lower", "verify"]
    build(force=True)
    assert CALLS.take() == ALL
    build(retrain=True)
    assert CALLS.take() == ["train"]
    build(first="lower", retrain=True)
    assert CALLS.take() == ["lower", "verify"]  # what was trained is kept


def test_damaged_or_missing_outputs_are_made_again(build, tmp_path: Path) -> None:
    build()
    CALLS.take()
    (tmp_path / "out" / "net" / "graph" / "graph.json").write_text("damaged")
    build()
    assert CALLS.take() == ["lower"]
    (tmp_path / "out" / "net" / EVIDENCE).unlink()
    build()
    assert CALLS.take() == ["verify"]
    (tmp_path / "out" / "net" / "graph" / "extra").write_text("not ours")
    build()
    assert CALLS.take() == ["lower"]
    assert not (tmp_path / "out" / "net" / "graph" / "extra").exists()


def test_interrupt_keeps_what_is_finished_and_resumes(build, tmp_path: Path) -> None:
    build()
    CALLS.take()
    CALLS.fails["lower"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        build("train.seed=7")
    assert CALLS.take() == ["train", "lower"]
    assert not (tmp_path / "out" / "net" / EVIDENCE).exists(), "evidence of another network must not stand"
    build("train.seed=7")
    assert CALLS.take() == ["lower"]  # the graph is the same, so its evidence stands again
    assert (tmp_path / "out" / "net" / EVIDENCE).exists()


def test_interrupt_of_verify_leaves_no_evidence(build, tmp_path: Path) -> None:
    build()
    CALLS.take()
    CALLS.fails["verify"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        build("verify.seed=1")
    assert not (tmp_path / "out" / "net" / EVIDENCE).exists()
    build()
    assert CALLS.take() == ["verify", "verify"]


def test_refusal_before_training_leaves_nothing(build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(context: Context) -> None:
        raise ModelError("unsupported layer")

    monkeypatch.setattr(flow, "STAGES", [Stage("train", refuse, ("train",))])
    with pytest.raises(ModelError):
        build()
    assert not (tmp_path / "out").exists()


def test_missing_tool_keeps_the_rest(build, tmp_path: Path) -> None:
    CALLS.fails["verify"] = ToolMissing("no verilator")
    result = build()
    assert result.missing is not None and result.missing.exit_status == 4
    assert [run.name for run in result.runs] == ["train", "lower"]
    CALLS.take()
    assert build().missing is None
    assert CALLS.take() == ["verify"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(13, "denied"),
        OSError("h5py: [Errno 28] No space left on device"),
        shutil.Error([("a", "b", "[Errno 27] File too large")]),
    ],
)
def test_disk_errors_name_the_folder(build, error: OSError) -> None:
    CALLS.fails["lower"] = error
    with pytest.raises(OutputError) as caught:
        build()
    assert caught.value.exit_status == 2 and "out/net" in (caught.value.where or "")
    CALLS.take()
    build()
    assert CALLS.take() == ["lower", "verify"]


def test_output_folder_that_is_not_ours(build, tmp_path: Path) -> None:
    (tmp_path / "out" / "net").mkdir(parents=True)
    (tmp_path / "out" / "net" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        build()
    assert [p.name for p in (tmp_path / "out" / "net").iterdir()] == ["thesis.tex"]


def test_output_folder_that_is_a_file_or_below_one(build, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError):
        build()


def test_two_builds_in_one_folder(build, tmp_path: Path) -> None:
    build()
    with BuildFolder(tmp_path / "out" / "net"), pytest.raises(OutputError, match="another build"):
        build()


def test_damaged_manifest_means_starting_over(build, tmp_path: Path) -> None:
    build()
    CALLS.take()
    (tmp_path / "out" / "net" / "manifest.json").write_text('{"version": 1, "stages": ')
    build()
    assert CALLS.take() == ALL


def test_manifest_says_what_was_made(build, tmp_path: Path) -> None:
    build()
    manifest = json.loads((tmp_path / "out" / "net" / "manifest.json").read_text())
    assert manifest["version"] == 1 and list(manifest["stages"]) == ALL
    assert list(manifest["stages"]["lower"]["outputs"]) == ["graph/graph.json"]


def test_noise_goes_to_the_log(build, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build()
    out, err = capfd.readouterr()
    assert "noise" not in out + err
    log = (tmp_path / "out" / "net" / "logs" / "verify.log").read_text()
    assert "noise from a library" in log and "noise from C++" in log


def test_the_real_stages_fit_together() -> None:
    """Whatever a stage reads, an earlier one writes; names are unique and in the order of the folder's packages."""
    written: set[str] = set()
    for stage in flow.STAGES:
        for pattern in stage.reads:
            assert pattern in written, f"{stage.name} reads {pattern}"
        written |= set(stage.writes)
    assert flow.STAGE_NAMES == ["spec", "train", "compress", "lower", "rtl", "verify", "cost", "handoff"]


def test_a_swallowed_ctrl_c_still_ends_the_command(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """Importing TensorFlow swallows a KeyboardInterrupt now and then, or makes another error of it."""
    from hwgen import cli, interrupts

    monkeypatch.setattr(signal, "getsignal", lambda _: signal.default_int_handler)  # a background job ignores it
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        for error in (None, ImportError("initialization failed")):
            with pytest.raises(typer.Exit) as ended, cli._reported(None):
                with contextlib.suppress(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
                assert interrupts.seen()
                if error:
                    raise error
            assert ended.value.exit_code == 130
            assert "interrupted" in capfd.readouterr().err
    finally:
        interrupts._seen.clear()
        signal.signal(signal.SIGINT, before)
