"""Parts by name, what they hold, and what a model.yaml with a wrong one is told."""

from pathlib import Path

import pytest

from hwgen.cost.fit import shortfalls
from hwgen.cost.parts import FAMILIES, devices, find_part, nextpnr_arguments
from hwgen.errors import ErrorList, SpecError
from hwgen.spec import load_spec

YAML = """\
model:
  name: net
  layers:
    - QDense: {{name: fc, units: 2}}
data: {{set: digits}}
hardware: {{part: {}}}
"""


@pytest.mark.parametrize(
    ("name", "family", "device", "dsp"),
    [
        ("xcvu13p-flga2577-2-e", "xcup", "xcvu13p", 12288),
        ("xck26-sfvc784-2LV-c", "xcup", "xck26", 1248),
        ("xczu9eg-ffvb1156-2-e", "xcup", "xczu9", 2520),
        ("xczu28dr-ffvg1517-2-e", "xcup", "xczu28dr", 4272),
        ("XCKU115-flvb2104-2-i", "xcu", "xcku115", 5520),
        ("xc7z020clg400-1", "xc7", "xc7z020", 220),
        ("LFE5U-85F-6BG381C", "ecp5", "lfe5u-85f", 156),
        ("iCE40UP5K-SG48I", "ice40", "ice40up5k", 8),
        ("GW1NR-LV9QN88PC6/I5", "gowin", "gw1nr-9", 20),
        ("LIFCL-40-9BG400C", "nexus", "lifcl-40", 56),
    ],
)
def test_a_part_is_found_by_its_full_name(name: str, family: str, device: str, dsp: int) -> None:
    part = find_part(name)
    assert (part.family, part.device, part.capacity["DSP"], part.name) == (family, device, dsp, name)
    assert part.source


def test_cell_libraries() -> None:
    for name in ("osu018", "OSU035", "cells/sky130.lib"):
        assert find_part(name).asic and not find_part(name).capacity


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("xcvu14p-flga2577-2-e", "xcvu1"),
        ("xc7z021clg400-1", "xc7z020"),
        ("LFE5U-86F", "lfe5u-85f"),
        ("pynq-z2", "xc7z020clg400-1"),
        ("KV260", "xck26-sfvc784-2LV-c"),
        ("xczu17eg-ffvb1517-1-e", "xczu1"),
        ("xc7z0201", "xc7z020"),
    ],
)
def test_an_unknown_part_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(SpecError) as refused:
        find_part(name)
    assert near in (refused.value.expected or ""), refused.value


def test_model_yaml_with_an_unknown_part_is_refused_when_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(YAML.format("xcvu13q-flga2577-2-e"))
    with pytest.raises(ErrorList) as refused:
        load_spec(file)
    assert "model.yaml:6: hardware.part: not a part that hwgen knows" in str(refused.value)
    assert "xcvu13p" in str(refused.value)
    file.write_text(YAML.format("cells/absent.lib"))
    with pytest.raises(ErrorList, match="the cell library does not exist"):
        load_spec(file)


def test_the_table_of_parts_is_sound() -> None:
    for part in devices().values():
        assert part.family in FAMILIES and part.capacity["FF"] >= 0.5 * part.capacity["LUT"] > 0
    assert find_part("xc7a100t").capacity["LUT"] > find_part("xc7a35t").capacity["LUT"]


def test_what_nextpnr_is_told() -> None:
    assert nextpnr_arguments(find_part("LFE5U-85F-6BG381C")) == ["--85k", "--package", "CABGA381", "--speed", "6"]
    assert nextpnr_arguments(find_part("LFE5UM5G-45F-8BG554"))[0] == "--um5g-45k"
    assert nextpnr_arguments(find_part("LFE5U-12F")) == ["--12k", "--package", "CABGA381", "--speed", "6"]
    assert nextpnr_arguments(find_part("iCE40HX8K-CT256")) == ["--hx8k", "--package", "ct256"]
    assert nextpnr_arguments(find_part("ice40hx4k")) == ["--hx8k", "--package", "tq144:4k"]


def test_a_part_that_is_too_small_says_by_how_much() -> None:
    short = shortfalls({"LUT": 6000, "FF": 10, "DSP": 9, "BRAM_18K": None}, find_part("ice40up5k"))
    assert short == ["LUT: 6,000 of 5,280 (720 too many, 114 %)", "DSP: 9 of 8 (1 too many, 112 %)"]
