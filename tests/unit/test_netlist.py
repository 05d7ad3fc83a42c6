"""The gate-level check: good netlists pass, a changed look-up table and a register without reset are found."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sim_design import tiny_folder, verification

from hwgen.errors import ProofError, ToolMissing
from hwgen.sim import four_state as states
from hwgen.sim import netlist as module
from hwgen.sim import netlist_check as check
from hwgen.sim.case import VerifyOptions, read_case
from hwgen.sim.cocotb_run import core_files
from hwgen.sim.evidence import FAIL, NOT_RUN, PASS, Ledger
from hwgen.sim.netlist import SIMPLE, Netlist, cell_models, family_of, library, synthesize
from hwgen.sim.timing import Timing
from hwgen.sim.verify import verify
from hwgen.tools import icarus, yosys

pytestmark = [pytest.mark.verilator, pytest.mark.yosys]

RTL = Timing(latency=3, first_out=3, interval=1, frames=64, cycles_per_s=1e6)
ASKED = VerifyOptions(cocotb=False, stalls=False, netlist=True, part="xc7a35tcpg236-1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("netlist"))


@pytest.fixture
def four() -> icarus.Icarus:
    try:
        return icarus.find()
    except ToolMissing as error:
        pytest.skip(error.what)


def run(folder: Path, options: VerifyOptions = ASKED) -> Ledger:
    """Run the gate-level check alone."""
    ledger = Ledger({"pairs": [], "not_checked": []})
    check.netlist_check(read_case(folder, options), options, ledger, RTL, True, lambda message, fraction: None)
    return ledger


def edited(change: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every netlist be changed after its synthesis."""

    def faulty(*args: Any) -> Netlist:
        made = synthesize(*args)
        text = change(made.files[1].read_text())
        other = made.files[1].with_name("changed.v")
        other.write_text(text)
        return Netlist(made.family, (made.files[0], other), made.cells, made.seconds)

    monkeypatch.setattr(check, "synthesize", faulty)


def test_part_decides_what_it_is_made_of() -> None:
    parts = "xcvu13p-flga2577-2-e", "xc7a35t", "iCE40UP5K", "LFE5U-25F", "osu018", "path/cells.lib"
    assert [family_of(part) for part in parts] == ["xc7", "xc7", "ice40", "gates", "gates", "gates"]


def test_verify_joins_the_netlist_to_the_chain(folder: Path, four: icarus.Icarus) -> None:
    verify(folder, ASKED)
    document = verification(folder)
    (row,) = [row for row in document["pairs"] if row["b"] == "netlist"]
    rtl = next(row for row in document["pairs"] if row["b"] == "rtl")
    assert row["a"] == "graph" and row["mismatches"] == 0
    assert row["vectors"] == rtl["vectors"] > 2000 and row["sets"] == rtl["sets"]
    assert (row["family"], row["latency_cycles"], row["interval_cycles"]) == ("xc7", 3, 1)
    assert row["cells"]["LUT6"] > 0 and row["cells"]["CARRY4"] > 0 and row["cells"]["FDRE"] > 0
    seen = document["four_state"]
    assert (seen["tool"], seen["frames"], seen["first"]) == (f"Icarus Verilog {four.version}", 6, None)
    assert seen["whole"] and 10 < seen["cycles"] < 50
    assert not any("netlist" in text for text in document["not_checked"])


@pytest.mark.parametrize("part", ["ice40up5k", "osu018"])
def test_other_families(folder: Path, part: str, four: icarus.Icarus) -> None:
    ledger = run(folder, VerifyOptions(netlist=True, part=part))
    (row,) = ledger.document["pairs"]
    assert row["mismatches"] == 0 and row["vectors"] > 2000, ledger.checks
    names = {c.name for c in ledger.checks if c.status == PASS}
    assert names == {check.PAIR, "netlist latency", "netlist interval", "netlist protocol at full rate", states.CHECK}


def test_one_changed_look_up_table_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(text: str) -> str:
        """Invert the look-up table before a data register."""
        cells = {c[0] for c in re.finditer(r"^  (?:FDRE|LUT\d) #\(.*?\n  \);", text, re.S | re.M)}
        nets = {re.search(r"\.D\((.*?)\)", c)[1] for c in cells if re.search(r"\.Q\(\\?relu_q", c)}  # type: ignore[index]
        table = sorted(c for c in cells if "LUT" in c and any(f".O({net})" in c for net in nets))[0]
        size, base, value = re.search(r"INIT\((\d+)'([hd])(\w+)\)", table).groups()  # type: ignore[union-attr]
        wrong = ~int(value, 16 if base == "h" else 10) & ((1 << int(size)) - 1)
        return text.replace(table, table.replace(f"'{base}{value})", f"'h{wrong:x})", 1))

    edited(change, monkeypatch)
    ledger = run(folder)
    (row,) = ledger.document["pairs"]
    assert 0 < row["mismatches"] <= row["vectors"]
    first = row["first"]
    assert first["output"] == "fc2_out" and first["a_integer"] != first["b_integer"]
    (bad,) = [c for c in ledger.checks if c.name == check.PAIR]
    assert bad.status == FAIL
    where = f"first: {first['set']}:{first['index']}, fc2_out[{first['element']}], graph {first['a_integer']}, netlist"
    assert where in bad.message


def test_other_cycles_than_the_rtl_are_found(folder: Path) -> None:
    ledger = Ledger({"pairs": [], "not_checked": []})
    other = Timing(latency=4, first_out=4, interval=1, frames=64, cycles_per_s=1e6)
    check.netlist_check(read_case(folder, ASKED), ASKED, ledger, other, True, lambda message, fraction: None)
    assert [c.message for c in ledger.checks if c.name == "netlist latency"] == ["RTL 4 cycles, netlist 3"]


def test_a_register_that_reset_does_not_reach_shows_as_x(
    folder: Path, tmp_path: Path, four: icarus.Icarus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit of the credits loses its reset: two-state runs may miss it, X on in_ready names it."""
    netlist = run_files(folder)
    text = netlist.files[1].read_text()
    cells = list(re.finditer(r"FDRE #\(.*?\n  \);", text, re.S))
    cell = next(c for c in cells if re.search(r"\.Q\(\\?used_q", c[0]) and ".R(rst_i)" in c[0])
    other = tmp_path / "netlist.v"
    other.write_text(text[: cell.start()] + cell[0].replace(".R(rst_i)", ".R(1'h0)") + text[cell.end() :])
    broken = Netlist(netlist.family, (netlist.files[0], other), netlist.cells, 0.0)
    for design, status in ((netlist, PASS), (broken, FAIL)):
        ledger = Ledger({"pairs": [], "not_checked": []})
        states.four_state(read_case(folder, ASKED), ledger, design, tmp_path, 3, lambda message, fraction: None)
        (found,) = ledger.checks
        assert (found.name, found.status) == (states.CHECK, status), found.message
    assert re.match(r"out_valid_o is X in cycle \d+ after power-up", found.message)

    monkeypatch.setattr(states, "CELL_CYCLES", 6 * netlist.total)
    monkeypatch.setattr(states, "RESET_CYCLES", 60)
    ledger = Ledger({"pairs": [], "not_checked": []})
    states.four_state(read_case(folder, ASKED), ledger, netlist, tmp_path, 3, lambda message, fraction: None)
    assert ledger.checks[0].status == PASS and not ledger.document["four_state"]["whole"]
    assert ledger.document["not_checked"][0].startswith("X after power-up in the netlist beyond cycle 64 (")

    monkeypatch.setattr(states.icarus, "find", missing)
    ledger = Ledger({"pairs": [], "not_checked": []})
    states.four_state(read_case(folder, ASKED), ledger, netlist, tmp_path, 3, lambda message, fraction: None)
    assert not ledger.checks
    assert ledger.document["not_checked"] == ["X after power-up in the netlist: Icarus Verilog is missing"]


def run_files(folder: Path) -> Netlist:
    case = read_case(folder, ASKED)
    target = folder / "tb" / "sim" / "netlist"
    return synthesize(core_files(case.design, case.files), "tiny", ASKED.part, target, 600.0)


def missing(*args: Any) -> Any:
    raise ToolMissing("it is missing")


def test_what_keeps_it_from_running_is_said_and_the_rest_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options, wanted in ((ASKED, [(check.PAIR, NOT_RUN)]), (VerifyOptions(netlist="auto", part="xc7a35t"), [])):
        for target, name, fake, text in (
            (module.yosys, "find", missing, "it is missing"),
            (module.yosys, "script", slow, "python did not end within 1 s"),
        ):
            with monkeypatch.context() as patched:
                patched.setattr(target, name, fake)
                (folder / "tb" / "sim" / "netlist" / "netlist.key").unlink(missing_ok=True)
                ledger = run(folder, options)
            assert ledger.document["not_run"] == {"netlist": text}
            assert [(c.name, c.status) for c in ledger.checks] == wanted
            assert ledger.document["not_checked"] == [f"synthesized netlist: {text}"]


def slow(*args: Any, **more: Any) -> None:
    raise ProofError("python did not end within 1 s")


def test_large_designs_are_left_out_unless_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = run(folder, VerifyOptions())
    assert ledger.document["not_requested"]["netlist"] == "verify.netlist: true, or hwgen verify --netlist"
    auto = VerifyOptions(netlist="auto", part="xc7a35t")
    monkeypatch.setattr(check, "SMALL_BYTES", 100)
    ledger = run(folder, auto)
    assert "bytes of SystemVerilog, too large for auto (hwgen verify" in ledger.document["not_requested"]["netlist"]
    assert ledger.document["not_checked"] == ["synthesized netlist"] and not ledger.checks

    case = read_case(folder, auto)
    for cells, wanted in ((3000, None), (4000, "about 5,000 LUTs and flip-flops, too large for auto")):
        predicted = case.prediction | {"cost": {"total": {"LUT": cells, "FF": 1000}}}
        why = check._not_asked(replace(case, prediction=predicted), case.files, auto)
        assert why is None if wanted is None else str(why).startswith(wanted)


def test_cells_without_behaviour_are_refused() -> None:
    with pytest.raises(ProofError, match="without a behavioural model") as caught:
        cell_models("xc7", ["FDRE", "RAMB36E1", "NOSUCH"])
    assert caught.value.found == "RAMB36E1, NOSUCH"


def test_simple_models_are_yosys_models(tmp_path: Path) -> None:
    """A miter of every pair, by SAT, with several parameters; flip-flops from the same state, by induction."""
    theirs = library("xilinx/cells_sim.v")
    commands = []
    for kind, text in SIMPLE.items():
        pair = tmp_path / f"{kind}.v"
        mine = re.sub(rf"module {kind}\b", f"module mine_{kind}", text)
        pair.write_text(re.sub(rf"module {kind}\b", f"module their_{kind}", theirs[kind]) + "\n" + mine)
        for number in range(1 if kind == "CARRY4" else 3):
            prefix = f"c{number}_{kind}"
            commands += ["design -reset", f"read_verilog {pair}"]
            if kind.startswith("LUT"):
                init = (0x9E3779B97F4A7C15 * (number + 1)) & ((1 << (1 << int(kind[3]))) - 1)
                values = f"{1 << int(kind[3])}'h{init:x}"
                commands += [f"chparam -set INIT {values} their_{kind} mine_{kind}"]
            if kind.startswith("FD") and number:  # 1: D inverted, 2: reset or set inverted
                pin = "D" if number == 1 else "R" if kind == "FDRE" else "S"
                commands += [f"chparam -set IS_{pin}_INVERTED 1'b1 their_{kind} mine_{kind}"]
            commands += ["proc", f"miter -equiv -make_assert -flatten their_{kind} mine_{kind} {prefix}"]
            commands += [f"hierarchy -top {prefix}", "opt_clean"]
            commands += [f"sat -verify -prove-asserts -tempinduct -set-init-zero {prefix}"]
    yosys.script(commands)
