"""Every script of a hand-off is read by a safe Tcl interpreter that knows Vivado's commands and switches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from handoff_folder import build_folder
from test_golden import residual, two_inputs, two_layers

from hwgen.handoff import TARGETS
from hwgen.handoff.boundary import boundary
from hwgen.handoff.source import read_source

pytest.importorskip("tkinter")
from tcl_reader import Reader, read_tcl, read_xdc


@pytest.fixture(scope="module", params=["two_inputs", "residual", "plain"])
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    match request.param:
        case "two_inputs":
            return build_folder(folder, two_inputs())
        case "residual":
            return build_folder(folder, residual(), stream=True)
    return build_folder(folder, two_layers(), handshake="none")


def scripts(build: Path) -> dict[str, str]:
    found = {}
    for target in ("vivado", "vitis", "pynq"):
        if target == "pynq" and read_source(build).axis is None:
            continue
        files = TARGETS[target](build)
        ours = [path for path in files if path.endswith((".tcl", ".xdc")) and not path.startswith("hls/")]
        found |= {f"{target}/{path}": files[path].decode() for path in ours}
    return found


def test_every_script_is_known_word_for_word(build: Path) -> None:
    found = scripts(build)
    assert len(found) >= 5
    for path, text in found.items():
        reader = read_xdc(text) if path.endswith(".xdc") else read_tcl(text)
        assert not reader.errors, f"{path}: {reader.errors}"
        assert reader.calls, path


def calls(reader: Reader, name: str) -> list[tuple[dict[str, str], list[str]]]:
    return [(values, rest) for called, values, rest in reader.calls if called == name]


def test_synthesis_reads_what_is_there_and_reports_by_the_agreed_names(build: Path) -> None:
    files = TARGETS["vivado"](build)
    top = read_source(build).top
    reader = read_tcl(files["synth_ooc.tcl"].decode())
    ((_, (listed,)),) = calls(reader, "read_verilog")
    assert set(listed.split()) <= set(files) and len(listed.split()) == len(read_source(build).sources)
    ((mode, (xdc,)),) = calls(reader, "read_xdc")
    assert mode == {"-mode": "out_of_context"} and xdc in files
    ((values, _),) = calls(reader, "synth_design")
    assert (values["-top"], values["-part"]) == (boundary(read_source(build)).module, "PART")
    order = [name for name, _, _ in reader.calls if name.endswith("_design")]
    assert order == ["synth_design", "opt_design", "place_design", "route_design"]
    names = {values["-file"] for name, values, _ in reader.calls if name.startswith("report_")}
    wanted = {
        f"reports/{top}_post_{s}_{k}.rpt" for s in ("synth", "place", "route") for k in ("util", "timing", "power")
    }
    assert wanted <= names and f"reports/{top}_post_route_drc.rpt" in names
    assert [rest for _, rest in calls(reader, "write_checkpoint")] == [
        [f"reports/{top}_post_{step}.dcp"] for step in ("synth", "place", "route")
    ]


def test_constraints_name_every_port_but_the_clock(build: Path) -> None:
    files = TARGETS["vivado"](build)
    made = boundary(read_source(build))
    reader = read_xdc(files[f"{read_source(build).top}_ooc.xdc"].decode())
    named = [re.sub(r"\[\*\]$", "", word) for _, (text,) in calls(reader, "get_ports") for word in text.split()]
    assert sorted(named) == sorted(port.name for port in made.ports)
    ((values, _),) = calls(reader, "create_clock")
    assert values == {"-name": made.clock, "-period": "4.000"}


def test_the_block_designs_connect_every_stream_clock_and_reset(build: Path) -> None:
    source = read_source(build)
    if source.axis is None:
        return
    for board in ("kv260", "pynq_z2"):
        reader = read_tcl(TARGETS["pynq"](build)[f"build_{board}.tcl"].decode())
        pins = [rest[0] for _, rest in calls(reader, "get_bd_intf_pins")]
        assert {f"net/{name}" for name in boundary(source).streams} <= set(pins)
        assert len(pins) == len(set(pins)) == 2 * len(calls(reader, "connect_bd_intf_net"))
        nets = [rest[0] for _, rest in calls(reader, "get_bd_pins")]
        assert {"net/aclk", "net/aresetn", "control/aclk", "data/aclk"} <= set(nets)
        made = {rest[0] for _, rest in calls(reader, "create_bd_cell")}
        assert {pin.split("/")[0] for pin in (*pins, *nets)} == made
        engines = {name for name in made if name.startswith("dma_")}
        assert len(engines) == max(len(source.design["inputs"]), len(source.design["outputs"]))


WRONG = {
    "an unknown command": ("route_design\n", "rout_design\n", 'invalid command name "rout_design"'),
    "an unknown switch": ("-flatten_hierarchy", "-flatten", "synth_design: no switch -flatten"),
    "a switch without value": ("-part $part -mode out_of_context -flatten_hierarchy rebuilt", "-part", "has no value"),
    "a word too many": ("place_design\n", "place_design now\n", "place_design: 1 words"),
    "an open brace": ("if {$slack < 0} {", "if {$slack < 0 {", "is not closed"),
    "an unknown variable": ("$module -part", "$modul -part", "can't read"),
    "a wrong branch": ('puts "TIMING NOT MET', 'putz "TIMING NOT MET', "putz"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_found(case: str, tmp_path: Path) -> None:
    text = TARGETS["vivado"](build_folder(tmp_path, two_layers()))["synth_ooc.tcl"].decode()
    old, new, message = WRONG[case]
    assert old in text
    found = read_tcl(text.replace(old, new)).errors
    assert any(message in error for error in found), found


def test_an_xdc_holds_constraints_only_and_the_simulation_known_programs(tmp_path: Path) -> None:
    files = TARGETS["vivado"](build_folder(tmp_path, two_layers()))
    xdc, sim = files["two_layers_ooc.xdc"].decode(), files["two_layers_sim.tcl"].decode()
    assert any("if" in e for e in read_xdc(xdc + "if {1} {}\n").errors)
    assert any("synth_design" in e for e in read_xdc(xdc + "synth_design\n").errors)
    assert any("no such program" in e for e in read_tcl(sim.replace("tool xelab", "tool xelabb")).errors)
    assert any("no switch --snap" in e for e in read_tcl(sim.replace("--snapshot", "--snap")).errors)
    assert any("did not pass" in e for e in read_tcl(sim.replace("^PASS: ", "^PASST: ")).errors)
