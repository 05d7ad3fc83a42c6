"""`hwgen handoff --target pynq`: an overlay for two boards, a driver that checks itself, and what a frame takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.errors import SpecError
from hwgen.files import FileSet, json_bytes
from hwgen.handoff.boundary import Boundary, boundary, shell_text
from hwgen.handoff.common import common_files, data_scaling, readme
from hwgen.handoff.component_xml import LIBRARY, VENDOR, VERSION, component_xml
from hwgen.handoff.render import banner, render
from hwgen.handoff.source import Source, read_source
from hwgen.ir.serialize import npz_bytes

GENERATED = "generated, not run (hwgen starts no vendor tool, and has no board)"
STATUS = f"#\n# Status: {GENERATED}. Written for Vivado 2020.2 to 2024.2."
GOLDEN_FRAMES = 4
WIDEST = 62
"""Bits of an element that the driver's 64-bit integers surely hold."""
STREAM_BITS = (8, 16, 32, 64, 128, 256, 512, 1024)
"""Widths of the AXI DMA's streams (PG021)."""

DMA_CYCLES = 100
"""Assumed: cycles from a DMA's start to its first beat and from its last beat to its end, together, a transfer."""
DRIVER_US = 100.0
"""Assumed: microseconds of Python a transfer takes (start and wait); the driver's `seconds_a_frame` measures."""


@dataclass(frozen=True)
class BoardKind:
    """A board: its device, its processing system's IP, pins and settings.

    Parameters
    ----------
    most_mhz : the highest clock that the processing system gives the logic, MHz
    """

    name: str
    title: str
    part: str
    board_part: str
    ps: str
    rule: str
    master: str
    slave: str
    clock: str
    reset: str
    master_clock: str
    slave_clock: str
    memory_bits: int
    most_mhz: float
    settings: tuple[tuple[str, str], ...]
    clock_setting: str

    def mhz(self, period_ns: float) -> float:
        """Return the clock for a period asked for, MHz."""
        return min(1000 / period_ns, self.most_mhz)


BOARDS = (
    BoardKind(
        name="kv260",
        title="Kria KV260 (Zynq UltraScale+)",
        part="xck26-sfvc784-2LV-c",
        board_part="xilinx.com:kv260_som:part0:*",
        ps="zynq_ultra_ps_e",
        rule="zynq_ultra_ps_e",
        master="M_AXI_HPM0_FPD",
        slave="S_AXI_HP0_FPD",
        clock="pl_clk0",
        reset="pl_resetn0",
        master_clock="maxihpm0_fpd_aclk",
        slave_clock="saxihp0_fpd_aclk",
        memory_bits=128,
        most_mhz=300.0,
        settings=(
            ("PSU__USE__M_AXI_GP0", "1"),
            ("PSU__USE__M_AXI_GP1", "0"),
            ("PSU__USE__M_AXI_GP2", "0"),
            ("PSU__USE__S_AXI_GP2", "1"),
            ("PSU__SAXIGP2__DATA_WIDTH", "128"),
            ("PSU__FPGA_PL0_ENABLE", "1"),
        ),
        clock_setting="PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
    ),
    BoardKind(
        name="pynq_z2",
        title="PYNQ-Z2 (Zynq-7000)",
        part="xc7z020clg400-1",
        board_part="tul.com.tw:pynq-z2:part0:*",
        ps="processing_system7",
        rule="processing_system7",
        master="M_AXI_GP0",
        slave="S_AXI_HP0",
        clock="FCLK_CLK0",
        reset="FCLK_RESET0_N",
        master_clock="M_AXI_GP0_ACLK",
        slave_clock="S_AXI_HP0_ACLK",
        memory_bits=64,
        most_mhz=250.0,
        settings=(
            ("PCW_USE_M_AXI_GP0", "1"),
            ("PCW_USE_S_AXI_HP0", "1"),
            ("PCW_S_AXI_HP0_DATA_WIDTH", "64"),
            ("PCW_EN_CLK0_PORT", "1"),
            ("PCW_EN_RST0_PORT", "1"),
        ),
        clock_setting="PCW_FPGA0_PERIPHERAL_FREQMHZ",
    ),
)


def pynq(folder: Path) -> FileSet:
    """Return the hand-off of a build folder to a PYNQ board.

    Raises
    ------
    HwgenError
        If the folder holds no verified design, or one without AXI4-Stream ports that a DMA can feed.
    """
    source = read_source(folder)
    _check(source)
    made = boundary(source)
    files = common_files(source)
    files.merge(source.rtl("ip/rtl"))
    files.add(f"ip/rtl/{source.top}_ip.v", shell_text(source, made, banner(source)))
    values = {"banner": banner(source), "module": made.module, "clock": made.clock, "period": f"{source.period_ns:.3f}"}
    files.add(
        "ip/ooc.xdc", f"# {values['banner']}\ncreate_clock -name aclk -period {values['period']} [get_ports aclk]\n"
    )
    names = [f"rtl/{name}" for name in (*source.sources, f"{source.top}_ip.v")]
    files.add("ip/component.xml", component_xml(made, source.top, names, "ooc.xdc", f"{source.top}: a neural network"))
    for board in BOARDS:
        files.add(f"build_{board.name}.tcl", overlay_script(source, made, board))
    files.add("driver/driver.py", (Path(__file__).parent / "board" / "driver.py").read_bytes())
    files.add("driver/network.json", json_bytes(network_document(source)))
    files.add("driver/golden.npz", _golden(source))
    files.add("README.md", _readme(source, made))
    return files


def _check(source: Source) -> None:
    if source.axis is None:
        raise SpecError(
            "a DMA needs AXI4-Stream ports",
            where="hardware.handshake",
            found="none",
            expected="valid_ready",
            hint="hwgen build FILE --set hardware.handshake=valid_ready",
        )
    if 8 * source.axis["bytes"] not in STREAM_BITS:
        expected = ", ".join(str(bits // 8) for bits in STREAM_BITS)
        raise SpecError(
            "no AXI DMA has streams of this width",
            where="hardware.axis_bytes",
            found=str(source.axis["bytes"]),
            expected=expected,
        )
    for port in (*source.design["inputs"], *source.design["outputs"]):
        if port["width"] > WIDEST:
            raise SpecError(
                "the driver's integers have 64 bits",
                where=port["name"],
                found=f"elements of {port['width']} bits",
                expected=f"up to {WIDEST}",
            )


def dma_rows(source: Source) -> list[dict[str, Any]]:
    """Return the DMA engines: input k and output k share one."""
    busses = {way: [name for name, at in boundary(source).streams.items() if at == way] for way in ("in", "out")}
    count = max(len(busses["in"]), len(busses["out"]))
    pick = {way: [*names, *[None] * (count - len(names))] for way, names in busses.items()}
    return [{"name": f"dma_{k}", "send": pick["in"][k], "receive": pick["out"][k]} for k in range(count)]


def overlay_script(source: Source, made: Boundary, board: BoardKind) -> str:
    """Return the Tcl that builds the overlay of a board."""
    assert source.axis is not None
    dmas = dma_rows(source)
    ports = []
    for dma in dmas:
        ports += [f"{dma['name']}/M_AXI_MM2S"] if dma["send"] else []
        ports += [f"{dma['name']}/M_AXI_S2MM"] if dma["receive"] else []
    clocks = [f"ps/{board.master_clock}", f"ps/{board.slave_clock}", "control/aclk", "data/aclk"]
    clocks += [f"{dma['name']}/s_axi_lite_aclk" for dma in dmas]
    clocks += [pin.replace("M_AXI", "m_axi").replace("MM2S", "mm2s").replace("S2MM", "s2mm") + "_aclk" for pin in ports]
    bits = 8 * int(source.axis["bytes"])
    mhz = board.mhz(source.period_ns)
    fields = {**vars(board), "config": [*board.settings, (board.clock_setting, f"{mhz:.6g}")]}
    return render(
        "pynq.tcl.j2",
        banner=banner(source),
        status=STATUS,
        script=f"build_{board.name}.tcl",
        overlay=f"{source.top}_{board.name}",
        board=fields,
        mhz=f"{mhz:.6g}",
        ip=f"{source.top}_ip",
        vlnv=f"{VENDOR}:{LIBRARY}:{source.top}_ip:{VERSION}",
        dmas=dmas,
        bits=bits,
        memory_bits=max(32, bits, board.memory_bits),
        memory_ports=ports,
        clocks=clocks,
        resets=["control/aresetn", "data/aresetn", *(f"{dma['name']}/axi_resetn" for dma in dmas)],
    )


def network_document(source: Source) -> dict[str, Any]:
    """Return network.json: what the driver has to know."""
    assert source.axis is not None
    scale, offset = data_scaling(source) or (1.0, 0.0)
    dmas = dma_rows(source)
    document: dict[str, Any] = {
        "version": 1,
        "top": source.top,
        "bytes": source.axis["bytes"],
        "scale": scale,
        "offset": offset,
        "overlays": {board.name: f"{source.top}_{board.name}" for board in BOARDS},
    }
    for way in ("input", "output"):
        document[f"{way}s"] = [
            {
                "name": port["name"],
                "shape": port["shape"],
                "elements": int(source.golden.inputs[port["name"]].shape[1])
                if way == "input"
                else int(source.golden.outputs[port["name"]].shape[1]),
                "width": port["width"],
                "signed": port["signed"],
                "fraction": port["fraction"],
                "beats": source.axis[f"{way}_beats"][port["name"]],
                "dma": dmas[k]["name"],
            }
            for k, port in enumerate(source.design[f"{way}s"])
        ]
    return document


def _golden(source: Source) -> bytes:
    arrays: dict[str, Any] = {}
    for side, values in (("in", source.golden.inputs), ("out", source.golden.outputs)):
        arrays |= {f"{side}/{name}": array[:GOLDEN_FRAMES].astype("int64") for name, array in values.items()}
    return npz_bytes(arrays)


def frame_time(source: Source, mhz: float) -> dict[str, float]:
    """Estimate what one frame takes, microseconds: ``logic``, ``dma`` and ``driver``, which add up to ``total``.

    A transfer is a frame, and the next starts when the last has ended: ``logic`` is the core's latency and the beats
    of the longest input and output, ``dma`` is `DMA_CYCLES` a transfer, ``driver`` is `DRIVER_US` a transfer.
    """
    assert source.axis is not None
    beats = [max(source.axis[f"{way}_beats"].values()) for way in ("input", "output")]
    transfers = sum(len(source.axis[f"{way}_beats"]) for way in ("input", "output"))
    cycles = beats[0] + int(source.evidence["latency"]["measured_cycles"]) + beats[1]
    times = {"logic": cycles / mhz, "dma": transfers * DMA_CYCLES / mhz, "driver": transfers * DRIVER_US}
    return {**times, "total": sum(times.values())}


RUN = """
## Use

1. Where Vivado is: `vivado -mode batch -source {script}` (or the other board's) builds the overlay into `driver/`.
2. Copy `driver/` to the board.
3. On the board, in Python:

   ```python
   from driver import Network
   net = Network()       # loads the overlay and checks one golden frame, bit for bit
   y = net(raw)          # scales, packs, runs, unpacks
   ```

No board has seen this folder. hwgen's own tests hold the driver's packing against a simulated core, bit for bit.

## What a frame takes (an estimate)

A transfer is a frame, one after the other: T = (beats in + core latency + beats out) / f + transfers x ({dma} / f +
{driver:g} us). {dma} cycles for a DMA to start and to end and {driver:g} us of Python a transfer are assumptions;
`net.seconds_a_frame()` measures.

| board | clock | logic | DMA | Python | frame |
|---|---|---|---|---|---|
{rows}

{note}
"""


def _readme(source: Source, made: Boundary) -> str:
    rows = []
    for board in BOARDS:
        mhz = board.mhz(source.period_ns)
        t = frame_time(source, mhz)
        cells = [f"{t[key]:.3g} us" for key in ("logic", "dma", "driver", "total")]
        rows.append(f"| {board.title} | {mhz:.4g} MHz | {' | '.join(cells)} |")
    note = f"The design was made for {source.part} at {source.period_ns:g} ns; whether a board's device is large and "
    note += "fast enough is for Vivado to say. A clock above what a board gives is lowered in its script."
    run = RUN.format(
        script=f"build_{BOARDS[0].name}.tcl", dma=DMA_CYCLES, driver=DRIVER_US, rows="\n".join(rows), note=note
    )
    return readme(
        source,
        made,
        title="PYNQ boards",
        what=f"`{source.top}` as an overlay for {' and '.join(b.title for b in BOARDS)}, with a driver in Python.",
        status=f"scripts {GENERATED}",
        run=run,
        files=[
            *((f"build_{b.name}.tcl", f"builds the overlay for {b.title}") for b in BOARDS),
            ("ip/", "the design as an IP: component.xml and sources"),
            ("driver/driver.py", "scales, packs, runs, unpacks, checks; needs NumPy, on the board also pynq"),
            ("driver/network.json, driver/golden.npz", "ports, formats, scaling; golden frames as integers"),
            ("evidence/", "what was proved, and the settings the design was made with"),
        ],
        part=source.part,
    )
