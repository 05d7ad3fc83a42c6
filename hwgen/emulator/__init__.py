"""A bit-exact emulator of a network in plain C++, and running it."""

from hwgen.emulator.generate import emulator_files, emulator_ports

__all__ = ["emulator_files", "emulator_ports"]
