"""`CostTable`: what a design takes on a device, by layer and in all, and where each figure is from.

Every tool that says something of cost makes one of these; `reports/cost.json` keeps them, and every screen, page and
comparison reads them. A figure that is not known is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

METRICS: dict[str, tuple[str, str]] = {
    "LUT": ("LUT", ""),
    "FF": ("FF", ""),
    "DSP": ("DSP", ""),
    "BRAM_18K": ("BRAM 18K", ""),
    "cells": ("cells", ""),
    "depth": ("depth", "levels"),
    "fmax_mhz": ("Fmax", "MHz"),
    "area_um2": ("area", "µm²"),
    "worst_slack_ns": ("worst slack", "ns"),
    "power_mw": ("power", "mW"),
    "energy_nj": ("energy", "nJ/inference"),
}
"""Every figure by its key: title and unit. LUT, FF, DSP and BRAM_18K are named as in hls4ml's reports."""

KINDS = ("predicted", "synthesized", "placed", "asic", "energy", "imported")
"""What was done to know the figures, in the order in which it is shown."""

SOURCES = ("estimate", "yosys", "nextpnr", "opensta", "vivado")
"""Who says so. An `estimate` is a formula of ours, documented in docs/cost.md."""


@dataclass(frozen=True)
class CostTable:
    """The figures of one source for one device.

    Parameters
    ----------
    kind : one of `KINDS`
    source : one of `SOURCES`
    device : the part, family or cell library that the figures are for
    tool : program and version, as ``pyosys 0.70``
    status : ``DONE``, ``NOT RUN`` (a tool is missing, or there is no open one) or ``FAILED`` (out of time, crashed)
    reason : why it is not DONE; or, when it is, what a reader must know to read the figures
    total : metric -> value; of the whole design, glue between layers counted
    layers : a row a layer in graph order, ``{"layer": name, metric: value, ...}``; glue is the layer ``(top)``
    details : what only this source knows: ``memories``, ``critical_path``, ``utilization``, ...
    seconds : how long it took
    """

    kind: str
    source: str
    device: str | None
    tool: str | None = None
    status: str = "DONE"
    reason: str | None = None
    total: Mapping[str, float | None] = field(default_factory=dict)
    layers: tuple[Mapping[str, Any], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None

    def __post_init__(self) -> None:
        unknown = [key for row in (self.total, *self.layers) for key in row if key not in METRICS and key != "layer"]
        if unknown or self.kind not in KINDS or self.source not in SOURCES:
            raise ValueError(f"not a cost table: {self.kind}, {self.source}, {unknown}")

    def to_json(self) -> dict[str, Any]:
        """Return the table as plain values."""
        return {**asdict(self), "total": dict(self.total), "layers": [dict(row) for row in self.layers]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CostTable:
        """Return the table of `to_json`."""
        return cls(**{**value, "layers": tuple(value.get("layers", ()))})
