"""The command line: statuses, messages on standard error, nothing heavy imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import hwgen
from hwgen.cli import app

GOOD = "model:\n  name: net\n  layers:\n    - QDense: {name: fc, units: 2}\ndata: {set: digits}\n"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(GOOD)
    return path


def test_help_answers_at_once_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, hwgen.cli\n"
        "try: hwgen.cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'hls4ml', 'numpy', 'pydantic', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    times = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        after = os.times()  # time of the processor, so that a busy machine does not count
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) <= 0.5


def test_help_of_every_command() -> None:
    text = call("--help").output
    commands = ("build", "verify", "cost", "compare", "scan", "explore", "show", "handoff", "doctor", "bench", "schema")
    for name in commands:
        assert name in text
        shown = call(name, "--help")
        assert shown.exit_code == 0 and " ." not in shown.output  # square brackets are markup: what is in them is lost


def test_version() -> None:
    assert call("--version").output.strip() == f"hwgen {hwgen.__version__}"


def test_importing_hwgen_is_cheap_and_build_is_there() -> None:
    code = "import sys, hwgen; assert not {'numpy', 'pydantic'} & set(sys.modules); print(hwgen.build.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "build"
    with pytest.raises(AttributeError):
        hwgen.nonsense  # noqa: B018


def test_all_errors_on_stderr_with_a_count(file: Path) -> None:
    file.write_text(GOOD + "hardware:\n  clock_perod_ns: 5\n  handshake: off\n")
    done = call("build", file)
    assert done.exit_code == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == f"error: {file}:7: hardware.clock_perod_ns: unknown key"
    assert lines[-1] == "2 errors; nothing was written   exit 2"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "synth"], "--from: there is no such stage"),
        (["--to", "synth"], "--to: there is no such stage"),
        (["--from", "rtl", "--to", "train"], "--to: it ends before it begins"),
        (["--set", "hardware.clock=3"], "--set hardware.clock=3: hardware.clock: unknown key"),
        (["--set", "nonsense"], "--set nonsense: not a key=value"),
        (["--set", "hardware.io_type=io_stream", "--set", "hardware.handshake=none"], "io_stream needs its handshake"),
        (["--set", "hardware.reuse_factor=2"], "io_type: io_stream"),
    ],
)
def test_bad_options(file: Path, arguments: list[str], message: str) -> None:
    done = call("build", file, *arguments)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert not (file.parent / "hls_projects").exists()


def test_usage_errors_are_status_2(file: Path) -> None:
    assert call("build").exit_code == 2
    assert call("build", file, "--nonsense").exit_code == 2
    assert call("nonsense").exit_code == 2


def test_output_folder_that_is_not_writable(file: Path) -> None:
    """The superuser may write anywhere, so the folder stands below a file, or on a file system without room."""
    (file.parent / "taken").write_text("")
    for out in (file.parent / "taken", file.parent / "taken" / "deeper", Path("/proc/hwgen")):
        done = call("build", file, "--out", out)
        assert done.exit_code == 2, done.output
        assert "nothing was written   exit 2" in done.stderr


def test_show_and_verify_want_a_build_folder(tmp_path: Path) -> None:
    for command in ("show", "verify"):
        done = call(command, tmp_path)
        assert done.exit_code == 2
        assert "not a build folder" in done.stderr


def test_schema_is_json() -> None:
    schema = json.loads(call("schema").stdout)
    assert "model" in schema["properties"]


def test_doctor_lists_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    done = call("doctor", "--json")
    tools = {tool["name"]: tool for tool in json.loads(done.stdout)["tools"]}
    assert tools["hls4ml"]["version"] == "1.3.0"
    assert all(tool["disables"] and tool["get"] for tool in tools.values())
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    from hwgen.tools import gxx

    gxx.find.cache_clear()
    try:
        done = call("doctor")
    finally:
        gxx.find.cache_clear()
    assert done.exit_code == 4
    assert "missing: g++, make, perl" in done.stdout
    assert "apt install g++" in done.stdout


def test_a_bug_gives_a_message_and_keeps_the_traceback(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwgen import api

    def broken(*_: object) -> None:
        raise ZeroDivisionError("one over nothing")

    monkeypatch.setattr(api, "load_spec", broken)
    done = call("build", file)
    assert done.exit_code == 1
    assert "hwgen itself failed: ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr
    log = Path(done.stderr.split("traceback is in ")[1].split()[0])
    assert "ZeroDivisionError" in log.read_text()
    log.unlink()


def test_ctrl_c_is_said_and_is_not_a_traceback(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwgen import api

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "load_spec", interrupted)
    done = call("build", file)
    assert done.exit_code == 130
    assert "resumes" in done.stderr


def test_a_pipe_that_closes_is_no_error() -> None:
    command = f"{sys.executable} -m hwgen.cli schema | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=os.environ, check=True)
    assert done.stderr == ""
