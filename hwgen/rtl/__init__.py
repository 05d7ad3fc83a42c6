"""From a Graph to SystemVerilog: arithmetic, schedule, emitters."""

from hwgen.rtl.generate import Plan, Prediction, RtlDesign, RtlOptions, emit, generate, plan

__all__ = ["Plan", "Prediction", "RtlDesign", "RtlOptions", "emit", "generate", "plan"]
