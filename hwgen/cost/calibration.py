"""What the predicted cost knows of device families: which one a part is of, and what the counting rules cover."""

from __future__ import annotations

COVERED = {
    "xcup": None,
    "xc7": "LUTs are calibrated on UltraScale+; 7-series parts have other LUT RAM (4 LUTs for 6 bits, not 8 for 14)",
}
"""Families whose LUTs, registers, DSP blocks and block RAM are counted, and what a reader must know of the figures."""

_PREFIXES = (
    ("xc7", "xc7"),
    ("xa7", "xc7"),
    ("xc", "xcup"),
    ("lfe5", "ecp5"),
    ("lfd2", "nexus"),
    ("ice40", "ice40"),
    ("gw", "gowin"),
)


def family_of(part: str) -> str:
    """Return the family of a part by its name, ``?`` if it is none that is known."""
    name = part.lower()
    return next((family for prefix, family in _PREFIXES if name.startswith(prefix)), "?")


PRIOR: dict[str, float] = {
    "acc_bias": 1,
    "accumulate": 1.2,
    "add": 1,
    "add_const": 0.1,
    "add_merged": 0.05,
    "clip": 1,
    "clip_compare": 0.2,
    "clip_over": 0.3,
    "clip_sign": 1,
    "clip_zero": 1,
    "collect": 1,
    "collect_beats": 1,
    "compare": 0.6,
    "counter": 1,
    "credit": 3,
    "credit_count": 3,
    "credit_wrap": 0.5,
    "dot_sum": 1,
    "fifo": 2,
    "fifo_count": 2.5,
    "fifo_wrap": 0.5,
    "fork": 2.5,
    "handshake": 2,
    "lane": 2,
    "lane_gate": 1,
    "lane_seen": 2,
    "lane_select": 1,
    "lane_sum": 1,
    "mac": 5,
    "mask": 1,
    "mux": 1,
    "places": 4,
    "reduce_max": 2,
    "reduce_sum": 2,
    "reduce_top": 0.5,
    "rom": 1,
    "rom_deep": 2,
    "rotate": 1,
    "round_add": 0.4,
    "round_tie": 1,
    "row_counter": 5,
    "row_pad": 0.3,
    "row_pick": 1,
    "row_slot": 3,
    "row_store": 10,
    "select": 1,
    "soft_multiply": 1,
    "sparse": 5,
    "split": 1,
    "table": 1,
}
"""LUTs that a unit of each feature takes by construction: where calibration starts, and stays where it sees nothing."""
