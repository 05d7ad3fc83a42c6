"""What a synthesized cell takes of a device: LUT sites, flip-flops, DSP blocks, block RAMs."""

from __future__ import annotations

import re
from collections.abc import Mapping

_XILINX = (
    # AMD UG474 and UG574: "Distributed RAM", "Shift Registers". An inverter goes into the LUT it feeds.
    (r"LUT[1-6]", "LUT", 1),
    (r"SRL(C?)(16|32)E", "LUT", 1),
    (r"RAM32X1S|RAM64X1S", "LUT", 1),
    (r"RAM32X1D|RAM64X1D|RAM128X1S", "LUT", 2),
    (r"RAM32M|RAM64M|RAM128X1D|RAM256X1S", "LUT", 4),
    (r"RAM32M16|RAM64M8|RAM32X16DR8|RAM64X8SW|RAM256X1D|RAM512X1S", "LUT", 8),
    (r"FD[RSCP]E(_1)?|LD[CP]E", "FF", 1),
    (r"DSP48\w*", "DSP", 1),
    (r"RAMB18\w*", "BRAM_18K", 1),
    (r"RAMB36\w*", "BRAM_18K", 2),
)
_LATTICE = (
    # Lattice FPGA-TN-02204 and FPGA-TN-02094: a distributed RAM 16 x 4 takes four LUTs and two more for its writes.
    (r"LUT4", "LUT", 1),
    (r"CCU2C?|WIDEFN9", "LUT", 2),
    (r"(TRELLIS_)?DPR16X4C?", "LUT", 6),
    (r"TRELLIS_FF|FD1P3\w*", "FF", 1),
    (r"MULT\w+", "DSP", 1),
    (r"DP16KD|PDPW16KD|P?DP(SC)?16K(_MODE)?", "BRAM_18K", 1),
)
_ICE40 = (
    (r"SB_LUT4", "LUT", 1),
    (r"SB_DFF\w*", "FF", 1),
    (r"SB_MAC16", "DSP", 1),
    (r"SB_RAM40_4K\w*", "BRAM_18K", 1),
)
_GOWIN = (
    (r"LUT[1-4]|ALU", "LUT", 1),
    (r"RAM16S\w*", "LUT", 4),
    (r"DFF\w*", "FF", 1),
    (r"MULT(9X9|18X18|36X36)|MULTALU\w*|MULTADDALU\w*", "DSP", 1),
    (r"SP(X9)?|SDP(X9)?B?|DP(X9)?B?|pROM(X9)?", "BRAM_18K", 1),
)
RULES = {
    **{family: _XILINX for family in ("xc7", "xcu", "xcup")},
    **{family: _LATTICE for family in ("ecp5", "nexus")},
    "ice40": _ICE40,
    "gowin": _GOWIN,
}
"""Family -> (cell type, resource, how many of it), the first that fits."""


def resources(family: str, cells: Mapping[str, int]) -> dict[str, int]:
    """Return what `cells` (type -> count) take: LUT, FF, DSP, BRAM_18K, and their number as ``cells``.

    LUTs that serve as memory or shift register are counted; block RAMs of iCE40 are of 4 kbit, all others of 18.
    """
    total = {"LUT": 0, "FF": 0, "DSP": 0, "BRAM_18K": 0, "cells": sum(cells.values())}
    for cell, count in cells.items():
        for pattern, resource, each in RULES[family]:
            if re.fullmatch(pattern, cell):
                total[resource] += each * count
                break
    return total
