"""The C++ emulator gives the graph's integers: every node kind, every mode, and no undefined behaviour on the way."""

from __future__ import annotations

import json
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from sim_design import tiny_folder, tiny_graph, verification
from test_rtl_random import frames, random_graph
from test_stream_random import Net

from hwgen.emulator import emulator_files, emulator_ports
from hwgen.emulator import run as runner
from hwgen.emulator.program import pack, unpack
from hwgen.errors import GraphError
from hwgen.files import FileSet
from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.ir import Graph
from hwgen.ir import nodes as ir
from hwgen.sim.verify import VerifyOptions, verify
from hwgen.tools import gxx

pytestmark = pytest.mark.gxx

COUNT = 60


def every_mode() -> Graph:
    """Every rounding with every overflow, signed and not, up and down, with bounds; and averages likewise."""
    nodes: list[ir.Node] = [ir.Input(name="x", shape=(2, 2, 3), fmt=FixedPoint(9, 3))]
    ends = []
    for k, (rounding, overflow) in enumerate(product(Rounding, Overflow)):
        fmt = FixedPoint(5, (k % 5) - 1, k % 3 != 0, rounding, overflow)
        clamp = (fmt.int_min + 1, fmt.int_max - 2) if k % 4 == 0 else None
        nodes.append(ir.Requantize(name=f"q{k}", inputs=("x",), fmt=fmt, clamp=clamp))
        divisor = np.array([[[3], [1]], [[5], [6]]])
        nodes.append(ir.Divide(name=f"d{k}", inputs=("x",), divisor=divisor, fmt=fmt, clamp=clamp))
        ends += [f"q{k}", f"d{k}"]
    nodes.append(ir.Concat(name="all", inputs=tuple(ends), axis=2))
    return Graph("modes", (*nodes, ir.Output(name="y", inputs=("all",)))).verify()


def every_kind() -> Graph:
    """The kinds and shapes that the random graphs leave out: wide integers, broadcasting, Transpose, Lookup, Min."""
    wide = FixedPoint(40, 20)
    nodes = [
        ir.Input(name="a", shape=(2, 3, 4), fmt=FixedPoint(6, 2)),
        ir.Input(name="b", shape=(2, 1, 4), fmt=FixedPoint(7, 4, False)),
        ir.Input(name="w", shape=(3,), fmt=wide),
        ir.Const(name="c", value=np.array([[5], [-9], [1 << 40]]), fraction=3),
        ir.Min(name="least", inputs=("a", "b")),
        ir.Transpose(name="turned", inputs=("least",), perm=(2, 0, 1)),
        ir.Reshape(name="flat", inputs=("turned",), shape=(4, 6)),
        ir.Const(name="k", value=np.arange(-9, 9).reshape(6, 3), fraction=2),
        ir.Const(name="kb", value=np.array([7]), fraction=9),
        ir.Dense(name="rows", inputs=("flat", "k", "kb")),
        ir.Mul(name="far", inputs=("a", "c")),
        ir.Sub(name="less", inputs=("far", "b")),
        ir.Requantize(name="near", inputs=("less",), fmt=FixedPoint(8, 8, True, Rounding.RND_CONV, Overflow.SAT)),
        ir.Lookup(
            name="squares", inputs=("near",), table=np.arange(-128, 128) ** 2, first=-128, fmt=FixedPoint(16, 9, False)
        ),
        ir.Mul(name="huge", inputs=("w", "w")),
        ir.Requantize(name="back", inputs=("huge",), fmt=FixedPoint(60, 44, True, Rounding.RND, Overflow.WRAP)),
        ir.ReduceMax(name="most", inputs=("rows",)),
        ir.ArgMax(name="where", inputs=("squares",)),
        *(ir.Output(name=f"{n}_out", inputs=(n,)) for n in ("rows", "squares", "back", "most", "where")),
    ]
    return Graph("kinds", tuple(nodes)).verify()


def driver(graphs: list[Graph]) -> str:
    """A program that runs every network's frames: argument k + 1 is the file of network k, results go beside it."""
    calls = "\n".join(f"    one({g.name}::input_bytes, {g.name}::output_bytes, {g.name}::infer_bytes);" for g in graphs)
    return (
        "".join(f'#include "{g.name}.h"\n' for g in graphs)
        + r"""
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>
int main(int, char** argv) {
    auto one = [&](std::size_t in, std::size_t out, bool (*infer)(const unsigned char*, unsigned char*)) {
        const std::string path = *++argv;
        std::ifstream file(path, std::ios::binary);
        std::vector<unsigned char> x((std::istreambuf_iterator<char>(file)), {}), y(x.size() / in * out);
        for (std::size_t i = 0; i < x.size() / in; ++i)
            if (!infer(&x[i * in], &y[i * out])) std::fprintf(stderr, "%s: refused\n", path.c_str());
        std::ofstream(path + ".out", std::ios::binary).write(reinterpret_cast<char*>(y.data()), long(y.size()));
    };
"""
        + calls
        + "\n}\n"
    )


def test_emulator_is_the_graph(tmp_path: Path) -> None:
    """One program of many networks, compiled with the sanitizers: an overflow of a signed integer ends it."""
    graphs = [every_mode(), every_kind(), *map(random_graph, range(14)), *(Net(s).graph() for s in range(14))]
    kinds = {type(node) for graph in graphs for node in graph.nodes}
    assert kinds == set(ir.KINDS.values()), set(ir.KINDS.values()) - kinds
    sources, given = ['#include "driver.h"'], {}
    for k, graph in enumerate(graphs):
        emulator_files(graph).write(tmp_path / graph.name)
        sources += [f'#include "{graph.name}/{graph.name}{part}.cpp"' for part in ("", "_weights")]
        given[graph.name] = frames(graph, k, COUNT)
        (tmp_path / f"{k}.bin").write_bytes(pack(emulator_ports(graph)[0], given[graph.name]))
    (tmp_path / "driver.h").write_text(driver(graphs))
    (tmp_path / "all.cpp").write_text("\n".join(sources) + "\n")
    checks = "-fsanitize=undefined,address", "-fno-sanitize-recover=all", "-Wall", "-Wextra", "-Wpedantic", "-Werror"
    includes = [f"-I{graph.name}" for graph in graphs]
    command = [gxx.find().path, "-std=c++17", "-O0", *checks, "-I.", *includes, "all.cpp", "-o", "all"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["./all", *(f"{k}.bin" for k in range(len(graphs)))], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()[-2000:]
    for k, graph in enumerate(graphs):
        got = unpack(emulator_ports(graph)[1], (tmp_path / f"{k}.bin.out").read_bytes())
        for name, wanted in graph.evaluate(given[graph.name]).items():
            np.testing.assert_array_equal(got[name], wanted.reshape(COUNT, -1), f"{graph.name}: {name}")


def test_files_are_the_same_every_time_and_name_no_place() -> None:
    files = emulator_files(every_kind())
    assert files.digest() == emulator_files(every_kind()).digest()
    assert set(files) == {
        "kinds.h", "kinds.cpp", "kinds_weights.h", "kinds_weights.cpp", "hwgen_ops.h", "main.cpp", "CMakeLists.txt",
        "README.md", "golden_in.bin", "golden_out.bin",
    }  # fmt: skip
    assert not any(b"/tmp" in content or str(Path.cwd()).encode() in content for content in files.values())
    assert (
        "__int128" in files["kinds.cpp"].decode()
        and "__int128" not in emulator_files(tiny_graph())["tiny.cpp"].decode()
    )


def test_the_program_checks_refuses_and_converts(tmp_path: Path) -> None:
    graph = tiny_graph()
    emulator, _ = runner.build_emulator(graph, tmp_path / "src", tmp_path / "bin")

    def call(*args: str) -> int:
        return subprocess.run([emulator.program, *args], cwd=tmp_path / "src", capture_output=True).returncode

    assert call("--check", "golden_in.bin", "golden_out.bin") == 0
    wrong = bytearray((tmp_path / "src" / "golden_out.bin").read_bytes())
    wrong[-1] ^= 1
    (tmp_path / "src" / "wrong.bin").write_bytes(wrong)
    assert call("--check", "golden_in.bin", "wrong.bin") == 1
    (tmp_path / "src" / "large.bin").write_bytes(np.array([0, 0, 32, 0], "<i4").tobytes())
    assert call("large.bin", "out.bin") == 2
    (tmp_path / "src" / "short.bin").write_bytes(bytes(15))
    assert call("short.bin", "out.bin") == 2

    reals = np.array([0.40625, 0.46875, 5.0, -1.0, 0.99, 1.98, 0.03124, 0.03126])
    (tmp_path / "main.cpp").write_text(
        '#include "tiny.h"\n#include <cmath>\n#include <cstdio>\n#include <stdexcept>\nint main() {\n'
        f"    const double x[] = {{{', '.join(map(str, reals))}}};\n    std::int32_t n[4];\n    double y[2];\n"
        '    for (int k : {0, 4}) { tiny::quantize_x(x + k, n); for (int v : n) std::printf("%d ", v); }\n'
        '    tiny::infer(x, y); for (double v : y) std::printf("%.17g ", v);\n'
        "    const double bad[4] = {NAN};\n    try { tiny::quantize_x(bad, n); }\n"
        '    catch (const std::domain_error&) { std::printf("bad"); }\n}\n'
    )
    sources = ["main.cpp", "src/tiny.cpp", "src/tiny_weights.cpp"]
    subprocess.run([gxx.find().path, "-std=c++17", "-Isrc", *sources, "-o", "real"], cwd=tmp_path, check=True)
    said = subprocess.run(["./real"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    host = FixedPoint(5, 1, False, Rounding.RND_CONV, Overflow.SAT).quantize(reals)
    assert [int(v) for v in said[:8]] == host.tolist()
    out = graph.evaluate({"x": host[None, :4]})["fc2_out"]
    assert [float(v) for v in said[8:10]] == graph.types["fc2"].fmt.to_float(out)[0].tolist()
    assert said[10:] == ["bad"]


def test_too_wide_is_refused_by_name() -> None:
    x = ir.Input(name="x", shape=(1,), fmt=FixedPoint(60, 60))
    square = ir.Mul(name="square", inputs=("x", "x"))
    with pytest.raises(GraphError, match="at most 64 bits"):
        emulator_files(Graph("wide", (x, square, ir.Output(name="y", inputs=("square",)))))
    cube = ir.Mul(name="cube", inputs=("square", "x"))
    small = ir.Requantize(name="small", inputs=("cube",), fmt=FixedPoint(8, 8))
    with pytest.raises(GraphError, match="at most 128 bits") as caught:
        emulator_files(Graph("wide", (x, square, cube, small, ir.Output(name="y", inputs=("small",)))))
    assert caught.value.where == "cube"


@pytest.mark.verilator
def test_verify_compares_it_and_finds_a_wrong_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder(tmp_path)
    options = VerifyOptions(cocotb=False, stalls=False, emulator=True)
    verify(folder, options)
    (row,) = [row for row in verification(folder)["pairs"] if row["b"] == "emulator"]
    rtl = next(row for row in verification(folder)["pairs"] if row["b"] == "rtl")
    assert row["mismatches"] == 0 and row["vectors"] == rtl["vectors"] > 2000 and row["sets"] == rtl["sets"]
    assert (folder / "emulator" / "CMakeLists.txt").is_file() and row["frames_per_s"] > 0

    def broken(graph: Graph) -> FileSet:
        files = emulator_files(graph)
        return FileSet({n: c.replace(b"RND_CONV, Overflow", b"RND, Overflow") for n, c in files.items()})

    monkeypatch.setattr(runner, "emulator_files", broken)
    assert verify(folder, options).status == "FAIL"
    document = verification(folder)
    row = document["pairs"][-1]
    assert row["b"] == "emulator" and 0 < row["mismatches"] < row["vectors"]
    assert row["first"]["output"] == "fc2_out" and row["first"]["a_integer"] != row["first"]["b_integer"]
    assert any(text.startswith("graph = emulator") for text in document["failed_checks"])


def test_not_asked_is_said(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    verify(folder, VerifyOptions(cocotb=False, stalls=False))
    assert "outputs.emulator" in json.loads((folder / "verification.json").read_text())["not_requested"]["emulator"]
