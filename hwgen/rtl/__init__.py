"""From a Graph to SystemVerilog: arithmetic, schedule, emitters."""
