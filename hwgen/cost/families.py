"""How yosys maps a design to each family, and where the registers of the mapped netlist are."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.cost.parts import Part

Cut = tuple[str, tuple[str, ...] | None, tuple[str, ...]]

_RAM_WRITES = ("WCLK", "WE", "D", "DI", *(f"DI{k}" for k in "ABCDEFGH"), "ADDRH")
_XILINX: tuple[Cut, ...] = (
    (r"FD[RSCP]E(_1)?|RAMB\w+|URAM\w+", None, ()),
    (r"DSP48\w+", None, ("PREG", "MREG", "AREG", "BREG")),
    (r"RAM\d+X1D", (*_RAM_WRITES, "A", *(f"A{k}" for k in range(8))), ()),
    (r"RAM\d+X1S", _RAM_WRITES, ()),
    (r"RAM\d+M", (*_RAM_WRITES, "ADDRD"), ()),
    (r"RAM\w+", _RAM_WRITES, ()),
    (r"SRL\w+", ("CLK", "CE", "D"), ()),
)
_LATTICE: tuple[Cut, ...] = (
    (r"TRELLIS_FF|FD1P3\w*|DP16KD|PDPW16KD|P?DP(SC)?\d+K(_MODE)?", None, ()),
    (r"(TRELLIS_)?DPR16X4C?", ("DI", "WAD", "WRE", "WCK"), ()),
    (r"MULTADDSUB\w+|MULTPREADD\w+", None, ()),
)
_ICE40: tuple[Cut, ...] = ((r"SB_DFF\w*|SB_RAM\w+|SB_SPRAM\w+|SB_MAC16", None, ()),)
_GOWIN: tuple[Cut, ...] = (
    (r"DFF\w*|SP(X9)?|SDP(X9)?B?|DP(X9)?B?|pROM(X9)?|MULT\w+", None, ()),
    (r"RAM16S\w*", ("DI", "WAD", "WRE", "CLK"), ()),
)

ABC9 = "+&scorr;&sweep;&dc2;&dch,-f,-r;&ps;&if,{C},{W},{D},{R},-v"
"""yosys' own script for abc9 without its last step, `&mfs`: that one takes minutes on adder graphs of 10,000 LUTs, and
finds nothing there (8,539 LUTs with it, 8,450 without, in 41 s and 26 s)."""


@dataclass(frozen=True)
class Family:
    """One family of devices for yosys.

    Parameters
    ----------
    command : the synthesis command, without its range
    memory_step : the step of it that maps memories
    cuts : see `worker._cut`
    """

    command: str
    memory_step: str
    cuts: tuple[Cut, ...]

    def commands(self, top: str) -> tuple[str, str, str]:
        """Return what sets up the mapper, the command up to the mapping of memories, and from there on."""
        whole = f"{self.command} -top {top}"
        return (
            f"scratchpad -set abc9.script {ABC9}",
            f"{whole} -run begin:{self.memory_step}",
            f"{whole} -run {self.memory_step}:check",
        )


def family_of(part: Part) -> Family:
    """Return how a part's family is synthesized; multipliers become DSP blocks wherever the device has some."""
    dsp = part.capacity.get("DSP", 0) > 0
    match part.family:
        case "xc7" | "xcu" | "xcup":
            command = f"synth_xilinx -family {part.family} -flatten -noiopad -noclkbuf"
            return Family(command, "map_memory", _XILINX)
        case "ecp5":
            return Family("synth_lattice -family ecp5 -noiopad", "map_ram", _LATTICE)
        case "nexus":
            name = "lifcl" if part.device.startswith("lifcl") else "lfd2nx"
            return Family(f"synth_lattice -family {name} -noiopad", "map_ram", _LATTICE)
        case "ice40":
            return Family(f"synth_ice40{' -dsp' if dsp else ''}", "map_ram", _ICE40)
        case "gowin":
            name = "gw2a" if part.device.startswith("gw2a") else "gw1n"
            return Family(f"synth_gowin -family {name} -noiopads{'' if dsp else ' -nodsp'}", "map_ram", _GOWIN)
    raise ValueError(f"no synthesis for {part.family}")
