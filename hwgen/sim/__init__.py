"""Running the RTL in Verilator and cocotb, comparing, evidence."""
