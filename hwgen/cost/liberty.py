"""Cell libraries in the Liberty format: finding one, reading what we need of it, refusing one that does not parse.

yosys and OpenSTA read the file themselves; this reader says where it is wrong before they start, which units it is in,
and what each cell computes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hwgen.errors import SpecError, ToolMissing
from hwgen.files import file_digest
from hwgen.tools import debian

SECONDS = {"fs": 1e-15, "ps": 1e-12, "ns": 1e-9, "us": 1e-6}
_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|\\\n|\s+|"(?:[^"\\\n]|\\.)*"|[(){};:,]|[^\s(){};:,"]+', re.S)
_SPACE = ("/*", "//", "\\\n")


@dataclass
class Group:
    """A group of a liberty: ``kind (args) { attributes, groups }``."""

    kind: str
    args: tuple[str, ...]
    line: int
    values: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def all(self, *kinds: str) -> list[Group]:
        """Return the groups in it of these kinds."""
        return [group for group in self.groups if group.kind in kinds]


@dataclass(frozen=True)
class Cell:
    """A cell of a library.

    Parameters
    ----------
    area : in the library's unit: µm² by convention, the format names none
    inputs : its input pins
    functions : output pin -> Boolean function of input pins, and of the states of a flip-flop
    state : name of a flip-flop's state (not inverted, inverted) -> None for a gate
    next_state, clock : of a flip-flop
    plain : whether that is all it is: no latch, no set, no clear, no three-state output
    """

    name: str
    area: float
    inputs: tuple[str, ...]
    functions: Mapping[str, str]
    state: tuple[str, str] | None = None
    next_state: str = ""
    clock: str = ""
    plain: bool = True


@dataclass(frozen=True)
class Library:
    """A cell library.

    Parameters
    ----------
    name : as the user asked for it: ``osu018``, or the file's name
    path : the liberty
    time_unit_s : seconds of its unit of time
    cells : by name
    """

    name: str
    path: Path
    time_unit_s: float
    cells: Mapping[str, Cell]

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return file_digest(self.path)


def find_library(name: str) -> Library:
    """Return a cell library by name or by the path of its liberty.

    Raises
    ------
    SpecError
        If the file is not there or does not parse.
    ToolMissing
        If a library of Debian's has not been fetched.
    """
    if name.lower() in debian.LIBERTIES:
        path = debian.find(debian.LIBERTIES[name.lower()])
        if path is None:
            hint = f"`hwgen doctor --install` unpacks Debian's package qflow-tech-{name.lower()} into the cache"
            raise ToolMissing(f"the cell library {name.lower()} is not here", hint=hint)
        return read_library(path, name.lower())
    return read_library(Path(name).resolve(), Path(name).name)


def read_library(path: Path, name: str) -> Library:
    """Read a liberty.

    Raises
    ------
    SpecError
        If it cannot be read, does not parse, or has no cells, naming file and line.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SpecError(f"the liberty cannot be read: {error.strerror}", where=str(path)) from error
    library = _Parser(text, path).parse()
    if library.kind != "library":
        raise SpecError(
            "not a liberty", where=f"{path}:{library.line}", found=library.kind, expected="library (NAME) {"
        )
    cells = {cell.name: cell for cell in (_cell(group, path) for group in library.all("cell"))}
    if not any(cell.state for cell in cells.values()):
        raise SpecError("the liberty has no flip-flop", where=str(path), found=f"{len(cells)} cells")
    return Library(name, path, _time_unit(library, path), cells)


def _time_unit(library: Group, path: Path) -> float:
    text = library.values.get("time_unit", "1ns")  # the format's default
    match = re.fullmatch(r"([\d.]+)\s*([fpnu]s)", text)
    if not match:
        raise SpecError("not a time_unit", where=f"{path}:{library.line}", found=text, expected='as "1ns"')
    return float(match.group(1)) * SECONDS[match.group(2)]


def _cell(group: Group, path: Path) -> Cell:
    where = f"{path}:{group.line}"
    name = group.args[0] if group.args else ""
    try:
        area = float(group.values.get("area", "0"))
    except ValueError as error:
        raise SpecError(f"cell {name}: not an area", where=where, found=group.values["area"]) from error
    pins = [(pin.args[0], pin) for pin in group.all("pin") if pin.args]
    functions = {pin: body.values["function"] for pin, body in pins if "function" in body.values}
    inputs = tuple(pin for pin, body in pins if body.values.get("direction") == "input")
    plain = not group.all("latch", "statetable", "bus", "bundle") and not any(
        "three_state" in b.values for _, b in pins
    )
    flops = group.all("ff")
    if not flops:
        return Cell(name, area, inputs, functions, plain=plain)
    first, second = (*flops[0].args, "", "")[:2]
    state, body = (first, second), flops[0].values
    plain = plain and len(flops) == 1 and not {"clear", "preset", "clocked_on_also"} & set(body)
    return Cell(name, area, inputs, functions, state, body.get("next_state", ""), body.get("clocked_on", ""), plain)


class _Parser:
    """Recursive descent over ``name : value ;``, ``name (args) ;`` and ``name (args) { ... }``."""

    def __init__(self, text: str, path: Path) -> None:
        self.text, self.path = text, path
        self.tokens = self._tokens()
        self.line = 1
        self.ahead: tuple[str, int] | None = None

    def parse(self) -> Group:
        """Return the one group of the file."""
        kind, line = self._next("a group: library (NAME) {")
        group = self._statement(kind, line, None)
        if group is None:
            raise self._wrong(kind, line, "library (NAME) {")
        if (rest := self._peek()) is not None:
            raise self._wrong(rest[0], rest[1], "the end of the file after the library")
        return group

    def _tokens(self) -> Iterator[tuple[str, int]]:
        place, line = 0, 1
        while place < len(self.text):
            match = _TOKEN.match(self.text, place)
            if match is None:  # only a quote that never closes gets here
                raise self._wrong(self.text[place : place + 20].splitlines()[0], line, "a closing quote")
            token = match.group()
            if not (token.isspace() or token.startswith(_SPACE)):
                yield token, line
            line += token.count("\n")
            place = match.end()
        self.line = line

    def _peek(self) -> tuple[str, int] | None:
        if self.ahead is None:
            self.ahead = next(self.tokens, None)
        return self.ahead

    def _next(self, expected: str) -> tuple[str, int]:
        found = self._peek()
        if found is None:
            raise self._wrong("the end of the file", self.line, expected)
        self.ahead = None
        return found

    def _wrong(self, found: str, line: int, expected: str) -> SpecError:
        return SpecError("the liberty does not parse", where=f"{self.path}:{line}", found=found, expected=expected)

    def _statement(self, name: str, line: int, into: Group | None) -> Group | None:
        """Read what follows a name; an attribute goes into `into`, a group is returned."""
        if name in "(){};:,":
            raise self._wrong(name, line, "an attribute or a group")
        sign, at = self._next("( or :")
        if sign == ":" and into is not None:
            into.values[name] = self._value(at)
            return None
        if sign != "(":
            raise self._wrong(sign, at, "( or :")
        args = []
        while (token := self._next(")"))[0] != ")":
            if token[0] in "{};":
                raise self._wrong(token[0], token[1], ")")
            if token[0] != ",":
                args.append(token[0].strip('"'))
        following = self._peek()
        if following is None or following[0] != "{":
            if into is not None:
                into.values[name] = ", ".join(args)
            self._semicolon()
            return None
        self._next("{")
        return self._body(Group(name, tuple(args), line))

    def _body(self, group: Group) -> Group:
        while (token := self._next(f"}} of {group.kind} in line {group.line}"))[0] != "}":
            if token[0] == ";":
                continue
            inner = self._statement(*token, group)
            if inner is not None:
                group.groups.append(inner)
        return group

    def _value(self, line: int) -> str:
        """Read a value to the end of its line, or to the semicolon; real libraries leave it out."""
        parts = []
        while (token := self._peek()) is not None and token[0] not in ";{}" and token[1] == line:
            parts.append(self._next("a value")[0].strip('"'))
        if not parts:
            raise self._wrong(token[0] if token else "the end of the file", token[1] if token else line, "a value")
        self._semicolon()
        return " ".join(parts)

    def _semicolon(self) -> None:
        if (token := self._peek()) is not None and token[0] == ";":
            self._next(";")
