"""The hand-off as a FuseSoC core: its lint and sim targets run, and sim fails when the design is wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cost_design import conv_graph
from handoff_folder import build_folder

from hwgen.handoff.fusesoc import fusesoc
from hwgen.tools import verilator


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_folder(tmp_path_factory.mktemp("build"), conv_graph(), stream=True)
    files = fusesoc(folder)
    assert files.digest() == fusesoc(folder).digest()
    moved = tmp_path_factory.mktemp("elsewhere") / "core"
    files.write(moved)
    shutil.rmtree(folder)
    return moved


def run(core: Path, target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("fusesoc", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if program is None:
        pytest.skip("no fusesoc: pip install fusesoc")
    tool = verilator.find()
    tools = folder / "bin"
    tools.mkdir(parents=True, exist_ok=True)
    (tools / "verilator").write_text(f'#!/bin/sh\nexec {tool.path} "$@"\n')
    (tools / "verilator").chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | tool.env
    environment |= {"PATH": f"{tools}{os.pathsep}{environment['PATH']}", "XDG_CONFIG_HOME": str(folder)}
    environment |= {"MAKEFLAGS": "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"}
    command = [program, "--cores-root", str(core), "run", "--target", target, "hwgen:nn:conv:1.0.0"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def test_the_core_names_files_that_are_there(core: Path) -> None:
    text = (core / "conv.core").read_text()
    assert text.startswith("CAPI=2:\n")
    document = yaml.safe_load(text.partition("\n")[2])
    assert set(document["targets"]) == {"default", "lint", "sim", "synth"}
    for part in document["filesets"].values():
        for row in part["files"]:
            assert (core / (row if isinstance(row, str) else next(iter(row)))).is_file()


@pytest.mark.verilator
def test_lint_and_sim_pass_and_sim_can_fail(core: Path, tmp_path: Path) -> None:
    done = run(core, "lint", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(core, "sim", tmp_path)
    assert done.returncode == 0 and "PASS:" in done.stdout + done.stderr, done.stdout + done.stderr
    golden = next((core / "tb").glob("*m_axis*.mem"))
    lines = golden.read_text().splitlines()
    lines[1] = f"{int(lines[1], 16) ^ 1:0{len(lines[1])}x}"
    golden.write_text("\n".join(lines) + "\n")
    done = run(core, "sim", tmp_path)
    assert done.returncode != 0 and "FAIL:" in done.stdout + done.stderr
