"""`hwgen handoff` on the command line, from Python, and as the last stage of a build."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from handoff_folder import build_folder
from test_golden import two_layers
from typer.testing import CliRunner

import hwgen
from hwgen import stages
from hwgen.cli import app
from hwgen.folder import BuildFolder
from hwgen.handoff import TARGETS


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return build_folder(tmp_path / "build", two_layers())


def call(*arguments: object):
    return CliRunner().invoke(app, ["handoff", *(str(a) for a in arguments)])


def test_the_command_says_what_it_wrote_and_what_was_not_run(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = call(built, "--target", "vivado")
    assert done.exit_code == 0, done.output
    assert f"{built}/handoff/vivado" in done.output and "not run (vivado is not on PATH)" in done.output
    assert (built / "handoff" / "vivado" / "README.md").is_file()
    rows = json.loads(call(built, "-t", "vivado", "--json").output)["handoff"]
    assert [row["target"] for row in rows] == ["vivado"] and rows[0]["files"] > 20


def test_what_cannot_be_handed_over_is_said_with_its_status(built: Path, tmp_path: Path) -> None:
    done = call(built, "--target", "pinq")
    assert done.exit_code == 2 and "there is no such hand-off target" in done.output
    done = call(tmp_path / "nowhere", "--target", "vivado")
    assert done.exit_code == 2 and "not a build folder" in done.output
    assert not (tmp_path / "nowhere").exists()
    evidence = built / "verification.json"
    evidence.write_text(evidence.read_text().replace('"PASS"', '"FAIL"'))
    done = call(built, "--target", "vivado")
    assert done.exit_code == 1 and "only a verified design" in done.output
    assert call(built).exit_code == 2


def test_from_python(built: Path) -> None:
    (made,) = hwgen.hand_over(built, ["vivado"])
    assert made.folder == built / "handoff" / "vivado" and made.size > 10_000


def test_what_was_not_asked_for_is_said_in_the_readme(built: Path) -> None:
    evidence = json.loads((built / "verification.json").read_text())
    evidence["not_requested"] = {"netlist": "too large"}
    (built / "verification.json").write_text(json.dumps(evidence))
    text = TARGETS["vivado"](built)["README.md"].decode()
    assert "- Not checked: timing closure, netlist (too large)." in text


def context(folder: Path, *targets: str) -> stages.Context:
    spec = SimpleNamespace(outputs=SimpleNamespace(handoff=list(targets)))
    return stages.Context(spec, folder, lambda *_: None)  # type: ignore[arg-type]


def test_as_a_stage(built: Path) -> None:
    nothing = context(built)
    stages.handoff(nothing)
    assert nothing.complete and not (built / "handoff").exists()
    one = context(built, "vivado")
    stages.handoff(one)
    assert one.complete and (built / "handoff" / "vivado" / "component.xml").is_file()
    evidence = built / "verification.json"
    evidence.write_text(evidence.read_text().replace('"PASS"', '"FAIL"'))
    stages.handoff(one)
    assert not one.complete and not (built / "handoff" / "vivado").exists()
    evidence.unlink()
    stages.handoff(context(built, "vivado"))
    assert not (built / "handoff" / "vivado").exists()


def test_evidence_stands_while_later_stages_run(built: Path) -> None:
    with BuildFolder(built) as held:
        held.begin("handoff")
        assert (built / "verification.json").is_file()
        held.begin("rtl")
        assert not (built / "verification.json").exists()


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_whole_and_the_same_wherever_the_build_stands(target: str, built: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other" / "place"
    shutil.copytree(built, elsewhere)
    first, second = TARGETS[target](built), TARGETS[target](elsewhere)
    assert first.digest() == second.digest()
    assert {"README.md", "LICENSE.txt", "evidence/verification.json"} <= set(first)
    for path, content in first.items():
        assert str(tmp_path).encode() not in content and b"\r" not in content, path
