"""Handing a verified design over: self-contained folders for Vivado, Vitis HLS, PYNQ and others."""

from hwgen.handoff.targets import TARGETS, Handoff, check_targets, hand_over

__all__ = ["TARGETS", "Handoff", "check_targets", "hand_over"]
