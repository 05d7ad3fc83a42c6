"""`hardware.part`: its family, what it holds, and how nextpnr is told of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hwgen.errors import SpecError

FAMILIES = ("xc7", "xcu", "xcup", "ecp5", "ice40", "gowin", "nexus", "asic")
"""Families by the name yosys gives them; ``asic`` is a cell library."""

RESOURCES = ("LUT", "FF", "DSP", "BRAM_18K")

LIBRARIES = ("osu018", "osu035")
"""Cell libraries by name; any other is a path that ends in ``.lib``."""

BOARDS = {
    "pynq-z1": "xc7z020clg400-1",
    "pynq-z2": "xc7z020clg400-1",
    "zcu102": "xczu9eg-ffvb1156-2-e",
    "zcu104": "xczu7ev-ffvc1156-2-e",
    "zcu106": "xczu7ev-ffvc1156-2-e",
    "zcu111": "xczu28dr-ffvg1517-2-e",
    "ultra96": "xczu3eg-sbva484-1-e",
    "kv260": "xck26-sfvc784-2LV-c",
    "kr260": "xck26-sfvc784-2LV-c",
    "arty-a7": "xc7a35ticsg324-1L",
    "u50": "xcu50-fsvh2104-2-e",
    "u55c": "xcu55c-fsvh2892-2L-e",
    "u200": "xcu200-fsgd2104-2-e",
    "u250": "xcu250-figd2104-2L-e",
    "u280": "xcu280-fsvh2892-2L-e",
    "ulx3s": "LFE5U-85F-6BG381C",
    "icebreaker": "iCE40UP5K-SG48I",
    "tang-nano-9k": "GW1NR-LV9QN88PC6/I5",
}
"""The part on boards that people name instead of it; only for the hint of the error."""


@dataclass(frozen=True)
class Part:
    """One device.

    Parameters
    ----------
    name : as the user wrote it
    family : one of `FAMILIES`
    device : the row of the table, as ``xcvu13p``; of a cell library its name or path
    capacity : resource -> how many there are; empty for a cell library
    source : whose figures these are
    """

    name: str
    family: str
    device: str
    capacity: Mapping[str, int]
    source: str

    @property
    def asic(self) -> bool:
        """Whether it is a cell library."""
        return self.family == "asic"


@cache
def devices() -> dict[str, Part]:
    """Return every known device by its name in lower case."""
    found: dict[str, Part] = {}
    family = source = ""
    for line in (Path(__file__).with_name("parts.csv")).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            family, source = (text.strip() for text in line.strip("[]").split(",", 1))
        elif line and not line.startswith("#"):
            name, *numbers = line.split(",")
            capacity = dict(zip(RESOURCES, (int(n) for n in numbers), strict=True))
            found[name] = Part(name, family, name, capacity, source)
    return found


def find_part(name: str, where: str | None = None) -> Part:
    """Return the device that a part's name means.

    Parameters
    ----------
    name : as ``xcvu13p-flga2577-2-e``, ``LFE5U-85F-6BG381C``, ``osu018`` or ``cells/my.lib``; case does not matter
    where : for the error: the key of model.yaml

    Raises
    ------
    SpecError
        If it is not known, with the nearest that is.
    """
    text = name.strip().lower()
    if text in LIBRARIES or text.endswith(".lib"):
        return Part(name, "asic", text if text in LIBRARIES else name, {}, "the cell library")
    # Gowin writes the supply into the name: GW1NR-LV9QN88 is a GW1NR-9.
    plain = re.sub(r"^(gw\d\w*-)(?:lv|uv|ev)(\d)", r"\1\2", text)
    known = devices()
    fitting = [device for device in known if plain.startswith(device) and _ends(plain[len(device) :], device)]
    if fitting:
        part = known[max(fitting, key=len)]
        return Part(name, part.family, part.device, part.capacity, part.source)
    found, expected = nearest(text)
    raise SpecError("not a part that hwgen knows", where=where, found=name, expected=expected, hint=found)


def _ends(rest: str, device: str) -> bool:
    """Whether a part's name may go on with `rest`: no digit, which would make it another device."""
    return not rest[:1].isdigit() and not (device.startswith("xczu") and rest.startswith("dr"))


def nearest(text: str) -> tuple[str, str]:
    """Return a hint and the part nearest to an unknown name (`expected` of the error)."""
    board = difflib.get_close_matches(re.sub(r"[ _]+", "-", text), BOARDS, 1, 0.75)
    if board:
        return f"{board[0]} is a board; its part is {BOARDS[board[0]]}", BOARDS[board[0]]
    stem = re.match(r"lfe5\w*-\d+f?|lifcl-\d+|lfd2nx-\d+|gw\w+-\w+?(?=[a-z])|[a-z0-9]+", text)
    close = difflib.get_close_matches(stem.group() if stem else text, devices(), 3, 0.4)
    hint = "docs/cost.md lists the parts; osu018, osu035 or a path that ends in .lib means a cell library"
    return hint, f"{', '.join(close)}?" if close else "as xcvu13p-flga2577-2-e"


def nextpnr_arguments(part: Part) -> list[str]:
    """Return how nextpnr-ecp5 or nextpnr-ice40 is told of the device, its package and its speed.

    What the name leaves out is the largest package and the slowest speed grade.
    """
    text = part.name.lower()
    if part.family == "ecp5":
        series, size = re.match(r"lfe5(um5g|um|u)-(\d+)f", part.device).groups()  # type: ignore[union-attr]
        kind = f"--{'' if series == 'u' else series + '-'}{size}k"
        rest = re.match(r"-(\d)?(bg|mg)?(\d+)?", text[len(part.device) :])
        speed, style, balls = rest.groups() if rest else (None, None, None)
        default = {"12": "381", "25": "381", "45": "554", "85": "756"}[size]
        package = f"{'CSFBGA' if style == 'mg' else 'CABGA'}{balls or default}"
        return [kind, "--package", package, "--speed", speed or ("8" if series == "um5g" else "6")]
    device = part.device.removeprefix("ice40")
    packages = {"lp384": "qn32", "lp1k": "cm121", "hx1k": "tq144", "up3k": "sg48", "up5k": "sg48"}
    default = packages.get(device, "cm225" if device.startswith("lp") else "ct256")
    written = re.match(r"-([a-z]{2}\d+)", text[len(part.device) :])
    # The 4k devices are 8k dies, which nextpnr knows by their packages.
    package = {"hx4k": ":4k", "lp4k": ":4k"}.get(device, "")
    kind = {"up3k": "up5k", "hx4k": "hx8k", "lp4k": "lp8k"}.get(device, device)
    chosen = written.group(1) if written else {"hx4k": "tq144", "lp4k": "cm225"}.get(device, default)
    return [f"--{kind}", "--package", chosen + package]
