"""The board's driver, with a board that is a graph; its scripts are read in test_handoff_tcl.py."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from handoff_folder import build_folder
from test_golden import residual, two_inputs, two_layers

from hwgen.errors import SpecError
from hwgen.fixed import FixedPoint, Overflow, Rounding
from hwgen.handoff.board import driver
from hwgen.handoff.pynq import DMA_CYCLES, DRIVER_US, frame_time, pynq
from hwgen.handoff.source import read_source
from hwgen.ir import Graph, load_graph


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_folder(tmp_path_factory.mktemp("two_inputs"), two_inputs())


def host(fmt: FixedPoint) -> FixedPoint:
    """As a built network says of its inputs: rounded half to even, clipped."""
    return FixedPoint(fmt.width, fmt.width - fmt.fraction, fmt.signed, Rounding.RND_CONV, Overflow.SAT)


class Buffer(np.ndarray):
    def flush(self) -> None:
        self.flushed = True

    def invalidate(self) -> None: ...


class FakeBoard:
    """DMA channels in front of a graph: what is sent is unpacked by hand, evaluated, and packed by hand."""

    def __init__(self, graph: Graph, about: dict, wrong: bool = False) -> None:
        self.graph, self.about, self.wrong = graph, about, wrong
        self.sent: dict[str, bytes] = {}
        self.waiting: dict[str, np.ndarray] = {}
        for port in (*about["inputs"], *about["outputs"]):
            setattr(self, port["dma"], SimpleNamespace(sendchannel=None, recvchannel=None))
        for side, name in (("inputs", "sendchannel"), ("outputs", "recvchannel")):
            for port in about[side]:
                channel = SimpleNamespace(transfer=self.transfer(port, name), wait=lambda: None)
                setattr(getattr(self, port["dma"]), name, channel)

    def transfer(self, port: dict, way: str):
        def receive(buffer: np.ndarray) -> None:
            self.waiting[port["name"]] = buffer

        def send(buffer: Buffer) -> None:
            assert buffer.flushed and len(self.waiting) == len(self.about["outputs"]), "nobody receives yet"
            assert len(buffer) == port["beats"] * self.about["bytes"]
            self.sent[port["name"]] = buffer.tobytes()
            if len(self.sent) == len(self.about["inputs"]):
                self.fire()

        return send if way == "sendchannel" else receive

    def fire(self) -> None:
        x = {}
        for node in self.graph.inputs:
            size = -(-node.fmt.width // 8)
            raw = self.sent[node.name]
            n = int(np.prod(node.shape))
            parts = [raw[k * size : (k + 1) * size] for k in range(n)]
            values = [int.from_bytes(part, "little", signed=node.fmt.signed) for part in parts]
            x[node.name] = np.array(values).reshape(1, *node.shape)
        for port in self.about["outputs"]:
            size = -(-port["width"] // 8)
            y = self.graph.evaluate(x)[port["name"]].reshape(-1) + int(self.wrong)
            raw = b"".join((int(v) & ((1 << 8 * size) - 1)).to_bytes(size, "little") for v in y)
            buffer = self.waiting.pop(port["name"])
            buffer[:] = np.frombuffer(raw.ljust(len(buffer), b"\0"), np.uint8)
        self.sent.clear()


def on_board(build: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, wrong: bool = False) -> Path:
    pynq(build).write(folder)
    about = json.loads((folder / "driver" / "network.json").read_text())
    (folder / "driver" / f"{about['top']}_kv260.bit").touch()
    graph = load_graph(build / "graph")
    fake = SimpleNamespace(
        Overlay=lambda _: FakeBoard(graph, about, wrong),
        allocate=lambda shape, dtype: np.zeros(shape, dtype).view(Buffer),
    )
    monkeypatch.setitem(sys.modules, "pynq", fake)
    return folder / "driver"


@pytest.mark.parametrize("name", ["two_inputs", "residual"])
def test_the_driver_checks_itself_and_gives_the_graph_s_values(
    name: str, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = built if name == "two_inputs" else build_folder(tmp_path / "b", residual(), stream=True)
    folder = on_board(build, tmp_path / "pynq", monkeypatch)
    net = driver.Network(folder)
    net.check(frames=4)
    graph = load_graph(build / "graph")
    rng = np.random.default_rng(5)
    raw = {n.name: rng.normal(4, 40, (3, *n.shape)) for n in graph.inputs}
    x = {n.name: host(n.fmt).quantize(raw[n.name] * 0.0625 - 0.5) for n in graph.inputs}
    wanted = graph.evaluate(x)
    got = net(raw if len(raw) > 1 else next(iter(raw.values())))
    for port in net.outputs:
        assert got[port["name"]].shape == (3, *port["shape"])
        np.testing.assert_array_equal(got[port["name"]] * 2.0 ** port["fraction"], wanted[port["name"]])
    assert net.seconds_a_frame(3) > 0


def test_a_board_that_is_wrong_is_found_at_start_up(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = on_board(built, tmp_path, monkeypatch, wrong=True)
    with pytest.raises(driver.Mismatch, match=r"golden frame 0, element 0: "):
        driver.Network(folder)
    assert driver.Network(folder, check=False).board is not None


def test_rounding_and_clipping_are_those_of_the_format(built: Path, tmp_path: Path) -> None:
    pynq(built).write(tmp_path)
    net = driver.Network(tmp_path / "driver", board=None)
    graph = load_graph(built / "graph")
    edges = np.array([[-1e9, 1e9], [0.125, 0.375], [-0.125, -0.375], [1.999, -2.001]])
    raw = {n.name: (edges + 0.5) / 0.0625 for n in graph.inputs}
    for node in graph.inputs:
        np.testing.assert_array_equal(net.quantize(raw)[node.name], host(node.fmt).quantize(edges))
    with pytest.raises(ValueError, match="not a number"):
        net.quantize({**raw, "a": np.full((1, 2), np.nan)})
    with pytest.raises(KeyError, match="inputs are"):
        net.quantize({"a": edges})
    with pytest.raises(ValueError, match="beyond"):
        net.pack({"a": np.full((1, 2), 9), "b": np.zeros((1, 2))})
    with pytest.raises(RuntimeError, match="no board"):
        net(raw)
    shutil.copy(tmp_path / "driver" / "network.json", tmp_path / "network.json")
    with pytest.raises(FileNotFoundError, match="one overlay is needed"):
        driver.Network(tmp_path)


def test_frame_time_is_the_formula(built: Path) -> None:
    source = read_source(built)
    t = frame_time(source, 100.0)
    cycles = json.loads((built / "verification.json").read_text())["latency"]["measured_cycles"]
    beats = source.axis
    assert beats is not None
    longest = max(beats["input_beats"].values()) + max(beats["output_beats"].values())
    assert t["logic"] == (longest + cycles) / 100 and t["dma"] == 5 * DMA_CYCLES / 100 and t["driver"] == 5 * DRIVER_US
    assert t["total"] == t["logic"] + t["dma"] + t["driver"]


def test_what_no_dma_can_feed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="needs AXI4-Stream"):
        pynq(build_folder(tmp_path / "none", two_layers(), handshake="none"))
    with pytest.raises(SpecError, match="no AXI DMA"):
        pynq(build_folder(tmp_path / "odd", two_layers(), axis_bytes=3))
