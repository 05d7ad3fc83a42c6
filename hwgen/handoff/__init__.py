"""Handing a verified design over: self-contained folders for Vivado, Vitis HLS, PYNQ and others."""

from hwgen.handoff.pynq import STREAM_BITS
from hwgen.handoff.targets import TARGETS, Handoff, check_targets, hand_over
from hwgen.handoff.vivado import AMD_PART

__all__ = ["AMD_PART", "STREAM_BITS", "TARGETS", "Handoff", "check_targets", "hand_over"]
