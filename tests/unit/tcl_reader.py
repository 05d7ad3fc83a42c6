"""A safe Tcl interpreter that knows Vivado's commands only by name and switches, and reads the scripts of a hand-off.

The list is taken from AMD's manuals for Vivado 2023.2: UG835 (Tcl Command Reference), UG903 (constraints), UG900
(xvlog, xelab, xsim) and UG1118 (ipx::). It holds what the scripts use: anything else is an error until somebody has
looked it up and added it here.
"""

from __future__ import annotations

import tkinter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Command:
    """Switches by name (whether each takes a value), and how many other words there may be."""

    switches: Mapping[str, bool] = field(default_factory=dict)
    least: int = 0
    most: int = 0


def flags(*names: str) -> dict[str, bool]:
    return dict.fromkeys(names, False)


def takes(*names: str) -> dict[str, bool]:
    return dict.fromkeys(names, True)


PATTERNS = {**flags("-regexp", "-nocase", "-quiet", "-verbose"), **takes("-filter", "-of_objects")}
REPORT = {**flags("-append", "-return_string", "-quiet", "-verbose"), **takes("-file", "-name")}
VIVADO: dict[str, Command] = {
    "add_files": Command({**flags("-norecurse", "-copy_to", "-quiet"), **takes("-fileset")}, 1, 1),
    "apply_bd_automation": Command({**flags("-dict", "-quiet"), **takes("-rule", "-config")}, 1, 1),
    "assign_bd_address": Command(
        {**flags("-quiet", "-force"), **takes("-offset", "-range", "-target_address_space")}, 0, 1
    ),
    "close_project": Command(flags("-delete", "-quiet")),
    "connect_bd_intf_net": Command({**flags("-quiet"), **takes("-intf_net", "-boundary_type")}, 2, 2),
    "connect_bd_net": Command({**flags("-quiet"), **takes("-net")}, 2, 1000),
    "create_bd_cell": Command({**flags("-quiet"), **takes("-vlnv", "-type", "-reference")}, 1, 1),
    "create_bd_design": Command({**flags("-quiet"), **takes("-dir", "-cell")}, 1, 1),
    "create_project": Command({**flags("-force", "-in_memory", "-ip", "-quiet"), **takes("-part")}, 0, 2),
    "current_fileset": Command({**flags("-quiet", "-simset"), **takes("-constrset")}, 0, 1),
    "current_project": Command(flags("-quiet"), 0, 1),
    "get_bd_intf_pins": Command(PATTERNS, 0, 1),
    "get_bd_pins": Command(PATTERNS, 0, 1),
    "get_board_parts": Command(PATTERNS | flags("-latest_file_version", "-latest_hw_revision"), 0, 1),
    "get_files": Command(PATTERNS, 0, 1),
    "get_ipdefs": Command(PATTERNS | flags("-all"), 0, 1),
    "get_property": Command({**flags("-min", "-max", "-quiet", "-verbose")}, 2, 2),
    "get_runs": Command(PATTERNS, 0, 1),
    "get_timing_paths": Command(
        {**flags("-setup", "-hold", "-unique_pins"), **takes("-max_paths", "-nworst", "-slack_lesser_than", "-group")}
    ),
    "launch_runs": Command({**flags("-force", "-quiet"), **takes("-jobs", "-scripts_only", "-to_step", "-dir")}, 1, 10),
    "make_wrapper": Command({**flags("-top", "-testbench", "-import", "-force", "-inst_template"), **takes("-files")}),
    "open_run": Command({**flags("-quiet"), **takes("-name", "-pr_config")}, 1, 1),
    "opt_design": Command({**flags("-retarget", "-propconst", "-sweep", "-remap", "-quiet"), **takes("-directive")}),
    "place_design": Command({**flags("-unplace", "-timing_summary", "-no_bufg_opt"), **takes("-directive")}),
    "read_verilog": Command({**flags("-sv", "-quiet"), **takes("-library")}, 1, 1),
    "read_xdc": Command({**flags("-unmanaged", "-quiet"), **takes("-mode", "-ref", "-cells")}, 1, 1),
    "report_drc": Command(REPORT | takes("-checks", "-ruledecks")),
    "report_power": Command(REPORT | takes("-format", "-xpe", "-rpx")),
    "report_timing_summary": Command(
        REPORT
        | flags("-report_unconstrained", "-check_timing_verbose", "-no_detailed_paths", "-warn_on_violation")
        | takes("-delay_type", "-max_paths", "-nworst", "-slack_lesser_than", "-rpx"),
    ),
    "report_utilization": Command(
        REPORT
        | flags("-hierarchical", "-hierarchical_percentages")
        | takes("-hierarchical_depth", "-cells", "-pblocks")
    ),
    "route_design": Command(
        {**flags("-unroute", "-tns_cleanup", "-timing_summary", "-quiet"), **takes("-directive", "-nets")}
    ),
    "save_bd_design": Command(flags("-quiet"), 0, 1),
    "set_property": Command({**flags("-quiet"), **takes("-dict")}, 1, 3),
    "synth_design": Command(
        {
            **flags("-quiet", "-rtl", "-no_iobuf", "-retiming"),
            **takes("-name", "-part", "-constrset", "-top", "-include_dirs", "-generic", "-verilog_define"),
            **takes("-flatten_hierarchy", "-mode", "-directive", "-fsm_extraction", "-max_bram", "-max_dsp"),
        }
    ),
    "update_compile_order": Command({**flags("-force_gui", "-quiet"), **takes("-fileset")}),
    "update_ip_catalog": Command({**flags("-rebuild", "-quiet"), **takes("-add_ip", "-delete_ip", "-repo_path")}),
    "validate_bd_design": Command({**flags("-force", "-quiet"), **takes("-design")}),
    "wait_on_run": Command({**flags("-quiet"), **takes("-timeout")}, 1, 10),
    "write_checkpoint": Command({**flags("-force", "-quiet"), **takes("-cell", "-key")}, 1, 1),
    "ipx::associate_bus_interfaces": Command(flags("-remove", "-quiet") | takes("-busif", "-clock", "-reset"), 1, 1),
    "ipx::check_integrity": Command(flags("-quiet", "-xrt"), 0, 1),
    "ipx::create_xgui_files": Command(flags("-quiet") | takes("-logo_file"), 0, 1),
    "ipx::current_core": Command(flags("-quiet"), 0, 1),
    "ipx::package_project": Command(
        flags("-import_files", "-force", "-quiet")
        | takes("-root_dir", "-vendor", "-library", "-taxonomy", "-set_current", "-module", "-archive_source_project")
    ),
    "ipx::save_core": Command(flags("-quiet"), 0, 1),
    "ipx::update_checksums": Command(flags("-quiet"), 0, 1),
}
TOOLS: dict[str, Command] = {
    "xvlog": Command({**flags("--sv", "--relax"), **takes("--work", "--define", "--include", "--log")}, 1, 1000),
    "xelab": Command(
        {**flags("--relax", "--standalone"), **takes("--timescale", "--snapshot", "--debug", "--log")}, 1, 10
    ),
    "xsim": Command({**flags("--runall", "--onfinish"), **takes("--testplusarg", "--log", "--tclbatch")}, 1, 1),
}
"""Programs that the simulation script starts."""

XDC: dict[str, Command] = {
    "create_clock": Command({**flags("-add", "-quiet"), **takes("-name", "-period", "-waveform")}, 0, 1),
    "get_ports": Command(PATTERNS, 0, 1),
    "set_input_delay": Command(
        {**flags("-min", "-max", "-clock_fall", "-add_delay", "-quiet"), **takes("-clock", "-reference_pin")}, 2, 2
    ),
    "set_output_delay": Command(
        {**flags("-min", "-max", "-clock_fall", "-add_delay", "-quiet"), **takes("-clock", "-reference_pin")}, 2, 2
    ),
}
CONTROL = ("if", "for", "foreach", "while", "proc", "switch", "source", "catch", "eval")
"""What an XDC file may not hold (UG903)."""


class Reader:
    """Reads one script; `calls` are the commands it made, with switches that have a value and other words apart.

    Parameters
    ----------
    answers : what a command returns, by name, or by name and first word; anything else returns its own name
    stopped : texts that the script gave to ``error``; it goes on, so that what follows is read too
    """

    def __init__(self, known: Mapping[str, Command], answers: Mapping[str, str], arguments: str = "") -> None:
        self.known, self.answers = known, answers
        self.calls: list[tuple[str, dict[str, str], list[str]]] = []
        self.errors: list[str] = []
        self.stopped: list[str] = []
        self.tcl = tkinter.Tcl()
        self.tcl.call("interp", "create", "-safe", "box")
        for name in known:
            self.alias(name, name, self.called(name))
        box = (f"set argv {{{arguments}}}",)
        for text in box:
            self.tcl.call("interp", "eval", "box", text)

    def alias(self, name: str, outside: str, function: object) -> None:
        handle = f"outside::{outside}"
        self.tcl.call("namespace", "eval", "outside", "")
        self.tcl.call("namespace", "eval", "outside::ipx", "")
        self.tcl.createcommand(handle, function)  # type: ignore[arg-type]
        if "::" in name:
            self.tcl.call("interp", "eval", "box", f"namespace eval {name.rpartition('::')[0]} {{}}")
        self.tcl.call("interp", "alias", "box", name, "", handle)

    def called(self, name: str):
        def function(*words: str) -> str:
            self.note(name, [str(word) for word in words], self.known)
            return self.answers.get(f"{name} {words[0]}" if words else name, self.answers.get(name, name))

        return function

    def note(self, name: str, words: list[str], known: Mapping[str, Command]) -> None:
        command, values, rest = known[name], {}, []
        queue = list(words)
        while queue:
            word = queue.pop(0)
            if not word.startswith("-") or word.lstrip("-")[:1].isdigit():
                rest.append(word)
            elif word not in command.switches:
                self.errors.append(f"{name}: no switch {word}")
            elif command.switches[word]:
                if not queue:
                    self.errors.append(f"{name}: {word} has no value")
                values[word] = queue.pop(0) if queue else ""
            else:
                values[word] = ""
        if not command.least <= len(rest) <= command.most:
            self.errors.append(f"{name}: {len(rest)} words, {command.least} to {command.most} expected: {rest[:4]}")
        self.calls.append((name, values, rest))

    def script(self, text: str) -> list[str]:
        """Run a Tcl script with files and programs replaced; return what is wrong with it."""
        self.alias("file", "file", self.file)
        for name, answer in (
            ("cd", ""),
            ("open", "channel"),
            ("read", "PASS: all"),
            ("close", ""),
            ("puts", ""),
            ("glob", "a.v b.v"),
        ):
            self.alias(name, name, lambda *_, answer=answer: answer)
        self.alias("auto_execok", "auto_execok", lambda name: name)
        self.alias("exec", "exec", self.exec)
        self.alias("error", "error", lambda text, *_: self.stopped.append(str(text)) or "")
        return self.run(text)

    def constraints(self, text: str) -> list[str]:
        """Run an XDC file; return what is wrong with it."""
        for name in CONTROL:
            self.tcl.call("interp", "eval", "box", f"catch {{rename {name} {{}}}}" if name != "catch" else "")
        self.tcl.call("interp", "eval", "box", "rename catch {}")
        return self.run(text)

    def run(self, text: str) -> list[str]:
        if not self.tcl.call("info", "complete", text):
            self.errors.append("a brace, bracket or quote is not closed")
        try:
            self.tcl.call("interp", "eval", "box", text)
        except tkinter.TclError as error:
            self.errors.append(str(error))
        return self.errors

    def file(self, *words: str) -> str:
        match words:
            case ("dirname" | "normalize", path):
                return str(path)
            case ("join", *parts):
                return "/".join(str(part) for part in parts)
            case ("mkdir", *_):
                return ""
            case ("delete" | "copy", "-force", *_):
                return ""
        self.errors.append(f"file {' '.join(str(w) for w in words)}: not known")
        return ""

    def exec(self, *words: str) -> str:
        given = [str(word) for word in words]
        ends = [given.index(mark) for mark in (">@", "2>@") if mark in given]
        command = given[: min(ends, default=len(given))]
        if not command or command[0] not in TOOLS:
            self.errors.append(f"exec {' '.join(command)}: no such program")
            return ""
        self.note(command[0], command[1:], TOOLS)
        return ""


def read_tcl(text: str) -> Reader:
    """Read a script twice, so that every branch is: all is well, no arguments; nothing is, and a part is named."""
    well = {"get_property SLACK": "0.1", "get_property PROGRESS": "100%", "get_board_parts": "board"}
    ill = {"get_property SLACK": "-0.1", "get_property PROGRESS": "50%", "get_board_parts": ""}
    first, second = Reader(VIVADO, well), Reader(VIVADO, ill, "PART")
    first.script(text)
    second.script(text)
    second.errors[:0] = [error for error in (*first.errors, *first.stopped) if error not in second.errors]
    return second


def read_xdc(text: str) -> Reader:
    """Read an XDC file, which may hold constraints only."""
    reader = Reader(XDC, {})
    reader.constraints(text)
    return reader
