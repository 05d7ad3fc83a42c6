"""The AXI4-Stream wrapper of a streaming design: beats to pixels and back, and the tags that travel beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

LIBRARY = ("hg_fifo", "hg_fork", "hg_repack", "hg_axis_frame_in", "hg_axis_frame_out")
"""Library modules the wrapper may instantiate, in compile order."""


@dataclass(frozen=True)
class AxisPort:
    """A network input or output at the boundary.

    Parameters
    ----------
    name : str
        The tensor.
    infix : str
        What stands in the port names: "", or ``_<name>`` where there are several.
    valid, ready, data : str
        The design's ports.
    pixels : int
        Beats of a frame on the design's stream.
    elements : int
        Elements of a pixel.
    width : int
        Bits of an element.
    signed : bool
        How an output's element is extended to whole bytes.
    queue : int
        Slots in front of an output: 0 if no pixel of a result can be there before the end of the input frame (of every
        input), else at least `pixels` (and 2).
    """

    name: str
    infix: str
    valid: str
    ready: str
    data: str
    pixels: int
    elements: int
    width: int
    signed: bool
    queue: int = 0

    @property
    def element_bytes(self) -> int:
        """Return the bytes of an element on the bus."""
        return -(-self.width // 8)

    def beats(self, bytes_a_beat: int) -> int:
        """Return the beats of a frame on the bus."""
        return -(-self.pixels * self.elements * self.element_bytes // bytes_a_beat)


def axis_stream_text(
    top: str,
    inputs: Sequence[AxisPort],
    outputs: Sequence[AxisPort],
    *,
    banner: str,
    bytes_a_beat: int,
    tags: int,
    open_ports: Sequence[str] = (),
) -> str:
    """Return the module ``<top>_axis`` around a streaming design.

    Parameters
    ----------
    tags : int
        Depth of the tag FIFOs, at least 2: one more than the frames that may be between their deciding beat and their
        last result pixel, or the input waits.
    open_ports : sequence of str
        Ports that the design has under HWGEN_TAPS.
    """
    loader = PackageLoader("hwgen.rtl", "templates")
    environment = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.get_template("axis_stream.sv.j2").render(
        banner=banner,
        top=top,
        bytes=bytes_a_beat,
        inputs=inputs,
        outputs=outputs,
        tags=tags,
        open_ports=open_ports,
    )
