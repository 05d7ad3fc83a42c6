"""Handing a verified design over: self-contained folders for Vivado, Vitis HLS, PYNQ and others."""
